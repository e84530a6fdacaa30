"""Chapter 7, the short way: a clustering that is nearly the best, against the best."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations
from typing import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refquant.codec import clusters, nearly
from refquant.codec.clusters import UNITS, Grid
from tests.codec.runs import SHAPES, SQUARED_UNIT, ascending, normal
from tests.hard import GREATEST, TINY, after, numbers

some = st.lists(numbers, min_size=3, max_size=60)
plain = st.lists(st.floats(-2, 2, width=32), min_size=3, max_size=60)
#: Weights at equal distances, so that many clusterings are the best and many prices buy any of several.
even = st.lists(st.integers(-9, 9).map(float), min_size=3, max_size=40)


def every(values: list[float]) -> Grid:
    """A grid that allows every edge between ascending weights that differ."""
    stored = ascending(values)
    return clusters.grid(stored, clusters.distinct(stored))


def worth(grid: Grid, path: list[int]) -> int:
    """Worth of a clustering in squared units, exactly but for what quotients lose."""
    return clusters._clustering(grid, path).worth


def noted_prices(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Prices at which clusters are bought, in order."""
    tried: list[float] = []
    buy = nearly._buy

    def noted(points: nearly.Points, price: float) -> nearly.Bought | None:
        tried.append(price)
        return buy(points, price)

    monkeypatch.setattr(nearly, "_buy", noted)
    return tried


def lost(grid: Grid, path: list[int]) -> int:
    """Inertia in squared units, but for that within cells."""
    return worth(grid, list(range(len(grid.edges)))) - worth(grid, path)


