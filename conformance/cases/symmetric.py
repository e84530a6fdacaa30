"""Chapter 5: codes, scales and biases on a grid around zero."""

from __future__ import annotations

import random

from conformance.cases.family import Family
from conformance.cases.linear import expected_of, refused
from conformance.cases.pools import (
    hexed,
    one_channel,
    shapes,
    sizes,
    symmetric_reciprocal_tensors,
    symmetric_stored_tensors,
    tensors,
    threshold_pairs,
)
from tests import oracle
from tests.hard import GREATEST, f32
from tests.oracle.linear import Quantized
from tests.oracle.tensor import Channels


def encode(values: list[float], channels: Channels) -> Quantized:
    """Quantize by the oracle."""
    return oracle.symmetric.encode(values, 8, channels)


def symmetric(family: Family) -> None:
    """Hard tensors, ranges about the threshold, ties, channels, and bad input."""

    def add(title: str, values: list[float], channels: Channels, flags: str, rules: str) -> None:
        given = {"weights": hexed(values), **sizes(channels)}
        expected = expected_of(encode, values, channels, 255)
        if "error" in expected:
            rules = "LIN-9"
        family.add("symmetric.encode", title, rules, given, expected, flags)

    rules = "SYM-2 SYM-3 LIN-5"
    for title, values, flags in tensors():
        add(title, values, one_channel(values), flags, rules)
    for title, values in threshold_pairs(127):
        add(title, values, one_channel(values), "threshold", f"{rules} SYM-4")
    for scale in (1.0, 0.25, 8.0):
        values = [127 * scale, *(scale * (i + 0.5) for i in range(-20, 20))]
        add("ties", values, one_channel(values), "tie", rules)
    for seed in (1, 2):
        for channels, title, flags in shapes():
            size = channels.outer * channels.count * channels.inner
            maker = random.Random(100 * seed + size)
            values = [f32(maker.uniform(-2, 2)) for _ in range(size)]
            add(title, values, channels, flags, f"{rules} LIN-6")
    for values in symmetric_reciprocal_tensors(6):
        add("near a tie", values, one_channel(values), "reciprocal", rules)
    for values in symmetric_stored_tensors(4):
        add("near a tie of the exact scale", values, one_channel(values), "precision", rules)
    for seed in range(30):
        maker = random.Random(seed)
        values = [f32(maker.gauss(0, 1)) for _ in range(12)]
        add("random", values, one_channel(values), "precision", rules)
    for sign in (1.0, -1.0):
        for part in (124, 126, 127, 128):
            values = [0.0, f32(sign * GREATEST * part / 128)]
            add("weights near the end of binary32", values, one_channel(values), "overflow", rules)
    refused(family, "symmetric.encode", "SYM-2")
