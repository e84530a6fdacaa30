"""Chapter 7: the best clustering of sorted weights, against every clustering where they are few."""

from __future__ import annotations

from array import array
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refquant.codec import clusters
from tests.codec.runs import SQUARED_UNIT, ascending, clusterings, inertia_of_runs, least_of_all, normal
from tests.hard import GREATEST, TINY, after, numbers

some = st.lists(numbers, min_size=1, max_size=60)
few = st.lists(numbers, min_size=2, max_size=9)
#: Weights at equal distances, so that many clusterings are the best and many prices buy any of several.
even = st.lists(st.integers(-9, 9).map(float), min_size=2, max_size=11)


def every(values: list[float]) -> clusters.Grid:
    """A grid that allows every edge between ascending weights that differ."""
    stored = ascending(values)
    return clusters.grid(stored, clusters.distinct(stored))


class TestEdges:
    """Where edges may be: between cells, or between all weights that differ."""

    @given(some, st.integers(1, 40))
    def test_cells_hold_runs_of_equal_weights_whole(self, values: list[float], count: int) -> None:
        stored = ascending(values)
        edges = sorted(clusters.cells(stored, count))
        assert (edges[0], edges[-1]) == (0, len(stored))
        assert len(edges) - 1 == min(count, len(set(stored)))
        assert all(stored[edge - 1] < stored[edge] for edge in edges[1:-1])

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ([0.0, 0.25, 0.5, 0.75, 1.0, 9.0, 12.0], [0, 5, 6, 7]),  # 5 * 1^2 < 2 * 3^2
            ([0.0, 0.6, 0.9, 3.0, 9.0, 11.5], [0, 3, 4, 6]),  # 4 * 3^2 > 2 * 2.5^2
        ],
    )
    def test_the_cell_of_the_greatest_count_times_width_squared_is_cut(
        self, values: list[float], expected: list[int]
    ) -> None:
        assert sorted(clusters.cells(ascending(values), 3)) == expected

    def test_weights_in_the_middle_belong_to_the_lower_cell(self) -> None:
        assert sorted(clusters.cells(ascending([0.0, 0.5, 0.5, 1.0]), 2)) == [0, 3, 4]

    @given(some, st.integers(1, 20), st.integers(0, 20))
    def test_the_first_edges_are_those_of_fewer_cells(self, values: list[float], few: int, more: int) -> None:
        stored = ascending(values)
        assert clusters.cells(stored, few + more)[: few + 1] == clusters.cells(stored, few)

    @given(some)
    def test_distinct_weights_are_cells_enough(self, values: list[float]) -> None:
        stored = ascending(values)
        assert clusters.distinct(stored) == sorted(clusters.cells(stored, len(stored) + 1))

    def test_the_least_number_is_2_to_31_units(self) -> None:
        assert every([0.0, TINY]).sums == [0, 0, 2**31]

    @given(some)
    def test_sums_of_distinct_weights_are_exact(self, values: list[float]) -> None:
        stored = ascending(values)
        edges, sums = every(values)
        for edge, total in zip(edges, sums):
            assert Fraction(total) == sum(map(Fraction, stored[:edge])) * Fraction(clusters.UNITS)


