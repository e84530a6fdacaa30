"""Chapter 5: symmetric quantization."""

from __future__ import annotations

from tests.oracle.binary64 import (
    Number,
    divide,
    greatest,
    least,
    magnitude,
    multiply,
    number,
    stored,
    subtract,
)
from tests.oracle.linear import THRESHOLD, Quantized
from tests.oracle.refusal import Refused
from tests.oracle.rounding import round_half_even
from tests.oracle.tensor import Channels, check_filled, finite, positions


def scale_and_bias(weights: list[Number]) -> tuple[Number, Number]:
    """SYM-2, for one channel: `r / 127` and `-128 * scale`, so -0 where all weights are zero."""
    r = greatest([magnitude(least(weights)), magnitude(greatest(weights))])
    scale = divide(r, number(127))
    return scale, multiply(number(-128), scale)


def code(w: Number, scale: Number, bias: Number) -> int:
    """SYM-3, SYM-4: `round((w - bias) / scale)`."""
    if abs(scale.value) <= THRESHOLD:
        return 0
    found = round_half_even(divide(subtract(w, bias), scale).value)
    # w lies in -127 .. 127 scales and bias at -128, but for four roundings: nothing to cut.
    assert 1 <= found <= 255
    return found


def is_collapsed(weights: list[Number], scale: Number) -> bool:
    """SYM-4: all codes are 0 although a weight is not zero."""
    return abs(scale.value) <= THRESHOLD and any(w.value != 0 for w in weights)


def encode(weights: list[float], nbits: int, channels: Channels) -> Quantized:
    """SYM-1 to SYM-4, stored by LIN-5 and LIN-6. OverflowError where the bias is past binary32."""
    if nbits != 8:
        raise Refused("SYM-1")
    check_filled(len(weights), channels)
    numbers = finite(weights)
    codes = [0] * len(weights)
    scales, biases, collapsed = [], [], []
    for channel in range(channels.count):
        places = positions(channels, channel)
        members = [numbers[place] for place in places]
        scale, bias = scale_and_bias(members)
        for place in places:
            codes[place] = code(numbers[place], scale, bias)
        scales.append(stored(scale))
        biases.append(stored(bias))
        if is_collapsed(members, scale):
            collapsed.append(channel)
    return Quantized(codes, scales, biases, collapsed)
