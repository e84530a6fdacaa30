"""The oracle against values worked out by hand, and against the machine's own arithmetic."""

from __future__ import annotations

import math
import struct
from contextlib import AbstractContextManager
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle import (
    binary64,
    dequantization,
    fusion,
    half,
    int8,
    kmeans,
    linear,
    lut,
    packing,
    rounding,
    symmetric,
    tensor,
)
from tests.oracle.refusal import Refused
from tests.oracle.tensor import Channels

#: The oracle is slow by design; how long an example takes tells nothing.
no_deadline = settings(deadline=None)

finite = st.floats(allow_nan=False, allow_infinity=False)


def one(weights: list[float]) -> Channels:
    """Give the channels of a tensor with one."""
    return Channels(1, 1, len(weights))


def refusal(rule: str, index: int | None = None) -> AbstractContextManager[object]:
    """Expect a refusal."""
    return pytest.raises(Refused, match=f"^{Refused(rule, index)}$")


def bits(x: float) -> bytes:
    """Give the bits of a float, so that zeros are told apart."""
    return struct.pack(">d", x)


class TestRounding:
    """The roundings of the oracle are those of IEEE 754, as this machine has them."""

    @pytest.mark.parametrize(
        ("x", "expected"),
        [
            ("1/2", 0),
            ("3/2", 2),
            ("5/2", 2),
            ("-1/2", 0),
            ("-3/2", -2),
            ("2501/1000", 3),
            ("7/3", 2),
            ("4", 4),
        ],
    )
    def test_whole_numbers_tie_to_even(self, x: str, expected: int) -> None:
        assert rounding.round_half_even(Fraction(x)) == expected

    @pytest.mark.parametrize(("x", "expected"), [("19/10", 1), ("-19/10", -1), ("-1/2", 0), ("-3", -3)])
    def test_truncation_is_toward_zero(self, x: str, expected: int) -> None:
        assert rounding.truncate(Fraction(x)) == expected

    def test_ends_of_binary32(self) -> None:
        # The greatest number has 24 ones: 2^128 - 2^104. Halfway to 2^128 is the tie, and it goes up, past
        # the end, since 24 ones are odd. Half the least number, 2^-150, ties to zero, which is even.
        greatest = Fraction(2**128 - 2**104)
        assert rounding.round_binary32(greatest + 2**103 - 1) == greatest
        with pytest.raises(OverflowError):
            rounding.round_binary32(greatest + 2**103)
        assert rounding.round_binary32(Fraction(1, 2**150)) == 0
        assert rounding.round_binary32(Fraction(3, 2**150)) == Fraction(2, 2**149)

    @given(finite)
    @no_deadline
    def test_binary32_is_the_machines(self, x: float) -> None:
        try:
            machine = struct.unpack("<f", struct.pack("<f", x))[0]
        except OverflowError:
            with pytest.raises(OverflowError):
                rounding.round_binary32(Fraction(x))
        else:
            assert bits(binary64.stored(binary64.number(x))) == bits(machine)

    @given(st.floats(-70000, 70000) | st.floats(-1e-4, 1e-4))
    @no_deadline
    def test_binary16_is_the_machines(self, x: float) -> None:
        try:
            machine = struct.unpack("<e", struct.pack("<e", x))[0]
        except OverflowError:
            with pytest.raises(OverflowError):
                rounding.round_binary16(Fraction(x))
        else:
            assert rounding.round_binary16(Fraction(x)) == Fraction(machine)

    @given(finite, finite)
    @no_deadline
    def test_binary64_operations_are_the_machines(self, x: float, y: float) -> None:
        a, b = binary64.number(x), binary64.number(y)
        for operation, machine in (
            (binary64.add, x + y),
            (binary64.subtract, x - y),
            (binary64.multiply, x * y),
            (binary64.divide, x / y if y else math.nan),
        ):
            if math.isnan(machine):
                with pytest.raises(ZeroDivisionError):
                    operation(a, b)
            elif math.isinf(machine):
                with pytest.raises(OverflowError):
                    operation(a, b)
            else:
                assert bits(binary64.to_float(operation(a, b))) == bits(machine)

    @given(st.floats(min_value=0, allow_infinity=False))
    @no_deadline
    def test_square_root_is_the_machines(self, x: float) -> None:
        assert bits(binary64.to_float(binary64.square_root(binary64.number(x)))) == bits(math.sqrt(x))

    def test_square_root_by_hand(self) -> None:
        assert rounding.square_root_binary64(Fraction(49, 4)) == Fraction(7, 2)
        # (1 + 2^-53)^2 is just above 1 + 2^-52: its root, 1 + 2^-53, ties between 1 and 1 + 2^-52.
        assert rounding.square_root_binary64((1 + Fraction(1, 2**53)) ** 2) == 1
        assert rounding.square_root_binary64((1 + Fraction(1, 2**53)) ** 2 + Fraction(1, 2**200)) > 1


