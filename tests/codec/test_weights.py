"""Chapter 1: weights as encoders take them, and how those that are no numbers are found."""

from __future__ import annotations

import math
import random
import struct
from array import array
from typing import Callable, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.codec import weights as codec
from refquant.codec.weights import CHUNK, LONG
from refquant.errors import NonFiniteError
from tests.hard import GREATEST, SUBNORMAL, TINY, after, weights

NAN, INFINITY = float("nan"), float("inf")


class TestFinite:
    """TEN-7: A writer MUST refuse to quantize a tensor that holds a NaN or an infinity, and MUST name its
    first such weight by index.
    """

    @pytest.mark.parametrize("bad", [NAN, -NAN, INFINITY, -INFINITY])
    @pytest.mark.parametrize("index", [0, 1, 2, 3, CHUNK - 1, CHUNK, 2 * CHUNK])
    def test_one_is_found_wherever_it_is(self, bad: float, index: int) -> None:
        stored = weights([1.0] * (2 * CHUNK + 1))
        stored[index] = bad
        with pytest.raises(NonFiniteError) as caught:
            codec.check_finite(stored)
        assert caught.value.reason == f"weight is {bad}, not a finite number"
        assert (caught.value.index, caught.value.rule) == (index, "TEN-7")

    def test_the_first_of_several_is_named(self) -> None:
        with pytest.raises(NonFiniteError) as caught:
            codec.check_finite(weights([GREATEST, -INFINITY, NAN]), "scale", "DEQ-4")
        assert caught.value.reason == "scale is -inf, not a finite number"
        assert (caught.value.index, caught.value.rule) == (1, "DEQ-4")

    @pytest.mark.parametrize("values", [[], [GREATEST], [-GREATEST], [2.0**127, -(2.0**127), 0.0]])
    def test_numbers_of_any_size_pass(self, values: list[float]) -> None:
        codec.check_finite(weights(values))

    def test_a_byte_tells_of_each_below_2_to_127(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def look(*of: object) -> None:
            pytest.fail("weights are looked at one by one")

        monkeypatch.setattr(codec, "_check_each", look)
        # Their other bytes are 7F or FF, as the first is of a NaN or an infinity.
        codec.check_finite(weights([0.0, -0.0, after(1.0, -1), SUBNORMAL, 255 * TINY, 127 * TINY, -1.5e38]))


class TestLists:
    """Weights are gone through as Python numbers, again and again, of which there are never many."""

    @pytest.mark.parametrize("count", [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK, 2 * CHUNK + 1])
    def test_lists_hold_every_weight_once_in_order(self, count: int) -> None:
        values = array("f", range(count))
        lists = codec.in_lists(values)
        for _ in range(2):
            assert [w for part in lists for w in part] == values.tolist()
        assert max(map(len, lists)) <= CHUNK
        assert len(list(lists)) == max(1, math.ceil(count / CHUNK))

    def test_up_to_a_piece_is_made_into_a_list_once(self) -> None:
        lists = codec.in_lists(weights([1.0] * CHUNK))
        assert next(iter(lists)) is next(iter(lists))


#: Weights of a kind, one at a time.
KINDS: dict[str, Callable[[random.Random], float]] = {
    "a bell": lambda rng: rng.gauss(0, 0.05),
    "a bell to one side": lambda rng: rng.gauss(0.2, 0.05),
    "even": lambda rng: rng.uniform(-1, 1),
    "positive": lambda rng: rng.uniform(0.5, 9),
    "negative": lambda rng: -rng.uniform(0.5, 9),
    "small but for a few": lambda rng: rng.choice([0.0, -0.0, 0.001, -0.002, 0.001, rng.gauss(0, 1) ** 9]),
    "negative or no more than zero": lambda rng: rng.choice([0.0, -0.0, SUBNORMAL, -TINY, -3.0]),
    "positive or no less than zero": lambda rng: rng.choice([0.0, -0.0, -SUBNORMAL, TINY, 3.0]),
    "zeros": lambda rng: rng.choice([0.0, -0.0]),
    "the greatest": lambda rng: rng.choice([GREATEST, -GREATEST, 1.0, -1.0, after(GREATEST, -1)]),
}


class TestEnds:
    """LIN-1: For a channel whose least weight is `a` and greatest is `b`, ..."""

    def check(self, numbers: list[float]) -> None:
        """The definition is min and max, of equal zeros the first, whatever is left out on the way."""
        stored = weights(numbers)
        view = cast("array[float]", memoryview(stored))  # has what encoders use of an array
        for values in (stored, view):
            found = codec.ends(values, codec.in_lists(values))
            assert struct.pack("2d", *found) == struct.pack("2d", min(stored), max(stored))

    @pytest.mark.parametrize("count", [1, 2, LONG - 1, LONG, LONG + 1, CHUNK, CHUNK + 1, 2 * CHUNK + LONG])
    @pytest.mark.parametrize("kind", KINDS)
    def test_kinds(self, kind: str, count: int) -> None:
        rng = random.Random(count)
        self.check([KINDS[kind](rng) for _ in range(count)])

    @given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
    def test_any(self, numbers: list[float]) -> None:
        self.check(numbers * (LONG // len(numbers) + 1))

    @pytest.mark.parametrize("index", [0, LONG - 1, CHUNK - 1, CHUNK, 2 * CHUNK + LONG - 1])
    @pytest.mark.parametrize("end", [2.0**-100, 3.0, 2.0**127, GREATEST])
    def test_wherever_they_are(self, end: float, index: int) -> None:
        numbers = [2.0**-120, -(2.0**-120), 0.0, 0.0] * ((2 * CHUNK + LONG) // 4)
        numbers[index] = end
        self.check(numbers)
        numbers[index] = -end
        self.check(numbers)

    def test_few_are_compared(self) -> None:
        """Of weights on a bell, one in fifty or so is far enough from the middle."""
        marks = codec._marks(weights([random.Random(n).gauss(0, 0.05) for n in range(CHUNK)]))
        assert marks is not None
        assert 0 < sum(marks) < CHUNK / 25

    def test_the_least_that_are_told_from_zero(self) -> None:
        least, zeros = 2.0**-125, [SUBNORMAL, -SUBNORMAL, 0.0, -0.0]
        assert codec._marks(weights([least, -least, *zeros])) == b"\1\1\0\0\0\0"
        assert codec._marks(weights([least, -after(least, -1), *zeros])) is None

    def test_half_are_few_enough(self) -> None:
        numbers = [2.0, -2.0, 2.0, -2.0, 0.1, 0.1, -0.1, -0.1]
        assert codec._marks(weights(numbers)) == b"\1\1\1\1\0\0\0\0"
        assert codec._marks(weights([*numbers[:7], 2.0])) is None
