"""Chapter 2: codes as a stream of bits."""

from __future__ import annotations

from tests.oracle.refusal import Refused


def packed_size(count: int, nbits: int) -> int:
    """PACK-2: ceil(count * n / 8) bytes."""
    size = 0
    while 8 * size < count * nbits:
        size += 1
    return size


def pack(codes: list[int], nbits: int) -> bytes:
    """PACK-1, PACK-3, PACK-4: write every code bit by bit."""
    bits: list[int] = []
    for index, code in enumerate(codes):
        if not 0 <= code <= 2**nbits - 1:
            raise Refused("PACK-4", index)
        # The most significant bit first.
        bits += [code // 2**significance % 2 for significance in range(nbits - 1, -1, -1)]
    while len(bits) % 8 != 0:
        bits.append(0)
    packed = []
    for start in range(0, len(bits), 8):
        byte = 0
        for bit in bits[start : start + 8]:  # from the byte's most significant bit
            byte = 2 * byte + bit
        packed.append(byte)
    return bytes(packed)


def unpack(data: bytes, nbits: int, count: int) -> list[int]:
    """PACK-1, PACK-3, PACK-5: read `count` codes bit by bit; what is left of the last byte is ignored."""
    if len(data) != packed_size(count, nbits):
        raise Refused("PACK-5")
    codes = []
    for index in range(count):
        code = 0
        for position in range(index * nbits, (index + 1) * nbits):  # counted from the start of the stream
            byte = data[position // 8]
            code = 2 * code + byte // 2 ** (7 - position % 8) % 2
        codes.append(code)
    return codes
