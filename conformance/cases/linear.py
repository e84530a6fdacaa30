"""Chapter 4: codes, scales and biases on an even grid."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from conformance.cases.family import Family, refusal
from conformance.cases.pools import (
    BAD,
    NO_NBITS,
    contracted_tensors,
    hexed,
    mixed,
    one_channel,
    reciprocal_tensors,
    shapes,
    sizes,
    tensors,
    threshold_pairs,
    tie_tensors,
)
from tests import oracle
from tests.hard import GREATEST, f32
from tests.oracle.linear import Quantized
from tests.oracle.tensor import Channels, positions

RULES = "LIN-1 LIN-2 LIN-3 LIN-5"


def coded(found: Quantized) -> dict[str, str]:
    """Write a tensor in linear form as the fields of a result."""
    codes, scales, biases = found.codes, found.scales, found.biases
    return {"codes": bytes(codes).hex(), "scales": hexed(scales), "biases": hexed(biases)}


#: Numbers from here on round to an infinity: the greatest of binary32 and half a unit.
BINARY32_END = Fraction(GREATEST) + 2**103


def expected_of(
    encode: Callable[[list[float], Channels], Quantized], values: list[float], channels: Channels, top: int
) -> dict[str, Any]:
    """Expect a tensor in linear form, or its refusal by LIN-9, which names the first channel that is meant.

    `top` is the greatest code: the weight that it stands for has to be finite in binary32.
    """
    try:
        found = encode(values, channels)
    except OverflowError:
        parts = [[values[at] for at in positions(channels, index)] for index in range(channels.count)]
        return next(refusal("LIN-9", index) for index, part in enumerate(parts) if is_past(encode, part))
    for index, (scale, bias) in enumerate(zip(found.scales, found.biases)):
        if abs(top * Fraction(scale) + Fraction(bias)) >= BINARY32_END:
            return refusal("LIN-9", index)
    return coded(found)


def is_past(encode: Callable[[list[float], Channels], Quantized], values: list[float]) -> bool:
    """Tell whether the scale or the bias of a channel is past binary32."""
    try:
        encode(values, one_channel(values))
    except OverflowError:
        return True
    return False


def great_ranges(nbits: int) -> Iterator[list[float]]:
    """Give ranges up to the end of binary32: for some, the stored scale is rounded up, and too much."""
    for part in (16, 33, 47, 52, 61):
        yield [f32(-GREATEST * part / 64), 0.0, GREATEST]


def linear(family: Family) -> None:
    """Hard tensors, ranges about the threshold, ties and what is nearly one, channels, and bad input."""

    def add(
        title: str, values: list[float], nbits: int, channels: Channels, flags: str, rules: str = RULES
    ) -> None:
        given = {"weights": hexed(values), "nbits": nbits, **sizes(channels)}

        def encode(values: list[float], channels: Channels) -> Quantized:
            return oracle.linear.encode(values, nbits, channels)

        expected = expected_of(encode, values, channels, (1 << nbits) - 1)
        if "error" in expected:
            rules = "LIN-9"
        family.add("linear.encode", title, rules, given, expected, flags)

    for nbits in range(1, 9):
        for title, values, flags in tensors():
            add(title, values, nbits, one_channel(values), flags)
        for title, values in threshold_pairs((1 << nbits) - 1):
            add(title, values, nbits, one_channel(values), "threshold", f"{RULES} LIN-4")
        for values in tie_tensors(nbits):
            add("ties", values, nbits, one_channel(values), "tie")
        for values in reciprocal_tensors(nbits, 4 if nbits > 2 else 1):
            add("near a tie", values, nbits, one_channel(values), "reciprocal")
        for values in contracted_tensors(nbits, 2):
            add(
                "a tie after rounding",
                values,
                nbits,
                one_channel(values),
                "contraction tie",
                f"{RULES} LIN-10",
            )
        for values in great_ranges(nbits):
            add("a range to the end of binary32", values, nbits, one_channel(values), "overflow")
        for channels, title, flags in shapes():
            size = channels.outer * channels.count * channels.inner
            maker = random.Random(100 * nbits + size)
            values = [f32(maker.uniform(-2, 2)) for _ in range(size)]
            add(title, values, nbits, channels, flags, f"{RULES} LIN-6 LAY-3")
    # Two binary32 numbers whose difference is the binary64 number nearest to 1e-6, and its neighbours.
    first, rest = 0x10C6F7A0000000 / 2**72, 0xB5ED8D / 2**72
    for title, unit in (
        ("a unit below the threshold", -1),
        ("the threshold itself", 0),
        ("a unit above it", 1),
    ):
        values = [-rest - unit / 2**72, first]
        add(title, values, 1, one_channel(values), "threshold", f"{RULES} LIN-4")
    add("range past binary32", [-GREATEST, GREATEST], 1, Channels(1, 1, 2), "overflow")
    values = [0.0, 1.0, -GREATEST, GREATEST, 2.0, 3.0]
    add("one channel of three past binary32", values, 1, Channels(1, 3, 2), "overflow")
    refused(family, "linear.encode", "LIN-1")
    for nbits in NO_NBITS:
        given = {"weights": hexed(mixed(4)), "nbits": nbits, **sizes(Channels(1, 1, 4))}
        family.add("linear.encode", f"{nbits} bits", "TEN-5", given, refusal("TEN-5"), "nbits")


def refused(family: Family, operation: str, least_weight: str) -> None:
    """Add what every encoder with channels refuses; `least_weight` is the rule that needs a least weight."""
    channels = Channels(2, 3, 2)
    nbits = {"nbits": 4} if operation == "linear.encode" else {}
    for title, bad in BAD:
        for index in (0, 5, 11):
            values = mixed(12)
            values[index] = bad
            given = {"weights": hexed(values), **nbits, **sizes(channels)}
            family.add(operation, title, "TEN-7", given, refusal("TEN-7", index))
    for count in (0, 11, 13):
        given = {"weights": hexed([1.0] * count), **nbits, **sizes(channels)}
        family.add(operation, f"{count} weights for 12 places", "TEN-6", given, refusal("TEN-6"), "length")
    for empty in (Channels(1, 1, 0), Channels(1, 3, 0), Channels(0, 2, 2)):
        given = {"weights": "", **nbits, **sizes(empty)}
        title = "a channel without weights has no least one"
        family.add(operation, title, least_weight, given, refusal(least_weight), "empty")
