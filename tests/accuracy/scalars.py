"""The two scalars, as Python's floats see them, and the tests' random numbers (tests/support/numbers.hpp)."""

import math
import struct

MASK = 2**64 - 1


class Numbers:
    """support::Numbers, the same to the bit: the million values are made here and in C++, not committed."""

    def __init__(self, seed):
        self.state = (seed * 0x9E3779B97F4A7C15 + 0x1607) & MASK
        self.bits(1)

    def bits(self, count):
        """The next `count` random bits, as an integer."""
        self.state = (self.state * 0x5851F42D4C957F2D + 0x14057B7EF767814F) & MASK
        stirred = ((self.state ^ (self.state >> 29)) * 0xD6E8FEB86659FD93) & MASK
        stirred ^= stirred >> 32
        return ((stirred * 0xD6E8FEB86659FD93) & MASK) >> (64 - count)

    def signed(self, count):
        """An integer of [-2^(count - 1), 2^(count - 1))."""
        return self.bits(count) - (1 << (count - 1))

    def below(self, bound):
        """An integer of [0, bound)."""
        return self.bits(32) * bound >> 32

    def uniform(self):
        """In [-1, 1), with 53 digits."""
        return self.signed(53) / 2.0**52

    def bell(self):
        """Bell-shaped, mean 0, standard deviation 1, in [-3, 3)."""
        return self.uniform() + self.uniform() + self.uniform()

    def sign(self):
        return 1.0 if self.bits(1) else -1.0


class Scalar:
    """A type of floating-point numbers; its values are Python floats."""

    def __init__(self, name, digits, max_exponent, code, integer_code):
        self.name, self.digits, self.code, self.integer_code = name, digits, code, integer_code
        self.bytes = struct.calcsize(code)
        self.max = math.ldexp(1 - 2.0**-digits, max_exponent)
        self.smallest_normal = math.ldexp(1.0, 3 - max_exponent)
        self.tiny = math.ldexp(1.0, 4 - max_exponent - digits)  # the smallest subnormal

    def round(self, value):
        """The nearest number of this type; `value` is within its range."""
        return struct.unpack(self.code, struct.pack(self.code, float(value)))[0]

    def bits(self, value):
        """The bit pattern, in hexadecimal."""
        return struct.pack(self.code, value).hex()

    def step(self, value, ulps):
        """The number `ulps` away from a value that is not 0, counted away from 0."""
        pattern = struct.unpack(self.integer_code, struct.pack(self.code, value))[0]
        return struct.unpack(self.code, struct.pack(self.integer_code, pattern + ulps))[0]

    def choose(self, of_float, of_double):
        return of_float if self.name == "float" else of_double


FLOAT = Scalar("float", 24, 128, ">f", ">I")
DOUBLE = Scalar("double", 53, 1024, ">d", ">Q")
