"""Symmetric quantization: per channel, 8-bit codes on a grid whose middle code, 128, stands for zero."""

from __future__ import annotations

from array import array

from refquant.codec.channels import Channels, split
from refquant.codec.linear import (
    ROUNDER,
    SMALLEST_STEP,
    ChannelCodes,
    LinearCodes,
    gather,
    round_to_codes,
)
from refquant.codec.weights import check_finite, ends, in_lists

#: Number of bits, the only one for which the mode is defined. Rule: SYM-1.
NBITS = 8
#: Code that stands for zero: half of 2^8.
MIDDLE = 128
#: Steps from the middle to the greatest code.
STEPS = 127


def encode(weights: array[float], channels: Channels) -> LinearCodes:
    """Quantize float32 weights to 8 bits, each channel by a scale of its own and the bias -128 * scale.

    Codes lie in 1 .. 255, and zero is 128. A channel of zeros gets scale, bias and codes 0: no error.
    Where the scale is at most 1e-6, all codes are 0, so that every weight becomes -128/127 of the greatest
    magnitude. Error: |w - decoded| <= `error_bound` of the channel.

    Raises NonFiniteError and ShapeError as `linear.encode` does. Rule: SYM-1 to SYM-4, LIN-5, LIN-9.
    """
    check_finite(weights)
    return gather((encode_channel(part) for part in split(weights, channels)), channels, top=MIDDLE + STEPS)


def encode_channel(weights: array[float]) -> ChannelCodes:
    """Quantize the weights of one channel. Rule: SYM-2 to SYM-4."""
    lists = in_lists(weights)
    magnitude = max(map(abs, ends(weights, lists)))
    scale = magnitude / STEPS
    bias = -MIDDLE * scale
    if abs(scale) <= SMALLEST_STEP:
        return ChannelCodes(bytes(len(weights)), scale, bias, magnitude > 0)
    # The definition: bytes(round((w - bias) / scale) for w in weights), cut to 8 bits.
    shifted = ([(w - bias) / scale + ROUNDER for w in numbers] for numbers in lists)
    return ChannelCodes(b"".join(map(round_to_codes, shifted)), scale, bias, False)


def error_bound(magnitude: float) -> float:
    """Greatest |w - decoded| in a channel whose weights reach this magnitude r.

    The stored bias is exactly -128 times the stored scale, so that decoding is (code - 128) * scale: half a
    step, r / 254, and r * 2^-24 each for the storage of the scale and the last rounding; a third r * 2^-24
    is more than all roundings to binary64 add. Where codes collapse, every weight becomes the stored bias,
    -128/127 * r but for a rounding, and r + 128/127 * r bounds the error.
    """
    scale = magnitude / STEPS
    if scale > SMALLEST_STEP:
        return scale / 2 + 3 * magnitude * 2.0**-24
    return magnitude + MIDDLE * scale + 2 * magnitude * 2.0**-24 + 2.0**-150
