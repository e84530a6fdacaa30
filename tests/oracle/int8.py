"""Chapter 12: dynamic int8."""

from __future__ import annotations

from dataclasses import dataclass

from tests.oracle.binary64 import divide, greatest, magnitude, multiply, number, stored
from tests.oracle.rounding import truncate
from tests.oracle.tensor import finite


@dataclass(frozen=True)
class Quantized:
    """A tensor in dynamic int8 form, as it is stored."""

    #: Signed codes in two's complement, one byte a weight.
    data: bytes
    #: A binary32 number.
    scale: float


def encode(weights: list[float]) -> Quantized:
    """INT8-1, INT8-2: `127 * (w / m)` cut toward zero, and `m / 127`."""
    numbers = finite(weights)
    m = greatest([magnitude(w) for w in numbers])
    if m.value == 0:
        codes = [0] * len(weights)
    else:
        codes = [truncate(multiply(number(127), divide(w, m)).value) for w in numbers]
    assert all(-127 <= code <= 127 for code in codes)
    return Quantized(bytes(code % 256 for code in codes), stored(divide(m, number(127))))
