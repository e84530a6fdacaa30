"""Chapter 7: clusterings, judged by their properties and by the least inertia there is."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

from conformance.cases.family import Family, refusal
from conformance.cases.pools import BAD, LENGTHS, NO_NBITS, hexed, mixed, tensors
from tests import oracle
from tests.hard import f32

#: Numbers of bits of the tensors that every clustering is tried on.
FEW_BITS = (1, 2, 3, 5)

#: Number of bits -> numbers of weights of which more are distinct than there are entries.
MANY = {4: (17, 18, 40), 6: (65, 66, 90), 7: (129, 131, 150), 8: (257, 258, 270)}


def gauss(seed: int, count: int) -> list[float]:
    """Give random weights."""
    maker = random.Random(seed)
    return [f32(maker.gauss(0, 1)) for _ in range(count)]


def pools() -> list[tuple[str, list[float], str]]:
    """Give small tensors: title, weights, flags."""
    maker = random.Random(8)
    found = [
        (title, values, flags)
        for title, values, flags in tensors()
        if max(map(abs, values)) < 1e5 and len(values) < 70
    ]
    found += [("bimodal", [f32(maker.gauss(sign, 0.1)) for sign in (-1, 1) for _ in range(12)], "")]
    found += [("an outlier", [*(f32(maker.gauss(0, 0.01)) for _ in range(20)), 100.0], "outlier")]
    found += [("duplicates", [0.0] * 9 + [1.0] * 5 + [1.5] * 3 + [9.0], "")]
    found += [(f"random {seed}", gauss(seed, 26), "") for seed in range(12)]
    found += [(f"evenly spread {n}", [f32(i / 7) for i in range(n)], "tie") for n in (29, 34)]
    return found


def kmeans(family: Family) -> None:
    """Order, length, nearest entries and distinct weights for all; the inertia where it is not zero."""

    def add(title: str, values: list[float], nbits: int, flags: str, rules: str = "KM-1 KM-2 LUT-1") -> None:
        given = {"weights": hexed(values), "nbits": nbits}
        repeat: dict[str, Any] = {"repeat": 2} if "KM-3" in rules else {}
        family.add("kmeans.encode", title, rules, given, {"entries": 1 << nbits}, flags, **repeat)
        if len(set(values)) <= 1 << nbits:
            return
        least: Fraction = oracle.kmeans.optimum(values, 1 << nbits).inertia
        family.add(
            "kmeans.encode",
            f"{title}: inertia",
            "KM-4",
            given,
            {"inertia": f"{least.numerator}/{least.denominator}"},
            flags,
            compare={"table": {"property": "inertia"}},
        )

    for title, values, flags in pools():
        for nbits in FEW_BITS:
            add(title, values, nbits, flags)
    for nbits, counts in MANY.items():
        for count in LENGTHS:
            add(f"{count} weights", mixed(count), nbits, "length" if count else "empty")
        for count in counts:
            add(f"{count} weights for {1 << nbits} entries", gauss(nbits, count), nbits, "")
    for nbits in FEW_BITS:
        add("no weights", [], nbits, "empty")
    for seed in (20, 21):
        # Two clusters of equal weights on either side of their middle: which of them is split is a matter
        # of choice, and the choice has to be the same each time.
        values = gauss(seed, 13)
        add("asked for twice", values + [-value for value in values], 3, "", "KM-3 KM-1 KM-2")
    for title, bad in BAD:
        given = {"weights": hexed([1.0, bad]), "nbits": 2}
        family.add("kmeans.encode", title, "TEN-7", given, refusal("TEN-7", 1))
    for nbits in NO_NBITS:
        given = {"weights": hexed(mixed(4)), "nbits": nbits}
        family.add("kmeans.encode", f"{nbits} bits", "TEN-5", given, refusal("TEN-5"), "nbits")
