"""Chapter 7: k-means, against every possible clustering where the tensor is small."""

from __future__ import annotations

import hashlib
import math
import random
from array import array
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refquant.codec import clusters, kmeans, nearly
from refquant.errors import ArgumentError, NonFiniteError
from tests.codec.runs import SHAPES, ascending, inertia_of_runs, least_of_all, normal
from tests.hard import TENSORS, TINY, after, bits, numbers, weights
from tests.oracle import codec as oracle

small = st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=14)
any_tensor = st.one_of(st.sampled_from(TENSORS), st.lists(numbers, min_size=1, max_size=60))


class TestTable:
    """KM-1: The table MUST have 2^n entries in ascending order; with no more distinct weights than entries,
    the table MUST hold every distinct weight, so that the error is zero.
    """

    @given(any_tensor, st.integers(1, 8))
    def test_length_and_order(self, values: list[float], nbits: int) -> None:
        found = kmeans.encode(weights(values), nbits)
        assert len(found.table) == 1 << nbits
        assert list(found.table) == sorted(found.table)
        assert all(map(math.isfinite, found.table))

    @given(any_tensor)
    def test_few_weights_are_all_entries(self, values: list[float]) -> None:
        stored = weights(values)
        found = kmeans.encode(stored, 8)
        assert [found.table[code] for code in found.codes] == stored.tolist()
        assert kmeans.inertia(stored, found.codes, found.table) == 0

    def test_by_hand(self) -> None:
        found = kmeans.encode(weights([3.0, -1.0, 3.0, 2.0]), 2)
        assert (found.codes, found.table.tolist()) == (bytes([2, 0, 2, 1]), [-1.0, 2.0, 3.0, 3.0])

    def test_no_weights(self) -> None:
        assert kmeans.encode(weights([]), 1) == (b"", weights([0.0, 0.0]), False)

    def test_negative_zero_becomes_zero(self) -> None:
        assert bits(kmeans.encode(weights([-0.0, 0.0, -0.0]), 1).table) == ["00000000"] * 2

    def test_not_finite(self) -> None:
        with pytest.raises(NonFiniteError) as caught:
            kmeans.encode(weights([0.0, float("inf")]), 1)
        assert caught.value.index == 1

    @pytest.mark.parametrize("nbits", [0, 9, 16])
    def test_number_of_bits(self, nbits: int) -> None:
        with pytest.raises(ArgumentError, match="1 to 8 bits"):
            kmeans.encode(weights([0.0, 1.0]), nbits)


class TestNearestEntry:
    """KM-2: Every weight MUST be coded as a nearest entry of the stored (binary32) table; at equal distance
    the lower code.
    """

    @given(any_tensor, st.integers(1, 4))
    def test_of_the_stored_table(self, values: list[float], nbits: int) -> None:
        stored = weights(values)
        found = kmeans.encode(stored, nbits)
        table = [Fraction(entry) for entry in found.table]
        for w, code in zip(stored, found.codes):
            distances = [abs(Fraction(w) - entry) for entry in table]
            assert code == distances.index(min(distances))

    @given(st.lists(numbers, min_size=1, max_size=20), st.lists(numbers, min_size=1, max_size=6))
    def test_of_any_table(self, values: list[float], entries: list[float]) -> None:
        stored, table = weights(values), weights(sorted(weights(entries)))
        exact = [Fraction(entry) for entry in table]
        for w, code in zip(stored, kmeans.assign(stored, table)):
            distances = [abs(Fraction(w) - entry) for entry in exact]
            assert code == distances.index(min(distances))

    def test_distances_that_are_one_when_they_are_rounded(self) -> None:
        """KM-2: ... Distances MUST be compared exactly, not after rounding."""
        assert 1 - 2.0**-60 == 1 + 2.0**-60
        assert kmeans.assign(weights([2.0**-60, 0.0, -(2.0**-60)]), weights([-1.0, 1.0])) == b"\1\0\0"

    def test_halfway_between_entries_of_very_different_size(self) -> None:
        # Exactly, half of 1 - 2^-149 lies below 0.5, which binary64 cannot tell: 0.5 is nearer to 1.
        assert kmeans.assign(weights([0.25, 0.5]), weights([-TINY, 1.0])) == b"\0\1"
        assert kmeans.assign(weights([0.5]), weights([TINY, 1.0])) == b"\0"
        assert kmeans.assign(weights([0.5]), weights([0.0, 1.0])) == b"\0"
        # So it is where the lower one is the greater: half of -1 - 2^-149 lies below -0.5.
        assert kmeans.assign(weights([-0.5]), weights([-1.0, -TINY])) == b"\1"
        assert kmeans.assign(weights([-0.5]), weights([-1.0, TINY])) == b"\0"


