"""One-dimensional k-means: the table of 2^n numbers that a tensor's weights lie closest to.

On a line a cluster is a run of the sorted weights, and a clustering is a choice of edges between the runs.
That is why the best one can be computed here, where in more dimensions one only hopes to come near it.

The inertia of W weights with the sum S, around their mean S / W, is the sum of their squares less S^2 / W.
The squares are in every clustering; so the least inertia is the greatest sum of S^2 / W, which we call
`worth`. With the sum of all weights before each edge at hand, S is a difference of two of them. These sums
are whole numbers, of a unit far below any float32, and so is all that is made of them: no digits cancel,
wherever the weights lie, and every platform counts alike.

1. `_cells` chooses where edges may be: between cells of weights, which are cut where they are hard to fit.
   Where distinct weights are few, each gets a cell, and nothing is lost.
2. `_edges_at_price` puts a price on every cluster and finds the edges of greatest worth less price: the
   best clustering of its number of clusters. One pass does that, whereas a dynamic programme over the
   number of clusters takes one pass for each.
3. `_near` looks for prices that buy just fewer and just more than 2^n clusters.
4. `_between` and `_best_edges`: the best 2^n clusters have their edges between the edges of those two. So
   each has a short range, in which a dynamic programme over the number of clusters finds it.
5. `_closer` opens the cells around these edges, and finds better edges within.
6. `_settled` rounds the means to binary32 and, as in Lloyd's algorithm, gives each weight to the nearest
   and takes means again, since rounding may move a weight to another cluster.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import partial
from heapq import heappop, heappush
from typing import NamedTuple

from refquant.codec.finite import check_finite
from refquant.codec.lut import LutCodes
from refquant.codec.packing import check_nbits

#: Units of a sum in 1. The least binary32 number, 2^-149, is 2^31 of them: what a quotient of sums loses by
#: being rounded down is nothing beside any difference of weights.
UNITS = 2.0**180

#: Cells, as (for each cluster, and more): few of them for a first price, then many. Measured on published
#: networks, 20 for each cluster keep inertia within 0.03 % of the least.
CELLS = ((4, 64), (20, 128))

#: Prices that are tried at the most. It takes 2 to 6, but 20 where weights differ by many powers of ten.
PRICES = 60

#: How often cells are opened; how many candidates on either side of an edge then limit where it may go; and
#: into how many parts the way between these limits is divided.
LOOKS, REACH, PARTS = 4, 2, 32

#: Rounds of Lloyd's algorithm on the rounded table at the most; 1 or 2 are needed.
ROUNDS = 4


class Grid(NamedTuple):
    """Where edges of clusters may be.

    `edges` are positions in the sorted weights, ascending from 0 to their number; `sums[i]` is the sum of
    the weights before edges[i], in units of 1 / UNITS.
    """

    edges: list[int]
    sums: list[int]


def encode(weights: array[float], nbits: int) -> LutCodes:
    """Quantize float32 weights to `nbits` bits (1 to 8) with a table made by k-means over the tensor.

    The table has 2^nbits entries in ascending order. With no more distinct weights than entries, each is an
    entry, the last is repeated, and the error is zero; a negative zero becomes zero. Every weight is coded as
    its nearest entry, the lower of two. No weights give a table of zeros. Order does not matter: shuffled
    weights give the same table, and their codes.

    With up to 20 * 2^nbits + 128 distinct weights the clustering is the best there is; with more, inertia
    may be some 0.01 % above the least. To both, rounding the means to binary32 adds, which is seen only where
    weights of a cluster differ in their last bits. Of the time for millions of weights, half goes to sorting.

    Raises NonFiniteError with the index for NaN and infinity. Rule: KM-1 to KM-4, LUT-1, LUT-2.
    """
    check_nbits(nbits)
    check_finite(weights)
    values, size = sorted(weights.tolist()), 1 << nbits
    table = _settled(values, _clusters(values, size)) if values else array("f", [0.0])
    table += table[-1:] * (size - len(table))
    return LutCodes(assign(weights, table), table, False)


def inertia(weights: array[float], codes: bytes, table: array[float]) -> float:
    """Sum of squared errors (w - table[code])^2 over a tensor: what k-means makes small. Rule: KM-4.

    Differences and squares are rounded to binary64, their sum is rounded once. No weights give 0.
    """
    errors = (w - table[code] for w, code in zip(weights, codes))
    return math.fsum(error * error for error in errors)


def assign(weights: array[float], table: array[float]) -> bytes:
    """Code each weight as its nearest entry of an ascending table, the lower of two. Rule: KM-2."""
    entries = sorted(set(table))
    nearest = bytes(map(partial(bisect_left, _halfways(entries)), weights))
    return nearest.translate(bytes(map(table.index, entries)).ljust(256))


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


def _clusters(values: list[float], size: int) -> list[int]:
    """Positions of the edges of `size` clusters of ascending weights; of fewer, if there are no more."""
    sums = {0: 0}
    price = 0
    for each, more in CELLS:
        count = each * size + more
        edges = _cells(values, count)
        if len(edges) - 1 <= size:
            return edges
        grid = _grid(values, edges, sums)
        few, many, price = _near(grid, size, price)
        if len(edges) - 1 < count:  # a cell for each distinct weight: there is no more to see
            return [edges[at] for at in _best_edges(grid, *_between(few, many, size))]
    return _closer(values, grid, _best_edges(grid, *_between(few, many, size)), sums)


def _cells(values: list[float], count: int) -> list[int]:
    """Cut ascending weights into `count` cells, or into one for each distinct weight, if these are fewer.

    The cell of the greatest count * width^2 is cut in the middle of its width, again and again. So cells
    get as wide as the inverse cube root of the density of weights, as clusters will.
    """
    edges = [0, len(values)]
    heap: list[tuple[float, int, int]] = []

    def put(start: int, stop: int) -> None:
        width = values[stop - 1] - values[start]
        if width:
            heappush(heap, (-(stop - start) * width * width, start, stop))

    put(0, len(values))
    while heap and len(edges) <= count:
        _, start, stop = heappop(heap)
        middle = bisect_right(values, (values[start] + values[stop - 1]) / 2, start, stop)
        edges.append(middle)
        put(start, middle)
        put(middle, stop)
    return sorted(edges)


def _grid(values: list[float], edges: list[int], sums: dict[int, int]) -> Grid:
    """Add up the weights before each edge. `sums` has what is known, and gets what is new."""
    for start, stop in zip(edges, edges[1:]):
        if stop not in sums:
            sums[stop] = sums[start] + int(math.fsum(values[start:stop]) * UNITS)
    return Grid(edges, [sums[edge] for edge in edges])


def _last_cluster(grid: Grid, worth: list[int], start: int, stop: int, end: int) -> tuple[int, int]:
    """Find the best start, from `start` up to but not with `stop`, of a cluster that ends at `end`.

    `worth` is that of all clusters before, for each start. Return the worth with this cluster, and its start.
    """
    edge, total = grid.edges[end], grid.sums[end]
    found = [
        before + (total - below) * (total - below) // (edge - at)
        for before, below, at in zip(worth, grid.sums[start:stop], grid.edges[start:stop])
    ]
    best = max(found)
    return best, start + found.index(best)


def _edges_at_price(grid: Grid, price: int) -> list[int]:
    """Find the edges, as indices of the grid, of greatest worth less `price` for each cluster.

    best[j] = max over i < j of best[i] + worth(i, j) - price. Where a later start is better for some end, it
    is for every later end (the worth is Monge: for a < b < c < d, worth(a, c) + worth(b, d) is no less than
    worth(a, d) + worth(b, c)); so no start before the last one found need be tried.
    """
    best, starts, start = [0], [0], 0
    for end in range(1, len(grid.edges)):
        worth, start = _last_cluster(grid, best[start:], start, end, end)
        best.append(worth - price)
        starts.append(start)
    path = [len(starts) - 1]
    while path[-1]:
        path.append(starts[path[-1]])
    return path[::-1]


def _near(grid: Grid, size: int, price: int) -> tuple[list[int], list[int], int]:
    """Find the best clusterings of a few clusters less than `size` and a few more, and a price for `size`.

    They are the same where a price buys `size`. Where weights are evenly spread, a small step in price can
    be a great step in number; then they are far apart. `price` is a first guess, 0 for none.
    """
    last = len(grid.edges) - 1
    few, many = [0, last], list(range(last + 1))
    clusters = zip(grid.edges, grid.edges[1:], grid.sums, grid.sums[1:])
    most = sum((after - before) ** 2 // (stop - start) for start, stop, before, after in clusters)
    low, high = 0, most - grid.sums[-1] ** 2 // grid.edges[-1] + 1
    # Inertia falls as 1 / k^2 with the number k of clusters, and what one more is worth as 1 / k^3.
    price = price or high // size**3
    for attempt in range(PRICES):
        if len(many) - len(few) <= 2 + size // 64 or high - low <= low >> 8:
            break
        astray = attempt > 4 and attempt % 2
        if astray or not low < price < high:
            price = math.isqrt((low + 1) * high)
        found = _edges_at_price(grid, price)
        bought = len(found) - 1
        if bought <= size:
            few, high = found, price
        if bought >= size:
            many, low = found, price
        price = price * bought**3 // size**3
    return few, many, price


def _between(few: list[int], many: list[int], size: int) -> tuple[list[int], list[int]]:
    """First and last place for each edge of the best `size` clusters, given the best fewer and more.

    Edges of fewer clusters come later, counted from the first one, and earlier, counted from the last.
    """
    lacking, spare = size + 1 - len(few), len(many) - size - 1
    firsts = map(max, many, [0] * lacking + few)
    lasts = map(min, many[spare:], few + few[-1:] * lacking)
    # Where several clusterings are best, one may have been found that is not between.
    pairs = [sorted(pair) for pair in zip(firsts, lasts)]
    return [first for first, _ in pairs], [last for _, last in pairs]


def _best_edges(grid: Grid, firsts: list[int], lasts: list[int]) -> list[int]:
    """Find the edges of greatest worth, as indices of the grid, with edge k from firsts[k] to lasts[k]."""
    best, base, steps = [0], 0, []
    for first, last, before in zip(firsts[1:], lasts[1:], lasts):
        start, worths, starts = base, [], []
        for end in range(first, last + 1):
            worth, start = _last_cluster(grid, best[start - base :], start, min(end, before + 1), end)
            worths.append(worth)
            starts.append(start)
        steps.append((first, starts))
        best, base = worths, first
    path = [lasts[-1]]
    for first, starts in reversed(steps):
        path.append(starts[path[-1] - first])
    return path[::-1]


def _closer(values: list[float], grid: Grid, path: list[int], sums: dict[int, int]) -> list[int]:
    """Look for better edges around those found, ever closer. Return positions."""
    for _ in range(LOOKS):
        inner = list(enumerate(path))[1:-1]
        lows = [0, *(grid.edges[max(at - REACH, k)] for k, at in inner), len(values)]
        highs = [0, *(grid.edges[min(at + REACH, path[-1])] for k, at in inner), len(values)]
        ways = [(low, high - low) for low, high in zip(lows, highs)]
        tried = {low + way * part // PARTS for low, way in ways for part in range(PARTS + 1)}
        grid = _grid(values, sorted(tried.union(grid.edges[at] for at in path)), sums)
        index = {edge: at for at, edge in enumerate(grid.edges)}
        path = _best_edges(grid, [index[low] for low in lows], [index[high] for high in highs])
    return [grid.edges[at] for at in path]


def _settled(values: list[float], edges: list[int]) -> array[float]:
    """Round the means of clusters to binary32, until the nearest weights of each are its cluster.

    A cluster that loses all its weights keeps its entry. Means cannot change places, rounded or not.
    """
    table = array("f", bytes(4 * (len(edges) - 1)))
    for _ in range(ROUNDS):
        runs = zip(edges, edges[1:], table)
        means = [math.fsum(values[a:b]) / (b - a) if a < b else entry for a, b, entry in runs]
        table = array("f", [entry + 0.0 for entry in array("f", means)])  # -0.0 + 0.0 is 0.0
        nearest = [0, *(bisect_right(values, half) for half in _halfways(table)), len(values)]
        if nearest == edges:
            break
        edges = nearest
    return table