class TestZeros:
    """IEEE 754, 6.3: the sign of a zero result."""

    def test_of_the_least_and_the_greatest(self) -> None:
        zeros = [binary64.number(0.0), binary64.number(-0.0)]
        for pair in (zeros, zeros[::-1]):
            assert binary64.least(pair).minus
            assert not binary64.greatest(pair).minus

    def test_what_rounds_to_zero_keeps_its_sign(self) -> None:
        assert bits(binary64.stored(binary64.number(-(2.0**-200)))) == bits(-0.0)


class TestTensor:
    """Chapter 1."""

    def test_positions(self) -> None:
        # (2, 3, 2): o0 [c0 0 1, c1 2 3, c2 4 5], o1 [c0 6 7, c1 8 9, c2 10 11].
        assert tensor.positions(Channels(2, 3, 2), 1) == [2, 3, 8, 9]
        assert tensor.owners(Channels(2, 3, 2)) == [0, 0, 1, 1, 2, 2] * 2

    def test_refusals(self) -> None:
        with refusal("TEN-6"):
            linear.encode([1.0], 8, Channels(1, 1, 2))
        with refusal("TEN-7", 1):
            linear.encode([1.0, math.inf, math.nan], 8, Channels(1, 1, 3))
        with refusal("TEN-5"):
            linear.encode([1.0], 9, Channels(1, 1, 1))


class TestPacking:
    """Chapter 2."""

    def test_by_hand(self) -> None:
        # 3-bit codes 5, 1, 7: 101 001 11|1 0000000
        assert packing.pack([5, 1, 7], 3) == bytes([0b10100111, 0b10000000])
        # 5-bit codes 1, 30, 17: 00001 111|10 10001 0
        assert packing.pack([1, 30, 17], 5) == bytes([0b00001111, 0b10100010])
        assert packing.pack([200, 7], 8) == bytes([200, 7])

    def test_padding_is_ignored(self) -> None:
        assert packing.unpack(bytes([0b10100111, 0b11111111]), 3, 3) == [5, 1, 7]

    @given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, 2**n - 1)))))
    @no_deadline
    def test_there_and_back(self, case: tuple[int, list[int]]) -> None:
        nbits, codes = case
        assert packing.unpack(packing.pack(codes, nbits), nbits, len(codes)) == codes

    def test_refusals(self) -> None:
        with refusal("PACK-4", 2):
            packing.pack([0, 3, 4], 2)
        with refusal("PACK-5"):
            packing.unpack(bytes(1), 3, 3)


