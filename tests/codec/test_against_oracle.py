"""refquant.codec and the oracle, two implementations of the same rules, agree bit for bit.

Every hard tensor below meets every mode at every number of bits; hypothesis adds random ones. What each rule
means in single cases is in the other files of this folder; that the oracle itself is right is shown in
tests/oracle/test_oracle.py.
"""

from __future__ import annotations

import math
import random
import struct
from array import array
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refquant.codec import half, int8, kmeans, linear, lut, packing, symmetric
from refquant.codec.channels import Channels
from refquant.errors import (
    CodeError,
    HalfRangeError,
    LutFunctionError,
    NonFiniteError,
    RefquantError,
    TensorError,
)
from tests import hard, oracle
from tests.hard import GREATEST, NORMAL, NUMBERS, SUBNORMAL, TINY, after, f32, near_threshold

BITS = range(1, 9)

#: Tensors that break quantizers: those that every test of the codec meets, and more.
TENSORS = [
    *hard.TENSORS,
    # One weight, constants, the two zeros.
    *([x] for x in NUMBERS),
    [f32(-0.1)] * 3,
    [-0.0, -0.0],
    [-0.0, 1.0, 0.0],
    [0.0, -0.0, -1.0],
    # Ranges of a few steps of the last bit.
    [-1e6, after(-1e6), after(-1e6, 2)],
    [f32(1e30), after(f32(1e30)), after(f32(1e30), 5)],
    [NORMAL, SUBNORMAL, TINY],
    # Ties: half steps, where the product by the reciprocal falls short of a division, or beyond it.
    *(
        [0.0, *((step + 0.5) * size for step in range(15)), 15.0 * size]
        for size in (1, 49, 91, 93, 99, 117, 197)
    ),
    *(
        [0.0, 0.5 * size, 1.5 * size, 2.5 * size, 3.0 * size]
        for size in (1, 49, 103, 105, 107, 117, 123, 197)
    ),
    [i - 127.0 for i in range(0, 255, 2)],
    [0.5 * i - 127.0 for i in range(0, 509, 5)],
    [6223.0, 49.0, -49.0, 0.0],
    # Outliers and offsets.
    [f32(1e20), f32(-1e20), 1.0, -1.0],
    [f32(1e6 + 0.25 * i) for i in range(9)],
    # The ends of binary32.
    [GREATEST / 2, -GREATEST / 2, 1.0],
    [0.0, -GREATEST / 2, TINY],
    [GREATEST, after(GREATEST, -1), after(GREATEST, -300)],
    [-GREATEST, 0.0, 1.0],
    # The threshold: ranges of 2^n - 1 steps of 1e-6, and symmetric ranges of 127 of them.
    *([0.0, after(f32(1e-6 * (2**n - 1)), steps)] for n in BITS for steps in (-1, 0, 1)),
    *([f32(-4e-7 * (2**n - 1)), 0.0, after(f32(6e-7 * (2**n - 1)), k)] for n in BITS for k in (-1, 0, 1, 2)),
    *([after(f32(127e-6), steps), f32(-1e-4), 0.0] for steps in (-1, 0, 1)),
    *([-after(f32(127e-6), steps)] for steps in (-1, 0, 1)),
]

#: Weights of which the scale in binary64 is exactly the threshold, or the next number below or above it, and
#: the number of bits; found by search.
AT_THRESHOLD = [
    (1, "-0x1.6bdb1ap-49", "0x1.0c6f7ap-20", 0),
    (1, "-0x1.6bdb18p-49", "0x1.0c6f7ap-20", -1),
    (5, "0x1.c4fc1ep-39", "0x1.040c00p-15", -1),
    (1, "-0x1.6bdb1cp-49", "0x1.0c6f7ap-20", 1),
    (3, "0x1.b06812p-44", "0x1.d5c316p-18", 1),
    (6, "-0x1.198aecp-41", "0x1.083dbcp-14", 1),
    (8, "-0x1.22a6f4p-37", "0x1.0b630ap-12", 1),
]

#: The oracle is slow by design; how long an example takes tells nothing.
no_deadline = settings(deadline=None)

numbers = st.one_of(hard.numbers, st.floats(allow_nan=False, allow_infinity=False, width=32))


