"""Chapter 7: k-means, judged by properties; and the best clustering there is, for small tensors.

The table that is judged is the stored one, so "the least possible" inertia is here the least that a table
of binary32 numbers can have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from tests.oracle.rounding import round_binary32

#: Rule KM-4: how far above the least possible the inertia should at most be.
TOLERANCE = Fraction(1, 1000)


def inertia(weights: list[float], codes: list[int], table: list[float]) -> Fraction:
    """Give the sum of squared errors over the tensor, exactly."""
    return sum(
        ((Fraction(w) - Fraction(table[code])) ** 2 for w, code in zip(weights, codes)),
        Fraction(0),
    )


def nearest(weight: float, table: list[float]) -> int:
    """KM-2: the number of the nearest entry; of several equally near, the lowest."""
    distances = [abs(Fraction(weight) - Fraction(entry)) for entry in table]
    return distances.index(min(distances))


@dataclass(frozen=True)
class Optimum:
    """A clustering with the least possible inertia (there may be others)."""

    inertia: Fraction
    #: The entries in use, ascending: binary32 numbers.
    entries: list[float]


def optimum(weights: list[float], size: int) -> Optimum:
    """Find a best table of at most `size` entries, by dynamic programming over the distinct weights.

    Clusters of a best clustering are runs of neighbours among the sorted distinct weights, since each weight
    goes to its nearest entry. So the best way to cut the first `stop` distinct weights into `k` runs is the
    best way to cut the first `start` into `k - 1`, and one run from there, for the best `start`. The squared
    errors of a run grow with the distance of its entry from its mean, so its best entry is the binary32
    number nearest to the mean.

    Cutting a run in two never adds to the errors, as both parts may keep its entry. So there is a best table
    with as many runs as it may have, none of them empty: the first `k` runs end at `k` weights at least, and
    leave at least one for each run to come. `spare` is how many more weights there are than runs, and so how
    far an end can be from the first possible one.
    """
    exact = [Fraction(w) for w in weights]
    distinct = sorted(set(exact))
    times = [exact.count(value) for value in distinct]

    @cache
    def run(start: int, stop: int) -> Optimum:
        members = list(zip(distinct[start:stop], times[start:stop]))
        mean = sum(t * v for v, t in members) / Fraction(sum(t for _, t in members))
        entry = round_binary32(mean)
        errors = sum((t * (v - entry) ** 2 for v, t in members), Fraction(0))
        return Optimum(errors, [float(entry)])

    count = len(distinct)
    size = min(size, count)
    spare = count - size
    best = {0: Optimum(Fraction(0), [])}  # by `stop`, with no run
    for k in range(1, size + 1):
        fewer, best = best, {}
        for stop in range(k, k + spare + 1):
            starts = [start for start in fewer if start < stop]
            _, least = min((fewer[start].inertia + run(start, stop).inertia, start) for start in starts)
            best[stop] = joined(fewer[least], run(least, stop))
    return best[count]


def joined(left: Optimum, right: Optimum) -> Optimum:
    """Put two clusterings of different weights together."""
    return Optimum(left.inertia + right.inertia, left.entries + right.entries)


def broken_rules(weights: list[float], nbits: int, codes: list[int], table: list[float]) -> list[str]:
    """Name the rules among LUT-1, LUT-5, KM-1 and KM-2 that codes and table break.

    A table or codes of the wrong form (LUT-1, LUT-5) are not looked at further.
    """
    if len(table) != 2**nbits or not all(is_binary32(entry) for entry in table):
        return ["LUT-1"]
    if len(codes) != len(weights) or not all(0 <= code < 2**nbits for code in codes):
        return ["LUT-5"]
    broken = []
    distinct, held = {Fraction(w) for w in weights}, {Fraction(entry) for entry in table}
    if table != sorted(table) or (len(distinct) <= 2**nbits and not distinct <= held):
        broken.append("KM-1")
    if codes != [nearest(w, table) for w in weights]:
        broken.append("KM-2")
    return broken


def is_binary32(x: float) -> bool:
    """Tell whether a float is a finite binary32 number."""
    return math.isfinite(x) and abs(x) < 2.0**128 and round_binary32(Fraction(x)) == Fraction(x)


def is_near_optimum(weights: list[float], nbits: int, codes: list[int], table: list[float]) -> bool:
    """KM-4: whether the inertia is within 0.1 % of the least possible. For small tensors."""
    least = optimum(weights, 2**nbits).inertia
    return inertia(weights, codes, table) <= least * (1 + TOLERANCE)