class TestDeterminism:
    """KM-3: The same weights MUST give the same table and codes on every platform; there is no random
    seed.
    """

    #: SHA-256 over table and codes, the same on every interpreter on which the tests have run.
    SEEN = "f891b1d05ffec0e54d360aeefe1c3328c5fea881843cc2b28488b52bb4c5dcdc"

    def test_known_bits(self) -> None:
        digest = hashlib.sha256()
        for count, nbits in ((300, 4), (3000, 6), (9000, 8), (20000, 3)):
            found = kmeans.encode(normal(count, count), nbits)
            digest.update("".join(bits(found.table)).encode() + found.codes)
        assert digest.hexdigest() == self.SEEN

    @given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=60), st.randoms(use_true_random=False))
    def test_order_does_not_matter(self, values: list[float], shuffler: random.Random) -> None:
        order = list(range(len(values)))
        shuffler.shuffle(order)
        plain = kmeans.encode(weights(values), 3)
        mixed = kmeans.encode(weights([values[i] for i in order]), 3)
        assert mixed.table == plain.table
        assert list(mixed.codes) == [plain.codes[i] for i in order]


class TestInertia:
    """KM-4: The inertia (the sum of squared errors over the tensor) SHOULD be within 0.1 % of the least
    that any table of binary32 numbers allows. (Rounding the means to binary32 costs a little where clusters
    are tight.)
    """

    @given(small, st.integers(1, 3))
    def test_small_tensors_against_every_table(self, values: list[float], nbits: int) -> None:
        stored = weights(values)
        found = kmeans.encode(stored, nbits)
        least = oracle.least_inertia(stored.tolist(), 1 << nbits)
        cost = sum((Fraction(w) - Fraction(found.table[c])) ** 2 for w, c in zip(stored, found.codes))
        rounding = len(stored) * Fraction(2) ** -46
        assert cost <= least * Fraction(1001, 1000) + rounding

    @pytest.mark.parametrize(
        "values",
        [
            [0.0] * 30 + [1.0] * 20 + [5.0] + [9.0] * 3,
            [1e6 + i for i in range(0, 24, 2)],
            [after(1e6, i) for i in (0, 1, 2, 10, 11, 12, 40, 41, 80)],
            [TINY * i for i in (1, 2, 3, 50, 51, 90)],
            [0.0, 0.0, 0.0, 1e-3, 1e-3, 1e4],
            [-5.0, -5.0, 5.0, 5.0, 5.5, -4.5],
        ],
    )
    @pytest.mark.parametrize("nbits", [1, 2])
    def test_duplicates_offsets_outliers(self, values: list[float], nbits: int) -> None:
        stored = weights(values)
        found = kmeans.encode(stored, nbits)
        least = oracle.least_inertia(stored.tolist(), 1 << nbits)
        cost = sum((Fraction(w) - Fraction(found.table[c])) ** 2 for w, c in zip(stored, found.codes))
        peak = Fraction(max(map(abs, stored)))
        assert cost <= least * Fraction(1001, 1000) + len(stored) * max(peak / 2**23, Fraction(TINY)) ** 2

    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("nbits", [1, 4, 7])
    def test_cells_come_near_the_best(self, shape: str, nbits: int) -> None:
        stored = weights(SHAPES[shape](normal(5000, nbits).tolist()))
        fast, best = kmeans.encode(stored, nbits), kmeans.encode(stored, nbits, exact=True)
        least = kmeans.inertia(stored, best.codes, best.table)
        assert least <= kmeans.inertia(stored, fast.codes, fast.table) <= least * 1.0005

    @pytest.mark.parametrize("nbits", [1, 4, 8])
    def test_many_weights_beat_plain_lloyd(self, nbits: int) -> None:
        stored, size = normal(9000, nbits), 1 << nbits
        found = kmeans.encode(stored, nbits)
        # Plain Lloyd from evenly spread entries, by the textbook.
        table = [min(stored) + (max(stored) - min(stored)) * (i + 0.5) / size for i in range(size)]
        for _ in range(30):
            parts: list[list[float]] = [[] for _ in table]
            for w, code in zip(stored, kmeans.assign(stored, weights(table))):
                parts[code].append(w)
            table = [math.fsum(part) / len(part) if part else entry for part, entry in zip(parts, table)]
        plain = weights(table)
        rival = kmeans.inertia(stored, kmeans.assign(stored, plain), plain)
        assert kmeans.inertia(stored, found.codes, found.table) <= rival

    @pytest.mark.slow
    @pytest.mark.parametrize("nbits", [1, 2, 3, 4, 6, 8])
    def test_against_other_programs(self, nbits: int) -> None:
        peer, rival = pytest.importorskip("kmeans1d"), pytest.importorskip("sklearn.cluster")
        for stored in (normal(6000, nbits), weights([w**3 for w in normal(20000, nbits)])):
            found = kmeans.encode(stored, nbits)
            mine = kmeans.inertia(stored, found.codes, found.table)
            labels, centres = peer.cluster(stored.tolist(), 1 << nbits)
            least = kmeans.inertia(stored, bytes(labels), array("d", centres))
            assert least * (1 - 1e-12) <= mine <= least * 1.001
            columns = [[w] for w in stored]
            other = rival.KMeans(1 << nbits, n_init=1, tol=1e-2, random_state=0).fit(columns)
            table = weights(sorted(other.cluster_centers_.flatten().tolist()))
            assert mine <= kmeans.inertia(stored, kmeans.assign(stored, table), table)

    def test_inertia_by_hand(self) -> None:
        assert kmeans.inertia(weights([1.0, 2.0, 4.0]), b"\0\0\1", weights([1.5, 3.0])) == 1.5
        assert kmeans.inertia(weights([]), b"", weights([0.0])) == 0