@st.composite
def ties(draw: st.DrawFn) -> list[float]:
    """Weights on half steps of a whole size."""
    size, steps = draw(st.integers(1, 2**12)), 2 ** draw(st.integers(1, 8)) - 1
    inner = draw(st.lists(st.integers(0, steps - 1), max_size=10))
    return [0.0, float(steps * size), *((step + 0.5) * size for step in inner)]


@st.composite
def neighbours(draw: st.DrawFn) -> list[float]:
    """Weights a few steps of the last bit apart."""
    start = draw(st.floats(TINY, GREATEST / 2, width=32)) * draw(st.sampled_from([1, -1]))
    return [after(start, steps) for steps in draw(st.lists(st.integers(0, 600), min_size=1, max_size=9))]


tensors = st.one_of(st.lists(numbers, min_size=1, max_size=20), near_threshold(), ties(), neighbours())

layouts = st.builds(Channels, st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.just(1))


@st.composite
def laid_out(draw: st.DrawFn) -> tuple[list[float], Channels]:
    """Weights with channels on the first or the second axis."""
    channels = draw(layouts)
    count = channels.outer * channels.count * channels.inner
    weights = draw(tensors)
    return (weights * count)[:count], channels


every_tensor = pytest.mark.parametrize("weights", TENSORS, ids=range(len(TENSORS)))


def one(weights: list[float]) -> Channels:
    """Give the channels of a tensor with one."""
    return Channels(1, 1, len(weights))


def exact(channels: Channels) -> oracle.Channels:
    """Give channels as the oracle takes them."""
    return oracle.Channels(*channels[:3])


def raw(values: list[float]) -> bytes:
    """Give binary32 numbers as bits, so that zeros are told apart."""
    return array("f", values).tobytes()


def bias_bits(biases: list[float], weights: list[float], channels: Channels) -> bytes:
    """Give biases as bits, with +0 for either zero where a channel's least weights are both +0 and -0.

    Both are `a` by LIN-1, which does not say which of them to store; no decoded weight shows it.
    """
    owners = oracle.tensor.owners(exact(channels))
    signs: list[set[float]] = [set() for _ in biases]
    for weight, owner in zip(weights, owners):
        if weight == 0:
            signs[owner].add(math.copysign(1, weight))
    return raw([0.0 if b == 0 and len(sign) == 2 else b for b, sign in zip(biases, signs)])


def refused_by_both(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    error: type[RefquantError],
    *,
    one_fault: bool = True,
) -> bool:
    """Tell whether the oracle refuses; refquant must then refuse by the same rule, at the same index.

    `one_fault` false is for inputs with several faults at once: no rule says which of them is named.
    """
    try:
        theirs()
    except oracle.Refused as fault:
        refused = fault
    else:
        return False
    with pytest.raises(error) as raised:
        ours()
    assert raised.value.rule == refused.rule
    assert raised.value.index == refused.index or not one_fault
    return True


def past_binary32_in_both(ours: Callable[[], object], theirs: Callable[[], object]) -> bool:
    """Tell whether the oracle meets a number past binary32; refquant must then refuse it as well."""
    try:
        theirs()
    except OverflowError:
        with pytest.raises(NonFiniteError):
            ours()
        return True
    return False


def agree_linear(weights: list[float], nbits: int, channels: Channels) -> None:
    """Compare all that linear quantization stores."""

    def ours() -> linear.LinearCodes:
        return linear.encode(array("f", weights), nbits, channels)

    def theirs() -> oracle.linear.Quantized:
        return oracle.linear.encode(weights, nbits, exact(channels))

    if past_binary32_in_both(ours, theirs):
        return
    found, expected = ours(), theirs()
    assert list(found.codes) == expected.codes
    assert found.scales.tobytes() == raw(expected.scales)
    expected_biases = bias_bits(expected.biases, weights, channels)
    assert bias_bits(found.biases.tolist(), weights, channels) == expected_biases
    assert list(found.collapsed) == expected.collapsed


