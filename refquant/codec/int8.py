"""Dynamic int8: signed bytes and one scale for a matrix whose product is taken in integers."""

from __future__ import annotations

import math
from array import array

from refquant.codec.table import look_up
from refquant.codec.weights import check_finite, ends, in_lists
from refquant.errors import NonFiniteError

#: Greatest magnitude of a code.
GREATEST = 127


def encode(weights: array[float]) -> tuple[bytes, float]:
    """Give float32 weights as signed bytes (two's complement) and the scale that multiplies them.

    Codes are truncated toward zero, so that they lie in -127 .. 127. Weights that are all zero get codes
    and scale 0. The scale is rounded to binary32. Error: |w - decoded| <= `error_bound`.

    Raises NonFiniteError with the index for NaN and infinity, and where the greatest weight would be read
    back as an infinity. Rule: INT8-1, INT8-2, INT8-7.
    """
    check_finite(weights)
    lists = in_lists(weights)
    peak = max(map(abs, ends(weights, lists))) if weights else 0.0
    if peak == 0:
        return bytes(len(weights)), 0.0
    (scale,) = array("f", [peak / GREATEST])
    (greatest,) = array("f", [GREATEST * scale])
    if math.isinf(greatest):
        raise NonFiniteError(f"{peak!r} would be read back as an infinity", rule="INT8-7")
    codes = (array("b", [int(GREATEST * (w / peak)) for w in numbers]).tobytes() for numbers in lists)
    return b"".join(codes), scale


def decode(data: bytes, scale: float) -> array[float]:
    """Turn signed bytes back into float32 weights: code * scale in binary64, rounded once. Rule: DEQ-3."""
    check_finite(array("f", [scale]), "scale", "DEQ-4")
    signed = array("b", bytes(range(256)))
    # The bias that is not there is zero, and adding it leaves no negative zero.
    weights = look_up(data, array("f", [code * scale + 0.0 for code in signed]))
    check_finite(weights, "decoded weight", "DEQ-4")
    return weights


def error_bound(magnitude: float) -> float:
    """Greatest |w - decoded| in a matrix whose weights reach this magnitude m.

    Less than a step, m / 127, for the code, which is cut; m * 2^-24 each for the storage of the scale and
    the last rounding. A subnormal scale is stored within 2^-150 and taken 127 times at most.
    """
    return magnitude / GREATEST + 2 * magnitude * 2.0**-24 + GREATEST * 2.0**-150