class TestHalf:
    """Chapter 3."""

    @pytest.mark.parametrize(
        ("weight", "pattern"),
        [
            (1.0, 0x3C00),  # exponent 0 + 15, fraction 0
            (-0.0, 0x8000),
            (1 + 2.0**-11, 0x3C00),  # halfway between 1 and 1 + 2^-10: 1 is even
            (1 + 3 * 2.0**-11, 0x3C02),  # halfway between fractions 1 and 2
            (2.0**-24, 0x0001),  # the least subnormal
            (2.0**-25, 0x0000),  # half of it: a tie
            (-(2.0**-25), 0x8000),  # which keeps its sign
            (1.25 * 2.0**-25, 0x0001),
            (2.0**-14 - 2.0**-25, 0x0400),  # halfway between the greatest subnormal and the least normal
            (65503.0, 0x7BFF),  # nearer to 65504 than to 65472
        ],
    )
    def test_by_hand(self, weight: float, pattern: int) -> None:
        assert half.encode([weight]) == bytes([pattern % 256, pattern // 256])

    def test_every_pattern_is_read_as_the_machine_does(self) -> None:
        data = struct.pack("<65536H", *range(65536))
        for found, machine in zip(half.decode(data), struct.unpack("<65536e", data)):
            assert bits(found) == bits(machine) or (math.isnan(found) and math.isnan(machine))

    @given(st.floats(-65500, 65500, width=32) | st.floats(-(2.0**-13), 2.0**-13, width=32))
    @no_deadline
    def test_encoding_is_the_machines(self, x: float) -> None:
        assert half.encode([x]) == struct.pack("<e", x)

    def test_refusals(self) -> None:
        with refusal("HALF-2", 1):
            half.encode([0.0, -65504.0])


class TestLinear:
    """Chapter 4."""

    def test_ties_to_even(self) -> None:
        # Range 6 in 3 steps of 2: 1 is half a step, a tie, and goes to 0; 3 is one and a half, and goes to 2.
        weights = [0.0, 1.0, 3.0, 6.0]
        assert linear.encode(weights, 2, one(weights)) == linear.Quantized([0, 0, 2, 3], [2.0], [0.0], [])

    def test_product_by_the_reciprocal(self) -> None:
        # Range 147 in 3 steps of 49; 73.5 is one and a half, but 1/49 is rounded first: near it numbers are
        # 2^-58 apart, and 2^58 = 23 (mod 49), so it is cut by 23/49 of 2^-58. The product with 73.5 falls
        # short of 1.5 by 34.5 * 2^-58, over half of the 2^-52 between numbers there, and rounds to
        # 1.5 - 2^-52: code 1, where a division gives 1.5 and code 2.
        weights = [0.0, 73.5, 147.0]
        assert linear.encode(weights, 2, one(weights)).codes == [0, 1, 3]

    def test_stored_scale_is_rounded_and_the_codes_do_not_feel_it(self) -> None:
        # 1/3 in binary32 is 11184811 * 2^-25 (2^25 / 3 = 11184810.67).
        weights = [-1.0, 0.0]
        assert linear.encode(weights, 2, one(weights)).scales == [11184811 / 2**25]

    def test_channels_on_the_second_axis(self) -> None:
        # (2, 2, 1): channel 0 holds weights 0 and 2, channel 1 weights 1 and 3.
        found = linear.encode([0.0, 5.0, 3.0, 8.0], 1, Channels(2, 2, 1))
        assert found == linear.Quantized([0, 0, 1, 1], [3.0, 3.0], [0.0, 5.0], [])

    def test_threshold(self) -> None:
        # The binary32 number nearest to 1e-6 is 8796093 * 2^-43 (2^43 / 10^6 = 8796093.02): below 1e-6,
        # while the next is above.
        below, above = 8796093 / 2**43, 8796094 / 2**43
        assert linear.encode([0.0, below], 1, Channels(1, 1, 2)) == linear.Quantized(
            [0, 0], [below], [0.0], [0]
        )
        assert linear.encode([0.0, above], 1, Channels(1, 1, 2)) == linear.Quantized(
            [0, 1], [above], [0.0], []
        )

    def test_threshold_itself(self) -> None:
        # 1e-6 in binary64 is 0x10c6f7a0b5ed8d * 2^-72: its first 25 bits (the last is 0) make one binary32
        # number, its last 24 another. Less the negative of the second, the first gives a range of exactly
        # that; a unit more, 2^-72, gives the next binary64 number.
        first, rest = 0x10C6F7A0000000 / 2**72, 0xB5ED8D / 2**72
        assert linear.encode([-rest, first], 1, Channels(1, 1, 2)).codes == [0, 0]
        assert linear.encode([-rest - 2.0**-72, first], 1, Channels(1, 1, 2)).codes == [0, 1]

    def test_equal_weights_are_not_collapsed(self) -> None:
        found = linear.encode([7.0, 7.0, -0.0, 0.0], 4, Channels(1, 2, 2))
        assert found == linear.Quantized([0] * 4, [0.0, 0.0], [7.0, 0.0], [])
        assert bits(found.biases[1]) == bits(-0.0)

    def test_past_binary32(self) -> None:
        # The range of -g .. g, with g the greatest binary32 number, is twice what one step can be stored as.
        greatest = (2 - 2.0**-23) * 2.0**127
        assert linear.encode([-greatest, greatest], 2, Channels(1, 1, 2)).codes == [0, 3]
        with pytest.raises(OverflowError):
            linear.encode([-greatest, greatest], 1, Channels(1, 1, 2))


class TestSymmetric:
    """Chapter 5."""

    def test_by_hand(self) -> None:
        # r = 127, so the scale is 1 and the bias -128; 0.5 is a tie between 128 and 129.
        weights = [127.0, -127.0, 0.0, 0.5]
        found = symmetric.encode(weights, 8, one(weights))
        assert found == linear.Quantized([255, 1, 128, 128], [1.0], [-128.0], [])

    def test_division(self) -> None:
        # r = 127 * 49, so the scale is 49; 51.5 scales above 128 is a tie at 179.5 and goes to 180. The
        # reciprocal of 49 is 23/49 of 2^-58 too small (see TestLinear), so a product would fall short of
        # 179.5 by 179.5 * 23 * 2^-58 = 4128.5 * 2^-58, over half (4096 * 2^-58) of the 2^-45 between
        # numbers there, and go to 179.
        weights = [6223.0, 51.5 * 49]
        assert symmetric.encode(weights, 8, one(weights)).codes == [255, 180]

    def test_zeros(self) -> None:
        # -128 * 0 is -0.
        found = symmetric.encode([0.0, -0.0], 8, Channels(1, 1, 2))
        assert found == linear.Quantized([0, 0], [0.0], [0.0], [])
        assert bits(found.biases[0]) == bits(-0.0)

    def test_constants_collapse(self) -> None:
        # 2^-20 / 127 is about 7.5e-9.
        found = symmetric.encode([2.0**-20] * 2, 8, Channels(1, 1, 2))
        assert (found.codes, found.collapsed) == ([0, 0], [0])

    def test_refusals(self) -> None:
        with refusal("SYM-1"):
            symmetric.encode([1.0], 7, Channels(1, 1, 1))
        with pytest.raises(OverflowError):  # the bias is 128/127 of the greatest binary32 number
            symmetric.encode([(2 - 2.0**-23) * 2.0**127], 8, Channels(1, 1, 1))


class TestLut:
    """Chapter 6."""

    def test_by_hand(self) -> None:
        assert lut.encode_linear([-1.0, 5.0], 2) == lut.Quantized(
            [0, 3], [-1.0, 1.0, 3.0, 5.0], collapsed=False
        )

    def test_entries_come_from_the_unrounded_scale(self) -> None:
        # Weights 0 and 1, 7 steps: entry 3 is 3/7, in binary32 14380471 * 2^-25 (3/7 * 2^25 = 14380470.86).
        # The scale as it would be stored is 9586981 * 2^-26; three of that are 14380471.5 * 2^-25, a tie
        # that goes to 14380472.
        assert lut.encode_linear([0.0, 1.0], 3).table[3] == 14380471 / 2**25

    def test_custom(self) -> None:
        assert lut.accept_custom([0.1, 2], [1.0, 0], 1, 2) == lut.Quantized(
            [1, 0], [13421773 / 2**27, 2.0], collapsed=False
        )

    @pytest.mark.parametrize(
        ("table", "codes", "index"),
        [
            ([0.0], [0], None),
            ([0.0, 1.0], [0, 1], None),
            ([0.0, math.nan], [0], 1),
            ([1e39, 0.0], [0], 0),
            ([0.0, 1.0], [2], 0),
            ([0.0, 1.0], [0.5], 0),
            ([0.0, 1.0], [-1], 0),
        ],
    )
    def test_refusals(self, table: list[float], codes: list[float], index: int | None) -> None:
        with refusal("LUT-5", index):
            lut.accept_custom(table, codes, 1, 1)


class TestKmeans:
    """Chapter 7."""

    def test_optimum_by_hand(self) -> None:
        # {0, 1} and {10}: 1/4 + 1/4, where {0} and {1, 10} would give 2 * 4.5^2.
        assert kmeans.optimum([0.0, 10.0, 1.0], 2) == kmeans.Optimum(Fraction(1, 2), [0.5, 10.0])
        # Three of 0 and one of 4 in one run: mean 1, and 3 * 1 + 9.
        assert kmeans.optimum([0.0, 4.0, 0.0, 0.0], 1) == kmeans.Optimum(Fraction(12), [1.0])
        assert kmeans.optimum([0.0, 10.0, 1.0], 8).inertia == 0

    def test_optimum_has_binary32_entries(self) -> None:
        # The mean of two neighbours cannot be stored; either of them leaves the other a whole step away.
        step = 2.0**-23
        found = kmeans.optimum([1.0, 1.0 + step], 1)
        assert found == kmeans.Optimum(Fraction(step) ** 2, [1.0])

    @given(st.lists(st.integers(-20, 20), min_size=1, max_size=5), st.integers(1, 3))
    @no_deadline
    def test_optimum_is_the_least_of_all_clusterings(self, weights: list[int], size: int) -> None:
        exact = [Fraction(w) for w in weights]

        def least(rest: list[Fraction], clusters: list[list[Fraction]]) -> Fraction:
            if rest:
                grown = [[*clusters[:i], [*c, rest[0]], *clusters[i + 1 :]] for i, c in enumerate(clusters)]
                return min(least(rest[1:], clustering) for clustering in grown)
            means = [sum(c) / Fraction(len(c)) for c in clusters if c]
            entries = [rounding.round_binary32(mean) for mean in means]
            return sum((min((w - e) ** 2 for e in entries) for w in exact), Fraction(0))

        assert kmeans.optimum([float(w) for w in weights], size).inertia == least(exact, [[]] * size)

    def test_nearest_takes_the_lower_code(self) -> None:
        assert kmeans.nearest(1.0, [0.0, 2.0, 2.0, 9.0]) == 0
        assert kmeans.nearest(1.5, [0.0, 2.0, 2.0, 9.0]) == 1

    @pytest.mark.parametrize(
        ("codes", "table", "broken"),
        [
            ([0, 1, 1], [0.0, 9.5], []),
            ([0, 1, 1], [0.0, 9.5, 9.5], ["LUT-1"]),
            ([0, 1, 1], [0.0, math.inf], ["LUT-1"]),
            ([0, 1, 1], [0.0, 0.1], ["LUT-1"]),
            ([0, 1, 2], [0.0, 9.5], ["LUT-5"]),
            ([1, 0, 0], [9.5, 0.0], ["KM-1"]),
            ([0, 0, 1], [0.0, 9.5], ["KM-2"]),
        ],
    )
    def test_broken_rules(self, codes: list[int], table: list[float], broken: list[str]) -> None:
        assert kmeans.broken_rules([0.0, 9.0, 10.0], 1, codes, table) == broken

    def test_fewer_weights_than_entries(self) -> None:
        assert kmeans.broken_rules([5.0, 3.0], 1, [1, 0], [3.0, 5.0]) == []
        assert kmeans.broken_rules([5.0, 3.0], 1, [1, 1], [0.0, 4.0]) == ["KM-1"]

    def test_near_the_optimum(self) -> None:
        weights = [0.0, 1.0, 10.0]
        assert kmeans.is_near_optimum(weights, 1, [0, 0, 1], [0.5, 10.0])
        assert not kmeans.is_near_optimum(weights, 1, [0, 0, 1], [0.53125, 10.0])  # 0.5019...


class TestDequantization:
    """Chapter 11."""

    def test_two_roundings(self) -> None:
        # 205 * 5237765 = 2^30 + 1, so the product is 2^-24 + 2^-54 and with the bias 1 + 2^-24 + 2^-54. In
        # binary64 that is 1 + 2^-24, a tie in binary32 that goes to 1; rounded once it would go up.
        assert dequantization.linear([205], [5237765 / 2**54], [1.0], Channels(1, 1, 1)) == [1.0]
        # Likewise 130 * 16519105 = 2^31 + 2, in units of 2^-55.
        assert dequantization.linear([130], [16519105 / 2**55], [1.0], Channels(1, 1, 1)) == [1.0]

    def test_broadcast(self) -> None:
        channels = Channels(2, 2, 1)
        assert dequantization.linear([1, 2, 3, 4], [2.0], [], channels) == [2.0, 4.0, 6.0, 8.0]
        assert dequantization.linear([1, 2, 3, 4], [2.0, 1.0], [0.0, 10.0], channels) == [
            2.0,
            12.0,
            6.0,
            14.0,
        ]
        with refusal("DEQ-4"):
            dequantization.linear([1, 2, 3, 4], [1.0] * 3, [], channels)

    def test_missing_bias_is_plus_zero(self) -> None:
        # 0 * -1 is -0, and -0 + 0 is +0.
        assert bits(dequantization.linear([0], [-1.0], [], Channels(1, 1, 1))[0]) == bits(0.0)

    def test_table(self) -> None:
        assert dequantization.lookup([1, 0, 1], [5.0, -0.0], 1) == [-0.0, 5.0, -0.0]
        with refusal("LUT-1", 1):
            dequantization.lookup([0], [5.0, math.nan], 1)

    def test_int8(self) -> None:
        assert dequantization.int8(bytes([255, 127, 128]), 0.5) == [-0.5, 63.5, -64.0]

    def test_past_binary32(self) -> None:
        with pytest.raises(OverflowError):
            dequantization.linear([255], [2.0**127], [], Channels(1, 1, 1))


class TestInt8:
    """Chapter 12."""

    def test_truncates(self) -> None:
        # 1.75 / 127 of the greatest is 1.75 steps: cut to 1, not rounded to 2.
        assert int8.encode([127.0, 1.75, -1.75]) == int8.Quantized(bytes([127, 1, 255]), 1.0)

    def test_quotient_comes_first(self) -> None:
        # m = 127 * 49. 127 / m is 1/49, rounded down (see TestLinear), and 49 times that is below 1; but
        # 49 / m is 1/127: 2^59 = 8 (mod 127), so it is cut by 8/127 of 2^-59, times 127 by 8 * 2^-59,
        # less than half of the 2^-53 between numbers below 1. So 127 * (49 / m) rounds to 1.
        assert int8.encode([6223.0, 49.0]).data == bytes([127, 1])

    def test_zeros(self) -> None:
        assert int8.encode([0.0, -0.0]) == int8.Quantized(bytes(2), 0.0)


class TestFusion:
    """Chapter 10."""

    def test_batchnorm(self) -> None:
        # variance + epsilon = 4, root 2. Channel 0: w' = (6 / 2) * 5, b' = 6 * 1 / 2 - 6 * 2 / 2 + 7.
        # Channel 1: w' = (2 / 2) * 4, b' = 2 * 3 / 2 - 2 * 1 / 2 + 0.
        found = fusion.convolution_batchnorm(
            [5.0, 4.0], [0, 1], [1.0, 3.0], [6.0, 2.0], [7.0, 0.0], [2.0, 1.0], [3.0, 3.0], 1.0
        )
        assert found == fusion.Fused([15.0, 4.0], [4.0, 2.0])

    def test_batchnorm_without_bias(self) -> None:
        found = fusion.convolution_batchnorm([5.0], [0], None, [6.0], [7.0], [2.0], [3.0], 1.0)
        assert found == fusion.Fused([15.0], [1.0])

    def test_scale(self) -> None:
        weights, owners = [5.0, 1.0], [0, 1]
        assert fusion.scaled(weights, owners, [10.0, 1.0], [2.0], None, 2) == fusion.Fused(
            [10.0, 2.0], [20.0, 2.0]
        )
        assert fusion.scaled(weights, owners, [1.0, 1.0], [2.0, 3.0], [4.0], 2) == fusion.Fused(
            [10.0, 3.0], [6.0, 7.0]
        )
        assert fusion.scaled(weights, owners, None, [2.0], [4.0], 2) == fusion.Fused([10.0, 2.0], [4.0, 4.0])
        assert fusion.scaled(weights, owners, None, [2.0], None, 2) == fusion.Fused([10.0, 2.0], None)

    def test_bias(self) -> None:
        assert fusion.shifted([1.0, 2.0], [10.0, 20.0], 2) == [11.0, 22.0]
        assert fusion.shifted(None, [3.0], 2) == [3.0, 3.0]

    def test_batchnorm_scale(self) -> None:
        assert fusion.batchnorm_scale([2.0], [3.0], [4.0], [5.0]) == ([8.0], [17.0])
        assert fusion.batchnorm_scale([2.0], [3.0], [4.0], None) == ([8.0], [12.0])