def agree_symmetric(weights: list[float], channels: Channels) -> None:
    """Compare all that symmetric quantization stores."""
    found = symmetric.encode(array("f", weights), channels)
    expected = oracle.symmetric.encode(weights, 8, exact(channels))
    assert list(found.codes) == expected.codes
    assert found.scales.tobytes() == raw(expected.scales)
    assert found.biases.tobytes() == raw(expected.biases)
    assert list(found.collapsed) == expected.collapsed


def agree_linear_lut(weights: list[float], nbits: int) -> None:
    """Compare all that linear quantization to a table stores."""
    found = lut.encode_linear(array("f", weights), nbits)
    expected = oracle.lut.encode_linear(weights, nbits)
    assert list(found.codes) == expected.codes
    assert found.table.tobytes() == raw(expected.table)
    assert found.collapsed == expected.collapsed


def agree_decoded(codes: list[int], scales: list[float], biases: list[float], channels: Channels) -> None:
    """Compare what linear codes mean."""

    def ours() -> array[float]:
        return linear.decode(bytes(codes), array("f", scales), array("f", biases), channels)

    def theirs() -> list[float]:
        return oracle.dequantization.linear(codes, scales, biases, exact(channels))

    if not past_binary32_in_both(ours, theirs):
        assert ours().tobytes() == raw(theirs())


def fits_symmetric(weights: list[float]) -> bool:
    """Tell whether 128/127 of the greatest magnitude is a binary32 number still."""
    return max(map(abs, weights)) < GREATEST * 126 / 127


class TestStreamOfBits:
    """PACK-1: Codes MUST be written in tensor order as one continuous stream of bits, each code from its most
    significant bit to its least, each byte filled from its most significant bit.
    """

    @pytest.mark.parametrize("nbits", BITS)
    @pytest.mark.parametrize("count", range(18))
    def test_every_short_length(self, nbits: int, count: int) -> None:
        for seed in range(4):
            picks = random.Random(seed)
            codes = [picks.randrange(2**nbits) for _ in range(count)]
            packed = oracle.packing.pack(codes, nbits)
            assert packing.pack(bytes(codes), nbits) == packed
            assert list(packing.unpack(packed, nbits, count)) == codes

    @pytest.mark.parametrize("nbits", BITS)
    @pytest.mark.parametrize("code", [0, -1])
    def test_all_bits_alike(self, nbits: int, code: int) -> None:
        codes = [code % 2**nbits] * 23
        assert packing.pack(bytes(codes), nbits) == oracle.packing.pack(codes, nbits)

    @pytest.mark.parametrize("nbits", BITS)
    def test_many_codes(self, nbits: int) -> None:
        picks = random.Random(nbits)
        codes = [picks.randrange(2**nbits) for _ in range(4999)]
        packed = oracle.packing.pack(codes, nbits)
        assert packing.pack(bytes(codes), nbits) == packed
        assert list(packing.unpack(packed, nbits, len(codes))) == codes

    @given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, 2**n - 1)))))
    @no_deadline
    def test_any_codes(self, case: tuple[int, list[int]]) -> None:
        nbits, codes = case
        assert packing.pack(bytes(codes), nbits) == oracle.packing.pack(codes, nbits)


class TestPackedSize:
    """PACK-2: `count` codes of `n` bits MUST take exactly `ceil(count * n / 8)` bytes."""

    @given(st.integers(0, 5000), st.integers(1, 8))
    @no_deadline
    def test_any_count(self, count: int, nbits: int) -> None:
        assert packing.packed_size(count, nbits) == oracle.packing.packed_size(count, nbits)

    @given(st.binary(max_size=12), st.integers(1, 8), st.integers(0, 40))
    @no_deadline
    def test_other_lengths_are_refused(self, data: bytes, nbits: int, count: int) -> None:
        def ours() -> bytes:
            return packing.unpack(data, nbits, count)

        def theirs() -> list[int]:
            return oracle.packing.unpack(data, nbits, count)

        if not refused_by_both(ours, theirs, TensorError):
            assert list(ours()) == theirs()


