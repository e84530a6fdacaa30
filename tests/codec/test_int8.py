"""Chapter 12, the arithmetic: signed codes for dynamic quantization."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given

from refquant.codec import int8
from refquant.errors import NonFiniteError
from tests.hard import tensors, weights
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

    def test_zeros_and_nothing(self) -> None:
        assert int8.encode(weights([0.0, -0.0])) == (b"\0\0", 0.0)
        assert int8.encode(weights([])) == (b"", 0.0)

    def test_not_finite(self) -> None:
        with pytest.raises(NonFiniteError):
            int8.encode(weights([float("nan")]))


class TestDecoding:
    """DEQ-3: A tensor quantized dynamically (int8) MUST be read as signed codes with its one scale."""

    def test_every_code(self) -> None:
        data = bytes(range(256))
        assert int8.decode(data, 0.5).tolist() == [c / 2 if c < 128 else (c - 256) / 2 for c in range(256)]

    @pytest.mark.parametrize("scale", [float("inf"), float("nan"), 3e38])
    def test_not_finite(self, scale: float) -> None:
        with pytest.raises(NonFiniteError):
            int8.decode(b"\x7f", scale)
