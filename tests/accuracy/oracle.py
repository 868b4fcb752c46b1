"""Normalization by its definition, in mpmath, whose numbers know NaN and infinity as IEEE 754 does."""

from dataclasses import dataclass

from mpmath import libmp, mp, mpf


@dataclass
class Group:
    """What the elements of a group share. Without the last two its statistics are given ones, those of evaluation."""

    mean: mpf
    rstd: mpf
    mean_d: mpf = None
    mean_d_xhat: mpf = None

    def xhat(self, x):
        return (x - self.mean) * self.rstd

    def dx(self, x, d):
        if self.mean_d is None:
            return self.rstd * d
        return self.rstd * (d - self.mean_d - self.xhat(x) * self.mean_d_xhat)


@dataclass
class Outputs:
    y: list
    dx: list
    dweight: list
    dbias: list


def rstd(var, eps):
    """1 / sqrt(var + eps), and 0 where both are 0: a constant group without eps gives its bias."""
    return mpf(0) if var + eps == 0 else 1 / mp.sqrt(var + eps)


def sum_by(terms, index, count):
    sums = [mpf(0)] * count
    for term, at in zip(terms, index):
        sums[at] += term
    return sums


def mean_by(terms, index, count):
    size = len(index) // count
    return [total / size for total in sum_by(terms, index, count)]


def moments(x, group, groups):
    """The mean and the biased variance of each group."""
    mean = mean_by(x, group, groups)
    return mean, mean_by([(value - mean[g]) ** 2 for value, g in zip(x, group)], group, groups)


def outputs(x, dy, weight, bias, mean, var, eps, group, param, of_batch):
    """Forward and backward by the given statistics; `of_batch` says that they are those of x."""
    groups = [Group(m, rstd(v, eps)) for m, v in zip(mean, var)]
    xhat = [groups[g].xhat(value) for value, g in zip(x, group)]
    d = [weight[p] * value for value, p in zip(dy, param)]
    if of_batch:
        mean_d = mean_by(d, group, len(groups))
        mean_d_xhat = mean_by([a * b for a, b in zip(d, xhat)], group, len(groups))
        for g, one in enumerate(groups):
            one.mean_d, one.mean_d_xhat = mean_d[g], mean_d_xhat[g]
    return Outputs(
        y=[h * weight[p] + bias[p] for h, p in zip(xhat, param)],
        dx=[groups[g].dx(value, slope) for value, slope, g in zip(x, d, group)],
        dweight=sum_by([a * b for a, b in zip(dy, xhat)], param, len(weight)),
        dbias=sum_by(dy, param, len(weight)),
    )


def exact(value, bits):
    """A number in at most `bits` bits: an integer in hexadecimal, p, and the power of 2 that it is multiplied with. The
    exponent has no bounds, so that neither the ends of double's range nor its subnormals are special."""
    if mp.isnan(value):
        return "nan"
    if mp.isinf(value):
        return "inf" if value > 0 else "-inf"
    sign, significand, exponent, _ = libmp.mpf_pos(value._mpf_, bits, "n")
    return f"{'-' if sign else ''}{int(significand):x}p{exponent}"