class TestPaddingBits:
    """PACK-3: The bits of the last byte after the last code MUST be zero when written, and MUST be ignored
    when read.
    """

    @given(st.binary(min_size=1, max_size=20), st.integers(1, 8), st.integers(0, 7))
    @no_deadline
    def test_any_bytes_are_read(self, data: bytes, nbits: int, fewer: int) -> None:
        count = 8 * len(data) // nbits
        if count > fewer and oracle.packing.packed_size(count - fewer, nbits) == len(data):
            count -= fewer
        if oracle.packing.packed_size(count, nbits) == len(data):
            expected = oracle.packing.unpack(data, nbits, count)
            assert list(packing.unpack(data, nbits, count)) == expected


class TestCodeRange:
    """PACK-4: A code MUST lie in 0 .. 2^n - 1; a writer MUST refuse any other."""

    @given(st.integers(1, 7), st.lists(st.integers(0, 255), max_size=20))
    @no_deadline
    def test_any_bytes(self, nbits: int, codes: list[int]) -> None:
        def ours() -> bytes:
            return packing.pack(bytes(codes), nbits)

        def theirs() -> bytes:
            return oracle.packing.pack(codes, nbits)

        if not refused_by_both(ours, theirs, CodeError):
            assert ours() == theirs()


def agree_half(weights: list[float]) -> None:
    """Compare binary16 bits, or the refusal."""

    def ours() -> bytes:
        return half.encode(array("f", weights))

    def theirs() -> bytes:
        return oracle.half.encode(weights)

    if not refused_by_both(ours, theirs, HalfRangeError):
        assert ours() == theirs()


class TestNearestHalf:
    """HALF-1: A weight MUST be rounded to the nearest binary16 number, ties to the even significand, with
    subnormal results and the sign of zero kept.

    HALF-2: A tensor with a weight >= 65504 or <= -65504 MUST be refused, naming the first such weight.
    """

    @every_tensor
    def test_hard_tensors(self, weights: list[float]) -> None:
        agree_half(weights)

    def test_around_every_boundary(self) -> None:
        """Of each power of two that binary16 holds, and of the ties beside it."""
        corners = [2.0**e * (1 + k * 2.0**-11) for e in range(-26, 15) for k in (0, 1, 3, 1023, 2047)]
        agree_half([sign * after(x, k) for x in corners for k in (-1, 0, 1) for sign in (1, -1)])

    @given(st.lists(numbers | st.floats(-2.0, 2.0, width=32), max_size=20).filter(bool))
    @no_deadline
    def test_any_weights(self, weights: list[float]) -> None:
        agree_half(weights)


class TestExactReading:
    """HALF-5: Reading a binary16 weight as binary32 MUST be exact."""

    def test_every_finite_pattern(self) -> None:
        data = struct.pack("<63488H", *(sign + x for sign in (0, 0x8000) for x in range(0x7C00)))
        assert half.decode(data).tobytes() == raw(oracle.dequantization.half(data))


class TestLinearQuantization:
    """LIN-1: For a channel whose least weight is `a` and greatest is `b`, the scale MUST be
    `(b - a) / (2^n - 1)` and the bias MUST be `a`.

    LIN-2: A code MUST be computed as `round((w - a) * inv)` with `inv = 1 / scale` and ties rounded to even.

    LIN-5: Scale and bias MUST be stored as binary32, rounded to nearest, ties to even.
    """

    @every_tensor
    def test_hard_tensors(self, weights: list[float]) -> None:
        for nbits in BITS:
            agree_linear(weights, nbits, one(weights))

    @pytest.mark.parametrize("nbits", BITS)
    def test_every_short_length(self, nbits: int) -> None:
        picks = random.Random(nbits)
        for count in range(1, 18):
            weights = [f32(picks.gauss(0, 0.1)) for _ in range(count)]
            agree_linear(weights, nbits, one(weights))

    def test_many_weights(self) -> None:
        picks = random.Random(4)
        weights = [f32(picks.gauss(0, 0.1)) for _ in range(2003)]
        agree_linear(weights, 8, one(weights))

    @given(tensors, st.integers(1, 8))
    @settings(max_examples=200, deadline=None)
    def test_any_weights(self, weights: list[float], nbits: int) -> None:
        agree_linear(weights, nbits, one(weights))


