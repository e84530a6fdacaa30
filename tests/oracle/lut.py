"""Chapter 6: lookup tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.oracle import linear
from tests.oracle.binary64 import add, multiply, number, stored
from tests.oracle.refusal import Refused
from tests.oracle.tensor import check_bits, finite


@dataclass(frozen=True)
class Quantized:
    """A tensor in table form, as it is stored."""

    #: One a weight, in tensor order.
    codes: list[int]
    #: 2^n entries, each a binary32 number.
    table: list[float]
    #: Whether a writer must warn: all codes 0, by LIN-4, and weights lost.
    collapsed: bool


def encode_linear(weights: list[float], nbits: int) -> Quantized:
    """LUT-2, LUT-3: the whole tensor as one channel, entry `i` being `i * scale + bias`."""
    check_bits(nbits)
    numbers = finite(weights)
    scale, bias = linear.scale_and_bias(numbers, nbits)
    codes = [linear.code(w, scale, bias, nbits) for w in numbers]
    table = [stored(add(multiply(number(i), scale), bias)) for i in range(2**nbits)]
    return Quantized(codes, table, linear.is_collapsed(numbers, scale))


def accept_custom(table: Sequence[float], codes: Sequence[float], nbits: int, count: int) -> Quantized:
    """LUT-1, LUT-5: check what a caller's function returned for `count` weights, and round the table."""
    check_bits(nbits)
    if len(table) != 2**nbits or len(codes) != count:
        raise Refused("LUT-5")
    entries = []
    for index, entry in enumerate(table):
        if not math.isfinite(entry):
            raise Refused("LUT-5", index)
        try:
            entries.append(stored(number(entry)))
        except OverflowError:
            raise Refused("LUT-5", index) from None
    for index, code in enumerate(codes):
        if not any(code == entry for entry in range(2**nbits)):
            raise Refused("LUT-5", index)
    return Quantized([int(code) for code in codes], entries, collapsed=False)
