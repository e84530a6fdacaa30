"""Linear quantization: per channel, codes on an even grid between the least weight and the greatest."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable
from typing import NamedTuple

from refquant.codec.channels import Channels, join, split
from refquant.codec.packing import check_nbits
from refquant.codec.table import look_up
from refquant.codec.weights import check_finite, ends, in_lists
from refquant.errors import TensorError

#: Steps up to this get no codes: every code of the channel is 0. Source: the format's own tools. Rule: LIN-4.
SMALLEST_STEP = 1e-6

#: 1.5 * 2^52: the spacing of binary64 numbers around it is 1, so adding it rounds a smaller number to the
#: nearest integer, ties to even, and leaves that integer in the low bits of the significand.
ROUNDER = 6755399441055744.0

#: Position of the lowest byte of a binary64 number in memory.
LOW_BYTE = 0 if sys.byteorder == "little" else 7


class LinearCodes(NamedTuple):
    """A tensor as codes: weight = code * scale + bias, with a scale and a bias for each channel.

    `codes` has one byte a weight, in tensor order; `scales` and `biases` are rounded to binary32 as they
    are stored; `collapsed` lists the channels whose weights differ though every code is 0.
    """

    codes: bytes
    scales: array[float]
    biases: array[float]
    collapsed: tuple[int, ...]


class ChannelCodes(NamedTuple):
    """One channel as codes, with scale and bias in binary64, before they are rounded for storage."""

    codes: bytes
    scale: float
    bias: float
    collapsed: bool


def encode(weights: array[float], nbits: int, channels: Channels) -> LinearCodes:
    """Quantize float32 weights to `nbits` bits (1 to 8), each channel by its own scale and bias.

    A constant channel gets scale 0, its value as bias and codes 0: no error. Where the scale is at most
    1e-6, all codes are 0, so that every weight becomes the least of its channel.

    Error: with s the scale before storage, |w - decoded| <= `error_bound` of the channel, which is
    s / 2 (or the range, where codes collapse) and what binary32 storage of the scale costs.

    Raises NonFiniteError with the index for NaN and infinity, and where scale, bias or a decoded weight
    would not be finite in binary32; ShapeError where the weights do not fill the shape. Rule: LIN-1 to LIN-9.
    """
    check_nbits(nbits)
    check_finite(weights)
    parts = (encode_channel(part, nbits) for part in split(weights, channels))
    return gather(parts, channels, top=(1 << nbits) - 1)


def encode_channel(weights: array[float], nbits: int) -> ChannelCodes:
    """Quantize the weights of one channel. Rule: LIN-1 to LIN-4, LIN-10."""
    lists = in_lists(weights)
    least, greatest = ends(weights, lists)
    scale = (greatest - least) / ((1 << nbits) - 1)
    if abs(scale) <= SMALLEST_STEP:
        return ChannelCodes(bytes(len(weights)), scale, least, least != greatest)
    inverse = 1 / scale
    # The definition: bytes(round((w - least) * inverse) for w in weights), cut to 8 bits.
    shifted = ([(w - least) * inverse + ROUNDER for w in numbers] for numbers in lists)
    return ChannelCodes(b"".join(map(round_to_codes, shifted)), scale, least, False)


def round_to_codes(shifted: list[float]) -> bytes:
    """Give round(x) of numbers to which ROUNDER was added, for 0 <= x < 2^51, cut to 8 bits.

    The same as bytes(round(x) & 255 for each x), ties to even, without a call for each weight. Rule: LIN-2.
    """
    return struct.pack(f"{len(shifted)}d", *shifted)[LOW_BYTE::8]


def gather(parts: Iterable[ChannelCodes], channels: Channels, top: int) -> LinearCodes:
    """Put channels together into a tensor, rounding scales and biases to binary32. Rule: LIN-5, LIN-6.

    `top` is the greatest code; where it, or code 0, would be decoded past the end of binary32, this raises
    NonFiniteError. Rule: LIN-9.
    """
    codes: list[bytes] = []
    collapsed: list[int] = []
    scales, biases = array("f"), array("f")
    for index, part in enumerate(parts):
        codes.append(part.codes)
        scales.append(part.scale)
        biases.append(part.bias)
        if part.collapsed:
            collapsed.append(index)
    check_finite(scales, "scale", "LIN-9")
    check_finite(biases, "bias", "LIN-9")
    tops = array("f", [top * scale + bias for scale, bias in zip(scales, biases)])
    check_finite(tops, "decoded weight", "LIN-9")
    return LinearCodes(join(codes, channels), scales, biases, tuple(collapsed))


def decode(codes: bytes, scales: array[float], biases: array[float], channels: Channels) -> array[float]:
    """Turn codes back into float32 weights: code * scale + bias in binary64, rounded to binary32.

    `scales` has one number for each channel or one for all, and `biases` has as many or none (DEQ-2).
    Raises TensorError where they do not, NonFiniteError where a scale, a bias or a weight is not finite.
    Rule: LIN-8.
    """
    if len(scales) == 1:
        channels = Channels(1, 1, channels.outer * channels.count * channels.inner)
    if len(scales) != channels.count:
        raise TensorError(f"{len(scales)} scales for {channels.count} channels", rule="DEQ-4")
    if len(biases) not in (0, len(scales)):
        raise TensorError(f"{len(biases)} biases beside {len(scales)} scales", rule="DEQ-4")
    check_finite(scales, "scale", "DEQ-4")
    check_finite(biases, "bias", "DEQ-4")
    parts = (
        _decode_channel(part, scale, bias)
        for part, scale, bias in zip(split(codes, channels), scales, biases or [0.0] * len(scales))
    )
    weights = join(parts, channels)
    check_finite(weights, "decoded weight", "DEQ-4")
    return weights


def _decode_channel(codes: bytes, scale: float, bias: float) -> array[float]:
    """Decode by a table of the 256 values where that is less work than one formula a weight."""
    if len(codes) <= 256:
        return array("f", [code * scale + bias for code in codes])
    return look_up(codes, array("f", [code * scale + bias for code in range(256)]))


def error_bound(least: float, greatest: float, nbits: int) -> float:
    """Greatest |w - decoded| in a channel with these extreme weights; also holds for `linear_lut`.

    With s the scale before storage, R the range and P the greatest magnitude: half a step, s / 2, since the
    code is rounded; at most R * 2^-24, since the stored scale is off by 2^-24 of itself and is taken
    2^n - 1 times at most; and P * 2^-24 for the last rounding to binary32. A second R * 2^-24 is more than
    all other roundings add, for R is no less than P * 2^-24. Where codes collapse the decoded weight is the
    least, and R bounds the error, up to the rounding of R itself.
    """
    span, peak = greatest - least, max(abs(least), abs(greatest))
    scale = span / ((1 << nbits) - 1)
    return span * (1 + 2.0**-50) if scale <= SMALLEST_STEP else scale / 2 + (2 * span + peak) * 2.0**-24
