"""The regimes of data: for each, what a group of x looks like, and what else is not as usual."""

import math
from dataclasses import dataclass
from typing import Callable

import views


@dataclass(frozen=True)
class Place:
    """Which group is to be filled."""

    group: int
    groups: int
    size: int
    kind: int  # goes up from group to group, and starts elsewhere in each view, so that even one group varies

    def is_chosen(self):
        """One group of a tensor; a neighbour on either side where there are three."""
        return self.group == self.groups // 2


def normal(mean=0.0, deviation=1.0):
    """Bell-shaped; every other group has the opposite mean."""

    def fill(random, scalar, place):
        centre = mean if place.kind % 2 == 0 else -mean
        return [centre + deviation * random.bell() for _ in range(place.size)]

    return fill


def at_the_last_digits(random, scalar, place):
    """To double what 6e6 is to float: the deviation is 4 ulps of the mean."""
    return normal(scalar.choose(6e6, 6e6 * 2.0**29), 2.0)(random, scalar, place)


CONSTANTS = [0.0, 0.1, -3e6, 1e30, 1.0, -1.0 / 3.0, 65504.0, 1e-30]


def constant(random, scalar, place):
    return [CONSTANTS[place.kind % len(CONSTANTS)]] * place.size


def almost_constant(random, scalar, place):
    """One element is one ulp away, up or down; at 1 the binades meet."""
    others = [c for c in CONSTANTS if c != 0]
    value = scalar.round(others[place.kind % len(others)])
    values = [value] * place.size
    values[random.below(place.size)] = scalar.step(value, 1 if random.bits(1) else -1)
    return values


def outlier(random, scalar, place):
    values = [random.bell() for _ in range(place.size)]
    values[random.below(place.size)] = 1e6 * random.sign()
    return values


def log_uniform(random, scalar, place):
    """Magnitudes of 1e-30 to 1e30 (double: 1e-300 to 1e300) and both signs within a group."""
    low, high = scalar.choose((-100, 99), (-997, 996))
    powers = [low + random.below(high - low) for _ in range(place.size)]
    return [random.sign() * math.ldexp(1.5 + 0.5 * random.uniform(), power) for power in powers]


def near_root_of_maximum(random, scalar, place):
    """The variance is a number of the scalar, the square of many an element is not."""
    return [scalar.choose(1e19, 1e154) * random.bell() for _ in range(place.size)]


def quarter_maximum_one_sign(random, scalar, place):
    """MAX / 4 and some ulps: sums of 5 overflow, the variance too, y does not."""
    sign = 1.0 if place.kind % 2 == 0 else -1.0
    return [sign * scalar.step(scalar.round(scalar.max / 4), -random.below(8)) for _ in range(place.size)]


def quarter_maximum_both_signs(random, scalar, place):
    return [random.sign() * scalar.max / 4 * (1 - abs(random.uniform()) / 8) for _ in range(place.size)]


def subnormal(random, scalar, place):
    """Of most digits, of few, and far from 0 for their deviation; all of them multiples of the smallest one."""
    wide, far = scalar.choose((22, 2**21), (51, 2**50))
    if place.kind % 3 == 0:
        multiples = [random.signed(wide) for _ in range(place.size)]
    else:
        multiples = [random.signed(7) + (far if place.kind % 3 == 2 else 0) for _ in range(place.size)]
    return [scalar.tiny * multiple for multiple in multiples]


def near_smallest_normal(random, scalar, place):
    return [random.sign() * scalar.smallest_normal * (1.25 + 0.75 * random.uniform()) for _ in range(place.size)]


def alternating(random, scalar, place):
    size = [1.0, 0.1, 1e4][place.kind % 3]
    return [size if i % 2 == 0 else -size for i in range(place.size)]


def ramp(random, scalar, place):
    first, step = [(0.0, 1.0), (-7.0, 0.1), (1000.0, -1.0)][place.kind % 3]
    return [first + step * i for i in range(place.size)]


def sparse(random, scalar, place):
    values = [random.bell() if random.below(6) == 0 else 0.0 for _ in range(place.size)]
    values[random.below(place.size)] = 1.0 + abs(random.bell())
    return values


def scales(random, scalar, place):
    """Neighbours are many orders of magnitude apart."""
    large = scalar.choose(1e20, 1e160)
    size = [1.0 / large, 1.0, large][place.kind % 3]
    return [size * random.bell() for _ in range(place.size)]


