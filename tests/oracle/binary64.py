"""Binary64 arithmetic as the specification uses it: each operation exact, then rounded on its own.

A rational number has one zero and IEEE 754 has two, so a number travels with its sign (IEEE 754, 6.3: the
sign of a product or quotient is the exclusive or of the operands' signs; a sum that is exactly zero is
+0, unless both operands are -0).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

from tests.oracle.rounding import round_binary32, round_binary64, square_root_binary64


class Number(NamedTuple):
    """A finite binary64 number."""

    #: The exact value.
    value: Fraction
    #: Whether the sign bit is set: for a value of zero this tells -0 from +0.
    minus: bool


ZERO = Number(Fraction(0), minus=False)


def number(x: float) -> Number:
    """Read a float or an int exactly."""
    return Number(Fraction(x), math.copysign(1.0, x) < 0)


def to_float(x: Number) -> float:
    """Give a number back as a float, without loss."""
    if x.value == 0:
        return -0.0 if x.minus else 0.0
    return float(x.value)


def stored(x: Number) -> float:
    """Round to binary32 for storage; what rounds to zero keeps its sign. OverflowError past the end."""
    return to_float(Number(round_binary32(x.value), x.minus))


def negate(x: Number) -> Number:
    """Flip the sign: exact."""
    return Number(-x.value, not x.minus)


def magnitude(x: Number) -> Number:
    """Clear the sign: exact."""
    return Number(abs(x.value), minus=False)


def add(x: Number, y: Number) -> Number:
    """Give x + y, rounded to binary64."""
    total = x.value + y.value
    minus = x.minus and y.minus if total == 0 else total < 0
    return Number(round_binary64(total), minus)


def subtract(x: Number, y: Number) -> Number:
    """Give x - y, rounded to binary64."""
    return add(x, negate(y))


def multiply(x: Number, y: Number) -> Number:
    """Give x * y, rounded to binary64."""
    return Number(round_binary64(x.value * y.value), x.minus != y.minus)


def divide(x: Number, y: Number) -> Number:
    """Give x / y, rounded to binary64; ZeroDivisionError where y is zero."""
    return Number(round_binary64(x.value / y.value), x.minus != y.minus)


def square_root(x: Number) -> Number:
    """Give the root of x >= 0, rounded to binary64."""
    return Number(square_root_binary64(x.value), x.minus)


def least(numbers: list[Number]) -> Number:
    """Give the least number; -0 counts as less than +0."""
    return min(numbers, key=lambda x: (x.value, not x.minus))


def greatest(numbers: list[Number]) -> Number:
    """Give the greatest number; +0 counts as greater than -0."""
    return max(numbers, key=lambda x: (x.value, not x.minus))
