"""Chapter 3: half precision. Which tensors of a layer go together is in tests/test_quantize.py."""

from __future__ import annotations

import struct
from fractions import Fraction

import pytest
from hypothesis import given

from refquant.codec import half
from refquant.codec.weights import CHUNK
from refquant.errors import HalfRangeError, NonFiniteError, TensorError
from tests.hard import after, bits, f32, numbers, weights
from tests.oracle import codec as oracle

#: Every finite binary16 number at least zero, in order.
FINITE = [struct.unpack("<e", struct.pack("<H", i))[0] for i in range(0x7C00)]


class TestRounding:
    """HALF-1: A weight MUST be rounded to the nearest binary16 number, ties to the even significand, with
    subnormal results and the sign of zero kept.
    """

    def test_every_number_halfway_and_its_neighbours(self) -> None:
        middles = [(a + b) / 2 for a, b in zip(FINITE, FINITE[1:-1])]
        around = [x for m in middles for x in (m, after(m, -1), after(m)) if x < half.LIMIT]
        found = struct.unpack(f"<{len(around)}e", half.encode(weights(around)))
        assert len(around) > 90_000
        assert list(found) == [float(x) for x in oracle.half(around)]

    def test_sign_of_zero(self) -> None:
        """TEN-4: `float16Value` MUST hold two bytes a weight: one little-endian binary16 number each."""
        assert half.encode(weights([0.0, -0.0, -(2.0**-26)])) == bytes.fromhex("0000 0080 0080")

    @given(numbers)
    def test_as_the_oracle_has_it(self, x: float) -> None:
        if abs(x) < half.LIMIT:
            (found,) = struct.unpack("<e", half.encode(weights([x])))
            assert Fraction(found) == oracle.half([x])[0]
            assert abs(Fraction(found) - Fraction(x)) <= Fraction(half.error_bound(x))

    @pytest.mark.parametrize("x", [1 + 2.0**-11, 2.0**-25, 3 * 2.0**-25, 2.0**-14 - 2.0**-25])
    def test_ties_reach_the_bound(self, x: float) -> None:
        (found,) = half.decode(half.encode(weights([x])))
        assert abs(found - x) == pytest.approx(half.error_bound(x), rel=1e-3)

    def test_bound_by_hand(self) -> None:
        assert half.error_bound(1.0) == half.error_bound(-1.0) == 2.0**-11
        assert half.error_bound(0.0) == half.error_bound(2.0**-14) == 2.0**-25

    def test_small_weights_are_not_looked_at_one_by_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A look at all weights takes longer than their conversion: below 57344 there is none."""
        monkeypatch.setattr(half, "_check_range", lambda weights: pytest.fail("looked"))
        small = [x for x in FINITE if x < 57344]
        assert len(small) == 0x7B00
        assert len(half.encode(weights([*small, *(-x for x in small)]))) == 4 * len(small)

    def test_across_chunks(self) -> None:
        many = weights([i / 64 for i in range(CHUNK + 5)])
        found = half.decode(half.encode(many))
        assert [Fraction(x) for x in found] == oracle.half(list(many))


class TestLimit:
    """HALF-2: A tensor with a weight >= 65504 or <= -65504 MUST be refused, naming the first such weight."""

    @pytest.mark.parametrize("x", [65504.0, -65504.0, 65519.0, f32(1e30), -f32(1e30)])
    def test_refused(self, x: float) -> None:
        with pytest.raises(HalfRangeError) as caught:
            half.encode(weights([1.0, x, 65504.0]))
        assert (caught.value.index, caught.value.rule) == (1, "HALF-2")

    def test_just_inside(self) -> None:
        inside = after(65504.0, -1)
        assert half.decode(half.encode(weights([inside, -inside]))).tolist() == [65504.0, -65504.0]


class TestReading:
    """HALF-5: Reading a binary16 weight as binary32 MUST be exact."""

    def test_every_finite_number(self) -> None:
        data = b"".join(struct.pack("<H", sign | i) for sign in (0, 0x8000) for i in range(0x7C00))
        found = half.decode(data)
        assert bits(found) == bits(weights([*FINITE, *(-x for x in FINITE)]))
        assert half.encode(found[: len(FINITE) - 1]) == data[: 2 * len(FINITE) - 2]

    def test_odd_number_of_bytes(self) -> None:
        with pytest.raises(TensorError, match="3 bytes"):
            half.decode(b"abc")

    def test_infinity(self) -> None:
        with pytest.raises(NonFiniteError) as caught:
            half.decode(bytes.fromhex("0000 007c"))
        assert caught.value.index == 1


def test_empty() -> None:
    assert half.encode(weights([])) == b""
    assert half.decode(b"") == weights([])
