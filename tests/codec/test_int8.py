"""Chapter 12, the arithmetic: signed codes for dynamic quantization."""

from __future__ import annotations

from array import array
from fractions import Fraction

import pytest
from hypothesis import example, given

from refquant.codec import int8
from refquant.codec.weights import CHUNK
from refquant.errors import NonFiniteError
from tests.hard import GREATEST, TINY, after, bits, tensors, weights
from tests.oracle import codec as oracle


class TestCodes:
    """INT8-1: With `m` the greatest magnitude, the code of a weight MUST be `127 * (w / m)` in binary64,
    truncated toward zero, stored as a signed byte. INT8-2: There MUST be one scale, `m / 127`.
    """

    @given(tensors)
    def test_as_the_oracle_has_them(self, values: list[float]) -> None:
        stored = weights(values)
        codes, scale = int8.encode(stored)
        expected, expected_scale = oracle.int8(stored.tolist())
        assert (array("b", codes).tolist(), scale) == (expected, expected_scale)

    def test_truncated_toward_zero(self) -> None:
        codes, scale = int8.encode(weights([127.0, 1.75, -1.75, -127.0]))
        assert (array("b", codes).tolist(), scale) == ([127, 1, -1, -127], 1.0)

    @pytest.mark.parametrize("peak", [127.0, -127.0])
    @pytest.mark.parametrize("at", [0, CHUNK - 1, CHUNK, CHUNK + 1])
    def test_the_greatest_magnitude_may_be_anywhere(self, peak: float, at: int) -> None:
        values = weights([float(i % 3) for i in range(CHUNK + 2)])
        values[at] = peak
        codes, scale = int8.encode(values)
        assert (array("b", codes).tolist(), scale) == ([int(w) for w in values], 1.0)

    def test_zeros_and_nothing(self) -> None:
        assert int8.encode(weights([0.0, -0.0])) == (b"\0\0", 0.0)
        assert int8.encode(weights([])) == (b"", 0.0)

    def test_not_finite(self) -> None:
        with pytest.raises(NonFiniteError):
            int8.encode(weights([float("nan")]))


class TestRange:
    """INT8-7: A writer MUST refuse a matrix whose code 127 would be read back as an infinity."""

    @pytest.mark.parametrize("peak", [GREATEST, -GREATEST])
    def test_the_greatest_number(self, peak: float) -> None:
        # Its 127th part is rounded up, and 127 times that is past the end.
        with pytest.raises(NonFiniteError, match="read back as an infinity") as caught:
            int8.encode(weights([1.0, peak]))
        assert caught.value.rule == "INT8-7"

    def test_the_one_before_it(self) -> None:
        before = weights([after(GREATEST, -1)])
        assert int8.decode(*int8.encode(before)).tolist() == pytest.approx(before.tolist(), rel=2.0**-22)


class TestErrorBound:
    """The error of a weight is within the bound that the docstring proves, computed exactly."""

    @example([TINY])
    @example([2 * TINY, 127 * TINY, 190 * TINY])
    @given(tensors)
    def test_bound(self, values: list[float]) -> None:
        stored = weights(values)
        decoded = int8.decode(*int8.encode(stored))
        bound = Fraction(int8.error_bound(max(map(abs, stored))))
        assert all(abs(Fraction(w) - Fraction(d)) <= bound for w, d in zip(stored, decoded))

    def test_bound_is_near_a_step(self) -> None:
        decoded = int8.decode(*int8.encode(weights([127.0, after(2.0, -1)])))
        assert after(2.0, -1) - decoded[1] == pytest.approx(int8.error_bound(127.0), rel=1e-3)

    def test_bound_by_hand(self) -> None:
        assert int8.error_bound(127.0) == 1 + 254 * 2.0**-24
        assert int8.error_bound(0.0) == 127 * 2.0**-150


class TestDecoding:
    """DEQ-3: A tensor quantized dynamically (int8) MUST be read as signed codes with its one scale."""

    def test_every_code(self) -> None:
        data = bytes(range(256))
        assert int8.decode(data, 0.5).tolist() == [c / 2 if c < 128 else (c - 256) / 2 for c in range(256)]

    def test_zero_has_no_sign(self) -> None:
        """DEQ-2: ... a missing bias MUST be read as zero. To add it leaves no negative zero."""
        assert bits(int8.decode(b"\0\xff", -0.5)) == ["00000000", "3f000000"]
        assert bits(int8.decode(b"\xff", 0.0)) == ["00000000"]

    @pytest.mark.parametrize("scale", [float("inf"), float("nan"), 3e38])
    def test_not_finite(self, scale: float) -> None:
        with pytest.raises(NonFiniteError) as caught:
            int8.decode(b"\x7f", scale)
        assert caught.value.rule == "DEQ-4"
