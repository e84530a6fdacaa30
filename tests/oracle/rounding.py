"""Rounding of exact numbers: to whole numbers and to the IEEE 754 formats; to nearest, ties to even."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple


class Format(NamedTuple):
    """A binary floating-point format, by its parameters in IEEE 754, table 3.5."""

    #: Bits of the significand, the leading one included.
    precision: int
    #: Exponent of the least normal number: that number is 2^emin.
    emin: int
    #: Exponent of the greatest numbers: all finite numbers are below 2^(emax + 1).
    emax: int


BINARY16 = Format(precision=11, emin=-14, emax=15)
BINARY32 = Format(precision=24, emin=-126, emax=127)
BINARY64 = Format(precision=53, emin=-1022, emax=1023)


def power_of_two(exponent: int) -> Fraction:
    """Give 2^exponent, for an exponent of either sign."""
    return Fraction(2**exponent) if exponent >= 0 else Fraction(1, 2**-exponent)


def floor_log2(x: Fraction) -> int:
    """Give the greatest e with 2^e <= x, for x above zero."""
    assert x > 0
    # 2^(p-1) <= numerator < 2^p and 2^(q-1) <= denominator < 2^q, so 2^(p-q-1) < x < 2^(p-q+1).
    e = x.numerator.bit_length() - x.denominator.bit_length()
    return e if power_of_two(e) <= x else e - 1


def round_half_even(x: Fraction) -> int:
    """Round to the nearest whole number; one that lies halfway goes to the even neighbour."""
    below = x.numerator // x.denominator
    above = below + 1
    if x - below < above - x:
        return below
    if x - below > above - x:
        return above
    return below if below % 2 == 0 else above


def round_to(x: Fraction, form: Format) -> Fraction:
    """Round to the nearest number of a format, ties to the even significand; OverflowError past its end."""
    if x == 0:
        return x
    # Numbers between 2^e and 2^(e+1) stand 2^(e - precision + 1) apart; below the least normal number the
    # spacing shrinks no more (those are the subnormal numbers).
    exponent = max(floor_log2(abs(x)), form.emin)
    spacing = power_of_two(exponent - form.precision + 1)
    rounded = round_half_even(x / spacing) * spacing
    if abs(rounded) >= power_of_two(form.emax + 1):
        raise OverflowError(f"past the greatest finite number of {form}")
    return rounded


def round_binary16(x: Fraction) -> Fraction:
    """Round to binary16."""
    return round_to(x, BINARY16)


def round_binary32(x: Fraction) -> Fraction:
    """Round to binary32: what is stored."""
    return round_to(x, BINARY32)


def round_binary64(x: Fraction) -> Fraction:
    """Round to binary64: the result of one operation of the specification."""
    return round_to(x, BINARY64)


def truncate(x: Fraction) -> int:
    """Cut to a whole number, toward zero."""
    magnitude = abs(x.numerator) // x.denominator
    return magnitude if x >= 0 else -magnitude


def square_root_binary64(x: Fraction) -> Fraction:
    """Give the square root of x >= 0, rounded once to binary64."""
    if x == 0:
        return x
    # Take the root of x * 4^s in whole numbers, with s so great that the root has at least 64 bits; undo it
    # by 2^s. Where the whole root is not exact, the true one lies strictly between it and the next; so does
    # the number halfway between them, and no rounding boundary (they need 54 bits, the root has 64) lies
    # in that gap: the halfway number rounds as the true root does.
    shift = max(0, 64 - floor_log2(x) // 2)
    scaled = x * 4**shift
    root = math.isqrt(scaled.numerator // scaled.denominator)
    exact = Fraction(root) ** 2 == scaled
    return round_binary64((Fraction(root) if exact else root + Fraction(1, 2)) / 2**shift)
