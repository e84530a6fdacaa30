"""Chapter 1, as far as arithmetic needs it: which weights there are, and which channel they belong to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tests.oracle.binary64 import Number, number
from tests.oracle.refusal import Refused


@dataclass(frozen=True)
class Channels:
    """A tensor seen as three dimensions with the channel in the middle.

    Axis 0 of (C, ...) is (1, C, rest); axis 1 of (K, C, H, W) is (K, C, H * W); one channel is (1, 1, n).
    In groups, so many such parts follow one another, each with its share of the channels (DEQ-5).
    """

    outer: int
    count: int
    inner: int
    groups: int = 1


def positions(channels: Channels, channel: int) -> list[int]:
    """Give the positions of one channel's weights, in tensor order (the last dimension runs fastest)."""
    share, inner = channels.count // channels.groups, channels.inner
    group, own = divmod(channel, share)
    rows = [(group * channels.outer + o) * share + own for o in range(channels.outer)]
    return [row * inner + i for row in rows for i in range(inner)]


def owners(channels: Channels) -> list[int]:
    """Give the channel of every weight, in tensor order."""
    share = channels.count // channels.groups
    return [
        group * share + own
        for group in range(channels.groups)
        for _ in range(channels.outer)
        for own in range(share)
        for _ in range(channels.inner)
    ]


def check_bits(nbits: int) -> None:
    """TEN-5: from 1 to 8 bits a code."""
    if not 1 <= nbits <= 8:
        raise Refused("TEN-5")


def check_filled(count: int, channels: Channels) -> None:
    """TEN-6: as many weights as the shape has places."""
    if count != channels.outer * channels.count * channels.inner:
        raise Refused("TEN-6")


def finite(weights: list[float]) -> list[Number]:
    """Read the weights exactly. TEN-7: refused where one is a NaN or an infinity, the first one named."""
    for index, weight in enumerate(weights):
        if not math.isfinite(weight):
            raise Refused("TEN-7", index)
    if not weights:
        raise ValueError("no weights: nothing to quantize (TEN-8)")
    return [number(weight) for weight in weights]
