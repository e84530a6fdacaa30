"""Chapter 6: lookup tables. k-means tables are in tests/codec/test_kmeans.py."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.codec import linear, lut, table
from refquant.errors import (
    ArgumentError,
    CodeError,
    LutFunctionError,
    NonFiniteError,
    RefquantError,
    ShapeError,
)
from tests.hard import GREATEST, TENSORS, bits, near_threshold, tensors, weights
from tests.oracle import codec as oracle

NAN, INFINITY = float("nan"), float("inf")


class TestLinearTable:
    """LUT-3: `linear_lut` MUST take codes, scale and bias from LIN-1 to LIN-4 over the whole tensor as one
    channel, and entry `i` MUST be `i * scale + bias` in binary64, rounded once to binary32.
    """

    @given(st.one_of(tensors, near_threshold()), st.integers(1, 8))
    def test_as_the_oracle_has_it(self, values: list[float], nbits: int) -> None:
        stored = weights(values)
        found = lut.encode_linear(stored, nbits)
        codes, entries = oracle.linear_lut(stored.tolist(), nbits)
        assert (list(found.codes), found.table.tolist()) == (codes, entries)
        assert found.collapsed == (not any(codes) and min(stored) != max(stored))

    @pytest.mark.parametrize("nbits", range(1, 9))
    @pytest.mark.parametrize("values", TENSORS)
    def test_hard_tensors(self, values: list[float], nbits: int) -> None:
        found = lut.encode_linear(weights(values), nbits)
        codes, entries = oracle.linear_lut(values, nbits)
        assert (list(found.codes), found.table.tolist()) == (codes, entries)

    @given(tensors, st.integers(1, 8))
    def test_within_the_bound_of_linear(self, values: list[float], nbits: int) -> None:
        stored = weights(values)
        found = lut.encode_linear(stored, nbits)
        bound = Fraction(linear.error_bound(min(stored), max(stored), nbits))
        decoded = lut.decode(found.codes, found.table)
        assert all(abs(Fraction(w) - Fraction(d)) <= bound for w, d in zip(stored, decoded))

    def test_not_finite(self) -> None:
        with pytest.raises(NonFiniteError) as caught:
            lut.encode_linear(weights([0.0, NAN]), 4)
        assert (caught.value.index, caught.value.rule) == (1, "TEN-7")

    @pytest.mark.parametrize("nbits", [0, 9, 16])
    def test_number_of_bits(self, nbits: int) -> None:
        with pytest.raises(ArgumentError, match="1 to 8 bits"):
            lut.encode_linear(weights([0.0, 1.0]), nbits)

    @pytest.mark.parametrize("nbits", range(1, 9))
    def test_entries_are_finite_however_great_the_weights(self, nbits: int) -> None:
        table = lut.encode_linear(weights([-GREATEST, GREATEST]), nbits).table
        assert (table[0], table[-1]) == (-GREATEST, GREATEST)

    def test_no_weights(self) -> None:
        """LUT-3, LIN-1: without weights there is no least one."""
        with pytest.raises(ShapeError, match="no weights") as caught:
            lut.encode_linear(weights([]), 4)
        assert caught.value.rule == "LIN-1"


class TestDecoding:
    """LUT-6: A decoded weight MUST be the entry that its code numbers."""

    @given(st.lists(st.floats(width=32), min_size=1, max_size=256), st.data())
    def test_bit_for_bit(self, entries: list[float], data: st.DataObject) -> None:
        codes = bytes(data.draw(st.lists(st.integers(0, len(entries) - 1), max_size=40)))
        stored = weights(entries)
        assert bits(table.look_up(codes, stored)) == [bits(stored)[code] for code in codes]
        assert bits(table.look_up_by_definition(codes, stored)) == [bits(stored)[code] for code in codes]

    def test_a_code_past_the_table_is_refused(self) -> None:
        """PACK-4: A code MUST lie in 0 .. 2^n - 1; a writer MUST refuse any other."""
        with pytest.raises(CodeError, match="code 2 is past the table's end") as caught:
            lut.decode(b"\0\1\2\3", weights([1.0, 2.0]))
        assert (caught.value.index, caught.value.rule) == (2, "PACK-4")

    def test_an_entry_that_is_no_number_is_refused(self) -> None:
        """DEQ-4: Dequantization MUST refuse a tensor ... that holds a number that is not finite."""
        with pytest.raises(NonFiniteError) as caught:
            lut.decode(b"\0", weights([1.0, INFINITY]))
        assert caught.value.reason == "table entry is inf, not a finite number"
        assert (caught.value.index, caught.value.rule) == (1, "DEQ-4")


def constantly(gift: Any) -> lut.LutFunction:
    """Make a function that gives this, whatever it is given."""
    return lambda nbits, values: gift


class Shaped:
    """Stands in for an array of some library, or one of its numbers: has `tolist`."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def tolist(self) -> Any:
        return self.values


