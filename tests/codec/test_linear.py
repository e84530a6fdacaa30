"""Chapters 4 and 5: linear and symmetric quantization, against the exact oracle and by hand."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refquant.codec import linear, symmetric
from refquant.codec.channels import Channels, split
from refquant.codec.linear import LinearCodes
from refquant.codec.table import look_up_by_definition
from refquant.codec.weights import CHUNK
from refquant.errors import ArgumentError, NonFiniteError, ShapeError, TensorError
from tests.hard import GREATEST, TENSORS, after, bits, f32, near_threshold, numbers, tensors, weights
from tests.oracle import codec as oracle

nbits_of_codes = st.integers(1, 8)


@st.composite
def shaped(draw: st.DrawFn) -> tuple[array[float], Channels]:
    channels = Channels(draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 6)))
    size = channels.outer * channels.count * channels.inner
    return weights(draw(st.lists(numbers, min_size=size, max_size=size))), channels


def around_pieces() -> Iterator[array[float]]:
    """More weights than are looked at in one piece, with 127 or -127 in one piece or the other."""
    for peak in (127.0, -127.0):
        for at in (0, CHUNK - 1, CHUNK, CHUNK + 1):
            values = weights([float(i % 3) for i in range(CHUNK + 2)])
            values[at] = peak
            yield values


def same(found: LinearCodes, expected: oracle.Linear) -> bool:
    return (
        list(found.codes) == expected.codes
        and bits(found.scales) == bits(weights(expected.scales))
        and found.biases.tolist() == expected.biases
    )


class TestCodes:
    """LIN-2: A code MUST be computed as `round((w - a) * inv)` with `inv = 1 / scale` and ties rounded to
    even. LIN-1, LIN-3, LIN-5, LIN-6 say what goes into it.
    """

    @given(shaped(), nbits_of_codes)
    def test_as_the_oracle_has_them(self, case: tuple[array[float], Channels], nbits: int) -> None:
        values, channels = case
        assert same(
            linear.encode(values, nbits, channels), oracle.linear(values.tolist(), nbits, *channels[:3])
        )

    @pytest.mark.parametrize("nbits", range(1, 9))
    @pytest.mark.parametrize("values", TENSORS)
    def test_hard_tensors(self, values: list[float], nbits: int) -> None:
        found = linear.encode(weights(values), nbits, Channels(1, 1, len(values)))
        assert same(found, oracle.linear(values, nbits, 1, 1, len(values)))

    @pytest.mark.parametrize("nbits", range(1, 9))
    @pytest.mark.parametrize("count", range(1, 18))
    def test_every_short_length(self, count: int, nbits: int) -> None:
        values = [f32(((i * 29) % 17 - 8) / 3) for i in range(count)]
        found = linear.encode(weights(values), nbits, Channels(1, 1, count))
        assert same(found, oracle.linear(values, nbits, 1, 1, count))

    def test_the_extremes_may_be_anywhere(self) -> None:
        for values in around_pieces():
            for channels in (Channels(1, 1, len(values)), Channels(1, 2, len(values) // 2)):
                found = linear.encode(values, 7, channels)
                for part, scale, bias in zip(split(values, channels), found.scales, found.biases):
                    assert bias == min(part)
                    assert scale == f32((max(part) - min(part)) / 127)
                back = linear.decode(found.codes, found.scales, found.biases, channels)
                assert all(abs(w - b) <= 0.51 for w, b in zip(values, back))

    def test_reciprocal_and_division_differ(self) -> None:
        # 3 / 0.6 and 3 * (1 / 0.6) round differently, and the tie between 4 and 5 shows it.
        pairs = ((f32(x / 64), 2 * n + 1) for n in range(127) for x in range(1, 640))
        greatest, odd = next(
            (g, n)
            for g, n in pairs
            for step in [g / 255]
            if (w := f32(n * step / 2)) and round(w / step) != round(w * (1 / step))
        )
        tie = f32(odd * (greatest / 255) / 2)
        found = linear.encode(weights([0.0, tie, greatest]), 8, Channels(1, 1, 3))
        assert same(found, oracle.linear([0.0, tie, greatest], 8, 1, 1, 3))
        assert found.codes[1] != round(tie / (greatest / 255))

    def test_product_and_rounding_are_two_operations(self) -> None:
        """LIN-10: Every operation of this specification that is done in binary64 MUST be rounded on its own,
        to nearest, ties to even; two of them MUST NOT be fused into one rounding.
        """
        # Rounded, the product is a tie, and goes to 26; in full, it is less than that.
        inverse = 1 / (0.390625 / 255)
        assert (0.0390625 * inverse, round(Fraction(0.0390625) * Fraction(inverse))) == (25.5, 25)
        found = linear.encode(weights([0.0, 0.0390625, 0.390625]), 8, Channels(1, 1, 3))
        assert list(found.codes) == [0, 26, 255]

    def test_ties(self) -> None:
        ties = [i / 2 for i in range(511)]
        found = linear.encode(weights(ties), 8, Channels(1, 1, len(ties)))
        assert list(found.codes) == [i // 2 + (i % 4 == 3) for i in range(511)]

    @given(st.lists(st.floats(0, 1000), min_size=1, max_size=50))
    def test_rounding_by_addition_is_rounding(self, xs: list[float]) -> None:
        xs += [0.5, 1.5, 2.5, 254.5, 255.0, 256.5]
        assert list(linear.round_to_codes([x + linear.ROUNDER for x in xs])) == [round(x) & 255 for x in xs]


class TestThreshold:
    """LIN-4: Where `|scale| <= 1e-6`, every code of the channel MUST be 0."""

    @given(near_threshold(), nbits_of_codes)
    def test_around_it(self, values: list[float], nbits: int) -> None:
        found = linear.encode(weights(values), nbits, Channels(1, 1, len(values)))
        scale = (values[1] - values[0]) / ((1 << nbits) - 1)
        assert same(found, oracle.linear(values, nbits, 1, 1, len(values)))
        assert found.collapsed == ((0,) if scale <= 1e-6 else ())
        assert (found.codes == bytes(len(values))) == (scale <= 1e-6)

    def test_exactly_at_it(self) -> None:
        # Two of the few pairs of binary32 numbers whose difference in binary64 is the threshold.
        edge = [float.fromhex("0x1.0c6f7ap-20"), float.fromhex("-0x1.6bdb1ap-49")]
        assert edge[0] - edge[1] == linear.SMALLEST_STEP
        assert linear.encode(weights(edge), 1, Channels(1, 1, 2)).collapsed == (0,)

    def test_constant_is_exact_and_no_collapse(self) -> None:
        found = linear.encode(weights([0.1] * 3), 4, Channels(1, 1, 3))
        assert (found.codes, found.scales.tolist(), found.collapsed) == (b"\0\0\0", [0.0], ())
        assert found.biases == weights([0.1])

    def test_only_the_channels_that_collapse_are_told(self) -> None:
        values = weights([0, 1, 5, 5, 0, 1e-7])
        assert linear.encode(values, 8, Channels(1, 3, 2)).collapsed == (2,)


class TestDecoding:
    """LIN-8: A decoded weight MUST be `code * scale + bias` of the stored values, computed in binary64 and
    then rounded to binary32. DEQ-2: One scale MUST serve all channels; a missing bias MUST be read as zero.
    """

    @given(shaped(), nbits_of_codes)
    def test_as_the_oracle_has_it(self, case: tuple[array[float], Channels], nbits: int) -> None:
        values, channels = case
        codes = linear.encode(values, nbits, channels)
        for biases in (codes.biases, weights([])):
            found = linear.decode(codes.codes, codes.scales, biases, channels)
            expected = oracle.decode_linear(
                list(codes.codes), codes.scales.tolist(), biases.tolist(), *channels[:3]
            )
            assert found.tolist() == expected

    def test_a_long_channel_goes_by_table_and_gives_the_same(self) -> None:
        codes = bytes(range(256)) * 3
        found = linear.decode(codes, weights([0.3]), weights([-7.0]), Channels(1, 1, len(codes)))
        scale = float(weights([0.3])[0])
        assert found.tolist() == oracle.decode_linear(list(codes), [scale], [-7.0], 1, 1, len(codes))

    @pytest.mark.parametrize(("count", "expected"), [(1, 0), (256, 0), (257, 1), (1000, 1)])
    def test_a_table_is_made_where_it_is_less_work(
        self, monkeypatch: pytest.MonkeyPatch, count: int, expected: int
    ) -> None:
        """It has a number for each of 256 codes, so that it pays from the 257th weight on."""
        made = []

        def look_up(codes: bytes, table: array[float]) -> array[float]:
            made.append(len(table))
            return look_up_by_definition(codes, table)

        monkeypatch.setattr(linear, "look_up", look_up)
        found = linear.decode(b"\xff" * count, weights([0.5]), weights([1.0]), Channels(1, 1, count))
        assert found.tolist() == [128.5] * count
        assert made == [256] * expected

    def test_wrong_number_of_scales(self) -> None:
        """DEQ-4: ... whose scales are neither one nor one a channel, whose biases are neither none nor as
        many as the scales.
        """
        for scales, biases in (([], []), ([1.0, 2.0], []), ([1.0] * 3, [1.0])):
            with pytest.raises(TensorError) as caught:
                linear.decode(b"\0\1\2", weights(scales), weights(biases), Channels(1, 3, 1))
            assert caught.value.rule == "DEQ-4"
        assert linear.decode(b"\1\2", weights([2.0]), weights([]), Channels(1, 2, 1)).tolist() == [2.0, 4.0]

    def test_one_scale_does_not_excuse_a_wrong_shape(self) -> None:
        """TEN-6: The number of stored weights MUST equal the product of the shape that the layer states."""
        with pytest.raises(ShapeError):
            linear.decode(b"\1\2", weights([2.0]), weights([]), Channels(1, 3, 1))

    def test_not_finite(self) -> None:
        one = Channels(1, 1, 1)
        for scale, bias in ((float("inf"), 0.0), (1.0, float("nan")), (GREATEST, GREATEST)):
            with pytest.raises(NonFiniteError):
                linear.decode(b"\xff", weights([scale]), weights([bias]), one)


class TestErrorBound:
    """The error of a weight is within the bound that the docstring proves, computed exactly."""

    @example((weights([1e-6, -3e-29]), Channels(1, 1, 2)), 1)
    @given(shaped(), nbits_of_codes)
    def test_linear(self, case: tuple[array[float], Channels], nbits: int) -> None:
        values, channels = case
        codes = linear.encode(values, nbits, channels)
        decoded = linear.decode(codes.codes, codes.scales, codes.biases, channels)
        for part, back in zip(split(values, channels), split(decoded, channels)):
            bound = Fraction(linear.error_bound(min(part), max(part), nbits))
            assert all(abs(Fraction(w) - Fraction(d)) <= bound for w, d in zip(part, back))

    @example((weights([1.2e-4, -1e-5]), Channels(1, 1, 2)))
    @example((weights([3 * 2.0**-147, -3 * 2.0**-147]), Channels(1, 1, 2)))
    @example((weights([127e-6]), Channels(1, 1, 1)))
    @given(shaped())
    def test_symmetric(self, case: tuple[array[float], Channels]) -> None:
        values, channels = case
        codes = symmetric.encode(values, channels)
        decoded = linear.decode(codes.codes, codes.scales, codes.biases, channels)
        for part, back in zip(split(values, channels), split(decoded, channels)):
            bound = Fraction(symmetric.error_bound(max(map(abs, part))))
            assert all(abs(Fraction(w) - Fraction(d)) <= bound for w, d in zip(part, back))

    def test_bound_is_near_half_a_step(self) -> None:
        assert linear.error_bound(0.0, 255.0, 8) == pytest.approx(0.5, rel=1e-3)
        assert symmetric.error_bound(127.0) == pytest.approx(0.5, rel=1e-3)
        assert symmetric.error_bound(1.2e-4) == pytest.approx(1.2e-4 * 255 / 127, rel=1e-3)
        assert linear.error_bound(0.0, 1e-6, 8) == pytest.approx(1e-6, rel=1e-12)

    def test_bound_by_hand(self) -> None:
        for least, greatest in ((-1.0, 254.0), (-254.0, 1.0)):
            assert linear.error_bound(least, greatest, 8) == 0.5 + (2 * 255 + 254) * 2.0**-24
        assert symmetric.error_bound(127.0) == 0.5 + 3 * 127 * 2.0**-24

    def test_bound_where_codes_collapse(self) -> None:
        assert linear.error_bound(0.0, linear.SMALLEST_STEP, 1) == 1e-6 + 2.0**-50 * 1e-6
        peak = 127 * linear.SMALLEST_STEP
        assert peak / 127 == linear.SMALLEST_STEP
        assert symmetric.error_bound(peak) == peak + 128e-6 + 2 * peak * 2.0**-24
        assert symmetric.error_bound(0.0) == 2.0**-150


class TestOrder:
    """Codes of one channel are in the order of its weights: a consequence of LIN-2."""

    @given(tensors, nbits_of_codes)
    def test_monotone(self, values: list[float], nbits: int) -> None:
        ordered = sorted(f32(v) for v in values)
        codes = linear.encode(weights(ordered), nbits, Channels(1, 1, len(ordered))).codes
        assert list(codes) == sorted(codes)
        assert max(codes) < 1 << nbits


class TestIdempotence:
    """Quantizing what was decoded gives the same codes, where the step stands clear of binary32 rounding."""

    @given(st.lists(st.floats(-4, 4, width=32), min_size=2, max_size=40), nbits_of_codes)
    def test_again(self, values: list[float], nbits: int) -> None:
        channels = Channels(1, 1, len(values))
        once = linear.encode(weights(values), nbits, channels)
        if once.scales[0] > 1e-4:
            decoded = linear.decode(once.codes, once.scales, once.biases, channels)
            assert linear.encode(decoded, nbits, channels).codes == once.codes


class TestSymmetric:
    """SYM-3: A code MUST be `round((w - bias) / scale)`, ties to even, with the unrounded scale and bias.
    SYM-2 says what they are; SYM-4 is the threshold.
    """

    @given(shaped())
    def test_as_the_oracle_has_it(self, case: tuple[array[float], Channels]) -> None:
        values, channels = case
        assert same(symmetric.encode(values, channels), oracle.symmetric(values.tolist(), *channels[:3]))

    @pytest.mark.parametrize("values", TENSORS)
    def test_hard_tensors(self, values: list[float]) -> None:
        found = symmetric.encode(weights(values), Channels(1, 1, len(values)))
        assert same(found, oracle.symmetric(values, 1, 1, len(values)))

    def test_the_greatest_magnitude_may_be_anywhere(self) -> None:
        for values in around_pieces():
            found = symmetric.encode(values, Channels(1, 1, len(values)))
            assert (found.scales.tolist(), found.biases.tolist()) == ([1.0], [-128.0])
            assert found.codes == bytes(128 + int(w) for w in values)

    @pytest.mark.parametrize("steps", range(-2, 3))
    def test_threshold(self, steps: int) -> None:
        peak = after(f32(127e-6), steps)
        found = symmetric.encode(weights([peak, -peak]), Channels(1, 1, 2))
        assert found.collapsed == ((0,) if peak / 127 <= 1e-6 else ())
        assert found.codes == (b"\0\0" if peak / 127 <= 1e-6 else b"\xff\x01")

    def test_zeros(self) -> None:
        found = symmetric.encode(weights([0.0, -0.0]), Channels(1, 1, 2))
        assert (found.codes, found.scales.tolist(), found.collapsed) == (b"\0\0", [0.0], ())

    def test_zero_is_the_middle_code(self) -> None:
        codes = symmetric.encode(weights([0.0, 3.0]), Channels(1, 1, 2)).codes
        assert codes == bytes([128, 255]) == bytes([1 << symmetric.NBITS - 1, (1 << symmetric.NBITS) - 1])


class TestNotFinite:
    """TEN-7: A writer MUST refuse to quantize a tensor that holds a NaN or an infinity, and MUST name its
    first such weight by index.
    """

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
    def test_named(self, bad: float) -> None:
        values, channels = weights([1.0, 2.0, bad, bad]), Channels(1, 2, 2)
        with pytest.raises(NonFiniteError) as by_linear:
            linear.encode(values, 8, channels)
        with pytest.raises(NonFiniteError) as by_symmetric:
            symmetric.encode(values, channels)
        for caught in (by_linear, by_symmetric):
            assert (caught.value.index, caught.value.rule) == (2, "TEN-7")

    def test_past_binary32(self) -> None:
        """LIN-9: A writer MUST refuse a channel whose scale or bias, or the weight that code `2^n - 1` (255
        for symmetric), used or not, stands for by the stored scale and bias, is not finite in binary32.
        """
        two = Channels(1, 1, 2)
        with pytest.raises(NonFiniteError, match="scale") as by_scale:
            linear.encode(weights([-GREATEST, GREATEST]), 1, two)
        with pytest.raises(NonFiniteError, match="bias") as by_bias:
            symmetric.encode(weights([0.0, GREATEST]), two)
        with pytest.raises(NonFiniteError, match="decoded weight") as by_weight:
            linear.encode(weights([0.0, GREATEST]), 5, two)
        assert {caught.value.rule for caught in (by_scale, by_bias, by_weight)} == {"LIN-9"}
        assert linear.encode(weights([0.0, GREATEST]), 8, two).codes == b"\0\xff"

    @pytest.mark.parametrize("nbits", [0, 9])
    def test_number_of_bits(self, nbits: int) -> None:
        with pytest.raises(ArgumentError, match="1 to 8 bits"):
            linear.encode(weights([1.0]), nbits, Channels(1, 1, 1))