class TestSearches:
    """Edges are looked for between few cells, then around these between more, and exactly only if need be."""

    @pytest.fixture
    def searches(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
        """Every search in turn: its name, cells and clusters."""
        made: list[tuple[str, int, int]] = []
        best, near, nudged = clusters.best, nearly.best, nearly.nudged

        def noted_best(grid: clusters.Grid, size: int, price: int = 0) -> tuple[list[int], int]:
            made.append(("best", len(grid.edges) - 1, size))
            return best(grid, size, price)

        def noted_near(grid: clusters.Grid, size: int) -> tuple[list[int] | None, int]:
            made.append(("near", len(grid.edges) - 1, size))
            return near(grid, size)

        def noted_nudged(grid: clusters.Grid, path: list[int]) -> list[int] | None:
            made.append(("nudged", len(grid.edges) - 1, len(path) - 1))
            return nudged(grid, path)

        monkeypatch.setattr(clusters, "best", noted_best)
        monkeypatch.setattr(nearly, "best", noted_near)
        monkeypatch.setattr(nearly, "nudged", noted_nudged)
        return made

    @pytest.mark.parametrize("exact", [True, False])
    @pytest.mark.parametrize("distinct", [1, 2, 3, 4])
    def test_as_many_entries_as_weights_need_none(
        self, distinct: int, exact: bool, searches: list[tuple[str, int, int]]
    ) -> None:
        kmeans.encode(weights([float(i) for i in range(distinct)] * 100), 2, exact)
        assert searches == []

    @pytest.mark.parametrize(
        ("distinct", "nbits", "few", "many"),
        [
            (3, 1, 3, 3),
            (63, 1, 63, 63),
            (64, 1, 64, 64),  # 16 * 2 + 32
            (65, 1, 64, 65),
            (79, 1, 64, 79),
            (80, 1, 64, 80),  # 24 * 2 + 32
            (81, 1, 64, 80),
            (3000, 4, 288, 416),
            (7000, 8, 2200, 6176),  # not 16 * 256 + 32
        ],
    )
    @pytest.mark.parametrize("copies", [1, 100])
    def test_numbers_of_cells(
        self,
        distinct: int,
        nbits: int,
        few: int,
        many: int,
        copies: int,
        searches: list[tuple[str, int, int]],
    ) -> None:
        kmeans.encode(weights([float(i) for i in range(distinct)] * copies), nbits)
        assert searches == [("near", few, 1 << nbits), ("nudged", many, 1 << nbits)]

    def test_exactly(self, searches: list[tuple[str, int, int]]) -> None:
        kmeans.encode(weights([float(i) for i in range(3000)]), 4, exact=True)
        assert searches == [("near", 288, 16), ("nudged", 416, 16), ("best", 3000, 16)]

    def test_where_rounding_may_cost_too_much(self, searches: list[tuple[str, int, int]]) -> None:
        kmeans.encode(weights([*normal(3000, 1), 1e9]), 4)
        assert searches == [("near", 288, 16), ("best", 288, 16), ("best", 416, 16)]

    def test_where_it_may_do_so_only_in_the_end(
        self, searches: list[tuple[str, int, int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(nearly, "nudged", lambda grid, path: None)
        kmeans.encode(normal(3000, 1), 4)
        assert searches == [("near", 288, 16), ("best", 288, 16), ("best", 416, 16)]

    @pytest.mark.parametrize("distinct", [65, 79])
    @pytest.mark.parametrize("copies", [1, 200])
    def test_few_cells_are_some_of_the_many(
        self, distinct: int, copies: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        grids: list[clusters.Grid] = []
        points = nearly._points

        def noted(grid: clusters.Grid) -> nearly.Points:
            grids.append(grid)
            return points(grid)

        monkeypatch.setattr(nearly, "_points", noted)
        values = ascending([w**3 for w in normal(distinct, 1)] * copies)
        kmeans.encode(values, 1)
        few, many = grids
        assert few == clusters.grid(values, sorted(clusters.cells(values, 64)))
        assert many == clusters.grid(values, clusters.distinct(values))


class TestErrorBound:
    """The inertia is no more than chapter 7 proves of the best table, and 0.1 %."""

    @pytest.mark.parametrize("exact", [True, False])
    @given(any_tensor, st.integers(1, 8))
    def test_no_worse_than_an_even_table(self, exact: bool, values: list[float], nbits: int) -> None:
        stored = weights(values)
        codes, table, _ = kmeans.encode(stored, nbits, exact)
        inertia = sum((Fraction(w) - Fraction(table[code])) ** 2 for w, code in zip(stored, codes))
        step = (Fraction(max(stored)) - Fraction(min(stored))) / ((1 << nbits) - 1)
        rounding = Fraction(max(map(abs, stored))) / 2**24 + Fraction(1, 2**150)
        bound = len(stored) * ((step / 2) ** 2 + rounding**2)
        assert inertia <= bound * (1 if exact else Fraction(1001, 1000))


class TestExact:
    """Where all edges are allowed, the clustering is the best there is."""

    @given(st.lists(st.integers(-500, 500).map(float), min_size=1, max_size=14), st.integers(1, 3))
    def test_against_every_clustering(self, values: list[float], nbits: int) -> None:
        stored = weights(values)
        codes, table, _ = kmeans.encode(stored, nbits, exact=True)
        rounding = len(values) * 500.0**2 * 2.0**-46
        assert kmeans.inertia(stored, codes, table) <= least_of_all(ascending(values), 1 << nbits) + rounding

    @given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=11))
    def test_however_few_cells_there_are_to_begin_with(self, values: list[float]) -> None:
        stored = ascending(values)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("FEW", "MANY", "MORE"):
                patch.setattr(kmeans, name, 1)
            found = kmeans.encode(stored, 1, exact=True)
        edges = [0, found.codes.count(0), len(stored)] if found.codes.count(1) else [0, len(stored)]
        assert float(inertia_of_runs(stored, edges)) <= float(least_of_all(stored, 2)) * (1 + 1e-6)

    @pytest.mark.slow
    @pytest.mark.parametrize("nbits", [1, 3, 5, 8])
    def test_against_kmeans1d(self, nbits: int) -> None:
        peer = pytest.importorskip("kmeans1d")
        for shape in SHAPES.values():
            stored = weights(shape(normal(20000, nbits).tolist()))
            found = kmeans.encode(stored, nbits, exact=True)
            labels, centres = peer.cluster(stored.tolist(), 1 << nbits)
            least = kmeans.inertia(stored, bytes(labels), array("d", centres))
            # It is not exact itself: it adds squares up in binary64. And its means are not rounded.
            rounding = len(stored) * (max(map(abs, stored)) * 2.0**-24) ** 2
            assert kmeans.inertia(stored, found.codes, found.table) <= least * (1 + 1e-9) + rounding
            assert kmeans.certify(stored, found.table).bound <= least * (1 + 1e-9)


class TestCertificate:
    """KM-4: what a table costs and what none can cost less than; no trust in how it was found is needed."""

    @given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=10), st.integers(1, 3))
    @example([-35 / 3, -2.0, 23 / 3, -19 / 3, 10 / 3, -32 / 3, -1.0, 26 / 3, -16 / 3], 3)
    def test_no_clustering_costs_less_than_the_bound(self, values: list[float], nbits: int) -> None:
        stored = weights(values)
        least = least_of_all(ascending(values), 1 << nbits)
        found = kmeans.certify(stored, kmeans.encode(stored, nbits).table)
        assert found.bound <= least
        assert found.bound >= float(least) * (1 - 1e-12) - 2.0**-300  # few weights: it is the least itself

    @given(small, st.lists(numbers, min_size=1, max_size=4))
    def test_of_any_table(self, values: list[float], entries: list[float]) -> None:
        stored, table = weights(values), weights(sorted(weights(entries)))
        cost, bound = kmeans.certify(stored, table)
        assert bound <= least_of_all(ascending(values), len(table))
        exact = [Fraction(entry) for entry in table]
        assert cost == pytest.approx(float(sum(min((Fraction(w) - e) ** 2 for e in exact) for w in stored)))

    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("nbits", [1, 4, 7])
    def test_bound_and_table_meet(self, shape: str, nbits: int) -> None:
        stored = weights(SHAPES[shape](normal(5000, nbits).tolist()))
        assert 0 <= kmeans.certify(stored, kmeans.encode(stored, nbits).table).gap < 0.001
        assert 0 <= kmeans.certify(stored, kmeans.encode(stored, nbits, exact=True).table).gap < 0.0005

    @pytest.mark.parametrize("exponent", range(280, 372, 4))
    def test_at_any_price(self, exponent: int) -> None:
        # Most buy far from 4 clusters of ten even weights; the bound is then poor, and no less true.
        values = ascending([float(i) for i in range(10)])
        bound = kmeans._bound(values, clusters.grid(values, clusters.distinct(values)), 4, 1 << exponent)
        assert 0 <= bound <= least_of_all(values, 4)

    def test_prices_follow_from_what_was_bought(self, prices: list[int]) -> None:
        # One cluster of ten even weights has the inertia 82.5, two have 20, three 9, four 5. So 640 buys one
        # cluster, 10 and 4.21875 buy three, and the bound is 9 + 3 * 4.21875 - 4 * 4.21875.
        values, unit = ascending([float(i) for i in range(10)]), int(clusters.UNITS) ** 2
        bound = kmeans._bound(values, clusters.grid(values, clusters.distinct(values)), 4, 640 * unit)
        assert [price / unit for price in prices] == [640, 640 * 1**3 / 4**3, 10 * 3**3 / 4**3]
        assert bound == math.nextafter(4.78125, 0)

    def test_the_first_price_that_buys_enough_is_the_last(self, prices: list[int]) -> None:
        values = ascending([float(i) for i in range(10)])
        grid, price = clusters.grid(values, clusters.distinct(values)), 3 * int(clusters.UNITS) ** 2
        assert kmeans._bound(values, grid, 4, price) == math.nextafter(5.0, 0)
        assert prices == [price]

    def test_a_price_far_too_high_tells_nothing(self) -> None:
        values = ascending([float(i) for i in range(10)])
        assert kmeans._bound(values, clusters.grid(values, clusters.distinct(values)), 4, 1 << 400) == 0

    @given(st.lists(st.integers(0, 9), min_size=2, max_size=8), st.integers(1, 3), st.integers(0, 9))
    @example([0, 1, 1], 1, 3)
    def test_where_rounding_is_seen(self, units: list[int], size: int, price: int) -> None:
        # Sums and squares of a few units: quotients are whole numbers of them, and lose much.
        values = array("d", [unit / clusters.UNITS for unit in sorted(units)])
        bound = kmeans._bound(values, clusters.grid(values, clusters.distinct(values)), size, price)
        assert 0 <= bound <= least_of_all(values, size)

    def test_nothing_to_lose(self) -> None:
        assert kmeans.certify(weights([]), weights([0.0, 0.0])) == (0.0, 0.0)
        few = kmeans.certify(weights([1.0, 2.0]), weights([1.0, 2.0]))
        assert (few, few.gap) == ((0.0, 0.0), 0.0)
        assert kmeans.certify(weights([1.0, 2.0]), weights([1.0, 3.0])).gap == math.inf

    def test_of_as_many_entries_as_weights_nothing_is_to_prove(self, prices: list[int]) -> None:
        assert kmeans.certify(weights([2.0, 1.0, 2.0]), weights([1.0, 3.0])) == (2.0, 0.0)
        assert prices == []

    def test_by_hand(self) -> None:
        # The best two clusters of 0, 1, 10 have the inertia 0.5; the table 0 and 10 has 1.
        found = kmeans.certify(weights([10.0, 0.0, 1.0]), weights([0.0, 10.0]))
        assert found.inertia == 1.0
        assert found.gap == pytest.approx(1.0)
        assert found.bound == math.nextafter(0.5, 0)
        # One weight more than entries: the best two clusters of 0, 2 and 5 are worse by 2 than three.
        assert kmeans.certify(weights([0.0, 2.0, 5.0]), weights([1.0, 5.0])).bound == math.nextafter(2.0, 0)


class TestLloyd:
    """The rounds that end the work."""

    def settled(self, values: list[float], edges: list[int]) -> array[float]:
        stored = weights(values)
        return kmeans._settled(stored, clusters.grid(stored, [0, len(stored)]), edges)

    def test_a_cluster_that_loses_all_weights_keeps_its_entry(self) -> None:
        values = [-1.0, -1.0, -1.0, 0.0, 10.0, 11.0, 11.0, 11.0]
        # Means -1, 5 and 11: the 0 is nearer to -1 than to 5, and the 10 to 11.
        assert self.settled(values, [0, 3, 5, 8]).tolist() == [-0.75, 5.0, 10.75]

    def test_rounds_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kmeans, "ROUNDS", 1)
        # Means 0 and 13/3: the edge moves behind the 2, and the means are not taken again.
        assert self.settled([0.0, 1.0, 2.0, 10.0], [0, 1, 4]) == weights([0.0, 13 / 3])

    @pytest.mark.parametrize(
        ("count", "rounds"),
        [
            (2, 1),  # The edge is in its place.
            (4, 2),  # Means 0 and 2; then 0.5 and 2.5, between which the edge stays.
            (5000, 10),  # It goes half of the way to the middle in each round, and has not arrived.
        ],
    )
    def test_rounds_end_where_no_edge_moves_or_at_the_tenth(
        self, count: int, rounds: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tables = []
        halfways = kmeans._halfways

        def noted(entries: Sequence[float]) -> list[float]:
            tables.append(entries)
            return halfways(entries)

        monkeypatch.setattr(kmeans, "_halfways", noted)
        self.settled([float(i) for i in range(count)], [0, 1, count])
        assert len(tables) == rounds

    def test_a_weight_halfway_goes_to_the_lower_cluster(self) -> None:
        # Means 0 and 2: the 1 is as near to both. KM-2: at equal distance the lower code.
        assert self.settled([0.0, 1.0, 3.0], [0, 1, 3]).tolist() == [0.5, 3.0]

    def test_a_mean_that_rounds_to_negative_zero_is_zero(self) -> None:
        assert bits(self.settled([-TINY, 0.0, 0.0, 1.0], [0, 3, 4])) == ["00000000", "3f800000"]

    @given(st.lists(numbers, min_size=2, max_size=40), st.data())
    def test_sums_before_any_position(self, values: list[float], data: st.DataObject) -> None:
        stored = ascending(values)
        grid = clusters.grid(stored, sorted(clusters.cells(stored, 3)))
        at = data.draw(st.integers(0, len(stored)))
        found = Fraction(kmeans._sum_before(stored, grid, at)) / Fraction(clusters.UNITS)
        exact = sum(map(Fraction, stored[:at]))
        assert abs(found - exact) <= sum(abs(Fraction(value)) for value in stored) * Fraction(2) ** -51
