#!/usr/bin/python3
"""Writes data/: what BatchNorm and LayerNorm are exactly, by mpmath, for many regimes of data.

    python3 tests/accuracy/generate.py [--digits 1000] [--into data] [regime...]

On Debian: apt install python3-mpmath.

A file holds the cases of one regime and one scalar. A case is a block of lines `key: words`, tensors in row-major
order; which keys there are stands in cases.hpp. Inputs are bit patterns. Results are `exact` of oracle.py, in 106 bits
for double and 53 for float, which is 2^-29 of what a float can show; means and variances always in 106. The first line
records the versions. The tests read the result; nothing else depends on mpmath.

100 digits would do for the rule. 1000 leave 100 right ones also where 600 cancel, as in a group from 1e-300 to 1e300.
Where all cancel, 1e-1000 of the terms may stand for 0.
"""

import argparse
import pathlib
import platform
import zlib
from fractions import Fraction

import mpmath
from mpmath import mp, mpf

import large
import oracle
import views
from regimes import REGIMES, Place
from scalars import DOUBLE, FLOAT, Numbers

BITS_OF_STATISTICS = 106


def seed_of(*names):
    """A seed for each thing that is random, so that a new regime leaves the data of the others alone."""
    return zlib.crc32("/".join(names).encode())


class Writer:
    def __init__(self, regime, scalar):
        self.scalar, self.cases = scalar, 0
        self.lines = [f"# by generate.py with mpmath {mpmath.__version__}, Python {platform.python_version()}, "
                      f"{mp.dps} digits", f"regime: {regime}", f"scalar: {scalar.name}"]

    def field(self, key, words):
        self.lines.append(f"{key}: " + " ".join(map(str, words)))

    def case(self, view, eps):
        self.cases += 1
        self.lines.append("")
        self.field("case", [view.name])
        self.field("extents", view.extents)
        self.field("axis", [view.axis])
        if view.axes:
            self.field("axes", [view.axes])
        if view.column_major:
            self.field("column_major", [1])
        self.field("eps", [DOUBLE.bits(eps)])

    def inputs(self, key, values):
        self.field(key, map(self.scalar.bits, values))

    def exact(self, key, values, bits=None):
        bits = bits or self.scalar.choose(53, 106)
        self.field(key, [oracle.exact(value, bits) for value in values])

    def statistics(self, mean, var):
        self.exact("mean", mean, BITS_OF_STATISTICS)
        self.exact("var", var, BITS_OF_STATISTICS)

    def outputs(self, prefix, suffix, outputs):
        """The gradients of the parameters do not depend on them, so they are not said again for `plain` ones; that of
        the bias does not depend on the statistics either."""
        self.exact(f"{prefix}y{suffix}", outputs.y)
        self.exact(f"{prefix}dx{suffix}", outputs.dx)
        if not suffix:
            self.exact(f"{prefix}dweight", outputs.dweight)
        if not suffix and not prefix:
            self.exact("dbias", outputs.dbias)

    def save(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*self.lines, "", f"end: {self.cases}"]) + "\n")


def running_statistics(scalar, kind, mean, var, lost):
    """Statistics that evaluation is given: near the group's own, but numbers of the scalar."""
    if not (mp.isfinite(mean) and mp.isfinite(var)):
        return lost
    given_mean = scalar.round(mean + mp.sqrt(var) / 4)
    given_var = scalar.round(min(var * 5 / 4, scalar.max / 2))
    if given_var == 0 < var and kind % 2 == 0:
        given_var = 3 * scalar.tiny  # else one that has underflowed to 0
    return given_mean, given_var


def filled(fill, random, scalar, group, offset):
    """A tensor of which `fill` makes each group; `offset` varies the kinds of groups from view to view."""
    groups = max(group) + 1
    size = len(group) // groups
    columns = [iter(fill(random, scalar, Place(g, groups, size, g + offset))) for g in range(groups)]
    return [scalar.round(next(columns[g])) for g in group]


