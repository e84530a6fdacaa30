"""Chapter 4: linear quantization."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from tests.oracle.binary64 import (
    Number,
    divide,
    greatest,
    least,
    multiply,
    number,
    stored,
    subtract,
)
from tests.oracle.rounding import round_binary64, round_half_even
from tests.oracle.tensor import Channels, check_bits, check_filled, finite, positions

#: Rule LIN-4: 1e-6 as a binary64 number. (No binary64 number lies between it and one millionth, so the
#: comparison comes out the same for either.)
THRESHOLD = round_binary64(Fraction(1, 10**6))


@dataclass(frozen=True)
class Quantized:
    """A tensor in linear form, as it is stored."""

    #: One a weight, in tensor order.
    codes: list[int]
    #: One a channel, each a binary32 number.
    scales: list[float]
    biases: list[float]
    #: Channels that a writer must warn of: all codes 0, by LIN-4 or SYM-4, and weights lost.
    collapsed: list[int]


def scale_and_bias(weights: list[Number], nbits: int) -> tuple[Number, Number]:
    """LIN-1, for one channel: `(b - a) / (2^n - 1)` and `a`."""
    a, b = least(weights), greatest(weights)
    return divide(subtract(b, a), number(2**nbits - 1)), a


def code(w: Number, scale: Number, bias: Number, nbits: int) -> int:
    """LIN-2 to LIN-4: `round((w - a) * inv)`, with `inv = 1 / scale`."""
    if abs(scale.value) <= THRESHOLD:
        return 0
    inv = divide(number(1), scale)
    found = round_half_even(multiply(subtract(w, bias), inv).value)
    # w - a is at most b - a, so the product is at most 2^n - 1 but for three roundings: nothing to cut.
    assert 0 <= found <= 2**nbits - 1
    return found


def is_collapsed(weights: list[Number], scale: Number) -> bool:
    """LIN-4: all codes are 0 although the weights are not all equal."""
    return abs(scale.value) <= THRESHOLD and any(w.value != weights[0].value for w in weights)


def encode(weights: list[float], nbits: int, channels: Channels) -> Quantized:
    """LIN-1 to LIN-6: codes in tensor order, scale and bias of each channel."""
    check_bits(nbits)
    check_filled(len(weights), channels)
    numbers = finite(weights)
    codes = [0] * len(weights)
    scales, biases, collapsed = [], [], []
    for channel in range(channels.count):
        places = positions(channels, channel)
        members = [numbers[place] for place in places]
        scale, bias = scale_and_bias(members, nbits)
        for place in places:
            codes[place] = code(numbers[place], scale, bias, nbits)
        scales.append(stored(scale))
        biases.append(stored(bias))
        if is_collapsed(members, scale):
            collapsed.append(channel)
    return Quantized(codes, scales, biases, collapsed)
