"""Chapter 2: packing. The oracle packs bit by bit; tests/codec/test_linear.py covers what codes mean."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refquant.codec import packing
from refquant.errors import ArgumentError, CodeError, TensorError
from tests.oracle import codec as oracle


@st.composite
def packable(draw: st.DrawFn) -> tuple[bytes, int]:
    nbits = draw(st.integers(1, 8))
    return bytes(draw(st.lists(st.integers(0, (1 << nbits) - 1), max_size=70))), nbits


@st.composite
def whole_groups(draw: st.DrawFn) -> tuple[bytes, int]:
    """Any bytes that groups of eight codes fill, and the number of bits of a code."""
    nbits, groups = draw(st.integers(1, 8)), draw(st.integers(0, 9))
    return draw(st.binary(min_size=groups * nbits, max_size=groups * nbits)), nbits


def same(found: bytes, expected: bytes) -> bool:
    """Compare many bytes, where pytest would look for the differences longer than anybody waits."""
    return found == expected


class TestStreamOfBits:
    """PACK-1: Codes MUST be written in tensor order as one continuous stream of bits, each code from its
    most significant bit to its least, each byte filled from its most significant bit.
    """

    @given(packable())
    def test_as_the_oracle_and_the_definition_have_it(self, case: tuple[bytes, int]) -> None:
        codes, nbits = case
        assert packing.pack(codes, nbits) == oracle.pack(list(codes), nbits)
        assert packing.pack_by_definition(codes, nbits) == oracle.pack(list(codes), nbits)

    @pytest.mark.parametrize("nbits", range(1, 9))
    @pytest.mark.parametrize("count", [*range(18), packing.CHUNK - 1, packing.CHUNK, packing.CHUNK + 9])
    def test_every_length_and_across_chunks(self, nbits: int, count: int) -> None:
        codes = bytes((7 * i * i + i // 3) % (1 << nbits) for i in range(count))
        packed = packing.pack(codes, nbits)
        assert same(packed, oracle.pack(list(codes), nbits))
        assert same(packing.unpack(packed, nbits, count), codes)

    @pytest.mark.parametrize("nbits", [1, 3, 7])
    def test_work_grows_as_the_codes_do(self, monkeypatch: pytest.MonkeyPatch, nbits: int) -> None:
        """And not as their square: each piece is looked at once, by itself."""
        sizes: list[int] = []

        def counted(work: Callable[[bytes, int], bytes], data: bytes, nbits: int) -> bytes:
            sizes.append(len(data))
            return work(data, nbits)

        for name in ("_pack_lanes", "_unpack_lanes"):
            monkeypatch.setattr(packing, name, partial(counted, getattr(packing, name)))
        codes = bytes(packing.CHUNK + 8)
        assert same(packing.unpack(packing.pack(codes, nbits), nbits, len(codes)), codes)
        assert sizes == [packing.CHUNK, 8, packing.CHUNK * nbits // 8, nbits]

    def test_masks_are_as_long_as_the_lanes(self) -> None:
        assert packing._mask(16, 16, 3) == int("0007" * 4 * 16, 16)
        assert packing._mask(1, 64, 28) == 0x0FFF_FFFF

    def test_codes_of_eight_bits_are_their_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing is moved: there are no lanes."""
        for name in ("_pack_lanes", "_unpack_lanes"):
            monkeypatch.setattr(packing, name, lambda data, nbits: pytest.fail("moved"))
        assert packing.pack(b"\0\x7f\xff", 8) == packing.unpack(b"\0\x7f\xff", 8, 3) == b"\0\x7f\xff"

    def test_by_hand(self) -> None:
        assert packing.pack(bytes([5, 1, 7]), 3) == bytes([0b10100111, 0b10000000])


class TestLength:
    """PACK-2: `count` codes of `n` bits MUST take exactly `ceil(count * n / 8)` bytes."""

    @given(packable())
    def test_packed_size(self, case: tuple[bytes, int]) -> None:
        codes, nbits = case
        size = -(-len(codes) * nbits // 8)
        assert len(packing.pack(codes, nbits)) == packing.packed_size(len(codes), nbits) == size


class TestPaddingBits:
    """PACK-3: The bits of the last byte after the last code MUST be zero when written, and MUST be ignored
    when read.
    """

    @pytest.mark.parametrize(("nbits", "count"), [(1, 3), (3, 5), (5, 1), (7, 7)])
    def test_zero_when_written_ignored_when_read(self, nbits: int, count: int) -> None:
        full = bytes([(1 << nbits) - 1] * count)
        packed = packing.pack(full, nbits)
        padding = -count * nbits % 8
        assert packed[-1] & ((1 << padding) - 1) == 0
        noisy = packed[:-1] + bytes([packed[-1] | ((1 << padding) - 1)])
        assert noisy != packed
        assert packing.unpack(noisy, nbits, count) == full


class TestRange:
    """PACK-4: A code MUST lie in 0 .. 2^n - 1; a writer MUST refuse any other."""

    @pytest.mark.parametrize("nbits", range(1, 8))
    def test_the_first_that_does_not_fit_is_named(self, nbits: int) -> None:
        with pytest.raises(CodeError, match=f"code {1 << nbits} does not fit in {nbits} bits") as caught:
            packing.pack(bytes([0, (1 << nbits) - 1, 1 << nbits, 255]), nbits)
        assert (caught.value.index, caught.value.rule) == (2, "PACK-4")

    @pytest.mark.parametrize("nbits", [0, 9, -1])
    def test_number_of_bits(self, nbits: int) -> None:
        with pytest.raises(ArgumentError):
            packing.pack(b"", nbits)
        with pytest.raises(ArgumentError):
            packing.unpack(b"", nbits, 0)


class TestWrongNumberOfBytes:
    """PACK-5: A reader MUST refuse fewer bytes than PACK-2 asks for, and SHOULD refuse more."""

    @pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\0"])
    def test_refused(self, data: bytes) -> None:
        with pytest.raises(TensorError, match="5 codes of 3 bits take 2 bytes"):
            packing.unpack(data, 3, 5)


class TestBijection:
    """Unpacking is the inverse of packing: PACK-1, PACK-2."""

    @given(packable())
    def test_round_trip(self, case: tuple[bytes, int]) -> None:
        codes, nbits = case
        assert packing.unpack(packing.pack(codes, nbits), nbits, len(codes)) == codes

    @given(whole_groups())
    def test_every_string_of_whole_groups_is_a_packing(self, case: tuple[bytes, int]) -> None:
        data, nbits = case
        codes = packing.unpack(data, nbits, len(data) * 8 // nbits)
        assert packing.pack(codes, nbits) == data