class TestBest:
    """What a search ends with is worth nearly the most, or there is no answer."""

    @given(st.one_of(plain, even, some), st.integers(2, 20))
    @example([GREATEST, -GREATEST, 1e6, after(1e6), 1e-3, 2e-3, TINY, -TINY], 4)
    @example([1e6, after(1e6), after(1e6, 2), after(1e6, 4), after(1e6, 7), after(1e6, 8)], 3)
    @example([TINY * i for i in (1, 2, 3, 50, 51, 90)], 2)
    @example([float(i) for i in range(30)], 7)
    def test_against_the_best(self, values: list[float], size: int) -> None:
        grid = every(values)
        if len(grid.edges) - 1 <= size:
            return
        path, _ = nearly.best(grid, size)
        best, _ = clusters.best(grid, size)
        if path is None:
            return
        assert (path[0], path[-1], len(path)) == (0, len(grid.edges) - 1, size + 1)
        assert path == sorted(set(path))
        allowed = 1 + Fraction(nearly.SLACK) + Fraction(nearly.ROUNDING) * 2
        assert lost(grid, path) <= lost(grid, best) * allowed + 2 * len(grid.edges)

    @given(plain, st.integers(2, 20))
    def test_plain_weights_have_an_answer(self, values: list[float], size: int) -> None:
        grid = every([float(round(value * 1024)) for value in values])
        if len(grid.edges) - 1 > size:
            assert nearly.best(grid, size)[0]

    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("size", [2, 3, 16, 50, 128])
    def test_few_prices_are_tried(self, shape: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        tried = noted_prices(monkeypatch)
        grid = every(SHAPES[shape](normal(2000, size).tolist()))
        nearly.best(grid, size)
        assert len(tried) <= 8

    def test_no_answer_where_rounding_may_cost_too_much(self) -> None:
        grid = every([*normal(300, 1), 1e9])
        assert nearly.best(grid, 16)[0] is None

    @pytest.mark.parametrize("quarter", range(40, 80))
    def test_how_much_rounding_is_too_much(self, quarter: int) -> None:
        """It is where what may be lost is more than 2^-12 of the inertia."""
        grid = every([*normal(200, 1), 2 ** (quarter / 4)])
        path, _ = nearly.best(grid, 16)
        least = lost(grid, clusters.best(grid, 16)[0]) * SQUARED_UNIT
        part = 200 * Fraction(nearly._points(grid).rounding) / least * 2**12
        assert (path is None) == (part > 1) or Fraction(9, 10) < part < Fraction(11, 10)

    def test_no_answer_where_a_cluster_takes_too_long(self) -> None:
        # 300 weights are as good as one beside the others, and make a long cluster.
        values = [*(w / 2000 for w in normal(300, 1)), *map(float, range(1, 9))]
        assert nearly.best(every(values), 9)[0] is None


class TestSearch:
    """How prices follow one another, told by what is said to be bought at them.

    The weights are 0 to 39. Cut into k runs of c, they have the inertia k (c^3 - c) / 12, which makes 5330 of
    one run, 330 of four, 210 of five, 80 of eight, and 50 of ten.
    """

    @pytest.fixture
    def told(self, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[int] | None, list[float]]]:
        """Search for 6 clusters from the price 1, with so many bought, one after the other."""

        def search(*bought: int, first: float = 1.0) -> tuple[list[int] | None, list[float]]:
            tried: list[float] = []
            rest = iter(bought)

            def buy(points: nearly.Points, price: float) -> nearly.Bought:
                tried.append(price)
                count = next(rest)
                path = [0, 7, 14, 21, 28, 34, 40] if count == 6 else list(range(0, 41, 40 // count))
                return nearly._clustering(points, path)

            monkeypatch.setattr(nearly, "_price", lambda points, size: first)
            monkeypatch.setattr(nearly, "_buy", buy)
            path, price = nearly.best(every([float(i) for i in range(40)]), 6)
            assert list(rest) == []
            assert price * SQUARED_UNIT == pytest.approx(tried[-1])
            return path, tried

        return search

    def test_in_every_way(
        self, told: Callable[..., tuple[list[int], list[float]]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(nearly, "SLACK", -1e9)  # nothing is near enough
        path, tried = told(10, 10, 4, 4, 5, 8, 8)
        expected = [1.0]
        expected.append(expected[-1] * (10 / 6 * 7 / 6) ** 3)  # a quarter of 4 beyond
        expected.append(expected[-1] * (10 / 6 * 8 / 6) ** 3)  # nothing came of it: twice as far
        expected.append(expected[-1] * (4 / 6 * 6 / 7) ** 3)  # 1 beyond, at least
        expected.append((330 - 50) / 6)  # there are few and many, and it brought nothing: a fair price
        expected.append(expected[-1] * (5 / 6 * 6 / 7) ** 3)
        # The guess from 8 would be more than the price of 5.
        expected.append((210 - 80) / 3)
        assert tried == pytest.approx(expected)
        # Nothing between 5 and 8 is bought at the fair price. (10, 15) lies within (8, 16), there they join.
        assert path == [0, 5, 10, 16, 24, 32, 40]

    @pytest.mark.parametrize(("far", "factor"), [(20, 20 / 6 * 9 / 6), (2, 2 / 6 * 6 / 7), (1, 1 / 6)])
    def test_how_far_the_next_is(
        self,
        far: int,
        factor: float,
        told: Callable[..., tuple[list[int], list[float]]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(nearly, "SLACK", -1e9)
        path, tried = told(far, 6)
        assert tried == pytest.approx([1.0, factor**3])
        assert path == [0, 7, 14, 21, 28, 34, 40]

    def test_near_enough(self, told: Callable[..., tuple[list[int], list[float]]]) -> None:
        # These are no prices that buy 10 and 5: so the bound from 5, 5120 and one price, is too low.
        path, tried = told(10, 5)
        assert tried == pytest.approx([1.0, (10 / 6 * 7 / 6) ** 3])
        assert path == [0, 4, 8, 16, 24, 32, 40]

    def test_the_first_few_are_one(
        self, told: Callable[..., tuple[list[int], list[float]]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(nearly, "SLACK", -1e9)
        # The guess is more than what all clusters are worth: 10 are worth 5280, and one is worth nothing.
        _, tried = told(10, 6, first=2000.0)
        assert tried == pytest.approx([2000.0, 5280 / 9])
        monkeypatch.setattr(nearly, "SLACK", 1e9)
        assert told(10)[0] == [0, 4, 8, 12, 16, 20, 40]

    def test_low_prices(
        self, told: Callable[..., tuple[list[int], list[float]]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(nearly, "SLACK", -1e9)
        _, tried = told(10, 10, 10, 10, 4, 4, 6, first=1e-7)
        assert tried[-1] == pytest.approx((330 - 50) / 6)


class TestBuying:
    """What is bought at a price is worth most, less that price for each cluster, but for rounding."""

    @given(st.one_of(some, even), st.floats(0, 1, width=32))
    @example([0.0, 1.0, 2.0, 3.0], 0.5)
    def test_against_whole_numbers(self, values: list[float], part: float) -> None:
        grid = every(values)
        if len(grid.edges) < 3:
            return
        points = nearly._points(grid)
        price = nearly._all(points).worth * part
        found = nearly._buy(points, price)
        assert found is not None
        whole = int(price * UNITS * UNITS)
        best = clusters.buy(grid, whole)
        less = best.profit(whole) - (worth(grid, found.path) - whole * found.clusters)
        most = max(best.clusters, found.clusters) * Fraction(points.rounding) / SQUARED_UNIT
        assert less <= most + 2 * len(grid.edges)

    def test_worth_by_hand(self) -> None:
        # The mean is 2: apart, the differences from it are -2, -1 and 3; the first two together -3.
        points = nearly._points(every([0.0, 1.0, 5.0]))
        assert (points.counts, points.sums) == ([0.0, 1.0, 2.0, 3.0], [0.0, -2.0, -3.0, 0.0])
        assert points.rounding == 42 * 2.0**-53 * 3 * 3
        assert nearly._buy(points, 0.0) == ([0, 1, 2, 3], 14.0)
        assert nearly._buy(points, 1.0) == ([0, 2, 3], 13.5)
        assert nearly._buy(points, 20.0) == ([0, 3], 0.0)
        found = [nearly._buy(points, price) for price in (0.0, 1.0, 20.0)]
        assert [bought and bought.clusters for bought in found] == [3, 2, 1]

    def test_of_equals_it_is_the_one_with_the_longest_last_cluster(self) -> None:
        """KM-3: what is found is the same every time."""
        assert nearly._buy(nearly._points(every([0.0, 1.0, 2.0])), 1.0) == ([0, 1, 3], 1.5)

    @pytest.mark.parametrize(("count", "found"), [(154, True), (155, False)])
    def test_how_long_is_too_long(self, count: int, found: bool) -> None:
        # One cluster: end i has i starts. 65 + ... + 154 is 9855, less than 64 * 155; 155 more are too many.
        points = nearly._points(every([float(i) for i in range(count)]))
        assert (nearly._buy(points, 1e9) is not None) == found


class TestFirstPrice:
    """The first price buys about as many clusters as are wanted."""

    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("size", [16, 50, 128])
    def test_is_good(self, shape: str, size: int) -> None:
        values = ascending(SHAPES[shape](normal(5000, size).tolist()))
        grid = clusters.grid(values, sorted(clusters.cells(values, 8 * size)))
        price = nearly._price(nearly._points(grid), size)
        assert size / 2 <= clusters.buy(grid, int(price * UNITS * UNITS)).clusters <= size * 1.1

    def test_of_even_cells(self) -> None:
        # Joining two costs a half: at this price each of 999 edges has the share 50 / 999.
        points = nearly._points(every([float(i) for i in range(1000)]))
        assert nearly._price(points, 50) == pytest.approx((999 / 50) ** 3 / 6, rel=0.06)

    def test_of_edges_that_gain_much(self) -> None:
        # One edge of two groups is bought whole: 198 have to make up for the rest.
        values = [float(i) for i in range(100)] + [1e6 + i for i in range(100)]
        price = nearly._price(nearly._points(every(values)), 11)
        assert price == pytest.approx((198 / 10) ** 3 / 6, rel=0.06)

    def test_of_cells_that_differ(self) -> None:
        # 1, 3, 6 and 1 weights of 0, 1, 3 and 9: joining costs 3 / 4, 4 * 18 / 9, 36 * 6 / 7.
        points = nearly.Points([0.0, 1.0, 4.0, 10.0, 11.0], [0.0, 0.0, 3.0, 21.0, 30.0], 0.0)
        roots = 0.75 ** (1 / 3) + 8 ** (1 / 3) + (216 / 7) ** (1 / 3)
        assert nearly._price(points, 1) == pytest.approx(roots**3 / 3, rel=0.06)

    def test_of_as_many_edges_that_gain_anything(self) -> None:
        # Costs that are nothing beside the others: there is nothing to make up for.
        points = nearly.Points([0.0, 1.0, 2.0, 3.0], [0.0, -1.0, -1.0 - 1e-200, 0.0], 0.0)
        assert nearly._price(points, 1) > 0
        assert nearly._price(nearly.Points([0.0, 1.0, 2.0], [0.0, 0.0, 0.0], 0.0), 1) == 0.0

    @pytest.mark.parametrize("exponent", [-900, -299, -2, -1, 0, 1, 2, 3, 250, 900])
    @pytest.mark.parametrize("part", [0.5, 0.6, 0.75, 0.9, 0.999])
    def test_cube_root(self, part: float, exponent: int) -> None:
        root = Fraction(nearly._root(math.ldexp(part, exponent)))
        assert Fraction(94, 100) < root**3 / Fraction(math.ldexp(part, exponent)) < Fraction(106, 100)

    def test_cube_root_of_nothing(self) -> None:
        assert nearly._root(0.0) == 0.0


def around(path: list[int], last: int) -> Iterator[list[int]]:
    """List every path of as many clusters whose edges are within reach of those of this one."""
    for edges in combinations(range(1, last), len(path) - 2):
        if all(abs(a - b) <= nearly.REACH for a, b in zip(edges, path[1:])):
            yield [0, *edges, last]


class TestNudging:
    """All edges move at once, to the best places within reach."""

    @given(plain, st.data())
    def test_against_all_within_reach(self, values: list[float], data: st.DataObject) -> None:
        grid = every([float(round(value * 64)) for value in values[:9]])
        last = len(grid.edges) - 1
        if last < 2:
            return
        inner = data.draw(st.sets(st.integers(1, last - 1), max_size=4))
        path = [0, *sorted(inner), last]
        moved = nearly._moved(nearly._points(grid), path)
        best = max(worth(grid, other) for other in around(path, last))
        assert moved in list(around(path, last))
        assert worth(grid, moved) * SQUARED_UNIT == pytest.approx(float(best * SQUARED_UNIT), rel=1e-12)

    def test_by_hand(self) -> None:
        grid = every([0.0, 1.0, 2.0, 10.0, 11.0, 12.0])
        assert nearly.nudged(grid, [0, 1, 6]) == [0, 3, 6]
        assert nearly.nudged(grid, [0, 5, 6]) == [0, 3, 6]

    def test_no_further_than_the_reach(self) -> None:
        grid = every([0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0])
        assert nearly.nudged(grid, [0, 1, 7]) == [0, 3, 7]

    def test_no_answer_where_rounding_may_cost_too_much(self) -> None:
        assert nearly.nudged(every([0.0, 1.0, 2.0, 3.0, 1e9]), [0, 1, 4, 5]) is None


@given(some)
def test_rounding_is_of_the_greatest_sum_and_mean(values: list[float]) -> None:
    grid = every(values)
    if len(grid.edges) < 3:
        return
    points = nearly._points(grid)
    mean = Fraction(grid.sums[-1] // grid.edges[-1])
    exact = [(total - mean * edge) / Fraction(UNITS) for edge, total in zip(grid.edges, grid.sums)]
    stored = array("d", sorted(set(ascending(values))))
    furthest = max(abs(Fraction(value) - mean / Fraction(UNITS)) for value in (stored[0], stored[-1]))
    bound = furthest * max(map(abs, exact))
    assert points.rounding == pytest.approx(float(42 * bound / 2**53), rel=1e-9)