class TestCustom:
    """LUT-4: `custom_lut` MUST call `lut_function(nbits, weights)` once a tensor and store the table and the
    codes that it returns.
    """

    @pytest.mark.parametrize(
        "given_back",
        [
            ([1.0, 2.0], [0, 1, 1]),
            ((1, 2), (0.0, 1.0, 1.0)),
            (array("d", [1, 2]), bytes([0, 1, 1])),
            [Shaped([1.0, 2.0]), Shaped([[0], [1], [1]])],
            ([[1.0], [2.0]], [[0, 1], [1]]),
            ([Shaped([1.0]), Shaped([2.0])], (Shaped([0, 1]), [1])),
            ([Shaped(1.0), Shaped(2.0)], [Shaped(0), Shaped([Shaped(1)]), 1]),
            ([1.0, 2.0], [0, True, 1]),
        ],
    )
    def test_stored(self, given_back: Any) -> None:
        calls = []

        def function(nbits: int, values: array[float]) -> Any:
            calls.append((nbits, values[:]))
            values[0] = 99.0
            return given_back

        mine = weights([3.0, 4.0, 5.0])
        found = lut.encode_custom(mine, 1, function)
        assert calls == [(1, weights([3.0, 4.0, 5.0]))]
        assert mine == weights([3.0, 4.0, 5.0])
        assert (found.codes, found.table, found.collapsed) == (bytes([0, 1, 1]), weights([1.0, 2.0]), False)

    def test_not_a_function(self) -> None:
        for nothing in (None, "codec:function"):
            with pytest.raises(ArgumentError, match="needs a lut_function") as caught:
                lut.encode_custom(weights([1.0]), 1, nothing)  # type: ignore[arg-type]
            assert caught.value.rule == "LUT-4"

    @pytest.mark.parametrize("nbits", [0, 9, 16])
    def test_number_of_bits(self, nbits: int) -> None:
        with pytest.raises(ArgumentError, match="1 to 8 bits"):
            lut.encode_custom(weights([1.0]), nbits, lambda nbits, given: ([0.0] * (1 << nbits), [0]))

    def test_raises(self) -> None:
        def function(nbits: int, values: array[float]) -> Any:
            raise KeyError("no such thing")

        with pytest.raises(LutFunctionError, match="KeyError: 'no such thing'") as caught:
            lut.encode_custom(weights([1.0]), 1, function)
        assert isinstance(caught.value.__cause__, KeyError)
        assert caught.value.rule == "LUT-4"

    def test_what_it_gives_raises(self) -> None:
        """What a function gives may be a generator, or hold numbers of any class, and these may raise."""

        class Odd:
            def __float__(self) -> float:
                raise OSError("no number")

            def __hash__(self) -> int:
                raise OSError("no number")

        def late() -> Iterator[int]:
            yield 0
            raise OSError("no number")

        itself: list[Any] = []
        itself.append(itself)
        gifts: list[Any] = [([0, 1], late()), ([0, Odd()], [0, 0]), ([0, 1], [0, Odd()])]
        for gift in gifts:
            with pytest.raises(LutFunctionError, match="OSError: no number") as caught:
                lut.encode_custom(weights([1.0, 2.0]), 1, constantly(gift))
            assert isinstance(caught.value.__cause__, OSError)
        with pytest.raises(LutFunctionError, match="RecursionError"):
            lut.encode_custom(weights([1.0]), 1, constantly((itself, [0])))

    def test_it_gives_without_an_end(self) -> None:
        """Of what is too much, one is taken, and no more."""
        entries, codes = itertools.count(), itertools.count()
        with pytest.raises(LutFunctionError, match="a table of more than 2, not 2"):
            lut.encode_custom(weights([1.0, 2.0, 3.0]), 1, constantly((entries, [0, 1, 1])))
        assert next(entries) == 2 + 1
        with pytest.raises(LutFunctionError, match="more than 3 codes for 3 weights"):
            lut.encode_custom(weights([1.0, 2.0, 3.0]), 1, constantly(([0, 1], codes)))
        assert next(codes) == 3 + 1

    def test_own_errors_and_interrupts_pass_through(self) -> None:
        for error in (ShapeError("mine"), KeyboardInterrupt()):

            def function(nbits: int, values: array[float], error: BaseException = error) -> Any:
                raise error

            with pytest.raises((RefquantError, KeyboardInterrupt)) as caught:
                lut.encode_custom(weights([1.0]), 1, function)
            assert caught.value is error

    def test_weights_not_finite(self) -> None:
        with pytest.raises(NonFiniteError):
            lut.encode_custom(weights([NAN]), 1, lambda nbits, values: ([0, 1], [0]))


