"""Chapter 12: dynamic int8."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from tests.oracle.binary64 import divide, greatest, magnitude, multiply, number, stored
from tests.oracle.refusal import Refused
from tests.oracle.rounding import truncate
from tests.oracle.tensor import finite

#: From here on numbers round to infinity in binary32: halfway from the greatest to 2^128.
INFINITE = Fraction(2) ** 128 - Fraction(2) ** 103


@dataclass(frozen=True)
class Quantized:
    """A tensor in dynamic int8 form, as it is stored."""

    #: Signed codes in two's complement, one byte a weight.
    data: bytes
    #: A binary32 number.
    scale: float


def encode(weights: list[float]) -> Quantized:
    """INT8-1, INT8-2: `127 * (w / m)` cut toward zero, and `m / 127`. INT8-7: none that reads as infinite."""
    numbers = finite(weights)
    m = greatest([magnitude(w) for w in numbers])
    if m.value == 0:
        codes = [0] * len(weights)
    else:
        codes = [truncate(multiply(number(127), divide(w, m)).value) for w in numbers]
    assert all(-127 <= code <= 127 for code in codes)
    scale = stored(divide(m, number(127)))
    if 127 * Fraction(scale) >= INFINITE:
        raise Refused("INT8-7")
    return Quantized(bytes(code % 256 for code in codes), scale)