class TestBuying:
    """What is bought at a price is worth most, less that price for each cluster."""

    @given(st.one_of(few, even), st.floats(0, 1, width=32))
    @example([0.0, 1.0, 2.0, 3.0], 0.5)
    def test_against_every_clustering(self, values: list[float], part: float) -> None:
        grid = every(values)
        price = int(clusters.UNITS**2 * part)
        found = clusters.buy(grid, price)
        stored, inner = ascending(values), grid.edges[1:-1]
        choices = (
            (0, *chosen, len(stored))
            for size in range(len(inner) + 1)
            for chosen in combinations(inner, size)
        )

        def cost(edges: tuple[int, ...]) -> Fraction:
            return inertia_of_runs(stored, edges) + (len(edges) - 1) * price * SQUARED_UNIT

        edges = tuple(grid.edges[at] for at in found.path)
        assert cost(edges) <= min(map(cost, choices)) + len(edges) * SQUARED_UNIT
        squares = sum(Fraction(value) ** 2 for value in stored)
        assert squares - found.worth * SQUARED_UNIT >= inertia_of_runs(stored, edges)
        assert squares - found.worth * SQUARED_UNIT <= cost(edges) + len(edges) * SQUARED_UNIT

    def test_a_high_price_buys_one_cluster_and_none_buys_all(self) -> None:
        grid = every([1.0, 2.0, 4.0])
        assert clusters.buy(grid, int(clusters.UNITS**2) * 100).path == [0, 3]
        assert clusters.buy(grid, 0).path == [0, 1, 2, 3]

    def test_worth_and_profit_by_hand(self) -> None:
        unit = int(clusters.UNITS) ** 2
        for price in (0, 1):
            found = clusters.buy(every([1.0, 2.0, 2.0]), price)
            assert (found.path, found.worth, found.clusters) == ([0, 1, 2], 9 * unit, 2)
            assert found.profit(price) == 9 * unit - 2 * price
            assert found == clusters._clustering(every([1.0, 2.0, 2.0]), found.path)

    def test_of_equals_it_is_the_one_with_the_longest_last_cluster(self) -> None:
        """KM-3: what is found is the same every time."""
        unit = int(clusters.UNITS) ** 2
        assert clusters.buy(every([0.0, 1.0, 2.0]), unit).path == [0, 1, 3]
        assert clusters.buy(every([0.0, 1.0]), unit // 2).path == [0, 2]

    @pytest.mark.parametrize(
        ("part", "most"),
        [
            (1e-9, 1.5),  # A new start's turn comes next.
            (1e-3, 6.0),
            (1e9, 22.0),  # No turn comes: seen by doubling steps, and halving the last.
        ],
    )
    def test_how_much_work_it_is(self, part: float, most: float, monkeypatch: pytest.MonkeyPatch) -> None:
        # An end is compared with a few starts, however many there are.
        compared = 0
        queue = clusters._queue

        def counted(line, start, better, last):  # type: ignore[no-untyped-def]
            def counting(*places: int) -> bool:
                nonlocal compared
                compared += 1
                return bool(better(*places))

            queue(line, start, counting, last)

        monkeypatch.setattr(clusters, "_queue", counted)
        for count in (500, 1000, 2000):
            compared, grid = 0, every(normal(count, 1).tolist())
            clusters.buy(grid, int(clusters.UNITS**2 * part))
            assert compared < most * len(grid.edges)


class TestJoining:
    """Two clusterings are joined where a cluster of the many first ends within one of the few."""

    @pytest.mark.parametrize(
        ("few", "many", "joined"),
        [
            ([0, 4, 5, 8], [0, 2, 4, 6, 7, 8], [0, 2, 4, 5, 8]),  # (2, 4) ends where (0, 4) does
            ([0, 3, 5, 8], [0, 2, 4, 6, 7, 8], [0, 2, 4, 6, 8]),  # (6, 7) ends within (5, 8)
            ([0, 7, 8], [0, 1, 2, 3, 4, 8], [0, 1, 2, 7, 8]),  # (2, 3) ends within (0, 7)
        ],
    )
    def test_by_hand(self, few: list[int], many: list[int], joined: list[int]) -> None:
        assert clusters.joined(few, many, 4) == joined


class TestBest:
    """The least inertia of all clusterings into so many clusters: exactly, whatever mixes."""

    @given(st.one_of(few, even), st.integers(1, 5))
    @example([GREATEST, -GREATEST, 1e6, after(1e6), 1e-3, 2e-3, TINY, -TINY], 4)
    @example([1e6, after(1e6), after(1e6, 2), after(1e6, 4), after(1e6, 7), after(1e6, 8)], 3)
    @example([TINY * i for i in (1, 2, 3, 50, 51, 90)], 2)
    @example([0.0, 0.0, 0.0, 1e-3, 1e-3, 1e4], 2)
    @example([-5.0, -5.0, 5.0, 5.0, 5.5, -4.5], 2)
    @example([float(i) for i in range(9)], 4)
    def test_against_every_clustering(self, values: list[float], size: int) -> None:
        stored, grid = ascending(values), every(values)
        size = min(size, len(grid.edges) - 1)
        path, _ = clusters.best(grid, size)
        assert len(path) == size + 1
        assert inertia_of_runs(stored, [grid.edges[at] for at in path]) == least_of_all(stored, size)

    @pytest.mark.parametrize("size", [2, 3, 7, 10, 33, 64, 99])
    def test_evenly_spread(self, size: int) -> None:
        # Where all gains in a row are equal no price buys `size` clusters, and two clusterings are joined.
        values = ascending([float(i) for i in range(100)])
        path, _ = clusters.best(every(values.tolist()), size)
        # The best clusters are as equal in length as they can be; c in a row have the inertia (c^3 - c) / 12.
        longer, length = 100 % size, 100 // size
        least = longer * Fraction((length + 1) ** 3 - length - 1, 12) + (size - longer) * Fraction(
            length**3 - length, 12
        )
        assert inertia_of_runs(values, path) == least

    @given(st.lists(numbers, min_size=30, max_size=90), st.integers(2, 20), st.integers(0, 2**300))
    def test_the_first_guess_only_saves_time(self, values: list[float], size: int, price: int) -> None:
        grid = every(values)
        size = min(size, len(grid.edges) - 1)

        def worth(price: int) -> int:
            return clusters._clustering(grid, clusters.best(grid, size, price)[0]).worth

        assert abs(worth(price) - worth(0)) <= len(grid.edges)

    @given(few, st.integers(1, 5))
    @example([0.0, 1.0], 1)
    def test_the_price_buys_a_clustering_worth_as_much(self, values: list[float], size: int) -> None:
        grid = every(values)
        path, price = clusters.best(grid, min(size, len(grid.edges) - 1))
        profit = clusters._clustering(grid, path).profit(price)
        # Quotients are rounded down, in every cluster of the few or many that this may be joined of.
        assert profit <= clusters.buy(grid, price).profit(price) <= profit + 3 * len(grid.edges)

    def test_the_price_of_one_cluster_and_of_all(self) -> None:
        # Cut in two, 0 and 1 have an inertia that is less by a half.
        path, price = clusters.best(every([0.0, 1.0]), 1)
        assert path == [0, 2]
        assert price * SQUARED_UNIT > Fraction(1, 2)
        assert clusters.best(every([0.0, 1.0]), 2) == ([0, 1, 2], 0)

    @given(even, st.integers(1, 9))
    def test_a_path_between_cells(self, values: list[float], count: int) -> None:
        stored = ascending(values)
        grid = clusters.grid(stored, sorted(clusters.cells(stored, count)))
        size = min(3, len(grid.edges) - 1)
        path, _ = clusters.best(grid, size)
        least = min(
            inertia_of_runs(stored, [grid.edges[at] for at in edges])
            for edges in clusterings(len(grid.edges) - 1, size)
        )
        assert inertia_of_runs(stored, [grid.edges[at] for at in path]) == least


class TestPrices:
    """A search tries few prices: guesses, as the gain of one more cluster falls as 1 / k^3, and fair ones, at
    which the fewer and the more clusters that have been bought cost the same.
    """

    # The inertia of 1 to 10 clusters of 0, 1 ... 9 is 82.5, 20, 9, 5, 2.5, 2, 1.5, 1, 0.5 and 0, so that one
    # more gains 62.5, 11, 4 and 2.5, and from the sixth on 0.5.

    @pytest.mark.parametrize("power", [1, 3, 9])
    @pytest.mark.parametrize("size", [2, 16, 200])
    def test_few_are_tried(self, power: int, size: int, prices: list[int]) -> None:
        clusters.best(every([w**power for w in normal(2000, size)]), size)
        assert len(prices) <= 16

    def test_a_guess_follows_from_what_was_bought(self, prices: list[int]) -> None:
        # The first buys 5 clusters, the second 4.
        clusters.best(every([float(i) for i in range(10)]), 4)
        first = 82.5 / 4**3
        assert [price * SQUARED_UNIT for price in prices] == [first, first * 5**3 / 4**3]

    def test_a_fair_price_follows_where_guesses_leave_the_range(self, prices: list[int]) -> None:
        unit = int(clusters.UNITS) ** 2
        clusters.best(every([float(i) for i in range(10)]), 7)
        # It buys all 10, 5, and all again; the next guess would be more than the second.
        first = (165 * unit // 2 + 1) // 7**3
        second = first * 10**3 // 7**3
        third = second * 5**3 // 7**3
        assert third * 10**3 // 7**3 > second
        # Between 5 clusters and 10 each gains a half.
        assert prices == [first, second, third, unit // 2]

    @pytest.mark.parametrize("first", [-1, 165 * int(clusters.UNITS) ** 2 // 2 + 1])
    def test_a_first_price_at_which_no_choice_is_left_is_not_tried(
        self, first: int, prices: list[int]
    ) -> None:
        clusters.best(every([float(i) for i in range(10)]), 4, first)
        assert prices[0] == 165 * int(clusters.UNITS) ** 2 // 2 // 9

    def test_nothing_is_bought_for_nothing(self, prices: list[int]) -> None:
        # The inertia of one is 82.5, in units rounded up, and less than 7^3: a guess would be 0.
        values = array("d", [i / clusters.UNITS for i in range(10)])
        path, _ = clusters.best(clusters.grid(values, clusters.distinct(values)), 7)
        assert len(path) == 8
        assert prices[0] == 83 // 9

    def test_after_four_guesses_every_other_price_is_fair(self, prices: list[int]) -> None:
        unit = int(clusters.UNITS) ** 2
        clusters.best(every([float(i) for i in range(12)]), 5, unit // 10**6)
        guesses = [unit // 10**6]
        for _ in range(3):
            guesses.append(guesses[-1] * 12**3 // 5**3)  # each buys all 12
        # The inertia of 1, 3, 4, 6 and 12 clusters is 143, 15, 8, 3 and 0. What is fair between 1 and 12 buys
        # 3, the guess from that 4; between 4 and 12, 6, and the guess 6 again; between 4 and 6 no other.
        fair = [143 * unit // 11, unit, 5 * unit // 2]
        assert prices == [*guesses, fair[0], fair[0] * 3**3 // 5**3, fair[1], fair[1] * 6**3 // 5**3, fair[2]]
