"""The oracle against values worked out by hand, and against the machine's own arithmetic."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.oracle import codec, fusion, rounding

finite = st.floats(allow_nan=False, allow_infinity=False)
floats32 = st.floats(allow_nan=False, allow_infinity=False, width=32)


class TestRounding:
    """The roundings of the oracle are those of IEEE 754, as this machine has them."""

    @pytest.mark.parametrize(
        ("x", "expected"),
        [("1/2", 0), ("3/2", 2), ("5/2", 2), ("-1/2", 0), ("-3/2", -2), ("2501/1000", 3), ("7/3", 2)],
    )
    def test_whole_numbers_tie_to_even(self, x: str, expected: int) -> None:
        assert rounding.whole(Fraction(x)) == expected

    @given(finite, finite)
    def test_binary64_is_the_machines(self, a: float, b: float) -> None:
        for exact, machine in ((Fraction(a) + Fraction(b), a + b), (Fraction(a) * Fraction(b), a * b)):
            if math.isinf(machine):
                with pytest.raises(OverflowError):
                    rounding.f64(exact)
            else:
                assert float(rounding.f64(exact)) == machine

    @given(finite)
    def test_binary32_is_the_machines(self, x: float) -> None:
        try:
            machine = struct.unpack("<f", struct.pack("<f", x))[0]
        except OverflowError:
            with pytest.raises(OverflowError):
                rounding.f32(Fraction(x))
        else:
            assert float(rounding.f32(Fraction(x))) == machine

    @given(st.floats(min_value=1e-300, max_value=1e300))
    def test_square_root_is_the_machines(self, x: float) -> None:
        assert float(rounding.root(Fraction(x))) == math.sqrt(x)

    def test_binary16_by_hand(self) -> None:
        # 1 + 2^-11 lies halfway between 1 and 1 + 2^-10: the even significand is that of 1.
        assert codec.half([1 + 2.0**-11]) == [1]
        assert codec.half([1 + 3 * 2.0**-11]) == [1 + Fraction(2, 2**10)]
        # The least subnormal is 2^-24; half of it ties to zero, a little more does not.
        assert codec.half([2.0**-25, 1.25 * 2.0**-25]) == [0, Fraction(1, 2**24)]


class TestByHand:
    """Small tensors worked out on paper."""

    def test_packing(self) -> None:
        # 3-bit codes 5, 1, 7: 101 001 11|1 0000000
        assert codec.pack([5, 1, 7], 3) == bytes([0b10100111, 0b10000000])

    def test_linear(self) -> None:
        # Range 6 in 3 steps of 2: 1 is half a step, a tie, and goes to the even code 0; 3 goes to 2.
        found = codec.linear([0.0, 1.0, 3.0, 6.0], 2, 1, 1, 4)
        assert found == codec.Linear([0, 0, 2, 3], [2.0], [0.0])

    def test_channels_on_the_second_axis(self) -> None:
        # (2, 2, 1): channel 0 holds weights 0 and 2, channel 1 weights 1 and 3.
        found = codec.linear([0.0, 5.0, 3.0, 8.0], 1, 2, 2, 1)
        assert found == codec.Linear([0, 0, 1, 1], [3.0, 3.0], [0.0, 5.0])

    def test_symmetric(self) -> None:
        # r = 127, so the scale is 1 and the bias -128; 0.5 is a tie between 128 and 129.
        found = codec.symmetric([127.0, -127.0, 0.0, 0.5], 1, 1, 4)
        assert found == codec.Linear([255, 1, 128, 128], [1.0], [-128.0])

    def test_linear_lut(self) -> None:
        assert codec.linear_lut([0.0, 6.0], 2) == ([0, 3], [0.0, 2.0, 4.0, 6.0])

    def test_int8_truncates(self) -> None:
        # 1.9 / 127 of the greatest is 1.9 steps: cut to 1, not rounded to 2.
        assert codec.int8([127.0, 1.75, -1.75]) == ([127, 1, -1], 1.0)

    def test_least_inertia(self) -> None:
        # {0, 1} and {10}: 1/4 + 1/4.
        assert codec.least_inertia([0.0, 10.0, 1.0], 2) == Fraction(1, 2)
        assert codec.least_inertia([0.0, 10.0, 1.0], 3) == 0

    def test_batchnorm(self) -> None:
        # variance + epsilon = 4, root 2, gamma 6: w' = 3 * 5; b' = 6*1/2 - 6*2/2 + 7.
        assert fusion.batchnorm(5.0, 1.0, 6.0, 7.0, 2.0, 3.0, 1.0) == (15.0, 4.0)

    def test_scale(self) -> None:
        assert fusion.scale(5.0, 10.0, 2.0, None) == (10.0, 20.0)
        assert fusion.scale(5.0, None, 2.0, 3.0) == (10.0, 3.0)
