"""Chapter 1: a tensor as a message of the format's own definition; told by its form, read and written."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tests.oracle import dequantization, half, int8, kmeans, linear, lut, packing, symmetric
from tests.oracle.refusal import Refused
from tests.oracle.tensor import Channels, check_bits, check_filled, finite, positions


def form(params: Any) -> str:
    """TEN-1, TEN-5: empty, float32, float16, linear, lut or int8."""
    quantized = params.HasField("quantization")
    filled = [
        name
        for name, field, counts in (
            ("float32", params.floatValue, True),
            ("float16", params.float16Value, True),
            ("raw", params.rawValue, quantized),
            ("int8", params.int8RawValue, quantized),
        )
        if field and counts
    ]
    if len(filled) > 1:
        raise Refused("TEN-1")
    if filled != ["raw"]:
        return filled[0] if filled else "empty"
    which = params.quantization.WhichOneof("QuantizationType")
    if which is None:
        raise Refused("TEN-5")
    return {"linearQuantization": "linear", "lookupTableQuantization": "lut"}[which]


def read(params: Any, channels: Channels) -> list[float]:
    """DEQ-1: give the weights of a tensor in any form, which must fill their shape (TEN-6)."""
    kept = form(params)
    size = channels.outer * channels.count * channels.inner
    if kept == "float32":
        weights = list(params.floatValue)
    elif kept == "float16":
        weights = half.decode(params.float16Value)
    elif kept == "int8":
        scales = list(params.quantization.linearQuantization.scale)
        if len(scales) != 1 or params.quantization.linearQuantization.bias:
            raise Refused("INT8-2")
        if params.quantization.numberOfBits != 8:
            raise Refused("INT8-2")
        weights = dequantization.int8(params.int8RawValue, scales[0])
    else:
        weights = read_codes(params, channels, size)
    check_filled(len(weights), channels)
    return weights


def read_codes(params: Any, channels: Channels, size: int) -> list[float]:
    """LIN-8, LUT-6, of packed codes."""
    quantization = params.quantization
    nbits = quantization.numberOfBits
    check_bits(nbits)
    codes = packing.unpack(params.rawValue, nbits, size)
    if form(params) == "lut":
        return dequantization.lookup(codes, list(quantization.lookupTableQuantization.floatValue), nbits)
    scales = list(quantization.linearQuantization.scale)
    biases = list(quantization.linearQuantization.bias)
    for numbers in (scales, biases):
        for index, stored in enumerate(numbers):
            if not math.isfinite(stored):
                raise Refused("DEQ-4", index)
    return dequantization.linear(codes, scales, biases, channels)


def clear(params: Any) -> None:
    """Empty a tensor of values. FILE-5: its other fields stay."""
    for field in ("floatValue", "float16Value", "rawValue", "int8RawValue", "quantization"):
        params.ClearField(field)


def write_floats(params: Any, weights: list[float]) -> None:
    """DEQ-1: floats, and no `quantization` message."""
    clear(params)
    params.floatValue.extend(weights)


def write_half(params: Any, data: bytes) -> None:
    """TEN-4."""
    clear(params)
    params.float16Value = data


def write_int8(params: Any, weights: list[float]) -> None:
    """INT8-1, INT8-2."""
    found = int8.encode(weights)
    clear(params)
    params.int8RawValue = found.data
    params.quantization.numberOfBits = 8
    params.quantization.linearQuantization.scale.append(found.scale)


def overflowing(
    encode: Callable[[list[float], int, Channels], object],
    weights: list[float],
    nbits: int,
    channels: Channels,
) -> int:
    """Give the first channel with a number past binary32."""
    for channel in range(channels.count):
        own = [weights[at] for at in positions(channels, channel)]
        try:
            encode(own, nbits, Channels(1, 1, len(own)))
        except OverflowError:
            return channel
    raise AssertionError("no channel by itself goes past binary32")


def write_codes(params: Any, mode: str, nbits: int, channels: Channels) -> None:
    """TEN-5: quantize a tensor of floats by the chapter of a mode."""
    weights = list(params.floatValue)
    check_filled(len(weights), channels)
    if mode in ("linear", "linear_symmetric"):
        encode = linear.encode if mode == "linear" else symmetric.encode
        try:
            found = encode(weights, nbits, channels)
        except OverflowError:
            raise Refused("LIN-9", overflowing(encode, weights, nbits, channels)) from None
        clear(params)
        params.quantization.linearQuantization.scale.extend(found.scales)
        params.quantization.linearQuantization.bias.extend(found.biases)
        codes = found.codes
    else:
        codes, table = tabled(weights, mode, nbits)
        clear(params)
        params.quantization.lookupTableQuantization.floatValue.extend(table)
    params.rawValue = packing.pack(codes, nbits)
    params.quantization.numberOfBits = nbits


def tabled(weights: list[float], mode: str, nbits: int) -> tuple[list[int], list[float]]:
    """LUT-3, KM-1: codes and table of the whole tensor."""
    if mode == "linear_lut":
        found = lut.encode_linear(weights, nbits)
        return found.codes, found.table
    finite(weights)
    table = sorted(set(weights))
    if mode not in ("kmeans_lut", "kmeans") or len(table) != 2**nbits:
        raise NotImplementedError("k-means is determined only where there are 2^n distinct weights (KM-1)")
    return [kmeans.nearest(weight, table) for weight in weights], table
