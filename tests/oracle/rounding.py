"""Rounding of exact numbers: to whole numbers and to the IEEE formats, nearest, ties to even."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple


class Format(NamedTuple):
    """A binary floating-point format."""

    #: Bits of the significand, the leading one included.
    precision: int
    #: Exponents of the least normal and of the greatest number.
    least: int
    greatest: int


BINARY16 = Format(11, -14, 15)
BINARY32 = Format(24, -126, 127)
BINARY64 = Format(53, -1022, 1023)


def whole(x: Fraction) -> int:
    """Round to the nearest whole number, ties to even."""
    below = x.numerator // x.denominator
    rest = x - below
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and below % 2 == 1):
        return below + 1
    return below


def exponent(x: Fraction) -> int:
    """Greatest e with 2^e <= |x|, for x other than zero."""
    e = abs(x.numerator).bit_length() - x.denominator.bit_length()
    while Fraction(2) ** e > abs(x):
        e -= 1
    while Fraction(2) ** (e + 1) <= abs(x):
        e += 1
    return e


def to(x: Fraction, form: Format) -> Fraction:
    """Round to a format; OverflowError where that gives an infinity."""
    if x == 0:
        return x
    unit = Fraction(2) ** (max(exponent(x), form.least) - form.precision + 1)
    rounded = whole(x / unit) * unit
    if rounded != 0 and exponent(rounded) > form.greatest:
        raise OverflowError(f"{float(x)} is too great")
    return rounded


def f64(x: Fraction) -> Fraction:
    """Round to binary64: the result of one operation of the specification."""
    return to(x, BINARY64)


def f32(x: Fraction) -> Fraction:
    """Round to binary32: what is stored."""
    return to(x, BINARY32)


def root(x: Fraction) -> Fraction:
    """Give the square root of a positive number, correctly rounded to binary64."""
    # Enough whole digits that the integer root has over 60 bits, so that no rounding is decided wrongly:
    # where the root is not exact, a half bit is added below the last digit kept.
    shift = 2 * (128 - exponent(x) // 2)
    scaled = x * Fraction(2) ** shift
    number = scaled.numerator // scaled.denominator
    low, high = 0, 1 << (number.bit_length() // 2 + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if middle * middle <= number:
            low = middle
        else:
            high = middle
    exact = Fraction(low) ** 2 == scaled
    return f64((Fraction(low) + (0 if exact else Fraction(1, 2))) * Fraction(2) ** (-shift // 2))
