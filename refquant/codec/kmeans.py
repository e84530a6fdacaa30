"""One-dimensional k-means: the table of 2^n numbers that a tensor's weights lie closest to.

In one dimension a clustering is a choice of edges in the sorted weights, and the cost of a cluster, the
squared distances of its weights to their mean, comes from prefix sums without a look at the weights. So:

1. Sort, and make prefix sums of the weights and of their squares.
2. Put a price on each cluster and find the edges of least cost plus price, by a dynamic programme that
   goes through the candidates once. A higher price buys fewer clusters; look for the price that buys 2^n.
   What is bought at a price is the best clustering of its number of clusters.
3. Lloyd's iterations: means of the clusters, edges halfway between means, until nothing moves. Each takes
   2^n bisections.
   Of many weights, step 2 can only try some of the edges that there are; then both steps are taken once
   more, with the neighbours of the edges found so far.
4. Round the means to binary32, and code each weight as its nearest entry.

Sums are binary64: where a tensor mixes magnitudes that differ by more than some 2^25, such as 1e30 with
1e-3, the smaller weights' clusters may be far from the best.

Only additions, products, quotients, square roots and comparisons of binary64 numbers are used, in a fixed
order: the result is the same to the bit everywhere. Rule: KM-1 to KM-4.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from functools import partial
from itertools import accumulate
from typing import NamedTuple

from refquant.codec.finite import check_finite
from refquant.codec.lut import LutCodes
from refquant.codec.packing import check_nbits

#: Candidates for edges in the dynamic programme, about; with no more weights than that, all are candidates.
CANDIDATES = 4096

#: How far, in weights, the second round looks for better edges around those of the first.
REACH = 8

#: Prices that are tried, and iterations of Lloyd's that are made, at the most: both end long before.
PRICES = 40
ITERATIONS = 200

#: Places at which a cluster is tried when it must be split.
SPLITS = 64

#: Positions in the sorted weights where one cluster ends and the next begins, from 0 to their number.
Edges = list[int]


class Sorted(NamedTuple):
    """Sorted weights less a centre, which keeps the digits of sums, and the prefix sums over them."""

    values: array[float]
    sums: array[float]
    squares: array[float]
    centre: float

    def cost(self, start: int, stop: int) -> float:
        """Inertia of the cluster values[start:stop], which is not empty."""
        total = self.sums[stop] - self.sums[start]
        return self.squares[stop] - self.squares[start] - total * total / (stop - start)


def encode(weights: array[float], nbits: int) -> LutCodes:
    """Quantize float32 weights to `nbits` bits (1 to 8) with a table made by k-means over the tensor.

    The table has 2^nbits entries in ascending order. With no more distinct weights than entries they all
    are entries, the last repeated, and the error is zero (a negative zero becomes zero). Every weight is
    coded as the nearest entry, the lower of two. No weights give a table of zeros.

    Raises NonFiniteError with the index for NaN and infinity. Rule: KM-1 to KM-4, LUT-1, LUT-2.
    """
    check_nbits(nbits)
    check_finite(weights)
    table = _table(weights, 1 << nbits)
    return LutCodes(assign(weights, table), table, False)


def inertia(weights: array[float], codes: bytes, table: array[float]) -> float:
    """Sum of squared errors over a tensor, correctly rounded but for the squares. Rule: KM-4."""
    return math.fsum((w - table[code]) ** 2 for w, code in zip(weights, codes))


def assign(weights: array[float], table: array[float]) -> bytes:
    """Code each weight as its nearest entry of an ascending table, the lower of two. Rule: KM-2."""
    entries = sorted(set(table))
    bounds = [_halfway(a, b) for a, b in zip(entries, entries[1:])]
    nearest = bytes(map(partial(bisect_left, bounds), weights))
    return nearest.translate(bytes(map(table.index, entries)).ljust(256))


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


def _table(weights: array[float], entries: int) -> array[float]:
    few = len(set(weights[:CANDIDATES])) <= entries
    distinct = sorted({w + 0.0 for w in weights} or {0.0}) if few else []
    if few and len(distinct) <= entries:
        return array("f", distinct + distinct[-1:] * (entries - len(distinct)))
    data = _sorted(weights)
    edges = _clusters(data, entries)
    means = _means(data, edges)
    return array("f", means + means[-1:] * (entries - len(means)))


def _sorted(weights: array[float]) -> Sorted:
    ordered = sorted(weights)
    centre = ordered[len(ordered) // 2]
    values = array("d", [w - centre for w in ordered])
    del ordered
    sums = array("d", accumulate(values, initial=0.0))
    squares = array("d", accumulate((v * v for v in values), initial=0.0))
    return Sorted(values, sums, squares, centre)


def _clusters(data: Sorted, entries: int) -> Edges:
    """Find the edges of the clusters: among all that there are, or among some and then near the best."""
    total = len(data.values)
    edges = _best_edges(data, _candidates(data, CANDIDATES), _candidates(data, entries), entries)
    edges = _lloyd(data, edges)
    if total > CANDIDATES:
        steps = range(-REACH, REACH + 1)
        near = sorted({min(max(edge + step, 0), total) for edge in edges for step in steps})
        edges = _lloyd(data, _best_edges(data, near, edges, entries))
    return edges


def _best_edges(data: Sorted, candidates: Edges, start: Edges, entries: int) -> Edges:
    """Find the price that buys `entries` clusters, and the edges that it buys.

    `start` are any edges, from which a first price comes. Where the number of clusters jumps over
    `entries`, take the next lower one and split the clusters that gain most.
    """
    # Inertia falls as 1 / k^2, so that one cluster more is worth 2 / k of it.
    price = 2 * sum(data.cost(a, b) for a, b in zip(start, start[1:]) if b > a) / entries
    low, high, best = 0.0, math.inf, [0, len(data.values)]
    for _ in range(PRICES):
        edges = _edges_at_price(data, candidates, price)
        bought = len(edges) - 1
        if bought > entries:
            low = price
        else:
            high = price
            best = max(best, edges, key=len)
        if bought == entries or not low < high * (1 - 2.0**-40):
            break
        # Since inertia falls as 1 / k^2, the price falls as 1 / k^3; within known limits, go by halves.
        guess = price * (bought / entries) ** 3
        middle = (low + high) / 2 if high < math.inf else 8 * price
        price = guess if low < guess < high and abs(bought - entries) > 1 else middle
    return _split(data, best, entries)


def _candidates(data: Sorted, count: int) -> Edges:
    """Choose about `count` candidates for edges: between all distinct weights or, of many, some.

    Where weights lie h apart, an edge is placed every h^(-1/2) or so: between equal numbers of weights and
    equal distances, so that both the dense middle and the sparse tails get their share.
    """
    values = data.values
    total = len(values)
    if total <= count:
        return [0, *(i for i in range(1, total) if values[i] != values[i - 1]), total]
    steps = min(8 * count, total - 1)
    marks = [i * (total - 1) // steps for i in range(steps + 1)]
    reach = [0.0, *accumulate(math.sqrt(values[b] - values[a]) for a, b in zip(marks, marks[1:]))]
    wanted = (reach[-1] * i / count for i in range(1, count))
    return sorted({0, total, *(marks[bisect_left(reach, at)] for at in wanted)})


def _edges_at_price(data: Sorted, candidates: Edges, price: float) -> Edges:
    """Find the edges, among candidates, of least inertia plus `price` for each cluster.

    least[j] = min over i < j of least[i] + cost(i, j) + price. The cost of a cluster is concave in the
    sense of Monge: once a later start i2 is better than an earlier i1 for some end, it is for every later
    end. So the starts that are best for some end to come stand in a queue, each from the end at which it
    takes over, and every candidate joins and leaves the queue once.
    """
    sums = [data.sums[edge] for edge in candidates]
    last = len(candidates) - 1
    base = [0.0] * (last + 1)  # least[i] less the squares up to i, which cancel out of every comparison
    previous = [0] * (last + 1)
    starts, takes_over, head = [0], [1], 0

    def total(start: int, stop: int) -> float:
        """Least cost up to the candidate `stop` with a last cluster from `start`, less squares and price."""
        part = sums[stop] - sums[start]
        return base[start] - part * part / (candidates[stop] - candidates[start])

    for stop in range(1, last + 1):
        while head + 1 < len(starts) and takes_over[head + 1] <= stop:
            head += 1
        previous[stop] = starts[head]
        base[stop] = total(starts[head], stop) + price
        first = stop + 1
        while len(starts) > head:
            since = max(takes_over[-1], first)
            if since > last or total(stop, since) > total(starts[-1], since):
                break
            del starts[-1], takes_over[-1]
        else:
            starts.append(stop)
            takes_over.append(first)
            continue
        # The last start is better at `since`: find the end at which this one overtakes it, if it does.
        low, high = since, last + 1
        while high - low > 1:
            middle = (low + high) // 2
            if total(stop, middle) <= total(starts[-1], middle):
                high = middle
            else:
                low = middle
        if high <= last:
            starts.append(stop)
            takes_over.append(high)
    edges = [last]
    while edges[-1]:
        edges.append(previous[edges[-1]])
    return [candidates[edge] for edge in reversed(edges)]


def _split(data: Sorted, edges: Edges, entries: int) -> Edges:
    """Split the clusters that gain most until there are `entries`, or nothing gains."""
    while len(edges) <= entries:
        gains = sorted((_best_split(data, a, b) for a, b in zip(edges, edges[1:]) if b - a > 1), reverse=True)
        found = [at for gain, at in gains[: entries + 1 - len(edges)] if gain > 0]
        if not found:
            break
        edges = sorted([*edges, *found])
    return edges


def _best_split(data: Sorted, start: int, stop: int) -> tuple[float, int]:
    """How much the best split of a cluster gains, and where it is, out of SPLITS places."""
    whole = data.cost(start, stop)
    places = range(start + 1, stop, max(1, (stop - start) // SPLITS))
    return max((whole - data.cost(start, at) - data.cost(at, stop), at) for at in places)


def _lloyd(data: Sorted, edges: Edges) -> Edges:
    """Move every edge halfway between the means beside it, until none moves. Clusters may run empty."""
    for _ in range(ITERATIONS):
        means = _centred_means(data, edges)
        moved = [bisect_right(data.values, (a + b) / 2) for a, b in zip(means, means[1:])]
        moved = [0, *moved, len(data.values)]
        if moved == edges:
            break
        edges = moved
    return edges


def _means(data: Sorted, edges: Edges) -> list[float]:
    return sorted(mean + data.centre + 0.0 for mean in _centred_means(data, edges))


def _centred_means(data: Sorted, edges: Iterable[int]) -> list[float]:
    ends = list(edges)
    return [(data.sums[b] - data.sums[a]) / (b - a) for a, b in zip(ends, ends[1:]) if b > a]
