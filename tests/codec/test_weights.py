"""Chapter 1: weights as encoders take them, and how those that are no numbers are found."""

from __future__ import annotations

import math
from array import array

import pytest

from refquant.codec import weights as codec
from refquant.codec.weights import CHUNK
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