class TestCustomNonsense:
    """LUT-5: A writer MUST refuse a returned table whose length is not 2^n or that holds a number not finite
    in binary32, and returned codes whose count is not the count of weights or that are not whole numbers in
    0 .. 2^n - 1.
    """

    @pytest.mark.parametrize(
        ("given_back", "index", "message"),
        [
            (None, None, "not NoneType$"),
            ("ab", None, "not str$"),
            (([1.0, 2.0],), None, "not something that is not two values$"),
            (({0: 1.0, 1: 2.0}, [0, 0]), None, "not tuple$"),
            ((1.0, [0, 0]), None, "not tuple"),
            ((["1.0", "2.0"], [0, 0]), 0, "'1.0' as a table entry"),
            (([1.0], [0, 0]), None, "a table of 1, not 2"),
            (([1.0, 2.0, 3.0], [0, 0]), None, "a table of more than 2, not 2"),
            (([1.0, NAN], [0, 0]), 1, "nan as a table entry"),
            (([1.0, 1e39], [0, 0]), 1, "as a table entry"),
            (([1.0, 10**400], [0, 0]), 1, "as a table entry"),
            (([1.0, None], [0, 0]), 1, "None as a table entry"),
            (([1.0, 2.0], [0]), None, "1 codes for 2 weights"),
            (([1.0, 2.0], [0, 0, 0]), None, "more than 2 codes for 2 weights"),
            (([1.0, 2.0], [0, 2]), 1, "2 as a code of 1 bits"),
            (([1.0, 2.0], [0, -1]), 1, "-1 as a code"),
            (([1.0, 2.0], [0, 0.5]), 1, "0.5 as a code"),
            (([1.0, 2.0], [0, NAN]), 1, "nan as a code"),
            (([1.0, 2.0], [0, "1"]), 1, "'1' as a code"),
            (([1.0, 2.0], [0, {}]), 1, "{} as a code"),
        ],
    )
    def test_refused(self, given_back: Any, index: int | None, message: str) -> None:
        with pytest.raises(LutFunctionError, match=message) as caught:
            lut.encode_custom(weights([1.0, 2.0]), 1, lambda nbits, values: given_back)
        assert (caught.value.index, caught.value.rule) == (index, "LUT-5")

    def test_largest_numbers_pass(self) -> None:
        found = lut.encode_custom(weights([1.0]), 1, lambda nbits, values: ([-GREATEST, GREATEST], [1]))
        assert found.table.tolist() == [-GREATEST, GREATEST]
