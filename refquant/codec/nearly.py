"""Nearly the best clustering of sorted weights, many times faster than the best.

`refquant.codec.clusters` says what is best, and finds it in whole numbers that lose nothing. Here the same
search is made in binary64 numbers, from a better first price, and ends where what it has is near enough.
Then all edges move at once, each to a better place around its own. How much rounding can cost is known:
where that is too much, or where it would all take too long, there is no answer, and the other search has to
find one.

Nothing but sums, differences, products and quotients is made of these numbers, and they are nowhere near the
ends of their range: every platform rounds them alike.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from refquant.codec.clusters import UNITS, Grid, joined

#: How far above the least inertia between the cells of a grid a search may end: 0.03 %.
SLACK = 0.0003

#: The greatest part of the inertia that rounding may cost.
ROUNDING = 2.0**-12

#: More starts than these are many for the last cluster up to an end, if they are as many for all ends.
LONG = 64

#: How many cells away from its place the best place of an edge is looked for.
REACH = 2

#: Cube roots of 1, 2 and 4, nearly.
ROOTS = (1.0, 1.26, 1.587)


class Points(NamedTuple):
    """The edges of a grid in binary64."""

    #: Number of weights before each edge.
    counts: list[float]
    #: The sum of their differences from the mean of all weights.
    sums: list[float]
    #: How much less than the best a clustering that was found may be worth, for each of its clusters.
    rounding: float


class Bought(NamedTuple):
    """A clustering: `path` has the indices of its edges in a grid, `worth` leaves out the mean of all."""

    path: list[int]
    worth: float

    @property
    def clusters(self) -> int:
        """Number of clusters."""
        return len(self.path) - 1


def best(grid: Grid, size: int) -> tuple[list[int] | None, int]:
    """Find a path to `size` clusters that are worth nearly the most, and a price that buys nearly as many.

    There must be more than `size` cells in the grid. Path and price are as `clusters.best` gives them. None
    is the path where rounding may have cost too much, or where it would take too long.
    """
    points, last = _points(grid), len(grid.edges) - 1
    few, many = _clustering(points, [0, last]), _all(points)
    everything = bound = many.worth
    low, high = 0.0, everything
    price, step, fair = _price(points, size), 0, False
    while True:
        found = _buy(points, price)
        if not found or found.clusters == size:
            break
        # What is bought at a price is worth most, less that price for each: so `size` clusters are worth no
        # more than that and the price for `size`.
        bound = min(bound, found.worth + price * (size - found.clusters))
        closer = few.clusters < found.clusters < many.clusters
        # Aim a little beyond, and twice as far where nothing came of it: so there are soon few and many.
        step = max(1, abs(found.clusters - size) // 4) if closer else 2 * step
        ratio = found.clusters / size
        if found.clusters < size:
            few, high = found if closer else few, price
            guess = price * _cube(ratio / (1 + step / size))
        else:
            many, low = found if closer else many, price
            guess = price * _cube(ratio * (1 + step / size))
        between = _clustering(points, joined(few.path, many.path, size))
        if bound - between.worth <= SLACK * (everything - bound) or (fair and not closer):
            found = between
            break
        both = low > 0 and high < everything
        fair = not low < guess < high or (both and not closer)
        price = (many.worth - few.worth) / (many.clusters - few.clusters) if fair else guess
    known = found and last * points.rounding <= ROUNDING * (everything - found.worth)
    return found.path if found and known else None, int(price * UNITS * UNITS)


def nudged(grid: Grid, path: list[int]) -> list[int] | None:
    """Move the edges of a path to the best places, all at once, that are within REACH cells of theirs.

    None where rounding may have cost too much.
    """
    points = _points(grid)
    moved = _clustering(points, _moved(points, path))
    lost = _all(points).worth - moved.worth
    return moved.path if moved.clusters * points.rounding <= ROUNDING * lost else None


def _points(grid: Grid) -> Points:
    edges, totals = grid
    mean = totals[-1] // edges[-1]
    counts = list(map(float, edges))
    sums = [(total - mean * edge) / UNITS for edge, total in zip(edges, totals)]
    # Each sum is rounded, so is the difference of two, and then what is made of that: less than 21 roundings
    # for each cluster, of at most the greatest sum by the greatest mean. Two clusterings are compared.
    first, final = sums[1] / counts[1], -sums[-2] / (counts[-1] - counts[-2])
    return Points(counts, sums, 42 * 2.0**-53 * max(-first, final) * max(map(abs, sums)))


def _all(points: Points) -> Bought:
    return _clustering(points, list(range(len(points.counts))))


def _clustering(points: Points, path: list[int]) -> Bought:
    counts, sums = ([part[at] for at in path] for part in points[:2])
    clusters = zip(counts, counts[1:], sums, sums[1:])
    worths = [(after - before) * (after - before) / (stop - start) for start, stop, before, after in clusters]
    return Bought(path, math.fsum(worths))


def _price(points: Points, size: int) -> float:
    """Guess the price that buys `size` clusters.

    Where all cells are alike, and joining two of them costs g, a cluster of j has the inertia j^3 * g / 6.
    Then all k clusters of n cells have n^3 * g / 6 k^2, and one more of them gains j^3 * g / 3. So at a price
    p one edge in j is bought: each has the share (g / 3p)^(1/3) in that. Where cells are not alike, their
    shares are not; and no edge has more than one.
    """
    counts, sums, _ = points
    numbers = [b - a for a, b in zip(counts, counts[1:])]
    means = [(b - a) / number for a, b, number in zip(sums, sums[1:], numbers)]
    neighbours = zip(numbers, numbers[1:], means, means[1:])
    costs = [(y - x) * (y - x) * m * n / (m + n) for m, n, x, y in neighbours]
    roots = sorted(map(_root, costs), reverse=True)
    rest = math.fsum(roots)
    for bought, root in enumerate(roots):
        if root * (size - bought) < rest:
            return _cube(rest / (size - bought)) / 3
        rest -= root
    return 0.0


def _root(x: float) -> float:
    """Cube root, within 2 %: the same one everywhere, which libraries do not promise."""
    part, exponent = math.frexp(x)
    return math.ldexp((0.59 + 0.41 * part) * ROOTS[exponent % 3], exponent // 3) if x else 0.0


def _cube(x: float) -> float:
    return x * x * x


def _buy(points: Points, price: float) -> Bought | None:
    """Find the clustering of greatest worth less `price` for each cluster, as `clusters.buy` does.

    The best start for an end is not before the best one for the end before: from that on, all are tried.
    None where that takes long.
    """
    counts, sums, _ = points
    # The starts to try: what is worth most up to each of them, and the sum and the count before it.
    line = [(0.0, 0.0, 0.0)]
    first, starts = 0, [0]
    patience = LONG * len(counts)
    for total, count in zip(sums[1:], counts[1:]):
        profits = [profit + (total - s) * (total - s) / (count - c) for profit, s, c in line]
        greatest = max(profits)
        skipped = profits.index(greatest)
        if skipped:
            first += skipped
            del line[:skipped]
        elif len(line) > LONG:
            patience -= len(line)
            if patience < 0:
                return None
        starts.append(first)
        line.append((greatest - price, total, count))
    path = [len(counts) - 1]
    while path[-1]:
        path.append(starts[path[-1]])
    return _clustering(points, path[::-1])


def _moved(points: Points, path: list[int]) -> list[int]:
    """Find the best path of as many clusters whose edges are at most REACH from those of this one."""
    counts, sums, _ = points
    size, last = len(path) - 1, len(counts) - 1
    line, before = [(0.0, 0.0, 0.0)], 0
    starts: list[tuple[int, list[int]]] = []
    for number, at in enumerate(path[1:], 1):
        places = range(max(at - REACH, number), min(at + REACH, last - size + number) + 1)
        chosen, following = [], []
        for end in places:
            total, count = sums[end], counts[end]
            # Some starts may be behind this end, but never the first, which is before all ends.
            profits = [
                profit + (total - s) * (total - s) / (count - c) for profit, s, c in line[: end - before]
            ]
            greatest = max(profits)
            chosen.append(before + profits.index(greatest))
            following.append((greatest, total, count))
        line, before = following, places.start
        starts.append((before, chosen))
    moved = [last]
    for before, chosen in reversed(starts):
        moved.append(chosen[moved[-1] - before])
    return moved[::-1]
