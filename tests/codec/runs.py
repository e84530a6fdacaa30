"""Clusterings of sorted weights by the textbook: in exact rationals, and trying them all."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations
from typing import Callable

from refquant.codec import clusters
from tests.hard import weights

#: A squared unit of the sums in `refquant.codec.clusters`, which quotients are rounded down to.
SQUARED_UNIT = 1 / Fraction(clusters.UNITS) ** 2

#: Ways to make other distributions of normal weights: name -> way.
SHAPES: dict[str, Callable[[list[float]], list[float]]] = {
    "normal": lambda values: values,
    "heavy tails": lambda values: [w**5 for w in values],
    "two outliers": lambda values: [*values, 1e4, -1e9],
    "five groups": lambda values: [w / 50 + i % 5 for i, w in enumerate(values)],
    "even": lambda values: [float(i) for i, _ in enumerate(values)],
    "few distinct": lambda values: [round(w * 300) / 8 for w in values],
    "offset": lambda values: [w + 1000 for w in values],
}


def normal(count: int, seed: int) -> array[float]:
    """Make weights as networks have them, from sums of uniform numbers so that every platform agrees."""
    made = random.Random(seed)
    return weights([sum([int(made.random() * 4096) for _ in range(12)]) / 24576 - 1 for _ in range(count)])


def ascending(values: Sequence[float]) -> array[float]:
    return weights(sorted(weights(list(values))))


def inertia_of_runs(values: Sequence[float], edges: Sequence[int]) -> Fraction:
    """Inertia of ascending weights cut at the edges, around the unrounded means."""
    total = Fraction(0)
    for a, b in zip(edges, edges[1:]):
        run = [Fraction(value) for value in values[a:b]]
        mean = sum(run) / Fraction(len(run))
        total += sum(((value - mean) ** 2 for value in run), Fraction(0))
    return total


def clusterings(count: int, size: int) -> Iterator[tuple[int, ...]]:
    """List every way to cut `count` weights into `size` runs, none empty."""
    return ((0, *edges, count) for edges in combinations(range(1, count), size - 1))


def least_of_all(values: Sequence[float], size: int) -> Fraction:
    """Try every clustering of ascending weights into `size` clusters, or one for each if they are fewer."""
    choices = clusterings(len(values), min(size, len(values)))
    return min(inertia_of_runs(values, edges) for edges in choices)
