"""One-dimensional k-means: the table of 2^n numbers that a tensor's weights lie closest to.

On a line a cluster is a run of the sorted weights, and a clustering is a choice of edges between the runs.
That is why the best one can be computed here, where in more dimensions one only hopes to come near it:
`refquant.codec.clusters` does, among the edges that it is allowed. Allowed all, it finds the optimum.

Fewer take less time: edges between at most some thousand cells of weights, cut where weights are hard to fit.
Among these `refquant.codec.nearly` finds a clustering that is good enough. The rounds of Lloyd's algorithm
that end the work in either case then move every edge to its place within a cell.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from refquant.codec import clusters, nearly
from refquant.codec.clusters import UNITS, Grid
from refquant.codec.lut import LutCodes
from refquant.codec.packing import check_nbits
from refquant.codec.weights import check_finite

#: Cells for each cluster, and more. Edges are looked for between few of them, and then close by between many.
#: In 7,000 tensors of 18 distributions, of up to 16,000 weights, inertia was 0.09 % above the least at worst.
FEW, MANY, MORE = 16, 24, 32

#: No more cells than these are few. Where there are as many clusters as that, each edge matters less.
ENOUGH = 2200

#: Rounds of Lloyd's algorithm at the most. Edges that are allowed everywhere need 1 or 2.
ROUNDS = 10

#: Prices at which a certificate looks for a lower bound at the most; the first is mostly good to 0.01 %.
PRICES = 3


class Certificate(NamedTuple):
    """What a table costs, and what no table of as many entries can cost less than."""

    #: Sum of squared errors of the weights, each coded as its nearest entry.
    inertia: float
    #: A proven lower bound, over all tables of real numbers.
    bound: float

    @property
    def gap(self) -> float:
        """How far the inertia is above the bound, and so at most above the least: 0.001 is 0.1 %."""
        return self.inertia / self.bound - 1 if self.bound else math.inf if self.inertia else 0.0


def encode(weights: array[float], nbits: int, exact: bool = False) -> LutCodes:
    """Quantize float32 weights to `nbits` bits (1 to 8) with a table made by k-means over the tensor.

    The table has 2^nbits entries in ascending order. With no more distinct weights than entries, each is an
    entry, the last is repeated, and the error is zero; a negative zero becomes zero. Every weight is coded as
    its nearest entry, the lower of two. No weights give a table of zeros. Order does not matter: shuffled
    weights give the same table, and their codes.

    Where `exact` is asked for, the clustering is the best there is; otherwise inertia is some 0.01 % above
    the least (0.09 % was seen), and `certify` tells how much at most. To both, rounding the means to binary32
    adds, which is seen only where weights of a cluster differ in their last bits. Half of the time for
    millions of weights goes to sorting; `exact` takes about ten times as long in all, and 400 bytes a weight.

    Raises NonFiniteError with the index for NaN and infinity. Rule: KM-1 to KM-4, LUT-1, LUT-2.
    """
    check_nbits(nbits)
    check_finite(weights)
    values, size = _ascending(weights), 1 << nbits
    table = _table(values, size, exact) if values else array("f", [0.0])
    table += table[-1:] * (size - len(table))
    return LutCodes(assign(weights, table), table, False)


def certify(weights: array[float], table: array[float]) -> Certificate:
    """Say how much better than this table any other of as many entries can be at the most.

    The table is ascending, as `encode` makes it. Takes about as long as `encode` with `exact`, or a third of
    that. Weights must be finite; none give zeros. Rule: KM-4.
    """
    values, size = _ascending(weights), len(table)
    cost = inertia(weights, assign(weights, table), table)
    everywhere = clusters.distinct(values)
    if len(everywhere) - 1 <= size:
        return Certificate(cost, 0.0)
    *_, price = _cut(values, size)
    grid = clusters.grid(values, everywhere)
    if len(everywhere) <= ENOUGH:  # soon done, and the bound is then the least inertia itself
        _, price = clusters.best(grid, size, price)
    return Certificate(cost, _bound(values, grid, size, price))


def _ascending(weights: array[float]) -> array[float]:
    numbers = weights.tolist()
    numbers.sort()
    return array("f", numbers)


def _bound(values: array[float], grid: Grid, size: int, price: int) -> float:
    """Find a lower bound of the inertia of `size` clusters of all weights.

    No clustering costs less than the one that is bought at a price, with that price for each cluster. So
    `size` clusters, at whatever price, have no less inertia than that cost less `size` times the price.
    """
    squares = sum(int(value * UNITS) ** 2 for value in values)
    bound = 0
    for _ in range(PRICES):
        bought = clusters.buy(grid, price)
        # Quotients were rounded down, each by less than a unit, and there is one for each cluster.
        bound = max(bound, squares - bought.worth - bought.clusters + price * (bought.clusters - size))
        if bought.clusters == size:
            break
        price = price * bought.clusters**3 // size**3
    return math.nextafter(bound / int(UNITS) ** 2, 0.0)


def inertia(weights: array[float], codes: bytes, table: array[float]) -> float:
    """Sum of squared errors (w - table[code])^2 over a tensor: what k-means makes small. Rule: KM-4.

    Differences and squares are rounded to binary64, their sum is rounded once. No weights give 0.
    """
    errors = (w - table[code] for w, code in zip(weights, codes))
    return math.fsum(error * error for error in errors)


def assign(weights: array[float], table: array[float]) -> bytes:
    """Code each weight as its nearest entry of an ascending table, the lower of two. Rule: KM-2."""
    lowest = {entry: code for code, entry in reversed(list(enumerate(table)))}
    entries = sorted(lowest)
    nearest = bytes(map(partial(bisect_left, _halfways(entries)), weights))
    return nearest.translate(bytes(map(lowest.__getitem__, entries)).ljust(256))


def _halfways(entries: Sequence[float]) -> list[float]:
    return [_halfway(a, b) for a, b in zip(entries, entries[1:])]


def _halfway(a: float, b: float) -> float:
    """Greatest binary64 number that is not nearer to b than to a, for a <= b.

    The sum of two binary32 numbers may have more digits than binary64 holds: what rounding took from it
    or gave to it is found exactly (Knuth's two-sum), and where the rounded half is too great by that, the
    next number below is the answer.
    """
    total = a + b
    part = total - a
    lost = (a - (total - part)) + (b - part)
    return total / 2 if lost >= 0 else math.nextafter(total / 2, -math.inf)


def _table(values: array[float], size: int, exact: bool) -> array[float]:
    """Find the table of ascending weights, of which there is at least one; shorter, if fewer are distinct."""
    grid, edges, price = _cut(values, size)
    if exact and len(grid.edges) - 1 > size:
        grid = clusters.grid(values, clusters.distinct(values))
        path, _ = clusters.best(grid, size, price)
        edges = [grid.edges[at] for at in path]
    return _settled(values, grid, edges)


def _cut(values: array[float], size: int) -> tuple[Grid, list[int], int]:
    """Cut ascending weights into `size` clusters, or fewer if no more are distinct.

    Return the cells between which edges were looked for, the edges that were found, as positions, and a price
    that buys about as many.
    """
    few, many = min(FEW * size + MORE, ENOUGH), MANY * size + MORE
    if len(values) > many:
        cut = clusters.cells(values, many)
        grid = clusters.grid(values, sorted(cut))
    else:
        grid = clusters.grid(values, clusters.distinct(values))
        cut = clusters.cells(values, few) if len(grid.edges) > few + 1 else grid.edges
    if len(grid.edges) - 1 <= size:
        return grid, grid.edges, 0
    ends = [bisect_left(grid.edges, edge) for edge in sorted(cut[: few + 1])]
    coarse = Grid([grid.edges[at] for at in ends], [grid.sums[at] for at in ends])
    path, price = nearly.best(coarse, size)
    if path:
        path = nearly.nudged(grid, [ends[at] for at in path])
    if not path:
        _, price = clusters.best(coarse, size, price)
        path, price = clusters.best(grid, size, price)
    return grid, [grid.edges[at] for at in path], price


def _settled(values: array[float], grid: Grid, edges: list[int]) -> array[float]:
    """Take the means of clusters, rounded to binary32, until the nearest weights of each are its cluster.

    A cluster that loses all its weights keeps its entry. Means cannot change places, rounded or not.
    """
    table = array("f", bytes(4 * (len(edges) - 1)))
    for _ in range(ROUNDS):
        sums = [_sum_before(values, grid, edge) for edge in edges]
        runs = zip(edges, edges[1:], sums, sums[1:], table)
        means = [(after - before) / (b - a) / UNITS if a < b else e for a, b, before, after, e in runs]
        table = array("f", [entry + 0.0 for entry in array("f", means)])  # -0.0 + 0.0 is 0.0
        nearest = [0, *(bisect_right(values, half) for half in _halfways(table)), len(values)]
        if nearest == edges:
            break
        edges = nearest
    return table


def _sum_before(values: array[float], grid: Grid, edge: int) -> int:
    """Add up the weights before any position, starting from the last edge of the grid."""
    at = bisect_right(grid.edges, edge) - 1
    return grid.sums[at] + int(math.fsum(values[grid.edges[at] : edge]) * UNITS)
