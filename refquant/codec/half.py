"""Half precision: IEEE 754 binary16, two bytes a weight."""

from __future__ import annotations

import struct
from array import array
from io import BytesIO

from refquant.codec.weights import CHUNK, check_finite, in_lists
from refquant.errors import HalfRangeError, TensorError

#: Magnitude from which weights are refused. The largest finite binary16 number, which the format's own
#: tools refuse too. Rule: HALF-2.
LIMIT = 65504.0

#: High bytes of all binary16 numbers of a magnitude below 57344: sign, exponent, first bits of the fraction.
SMALL = bytes(byte for byte in range(256) if byte & 0x7F < 0x7B)


def encode(weights: array[float]) -> bytes:
    """Round float32 weights to binary16, nearest, ties to even: two little-endian bytes each.

    Subnormal results and the sign of zero are kept; empty input gives no bytes. Raises HalfRangeError with
    the index of the first weight >= 65504 or <= -65504, NonFiniteError for NaN and infinity.

    Error: |w - decoded| <= `error_bound`. Rule: HALF-1, HALF-2, TEN-4, TEN-7.
    """
    data, large = BytesIO(), False
    try:
        for numbers in in_lists(weights):
            packed = struct.pack(f"<{len(numbers)}e", *numbers)
            large = large or bool(packed[1::2].translate(None, SMALL))
            data.write(packed)
    except OverflowError:
        large = True
    if large:
        _check_range(weights)
    return data.getvalue()


def _check_range(weights: array[float]) -> None:
    """Refuse the first weight that has no place in half precision, if there is one. Rule: HALF-2, TEN-7."""
    check_finite(weights)
    for index, weight in enumerate(weights):
        if abs(weight) >= LIMIT:
            raise HalfRangeError(
                f"{weight!r} is outside half precision, which ends below {LIMIT}", index=index, rule="HALF-2"
            )


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
