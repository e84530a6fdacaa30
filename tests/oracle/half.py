"""Chapter 3: binary16, written out field by field (1 bit of sign, 5 of exponent, 10 of fraction)."""

from __future__ import annotations

import math
from fractions import Fraction

from tests.oracle.binary64 import Number, to_float
from tests.oracle.refusal import Refused
from tests.oracle.rounding import BINARY16, floor_log2, power_of_two, round_binary16
from tests.oracle.tensor import finite

#: Added to the exponent of a normal number to give its exponent field (IEEE 754, 3.4).
BIAS = 15

#: The spacing of the subnormal numbers: the least number above zero.
STEP = power_of_two(BINARY16.emin - BINARY16.precision + 1)


def pattern(x: Number) -> int:
    """Give the 16 bits of a number that is exactly a binary16 one."""
    size = abs(x.value)
    if size < power_of_two(BINARY16.emin):  # zero and subnormal numbers: exponent field 0
        field, fraction = 0, size / STEP
    else:
        exponent = floor_log2(size)
        field, fraction = exponent + BIAS, (size / power_of_two(exponent) - 1) * 1024
    assert fraction.denominator == 1
    return (32768 if x.minus else 0) + field * 1024 + fraction.numerator


def value(bits: int) -> float:
    """Give the number that 16 bits stand for."""
    minus = bits >= 32768
    field, fraction = bits // 1024 % 32, bits % 1024
    if field == 31:
        return math.nan if fraction else -math.inf if minus else math.inf
    normal = (1 + Fraction(fraction, 1024)) * power_of_two(field - BIAS)
    size = fraction * STEP if field == 0 else normal
    return to_float(Number(-size if minus else size, minus))


def encode(weights: list[float]) -> bytes:
    """HALF-1, HALF-2, TEN-4: two bytes a weight, the less significant first."""
    numbers = finite(weights)
    for index, x in enumerate(numbers):
        if x.value >= 65504 or x.value <= -65504:
            raise Refused("HALF-2", index)
    data = []
    for x in numbers:
        bits = pattern(Number(round_binary16(x.value), x.minus))
        data += [bits % 256, bits // 256]
    return bytes(data)


def decode(data: bytes) -> list[float]:
    """HALF-5, TEN-4: exact."""
    if len(data) % 2 != 0:
        raise Refused("TEN-4")
    return [value(data[i] + 256 * data[i + 1]) for i in range(0, len(data), 2)]