class TestThreshold:
    """LIN-4: Where `|scale| <= 1e-6`, every code of the channel MUST be 0; a writer MUST then warn, naming
    the tensor, unless all weights of the channel are equal.
    """

    @pytest.mark.parametrize(("nbits", "least", "greatest", "side"), AT_THRESHOLD)
    def test_at_the_very_number(self, nbits: int, least: str, greatest: str, side: int) -> None:
        a, b = float.fromhex(least), float.fromhex(greatest)
        assert (b - a) / (2**nbits - 1) == (math.nextafter(1e-6, side) if side else 1e-6)
        weights = [a, b, f32((a + b) / 2)]
        agree_linear(weights, nbits, one(weights))
        agree_linear_lut(weights, nbits)
        codes = linear.encode(array("f", weights), nbits, one(weights)).codes
        assert (max(codes) > 0) == (side > 0)

    @given(near_threshold(), st.integers(1, 8))
    @no_deadline
    def test_near_it(self, weights: list[float], nbits: int) -> None:
        agree_linear(weights, nbits, one(weights))


class TestChannels:
    """LIN-6: There MUST be one scale and one bias a channel, in channel order."""

    @given(laid_out(), st.integers(1, 8))
    @no_deadline
    def test_any_layout(self, case: tuple[list[float], Channels], nbits: int) -> None:
        weights, channels = case
        agree_linear(weights, nbits, channels)

    @pytest.mark.parametrize("channels", [Channels(1, 300, 2), Channels(2, 150, 2), Channels(3, 1, 200)])
    def test_many_channels(self, channels: Channels) -> None:
        picks = random.Random(6)
        agree_linear([f32(picks.uniform(-1, 1)) for _ in range(600)], 8, channels)

    def test_hard_channels_beside_one_another(self) -> None:
        rows = [(weights * 9)[:9] for weights in TENSORS]
        agree_linear([w for row in rows for w in row], 8, Channels(1, len(rows), 9))
        columns = [row[i] for i in range(9) for row in rows]
        agree_linear(columns, 8, Channels(9, len(rows), 1))


class TestLinearDecoding:
    """LIN-8: A decoded weight MUST be `code * scale + bias` of the stored values, computed in binary64 and
    then rounded to binary32.

    DEQ-2: One scale MUST serve all channels; a missing bias MUST be read as zero.
    """

    @every_tensor
    def test_hard_tensors(self, weights: list[float]) -> None:
        for nbits in BITS:
            stored = oracle.linear.encode(weights, nbits, exact(one(weights)))
            agree_decoded(stored.codes, stored.scales, stored.biases, one(weights))

    def test_sum_rounded_before_it_is_stored(self) -> None:
        # 1 + 2^-24 + 2^-54: see the oracle's own test of the same name's sense, and chapter 11.
        agree_decoded([205], [5237765 / 2**54], [1.0], Channels(1, 1, 1))
        agree_decoded([130], [16519105 / 2**55], [1.0], Channels(1, 1, 1))

    @given(layouts, st.data())
    @no_deadline
    def test_any_numbers(self, channels: Channels, data: st.DataObject) -> None:
        count, size = channels.count, channels.outer * channels.count * channels.inner
        codes = data.draw(st.lists(st.integers(0, 255), min_size=size, max_size=size))
        scales, biases = (data.draw(st.lists(numbers, min_size=count, max_size=count)) for _ in range(2))
        agree_decoded(codes, scales, biases, channels)
        agree_decoded(codes, scales, [], channels)

    @given(st.binary(min_size=1, max_size=8), numbers, numbers)
    @no_deadline
    def test_one_scale(self, codes: bytes, scale: float, bias: float) -> None:
        agree_decoded(list(codes), [scale], [bias], Channels(1, 1, len(codes)))


class TestSymmetricQuantization:
    """SYM-2: With `r = max(|a|, |b|)`, the scale MUST be `r / 127` and the bias MUST be `-128 * scale`, both
    in binary64.

    SYM-3: A code MUST be `round((w - bias) / scale)`, ties to even, with the unrounded scale and bias; here
    the division is a division.
    """

    @every_tensor
    def test_hard_tensors(self, weights: list[float]) -> None:
        if fits_symmetric(weights):
            agree_symmetric(weights, one(weights))

    @given(tensors.filter(fits_symmetric))
    @settings(max_examples=200, deadline=None)
    def test_any_weights(self, weights: list[float]) -> None:
        agree_symmetric(weights, one(weights))

    @given(laid_out().filter(lambda case: fits_symmetric(case[0])))
    @no_deadline
    def test_any_layout(self, case: tuple[list[float], Channels]) -> None:
        agree_symmetric(*case)

    @given(laid_out().filter(lambda case: fits_symmetric(case[0])))
    @no_deadline
    def test_decoding(self, case: tuple[list[float], Channels]) -> None:
        weights, channels = case
        stored = oracle.symmetric.encode(weights, 8, exact(channels))
        agree_decoded(stored.codes, stored.scales, stored.biases, channels)


