"""Chapter 7: k-means, against every possible clustering where the tensor is small."""

from __future__ import annotations

import hashlib
import math
import random
from array import array
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.codec import kmeans
from refquant.errors import NonFiniteError
from tests.hard import TENSORS, TINY, after, bits, f32, numbers, weights
from tests.oracle import codec as oracle

small = st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=14)
any_tensor = st.one_of(st.sampled_from(TENSORS), st.lists(numbers, min_size=1, max_size=60))


def normal(count: int, seed: int) -> array[float]:
    """Make weights as networks have them, from sums of uniform numbers so that every platform agrees."""
    made = random.Random(seed)
    return weights([sum(made.random() for _ in range(12)) / 6 - 1 for _ in range(count)])


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
    SEEN = "2f53ac888cf41136da5df0e03a2432411d9bfca557aedb0b5edda0014021385a"

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
    possible. (Rounding the means to binary32 costs a little where clusters are tight.)
    """

    @given(small, st.integers(1, 3))
    def test_small_tensors_against_every_clustering(self, values: list[float], nbits: int) -> None:
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

    def test_many_weights_beat_plain_lloyd(self) -> None:
        stored = normal(kmeans.CANDIDATES * 3, 5)
        found = kmeans.encode(stored, 5)
        # Plain Lloyd from evenly spread entries, by the textbook.
        table = [min(stored) + (max(stored) - min(stored)) * (i + 0.5) / 32 for i in range(32)]
        for _ in range(30):
            parts: list[list[float]] = [[] for _ in table]
            for w, code in zip(stored, kmeans.assign(stored, weights(table))):
                parts[code].append(w)
            table = [math.fsum(part) / len(part) if part else entry for part, entry in zip(parts, table)]
        plain = weights(table)
        rival = kmeans.inertia(stored, kmeans.assign(stored, plain), plain)
        assert kmeans.inertia(stored, found.codes, found.table) < rival

    def test_iterations_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kmeans, "ITERATIONS", 1)
        data = kmeans._sorted(weights([0.0, 1.0, 2.0, 10.0]))
        # Means 0 and 13/3: the edge moves to 13/6, behind the 2, and would move no more.
        assert kmeans._lloyd(data, [0, 1, 4]) == [0, 3, 4]

    def test_inertia_by_hand(self) -> None:
        assert kmeans.inertia(weights([1.0, 2.0, 4.0]), b"\0\0\1", weights([1.5, 3.0])) == 1.5

    def test_split_gives_up_where_nothing_gains(self) -> None:
        # Two distinct weights cannot fill three clusters.
        data = kmeans._sorted(weights([1.0, 1.0, f32(0.1), f32(0.1)]))
        assert kmeans._split(data, [0, 2, 4], 3) == [0, 2, 4]