def write_case(out, regime, scalar, view, offset, random):
    group, param = view.indices()
    x = filled(regime.fill, random, scalar, group, offset)
    dy = filled(regime.gradient, random, scalar, group, offset)
    params = max(param) + 1
    weight, bias = ([scalar.round(value) for value in values] for values in regime.affine(random, scalar, params))
    out.case(view, regime.eps)
    for key, values in dict(x=x, dy=dy, weight=weight, bias=bias).items():
        out.inputs(key, values)

    affine = {"": (list(map(mpf, weight)), list(map(mpf, bias))), "_plain": ([mpf(1)] * params, [mpf(0)] * params)}
    x, dy, eps = list(map(mpf, x)), list(map(mpf, dy)), mpf(regime.eps)
    mean, var = oracle.moments(x, group, max(group) + 1)
    out.statistics(mean, var)
    if not view.is_batch_norm or len(x) > len(mean):  # BatchNorm refuses a batch of one value per channel
        for suffix, (w, b) in affine.items():
            out.outputs("", suffix, oracle.outputs(x, dy, w, b, mean, var, eps, group, param, True))
    if view.is_batch_norm:
        given = [running_statistics(scalar, g + offset, m, v, regime.lost) for g, (m, v) in enumerate(zip(mean, var))]
        out.inputs("running_mean", [m for m, _ in given])
        out.inputs("running_var", [v for _, v in given])
        given_mean, given_var = ([mpf(pair[i]) for pair in given] for i in range(2))
        for suffix, (w, b) in affine.items():
            out.outputs("eval_", suffix,
                        oracle.outputs(x, dy, w, b, given_mean, given_var, eps, group, param, False))
        if len(x) == len(mean):
            out.exact("dbias", oracle.sum_by(dy, param, params))


def write_large_case(out, scalar, view, x, dy):
    """Without plain parameters, which have nothing to do with the number of values."""
    sums, eps = large.Sums(view, x, dy), mpf(1e-5)
    weight, bias = (large.uniform(scalar, seed, sums.params) for seed in (3, 4))
    random, count = Numbers(5), len(x.multiples)
    sample = sorted({0, count - 1, *(random.below(count) for _ in range(18))})
    sample_of_parameters = sorted({0, sums.params - 1, *(random.below(sums.params) for _ in range(18))})

    out.case(view, 1e-5)
    for key, made in dict(x=x, dy=dy, weight=weight, bias=bias).items():
        out.field(key, [made.text])
    out.field("sample", sample)
    out.field("sample_of_parameters", sample_of_parameters)
    mean, var = list(map(large.real, sums.mean)), list(map(large.real, sums.var))
    out.statistics(mean, var)
    out.outputs("", "", sums.outputs(weight, bias, sums.mean, sums.var, eps, True, sample, sample_of_parameters))
    if view.is_batch_norm:
        given = [running_statistics(scalar, 0, m, v, None) for m, v in zip(mean, var)]
        given_mean, given_var = ([Fraction(pair[i]) for pair in given] for i in range(2))
        out.inputs("running_mean", [m for m, _ in given])
        out.inputs("running_var", [v for _, v in given])
        out.outputs("eval_", "",
                    sums.outputs(weight, bias, given_mean, given_var, eps, False, sample, sample_of_parameters))


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--digits", type=int, default=1000)
    arguments.add_argument("--into", type=pathlib.Path, default=pathlib.Path(__file__).with_name("data"))
    arguments.add_argument("regimes", nargs="*", default=[*REGIMES, *large.REGIMES])
    options = arguments.parse_args()
    mp.dps = options.digits
    for name in options.regimes:
        for scalar in (FLOAT, DOUBLE):
            out = Writer(name, scalar)
            if name in REGIMES:
                regime = REGIMES[name]
                for offset, view in enumerate(regime.views or views.USUAL):
                    write_case(out, regime, scalar, view, offset, Numbers(seed_of(name, scalar.name, view.name)))
            else:
                count = 1000000
                x = large.REGIMES[name](scalar, count)
                dy = large.uniform(scalar, 2, count)
                for view in views.MILLION:
                    write_large_case(out, scalar, view, x, dy)
            out.save(options.into / scalar.name / f"{name}.txt")


if __name__ == "__main__":
    main()