class TestLinearTable:
    """LUT-3: `linear_lut` MUST take codes, scale and bias from LIN-1 to LIN-4 over the whole tensor as one
    channel, and entry `i` MUST be `i * scale + bias` in binary64, rounded once to binary32.
    """

    @every_tensor
    def test_hard_tensors(self, weights: list[float]) -> None:
        for nbits in BITS:
            agree_linear_lut(weights, nbits)

    @given(tensors, st.integers(1, 8))
    @settings(max_examples=200, deadline=None)
    def test_any_weights(self, weights: list[float], nbits: int) -> None:
        agree_linear_lut(weights, nbits)


class TestTableDecoding:
    """LUT-6: A decoded weight MUST be the entry that its code numbers."""

    @given(st.integers(1, 8), st.data())
    @no_deadline
    def test_any_table(self, nbits: int, data: st.DataObject) -> None:
        table = data.draw(st.lists(numbers, min_size=2**nbits, max_size=2**nbits))
        codes = data.draw(st.lists(st.integers(0, 2**nbits - 1), max_size=12))
        expected = oracle.dequantization.lookup(codes, table, nbits)
        assert lut.decode(bytes(codes), array("f", table)).tobytes() == raw(expected)


class TestCustomTable:
    """LUT-5: A writer MUST refuse a returned table whose length is not 2^n or that holds a number not finite
    in binary32, and returned codes whose count is not the count of weights or that are not whole numbers in
    0 .. 2^n - 1.
    """

    entries = st.lists(st.floats() | numbers, min_size=3, max_size=5)
    returned_codes = st.lists(
        st.sampled_from([0, 1, 2, 3, 3.0, 4, -1, 0.5, math.nan, -0.0]), min_size=2, max_size=4
    )

    @given(entries, returned_codes)
    @no_deadline
    def test_any_answer(self, table: list[float], codes: list[float]) -> None:
        def ours() -> lut.LutCodes:
            return lut.encode_custom(array("f", [1.0, 2.0, 3.0]), 2, lambda nbits, weights: (table, codes))

        def theirs() -> oracle.lut.Quantized:
            return oracle.lut.accept_custom(table, codes, 2, 3)

        if not refused_by_both(ours, theirs, LutFunctionError, one_fault=False):
            assert list(ours().codes) == theirs().codes
            assert ours().table.tobytes() == raw(theirs().table)


class TestKmeans:
    """KM-1: The table MUST have 2^n entries in ascending order; with no more distinct weights than entries,
    the table MUST hold every distinct weight, so that the error is zero.

    KM-2: Every weight MUST be coded as a nearest entry of the stored (binary32) table; at equal distance the
    lower code.

    KM-4: The inertia (the sum of squared errors over the tensor) SHOULD be within 0.1 % of the least
    that any table of binary32 numbers allows.
    """

    @every_tensor
    def test_hard_tensors(self, weights: list[float]) -> None:
        for nbits in (1, 2, 4, 8):
            found = kmeans.encode(array("f", weights), nbits)
            assert oracle.kmeans.broken_rules(weights, nbits, list(found.codes), found.table.tolist()) == []

    @given(tensors, st.integers(1, 8))
    @no_deadline
    def test_any_weights(self, weights: list[float], nbits: int) -> None:
        found = kmeans.encode(array("f", weights), nbits)
        assert oracle.kmeans.broken_rules(weights, nbits, list(found.codes), found.table.tolist()) == []

    @given(st.integers(1, 3), st.integers(0, 2**32))
    @settings(deadline=None, max_examples=60)
    def test_near_the_optimum(self, nbits: int, seed: int) -> None:
        """For weights of one order of magnitude, on a grid and off it."""
        picks = random.Random(seed)
        makers = (
            lambda: f32(picks.gauss(0, 1)),
            lambda: picks.randrange(-40, 40) / 8,
            lambda: 1 + picks.random(),
        )
        weights = [f32(picks.choice(makers)()) for _ in range(picks.randrange(1, 15))]
        found = kmeans.encode(array("f", weights), nbits)
        assert oracle.kmeans.is_near_optimum(weights, nbits, list(found.codes), found.table.tolist())


