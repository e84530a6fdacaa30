"""The best clustering of sorted numbers: where to cut them into runs, each close to its mean.

The inertia of `c` weights with the sum `S`, around their mean, is the sum of their squares less S^2 / c. The
squares are in every clustering; so the least inertia is the greatest sum of S^2 / c, which we call `worth`.
With the sum of all weights before each edge at hand, S is a difference of two of them. These sums are whole
numbers, of a unit far below any float32, and so is all that is made of them: no digits cancel, wherever the
weights lie, and every platform counts alike.

`buy` puts a price on every cluster and finds the clustering of greatest worth less price, in one pass over
the edges; `best` looks for the price at which that has as many clusters as are wanted. Chapter 7 of the
specification says why this works.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections import deque
from heapq import heappop, heappush
from itertools import accumulate
from typing import Callable, NamedTuple

#: Units of a sum in 1. The least binary32 number, 2^-149, is 2^31 of them: what a quotient of sums loses by
#: being rounded down is nothing beside any difference of weights.
UNITS = 2.0**180

#: Prices that are guessed before every other one is computed from what has been bought. Where the worth of
#: one more cluster falls as that of evenly spread weights does, 3 guesses are enough.
GUESSES = 4


class Grid(NamedTuple):
    """Where edges of clusters may be.

    `edges` are positions in the sorted weights, ascending from 0 to their number; `sums[i]` is the sum of
    the weights before edges[i], in units of 1 / UNITS.
    """

    edges: list[int]
    sums: list[int]


class Bought(NamedTuple):
    """A clustering: `path` has the indices of its edges in a grid, `worth` is in squared units."""

    path: list[int]
    worth: int

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return len(self.path) - 1

    def profit(self, price: int) -> int:
        """Worth less the price of every cluster."""
        return self.worth - price * self.clusters


def grid(values: array[float], edges: list[int]) -> Grid:
    """Add up the ascending weights before each edge.

    A run of equal weights is added without rounding; any other within half a unit of binary64's last place.
    """
    runs = zip(edges, edges[1:])
    totals = [values[start] if stop - start == 1 else math.fsum(values[start:stop]) for start, stop in runs]
    return Grid(edges, list(accumulate([int(total * UNITS) for total in totals], initial=0)))


def distinct(values: array[float]) -> list[int]:
    """Edges between all ascending weights that differ."""
    edges = [at for at, (a, b) in enumerate(zip(values, values[1:]), 1) if a != b]
    return [0, *edges, len(values)]


def cells(values: array[float], count: int) -> list[int]:
    """Cut ascending weights into `count` cells, or into one for each distinct weight, if these are fewer.

    The cell of the greatest count * width^2 is cut in the middle of its width, again and again. So cells
    get as wide as the inverse cube root of the density of weights, as clusters will. The edges come in the
    order in which they are cut: the first few of them, sorted, are those of fewer cells.
    """
    edges = [0, len(values)]
    heap = [(0.0, 0, len(values))]
    while heap and len(edges) <= count:
        _, start, stop = heappop(heap)
        low, high = values[start], values[stop - 1]
        if low == high:
            continue
        middle = bisect_right(values, (low + high) / 2, start, stop)
        edges.append(middle)
        below, above = values[middle - 1] - low, high - values[middle]
        heappush(heap, ((start - middle) * below * below, start, middle))
        heappush(heap, ((middle - stop) * above * above, middle, stop))
    return edges


def buy(grid: Grid, price: int) -> Bought:
    """Find the clustering of greatest worth less `price` for each cluster.

    The last cluster of the best clustering up to an edge begins at a `start`. Of two starts, the later one is
    better for all ends from some end on, and worse before. So the starts that are the best for some end to
    come stand in line, each with the end from which its turn is, and a new one takes turns from behind.
    """
    edges, sums = grid
    last = len(edges) - 1
    profits, starts = [0], [0]
    line = deque([(1, 0)])

    def better(later: int, earlier: int, end: int) -> bool:
        """Whether a last cluster up to `end` is worth more from the later start than from the earlier."""
        edge, total = edges[end], sums[end]
        near, far = total - sums[later], total - sums[earlier]
        return profits[later] + near * near // (edge - edges[later]) > profits[earlier] + far * far // (
            edge - edges[earlier]
        )

    for end in range(1, last + 1):
        while len(line) > 1 and line[1][0] <= end:
            line.popleft()
        start = line[0][1]
        total = sums[end] - sums[start]
        profits.append(profits[start] + total * total // (edges[end] - edges[start]) - price)
        starts.append(start)
        if end < last:
            _queue(line, end, better, last)
    path = [last]
    while path[-1]:
        path.append(starts[path[-1]])
    return Bought(path[::-1], profits[-1] + price * (len(path) - 1))


def _queue(
    line: deque[tuple[int, int]], start: int, better: Callable[[int, int, int], bool], last: int
) -> None:
    """Put a start, later than all in line, behind those that are better for some end from start + 1 on."""
    while line:
        turn, rival = line[-1]
        worse = turn if turn > start else start + 1
        if not better(start, rival, worse):
            break
        line.pop()
    else:
        worse = start
    # Its turn is mostly soon after the last one's: look far ahead only where it is not.
    step = 1
    while line and worse + step <= last and not better(start, rival, worse + step):
        worse += step
        step += step
    end = min(worse + step, last + 1)
    while end - worse > 1:
        middle = (worse + end) // 2
        if better(start, rival, middle):
            end = middle
        else:
            worse = middle
    if end <= last:
        line.append((end, start))


def best(grid: Grid, size: int, price: int = 0) -> tuple[list[int], int]:
    """Find the edges of the clustering of least inertia into `size` clusters, and a price that buys it.

    There must be at least `size` cells in the grid. The result is a path of indices. `price` is a first
    guess, 0 for none.

    Where several clusterings cost the same at a price, none that is bought need have `size` clusters; but
    those with fewer and those with more can then be joined into one that costs the same.
    """
    last = len(grid.edges) - 1
    few, many = _clustering(grid, [0, last]), _clustering(grid, list(range(last + 1)))
    low, high = 0, many.worth - few.worth + 1
    # Inertia falls as 1 / k^2 with the number k of clusters, and what one more is worth as 1 / k^3.
    price = price or high // size**3
    attempt = 0
    while True:
        if few.clusters == size:
            return few.path, high
        if many.clusters == size:
            return many.path, low
        attempt += 1
        fair = (many.worth - few.worth) // (many.clusters - few.clusters)
        if (attempt > GUESSES and attempt % 2) or not low < price < high:
            price = fair
        found = buy(grid, price)
        # At the fair price few and many cost the same, but for a remainder in favour of many.
        if price == fair and found.profit(price) - many.profit(price) <= last:
            return joined(few.path, many.path, size), price
        if found.clusters <= size:
            few, high = found, price
        else:
            many, low = found, price
        price = price * found.clusters**3 // size**3


def joined(few: list[int], many: list[int], size: int) -> list[int]:
    """Join two clusterings into one of `size` clusters: many from the start, few to the end.

    They change over where a cluster of the one lies within one of the other. By the quadrangle inequality
    this clustering and the one that is left over are together worth no less than the two were.
    """
    ahead = size + 1 - len(few)
    at = next(at for at in range(len(few)) if many[at + ahead + 1] <= few[at + 1])
    return many[: at + ahead + 1] + few[at + 1 :]


def _clustering(grid: Grid, path: list[int]) -> Bought:
    """Give the worth of a clustering."""
    edges, sums = ([part[at] for at in path] for part in grid)
    clusters = zip(edges, edges[1:], sums, sums[1:])
    return Bought(
        path, sum((after - before) ** 2 // (stop - start) for start, stop, before, after in clusters)
    )
