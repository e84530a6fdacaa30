"""Packing: codes of 1 to 8 bits <-> bytes, most significant bit first, without gaps."""

from __future__ import annotations

from functools import lru_cache

from refquant.errors import ArgumentError, CodeError, TensorError

#: Codes that are packed at a time: a multiple of 8, so that every part but the last fills its bytes.
CHUNK = 1 << 15


def packed_size(count: int, nbits: int) -> int:
    """Give the number of bytes that `count` codes of `nbits` bits take. Rule: PACK-2."""
    return (count * nbits + 7) // 8


def pack_by_definition(codes: bytes, nbits: int) -> bytes:
    """Pack codes bit by bit, as the specification says; `pack` gives the same bytes sooner.

    Rule: PACK-1, PACK-3.
    """
    bits = "".join(format(code, f"0{nbits}b") for code in codes)
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[start : start + 8], 2) for start in range(0, len(bits), 8))


def pack(codes: bytes, nbits: int) -> bytes:
    """Pack codes, one a byte, into `packed_size` bytes.

    `nbits` is 1 to 8, each code 0 .. 2^nbits - 1; padding bits are zero; no codes give no bytes. Raises
    CodeError with the index of the first code that does not fit. Rule: PACK-1 to PACK-4.
    """
    check_nbits(nbits)
    if codes.translate(None, bytes(range(1 << nbits))):
        index = next(i for i, code in enumerate(codes) if code >> nbits)
        raise CodeError(f"code {codes[index]} does not fit in {nbits} bits", index=index, rule="PACK-4")
    if nbits == 8:
        return bytes(codes)
    packed = b"".join(_pack_lanes(codes[i : i + CHUNK], nbits) for i in range(0, len(codes), CHUNK))
    return packed[: packed_size(len(codes), nbits)]


def unpack(data: bytes, nbits: int, count: int) -> bytes:
    """Read `count` codes of `nbits` bits, one a byte: the inverse of `pack`.

    Padding bits are ignored. Raises TensorError unless there are exactly `packed_size` bytes.
    Rule: PACK-1, PACK-3, PACK-5.
    """
    check_nbits(nbits)
    if len(data) != packed_size(count, nbits):
        raise TensorError(
            f"{count} codes of {nbits} bits take {packed_size(count, nbits)} bytes, not {len(data)}",
            rule="PACK-5",
        )
    if nbits == 8:
        return bytes(data)
    step = CHUNK * nbits // 8
    return b"".join(_unpack_lanes(data[i : i + step], nbits) for i in range(0, len(data), step))[:count]


def _pack_lanes(codes: bytes, nbits: int) -> bytes:
    """Pack in 64-bit lanes of one big integer, eight codes a lane.

    Three times, the upper half of every field moves down to meet the lower half, so that a lane's codes end
    up side by side in its last nbits bytes; these bytes are then gathered from all lanes.
    """
    lanes = (len(codes) + 7) // 8
    word = int.from_bytes(codes.ljust(8 * lanes, b"\0"), "big")
    for field, filled in ((8, nbits), (16, 2 * nbits), (32, 4 * nbits)):
        low = _mask(lanes, 2 * field, filled)
        word = (word & low) | ((word >> (field - filled)) & (low << filled))
    spread = word.to_bytes(8 * lanes, "big")
    packed = bytearray(nbits * lanes)
    for i in range(nbits):
        packed[i::nbits] = spread[8 - nbits + i :: 8]
    return bytes(packed)


def _unpack_lanes(data: bytes, nbits: int) -> bytes:
    """Undo `_pack_lanes`, step by step in the other order; gives a multiple of eight codes."""
    lanes = (len(data) + nbits - 1) // nbits
    data = data.ljust(nbits * lanes, b"\0")
    spread = bytearray(8 * lanes)
    for i in range(nbits):
        spread[8 - nbits + i :: 8] = data[i::nbits]
    word = int.from_bytes(spread, "big")
    for field, filled in ((32, 4 * nbits), (16, 2 * nbits), (8, nbits)):
        low = _mask(lanes, 2 * field, filled)
        word = (word & low) | ((word & (low << filled)) << (field - filled))
    return word.to_bytes(8 * lanes, "big")


@lru_cache(maxsize=64)
def _mask(lanes: int, field: int, filled: int) -> int:
    """Ones in the lowest `filled` bits of every field, for fields of `field` bits over all lanes."""
    return int.from_bytes(((1 << filled) - 1).to_bytes(field // 8, "big") * (lanes * 64 // field), "big")


def check_nbits(nbits: int) -> None:
    """Refuse a number of bits that codes cannot have. Rule: TEN-5."""
    if not 1 <= nbits <= 8:
        raise ArgumentError(f"codes have 1 to 8 bits, not {nbits}", rule="TEN-5")
