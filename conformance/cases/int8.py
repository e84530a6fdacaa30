"""Chapter 12: signed codes for dynamic quantization."""

from __future__ import annotations

import random

from conformance.cases.family import Family, refusal
from conformance.cases.pools import BAD, hexed, mixed, tensors
from tests import oracle
from tests.hard import GREATEST, after, f32


def int8(family: Family) -> None:
    """Hard tensors, every length, what is cut rather than rounded, and bad input."""
    maker = random.Random(10)
    pools = list(tensors())
    pools += [("truncated, not rounded", [127.0, 1.75, -1.75, 0.999, -0.999], "signed nearest")]
    pools += [("random", [f32(maker.gauss(0, 1)) for _ in range(17)], "precision") for _ in range(12)]
    for title, values, flags in pools:
        found = oracle.int8.encode(values)
        expected = {"codes": found.data.hex(), "scales": hexed([found.scale])}
        family.add("int8.encode", title, "INT8-1 INT8-2", {"weights": hexed(values)}, expected, flags)
    for sign in (1.0, -1.0):
        given = {"weights": hexed([1.0, sign * GREATEST])}
        title = "the greatest binary32 number"
        family.add("int8.encode", title, "INT8-7", given, refusal("INT8-7"), "overflow")
    values = [1.0, after(GREATEST, -1)]
    found = oracle.int8.encode(values)
    expected = {"codes": found.data.hex(), "scales": hexed([found.scale])}
    title = "the number before the greatest"
    family.add("int8.encode", title, "INT8-7 INT8-1", {"weights": hexed(values)}, expected, "overflow")
    for title, bad in BAD:
        for index in (0, 2):
            values = mixed(3)
            values[index] = bad
            given = {"weights": hexed(values)}
            family.add("int8.encode", title, "TEN-7", given, refusal("TEN-7", index))