def chosen_group_has(*guests):
    def fill(random, scalar, place):
        values = [random.bell() for _ in range(place.size)]
        if place.is_chosen():
            for i, guest in enumerate(guests):
                values[(place.size // 2 + i) % place.size] = guest
        return values

    return fill


def one_element(random, scalar, place):
    return [[0.0, 0.1, 1e5, -3e6, 1e30][place.kind % 5]]


def two_elements(random, scalar, place):
    a = scalar.round(random.bell())
    return [a, [scalar.round(random.bell()), -a, scalar.step(a, 1), 1e5, a][place.kind % 5]]


def integers(random, scalar, place):
    return [float(random.below(21) - 10) for _ in range(place.size)]


def gradients(of_float=1.0, of_double=1.0, every_other=False):
    """Bell-shaped times a factor, which every other group may do without."""

    def fill(random, scalar, place):
        scale = 1.0 if every_other and place.kind % 2 == 0 else scalar.choose(of_float, of_double)
        return [scale * random.bell() for _ in range(place.size)]

    return fill


def zero_or_one_gradients(random, scalar, place):
    """Where rstd is 1e150: 0 and the same everywhere, which leave nothing of dx, and bell-shaped."""
    values = [random.bell() for _ in range(place.size)]
    return [values, [0.0] * place.size, [1.0] * place.size][place.kind % 3]


def usual_affine(random, scalar, count):
    """Both signs, no two alike, so that one in another's place shows."""
    weight = [random.uniform() + (2.0 if i % 2 == 0 else -1.5) for i in range(count)]
    return weight, [random.uniform() + (-1.5 if i % 2 == 0 else 2.0) for i in range(count)]


def extreme_affine(random, scalar, count):
    """Weights of 1e-35 to 1e35 (double: 1e-300 to 1e300); every other one without a bias, which would hide it."""
    bound = scalar.choose(116, 996)
    powers = [random.below(2 * bound + 1) - bound for _ in range(count)]
    weight = [random.sign() * math.ldexp(1.5 + 0.5 * random.uniform(), power) / 2 for power in powers]
    return weight, [0.0 if i % 2 == 0 else random.bell() for i in range(count)]


@dataclass(frozen=True)
class Regime:
    fill: Callable  # (random, scalar, place): the elements of a group
    eps: float = 1e-5
    gradient: Callable = gradients()
    affine: Callable = usual_affine
    views: list = None
    lost: tuple = (0.25, 1.25)  # running statistics of a group whose own are not finite


REGIMES = {
    "normal": Regime(normal()),
    "mean_1e2_std_1": Regime(normal(1e2)),
    "mean_1e4_std_1": Regime(normal(1e4)),
    "mean_3e6_std_1": Regime(normal(3e6)),
    "mean_1e2_std_1e_2": Regime(normal(1e2, 1e-2)),
    "mean_1e4_std_1e_2": Regime(normal(1e4, 1e-2)),
    "mean_3e6_std_1e_2": Regime(normal(3e6, 1e-2)),
    "mean_at_the_last_digits": Regime(at_the_last_digits),
    "variance_1e_12": Regime(normal(0.0, 1e-6)),
    "variance_1e_12_at_1": Regime(normal(1.0, 1e-6)),
    "constant": Regime(constant),
    "almost_constant": Regime(almost_constant),
    "outlier": Regime(outlier),
    "log_uniform": Regime(log_uniform),
    "near_root_of_maximum": Regime(near_root_of_maximum),
    "quarter_maximum_one_sign": Regime(quarter_maximum_one_sign),
    "quarter_maximum_both_signs": Regime(quarter_maximum_both_signs),
    "subnormal": Regime(subnormal),
    "near_smallest_normal": Regime(near_smallest_normal),
    "alternating": Regime(alternating),
    "ramp": Regime(ramp),
    "sparse": Regime(sparse),
    "scales": Regime(scales),
    "nan": Regime(chosen_group_has(math.nan)),
    "infinity": Regime(chosen_group_has(math.inf)),
    "both_infinities": Regime(chosen_group_has(math.inf, -math.inf), lost=(math.inf, math.nan)),
    "one_element": Regime(one_element, views=views.ONE_ELEMENT),
    "two_elements": Regime(two_elements, views=views.TWO_ELEMENTS),
    "integers": Regime(integers),
    "tiny_gradients": Regime(normal(), gradient=gradients(1e-30, 1e-200)),
    "large_gradients": Regime(normal(), gradient=gradients(1e30, 1e200)),
    "weight_extremes": Regime(normal(), affine=extreme_affine),
    # Without eps rstd can be as large as 1 / the smallest number; a factor keeps half of the gradients in range.
    "eps_0_subnormal": Regime(subnormal, eps=0.0, gradient=gradients(2.0**-30, 2.0**-60, every_other=True)),
    "eps_0_near_smallest_normal": Regime(near_smallest_normal, eps=0.0,
                                         gradient=gradients(2.0**-30, 2.0**-60, every_other=True)),
    "eps_0_variance_1e_12": Regime(normal(0.0, 1e-6), eps=0.0),
    "eps_0_variance_1e_12_at_1": Regime(normal(1.0, 1e-6), eps=0.0),
    "eps_0_constant": Regime(constant, eps=0.0),
    "eps_1e_300_constant": Regime(constant, eps=1e-300, gradient=zero_or_one_gradients),
}