class TestInt8:
    """INT8-1: With `m` the greatest magnitude, the code of a weight MUST be `127 * (w / m)` in binary64,
    truncated toward zero, stored as a signed byte in `int8RawValue`; all codes are 0 where `m` is 0.

    INT8-2: There MUST be one scale, `m / 127` in binary64 stored as binary32.
    """

    def agree(self, weights: list[float]) -> None:
        stored = array("f", weights)
        if refused_by_both(lambda: int8.encode(stored), lambda: oracle.int8.encode(weights), NonFiniteError):
            return
        data, scale = int8.encode(stored)
        expected = oracle.int8.encode(weights)
        assert (data, raw([scale])) == (expected.data, raw([expected.scale]))

    @every_tensor
    def test_hard_tensors(self, weights: list[float]) -> None:
        self.agree(weights)

    @pytest.mark.parametrize("size", [1, 2, 3, 49, 98, 103, 107, 4097, 131071])
    def test_whole_codes(self, size: int) -> None:
        self.agree([float(size * code) for code in range(-127, 128)])

    @given(tensors)
    @no_deadline
    def test_any_weights(self, weights: list[float]) -> None:
        self.agree(weights)


class TestPastBinary32:
    """LIN-5: Scale and bias MUST be stored as binary32. What is past its greatest number cannot be."""

    def test_scale(self) -> None:
        with pytest.raises(NonFiniteError):
            linear.encode(array("f", [-GREATEST, GREATEST]), 1, Channels(1, 1, 2))

    @pytest.mark.parametrize("weight", [GREATEST, -GREATEST])
    def test_symmetric_bias(self, weight: float) -> None:
        with pytest.raises(NonFiniteError):
            symmetric.encode(array("f", [weight]), Channels(1, 1, 1))


class TestInt8Decoding:
    """DEQ-3: A tensor quantized dynamically (int8) MUST be read as signed codes with its one scale.

    DEQ-2: ... a missing bias MUST be read as zero.
    """

    @given(st.binary(max_size=16), numbers)
    @no_deadline
    def test_any_bytes(self, data: bytes, scale: float) -> None:
        def ours() -> array[float]:
            return int8.decode(data, scale)

        def theirs() -> list[float]:
            return oracle.dequantization.int8(data, scale)

        if not past_binary32_in_both(ours, theirs):
            assert ours().tolist() == theirs()  # but for the sign of zero: see below

    def test_adding_the_missing_bias_leaves_no_negative_zero(self) -> None:
        assert int8.decode(b"\x80", 0.0).tobytes() == raw(oracle.dequantization.int8(b"\x80", 0.0))


class TestNonFinite:
    """TEN-7: A writer MUST refuse to quantize a tensor that holds a NaN or an infinity, and MUST name its
    first such weight by index.
    """

    @given(
        st.lists(st.floats(width=32), min_size=1, max_size=9).filter(lambda w: not all(map(math.isfinite, w)))
    )
    @no_deadline
    def test_every_encoder(self, weights: list[float]) -> None:
        with pytest.raises(oracle.Refused) as refused:
            oracle.linear.encode(weights, 8, exact(one(weights)))
        given_weights = array("f", weights)
        for encode in (
            lambda: half.encode(given_weights),
            lambda: linear.encode(given_weights, 8, one(weights)),
            lambda: symmetric.encode(given_weights, one(weights)),
            lambda: lut.encode_linear(given_weights, 8),
            lambda: kmeans.encode(given_weights, 8),
            lambda: int8.encode(given_weights),
        ):
            with pytest.raises(NonFiniteError) as error:
                encode()
            assert (error.value.rule, error.value.index) == (refused.value.rule, refused.value.index)
