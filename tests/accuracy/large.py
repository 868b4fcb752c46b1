"""A million values in one tensor. What they are is made in whole numbers by support::Numbers, here and in the test
(made.hpp), so that only a description is committed, and every sum over them is exact."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from operator import mul

from mpmath import mpf

import oracle
from scalars import Numbers


@dataclass
class Made:
    """Whole multiples of 2^-shift, and how the test makes the same."""

    text: str
    multiples: list
    shift: int

    def number(self, index):
        return mpf(self.multiples[index]) / 2**self.shift


def bell(scalar, seed, count):
    """3 and the sum of three uniforms, short enough that the sum is exact: mean 3, standard deviation 1."""
    random, digits = Numbers(seed), scalar.choose(20, 48)
    three = 3 << (digits - 1)
    multiples = [three + random.signed(digits) + random.signed(digits) + random.signed(digits) for _ in range(count)]
    return Made(f"made bell {seed}", multiples, digits - 1)


def far(scalar, seed, count):
    """10240 and the sum of three uniforms of a few ulps: standard deviation 0.008. What is merged of a block has to keep
    more digits of such a mean than the scalar has."""
    random, shift, digits = Numbers(seed), scalar.choose(10, 39), scalar.choose(4, 33)
    multiples = [(10240 << shift) + sum(random.signed(digits) for _ in range(3)) for _ in range(count)]
    return Made(f"made far {seed}", multiples, shift)


def uniform(scalar, seed, count):
    random = Numbers(seed)
    return Made(f"made uniform {seed}", [random.signed(scalar.digits) for _ in range(count)], scalar.digits - 1)


def repeated(scalar, value, count):
    value = scalar.round(value)
    multiple, divisor = value.as_integer_ratio()
    return Made(f"made repeated {scalar.bits(value)}", [multiple] * count, divisor.bit_length() - 1)


# What x is in each of the regimes of a million.
REGIMES = {
    "million_normal": lambda scalar, count: bell(scalar, 1, count),
    "million_far_mean": lambda scalar, count: far(scalar, 1, count),
    "million_constant": lambda scalar, count: repeated(scalar, 0.1, count),
}


@cache
def indices(view):
    return view.indices()


def sum_by(terms, index, count):
    sums = [0] * count
    for term, at in zip(terms, index):
        sums[at] += term
    return sums


def real(fraction):
    return mpf(fraction.numerator) / fraction.denominator


class Sums:
    """The sums over x and dy of each group, which do not depend on the parameters. Means are fractions."""

    def __init__(self, view, x, dy):
        self.view, self.x, self.dy = view, x, dy
        self.group, self.param = indices(view)
        self.groups, self.params = max(self.group) + 1, max(self.param) + 1
        self.size = len(self.group) // self.groups
        self.mean = self.mean_by_group(x.multiples, x.shift)
        mean_square = self.mean_by_group(map(mul, x.multiples, x.multiples), 2 * x.shift)
        self.var = [square - mean**2 for square, mean in zip(mean_square, self.mean)]

    def mean_by_group(self, multiples, shift):
        return [Fraction(total, self.size << shift) for total in sum_by(multiples, self.group, self.groups)]

    def mean_gradients(self, weight, mean):
        """mean(d) and mean(d * (x - mean)) of each group, d = dy * weight."""
        d = [weight.multiples[p] * value for value, p in zip(self.dy.multiples, self.param)]
        shift = weight.shift + self.dy.shift
        mean_d = self.mean_by_group(d, shift)
        mean_dx = self.mean_by_group(map(mul, d, self.x.multiples), shift + self.x.shift)
        return mean_d, [dx - m * d for dx, m, d in zip(mean_dx, mean, mean_d)]

    def dweight(self, mean, groups, wanted):
        if self.view.is_batch_norm:
            _, mean_centred = self.mean_gradients(Made("", [1] * self.params, 0), mean)
            return [one.rstd * real(self.size * centred) for one, centred in zip(groups, mean_centred)]
        sums = dict.fromkeys(wanted, mpf(0))
        for i, p in enumerate(self.param):
            if p in sums:
                sums[p] += self.dy.number(i) * groups[self.group[i]].xhat(self.x.number(i))
        return [sums[p] for p in wanted]

    def dbias(self, wanted):
        sums = sum_by(self.dy.multiples, self.param, self.params)
        return [mpf(sums[p]) / 2**self.dy.shift for p in wanted]

    def outputs(self, weight, bias, mean, var, eps, of_batch, sample, sample_of_parameters):
        """As oracle.outputs, of the sampled elements and parameters alone."""
        groups = [oracle.Group(real(m), oracle.rstd(real(v), eps)) for m, v in zip(mean, var)]
        if of_batch:
            for one, mean_d, centred in zip(groups, *self.mean_gradients(weight, mean)):
                one.mean_d, one.mean_d_xhat = real(mean_d), one.rstd * real(centred)
        y, dx = [], []
        for i in sample:
            one, w, x = groups[self.group[i]], weight.number(self.param[i]), self.x.number(i)
            y.append(one.xhat(x) * w + bias.number(self.param[i]))
            dx.append(one.dx(x, w * self.dy.number(i)))
        return oracle.Outputs(y, dx, self.dweight(mean, groups, sample_of_parameters),
                              self.dbias(sample_of_parameters))
