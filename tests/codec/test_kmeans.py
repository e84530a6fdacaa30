"""Chapter 7: k-means, against every possible clustering where the tensor is small."""

from __future__ import annotations

import hashlib
import math
import random
from array import array
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from refquant.codec import kmeans
from refquant.errors import NonFiniteError
from tests.hard import GREATEST, TENSORS, TINY, after, bits, numbers, weights
from tests.oracle import codec as oracle

small = st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=14)
any_tensor = st.one_of(st.sampled_from(TENSORS), st.lists(numbers, min_size=1, max_size=60))
#: Many distinct weights, many of them at equal distances, so that many clusterings are the best.
grids = st.lists(st.integers(-60, 60), min_size=30, max_size=120)


def normal(count: int, seed: int) -> array[float]:
    """Make weights as networks have them, from sums of uniform numbers so that every platform agrees."""
    made = random.Random(seed)
    return weights([sum([int(made.random() * 4096) for _ in range(12)]) / 24576 - 1 for _ in range(count)])


def inertia_of_runs(values: list[float], edges: tuple[int, ...]) -> Fraction:
    """Inertia of ascending weights cut at the edges, around the unrounded means."""
    total = Fraction(0)
    for a, b in zip(edges, edges[1:]):
        run = [Fraction(value) for value in values[a:b]]
        mean = sum(run) / Fraction(len(run))
        total += sum(((value - mean) ** 2 for value in run), Fraction(0))
    return total


def least_of_all(values: list[float], size: int) -> Fraction:
    """Try every clustering of ascending weights, at most `size` clusters, none empty."""
    inner, clusters = range(1, len(values)), min(size, len(values))
    choices = combinations(inner, clusters - 1)
    return min(inertia_of_runs(values, (0, *edges, len(values))) for edges in choices)


def clusters(values: list[float], size: int) -> Fraction:
    """Inertia of the clustering that is found, before means are rounded."""
    ascending = sorted(weights(values))
    return inertia_of_runs(ascending, tuple(kmeans._clusters(ascending, size)))


class TestTable:
    """KM-1: The table MUST have 2^n entries in ascending order; with fewer distinct weights than entries,
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

    def test_halfway_between_entries_of_very_different_size(self) -> None:
        # Exactly, half of 1 - 2^-149 lies below 0.5, which binary64 cannot tell: 0.5 is nearer to 1.
        assert kmeans.assign(weights([0.5]), weights([-TINY, 1.0])) == b"\1"
        assert kmeans.assign(weights([0.5]), weights([TINY, 1.0])) == b"\0"
        assert kmeans.assign(weights([0.5]), weights([0.0, 1.0])) == b"\0"


class TestDeterminism:
    """KM-3: The same weights MUST give the same table and codes on every platform; there is no random
    seed.
    """

    #: SHA-256 over table and codes, the same on every interpreter on which the tests have run.
    SEEN = "d6da276815d8fd9e4efb08f29520edc91985408d090e0cb8e6eabe3ffa0c7629"

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

    @given(st.lists(numbers, min_size=1, max_size=9), st.integers(1, 5))
    @example([GREATEST, -GREATEST, 1e6, after(1e6), 1e-3, 2e-3, TINY, -TINY], 4)
    @example([1e6, after(1e6), after(1e6, 2), after(1e6, 4), after(1e6, 7), after(1e6, 8)], 3)
    @example([TINY * i for i in (1, 2, 3, 50, 51, 90)], 2)
    @example([0.0, 0.0, 0.0, 1e-3, 1e-3, 1e4], 2)
    @example([-5.0, -5.0, 5.0, 5.0, 5.5, -4.5], 2)
    @example([float(i) for i in range(9)], 4)
    def test_few_weights_are_clustered_best(self, values: list[float], size: int) -> None:
        # Exactly, whatever mixes: no digits are lost to offsets or outliers.
        assert clusters(values, size) == least_of_all(sorted(weights(values)), size)

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

    @pytest.mark.parametrize("nbits", [1, 2, 3, 5])
    def test_opened_cells_come_near_the_best(self, nbits: int, monkeypatch: pytest.MonkeyPatch) -> None:
        for values in (normal(1500, nbits).tolist(), [w**5 for w in normal(1500, nbits)] + [1e4, -1e9]):
            found = clusters(values, 1 << nbits)
            with monkeypatch.context() as all_distinct:
                all_distinct.setattr(kmeans, "CELLS", ((4, 64), (0, len(values) + 1)))
                least = clusters(values, 1 << nbits)
            assert least <= found <= least * Fraction(1001, 1000)

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


class TestSteps:
    """What each step of the search promises the next."""

    @given(st.lists(numbers, min_size=1, max_size=60), st.integers(1, 40))
    def test_cells_hold_runs_of_equal_weights_whole(self, values: list[float], count: int) -> None:
        ascending = sorted(weights(values))
        edges = kmeans._cells(ascending, count)
        assert (edges[0], edges[-1]) == (0, len(ascending))
        assert len(edges) - 1 == min(count, len(set(ascending)))
        assert all(ascending[edge - 1] < ascending[edge] for edge in edges[1:-1])

    @given(st.lists(numbers, min_size=1, max_size=8), st.floats(0, 1, width=32))
    def test_what_is_bought_at_a_price_is_worth_most(self, values: list[float], part: float) -> None:
        ascending = sorted(weights(values))
        grid = kmeans._grid(ascending, kmeans._cells(ascending, 9), {0: 0})
        price = int(kmeans.UNITS**2 * part)
        edges = tuple(grid.edges[at] for at in kmeans._edges_at_price(grid, price))

        def cost(edges: tuple[int, ...]) -> Fraction:
            return inertia_of_runs(ascending, edges) + (len(edges) - 1) * Fraction(price) / unit**2

        unit = Fraction(kmeans.UNITS)
        inner = grid.edges[1:-1]
        every = (
            (0, *some, len(values)) for size in range(len(inner) + 1) for some in combinations(inner, size)
        )
        assert cost(edges) <= min(map(cost, every)) + len(edges) / unit**2

    @given(st.one_of(grids, st.lists(numbers, min_size=30, max_size=120)), st.integers(2, 20))
    @settings(deadline=None)
    @example([float(i) for i in range(100)], 7)
    def test_prices_only_save_time(self, values: list[float], size: int) -> None:
        # Without prices every edge may be everywhere: the dynamic programme of the textbook.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kmeans, "PRICES", 0)
            least = clusters(values, size)
        assert clusters(values, size) == least

    def test_a_cluster_that_loses_all_weights_keeps_its_entry(self) -> None:
        values = [-1.0, -1.0, -1.0, 0.0, 10.0, 11.0, 11.0, 11.0]
        # Means -1, 5 and 11: the 0 is nearer to -1 than to 5, and the 10 to 11.
        assert kmeans._settled(values, [0, 3, 5, 8]).tolist() == [-0.75, 5.0, 10.75]

    def test_rounds_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kmeans, "ROUNDS", 1)
        # Means 0 and 13/3: the edge moves behind the 2, and the means are not taken again.
        assert kmeans._settled([0.0, 1.0, 2.0, 10.0], [0, 1, 4]) == weights([0.0, 13 / 3])

    def test_a_mean_that_rounds_to_negative_zero_is_zero(self) -> None:
        table = kmeans._settled([-TINY, 0.0, 0.0, 1.0], [0, 3, 4])
        assert bits(table) == ["00000000", "3f800000"]
