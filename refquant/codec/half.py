"""Half precision: IEEE 754 binary16, two bytes a weight."""

from __future__ import annotations

import struct
from array import array

from refquant.codec.finite import check_finite
from refquant.errors import HalfRangeError, TensorError

#: Magnitude from which weights are refused. The largest finite binary16 number, which the format's own
#: tools refuse too. Rule: HALF-2.
LIMIT = 65504.0

#: Weights that are converted at a time, so that the numbers made on the way stay few.
CHUNK = 1 << 16


def encode(weights: array[float]) -> bytes:
    """Round float32 weights to binary16, nearest, ties to even: two little-endian bytes each.

    Subnormal results and the sign of zero are kept; empty input gives no bytes. Raises HalfRangeError with
    the index of the first weight >= 65504 or <= -65504, NonFiniteError for NaN and infinity.

    Error: |w - decoded| <= `error_bound`. Rule: HALF-1, HALF-2, TEN-4, TEN-7.
    """
    check_finite(weights)
    if weights and not -LIMIT < min(weights) <= max(weights) < LIMIT:
        index = next(i for i, weight in enumerate(weights) if abs(weight) >= LIMIT)
        raise HalfRangeError(
            f"{weights[index]!r} is outside half precision, which ends below {LIMIT}",
            index=index,
            rule="HALF-2",
        )
    chunks = (weights[start : start + CHUNK] for start in range(0, len(weights), CHUNK))
    return b"".join(struct.pack(f"<{len(chunk)}e", *chunk) for chunk in chunks)


def decode(data: bytes) -> array[float]:
    """Read little-endian binary16 weights as float32, which is exact. Rule: HALF-5, TEN-4.

    Raises TensorError for an odd number of bytes, NonFiniteError for a NaN or an infinity.
    """
    if len(data) % 2:
        raise TensorError(f"{len(data)} bytes are no whole number of half-precision weights", rule="TEN-4")
    weights = array("f")
    for start in range(0, len(data), 2 * CHUNK):
        chunk = data[start : start + 2 * CHUNK]
        weights.extend(struct.unpack(f"<{len(chunk) // 2}e", chunk))
    check_finite(weights, rule="DEQ-4")
    return weights


def error_bound(weight: float) -> float:
    """Greatest |w - decoded| of a weight: half the distance of binary16 numbers around it.

    That is at most 2^-11 of the weight and, where these numbers are subnormal, 2^-25.
    """
    return max(abs(weight) * 2.0**-11, 2.0**-25)
