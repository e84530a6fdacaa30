"""Chapter 11: the way back to float32."""

from __future__ import annotations

import math

from tests.oracle import half as binary16
from tests.oracle.binary64 import ZERO, add, multiply, number, stored
from tests.oracle.refusal import Refused
from tests.oracle.tensor import Channels, check_filled, owners


def linear(codes: list[int], scales: list[float], biases: list[float], channels: Channels) -> list[float]:
    """LIN-8, DEQ-2: `code * scale + bias`. OverflowError where a weight is past binary32."""
    check_filled(len(codes), channels)
    if len(scales) not in (1, channels.count) or len(biases) not in (0, len(scales)):
        raise Refused("DEQ-4")
    weights = []
    for code, channel in zip(codes, owners(channels)):
        which = 0 if len(scales) == 1 else channel
        bias = number(biases[which]) if biases else ZERO
        weights.append(stored(add(multiply(number(code), number(scales[which])), bias)))
    return weights


def lookup(codes: list[int], table: list[float], nbits: int) -> list[float]:
    """LUT-6, LUT-1."""
    if len(table) != 2**nbits:
        raise Refused("LUT-1")
    for index, entry in enumerate(table):
        if not math.isfinite(entry):
            raise Refused("LUT-1", index)
    return [table[code] for code in codes]


def half(data: bytes) -> list[float]:
    """HALF-5."""
    return binary16.decode(data)


def int8(data: bytes, scale: float) -> list[float]:
    """DEQ-3: bytes as signed codes (two's complement), one scale, no bias."""
    signed = [byte if byte < 128 else byte - 256 for byte in data]
    return linear(signed, [scale], [], Channels(1, 1, len(data)))
