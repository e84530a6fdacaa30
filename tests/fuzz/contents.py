"""What a field can hold instead, drawn at random: numbers, names, bytes and tensors that break programs."""

from __future__ import annotations

import random
import struct

from tests import bending
from tests.fuzz import bases
from tests.fuzz.mutations import Content, find
from tests.fuzz.wire import BYTES, VARINT, WORD, Kind, Place, varint

#: Numbers for sizes, counts, flags and enums: small ones, limits of types, and what no file can hold.
NUMBERS = (
    *(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 31, 32, 64, 127, 128, 255, 256, 1000, 4096, 65536),
    *(10**6, 10**9, 10**12, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 1, 2**53 + 1, 2**62, 2**63 - 1),
    *(2**63, 2**63 + 1, 2**64 - 1, 2**64 - 2, 2**64 - 3),
)

#: Floats that are no number or nearly none, and some that are too great when they are multiplied or halved.
FLOATS = (
    *(0.0, -0.0, 1.0, -1.0, -5.0, 0.5, 1e-6, 1e-45, -1e-45, 1.1754944e-38, 65504.0, 65520.0, -65520.0, 1e6),
    *(1e38, -1e38, 3e38, -3e38, 3.4028234e38, -3.4028234e38, float("inf"), float("-inf"), float("nan")),
)

#: Names: none, no text, half a letter, a surrogate, what terminals obey, what paths and formats are made of.
NAMES = (
    *(
        b"",
        b"\0",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x80\xae",
        b"\x1b[2J",
        b"\r\n",
    ),
    *(b"{}%s%n", b"../../x", "\U0001f600".encode(), "e\u0301\u4e2d".encode(), b"input", b"output"),
    *(b"a" * 300, b"ab" * 3000),
)

#: Bytes that are no field, or one that nobody knows: unknown numbers of each wire type, groups, numbers 0 and
#: too great, a varint without an end, a length past the end.
FIELDS = (
    *(
        b"\xf8\xff\x01\x07",
        b"\xfa\xff\x01\x03abc",
        b"\xfd\xff\x01abcd",
        b"\xf9\xff\x01abcdefgh",
        b"\x0d\0\0\0\0",
    ),
    *(b"\xfb\xff\x01\xfc\xff\x01", b"\x0b\x0c", b"\x0b", b"\x0c", b"\x03\x04", b"\x00\x00", b"\x02\x00"),
    *(b"\xfa\xff\xff\xff\x0f\x00", b"\xfa\xff\xff\xff\x7f\x00", b"\xff" * 11, b"\x0a\x7f", b"\x0f", b"\x0e"),
    *(b"\x0a\xff\xff\xff\xff\x07", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x0b" * 200),
)

#: Fields of bytes that are numbers.
VALUES = ("floatBytes", "float16Value", "rawValue", "int8RawValue")


class Contents:
    """Draws contents for the fields of one base from one source of chance."""

    def __init__(self, base: str, texts: list[str], chance: random.Random) -> None:
        self.tree = bases.tree(base)
        #: Paths of all names in the base.
        self.texts = texts
        self.chance = chance

    def number(self) -> int:
        return self.chance.choice(NUMBERS)

    def floats(self, count: int) -> bytes:
        """Give so many floats, most of them like weights."""
        drawn = [
            self.chance.choice(FLOATS) if self.chance.random() < 0.3 else self.chance.uniform(-2, 2)
            for _ in range(count)
        ]
        return struct.pack(f"<{count}f", *drawn)

    def name(self) -> bytes:
        """Give a name: a strange one, or that of something else in the model."""
        if self.texts and self.chance.random() < 0.5:
            found = find(self.tree, self.chance.choice(self.texts))
            if found and found.field and isinstance(found.field.value, bytes):
                return found.field.value
        return self.chance.choice(NAMES)

    def content(self, place: Place) -> Content:
        """Give a content for a field of this kind."""
        kind = place.kind
        if self.chance.random() < 0.03:  # of another kind of field
            return self.number() if kind.wire_type == BYTES else self.name().hex()
        if kind.message == "WeightParams":
            return self.params(place.path).hex()
        if kind.is_text:
            return self.name().hex()
        if kind.name in VALUES or kind.message:
            return self.bent_bytes(place.path).hex()
        if kind.wire_type == BYTES and kind.element == BYTES:
            return self.chance.choice(NAMES).hex()
        if kind.wire_type == BYTES:
            return self.packed(kind).hex()
        if kind.element == VARINT:
            return self.near(place.path) if self.chance.random() < 0.4 else self.number()
        return int.from_bytes(self.element(kind), "little")

    def element(self, kind: Kind) -> bytes:
        """Give one number of a field, as it is written."""
        if kind.element == VARINT:
            return varint(self.number())
        return struct.pack("<f" if kind.element == WORD else "<d", self.chance.choice(FLOATS))

    def packed(self, kind: Kind) -> bytes:
        """Give the content of a repeated field of numbers."""
        count = self.chance.choice((0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 16, 255, 256, 257))
        return b"".join(self.element(kind) for _ in range(count)) + self.chance.choice(
            (b"", b"", b"", b"\x80")
        )

    def near(self, path: str) -> int:
        """Give a number near the one that is there."""
        found = find(self.tree, path)
        value = found.field.value if found and found.field else 1
        if not isinstance(value, int):
            return self.number()
        return self.chance.choice((value - 1, value + 1, 2 * value, value // 2, value ^ 1, -value)) % 2**64

    def bent_bytes(self, path: str) -> bytes:
        """Give the bytes that are there, a few of them gone, more, others, or all new."""
        found = find(self.tree, path)
        value = found.field.value if found and found.field else b""
        if not isinstance(value, bytes):
            return self.chance.choice(FIELDS)
        size = len(value)
        at = self.chance.randrange(size + 1)
        word = 4 * self.chance.randrange(size // 4 + 1)
        return self.chance.choice((
            lambda: value[:-1],
            lambda: value + b"\0",
            lambda: value[:-4],
            lambda: value + value[:4],
            lambda: value + value,
            lambda: b"",
            lambda: value[:at] + bytes([self.chance.randrange(256)]) + value[at + 1 :],
            lambda: value[:word] + self.floats(1) + value[word + 4 :],
            lambda: value[:word] + self.floats(1) + value[word + 4 :],
            lambda: self.floats(size // 4),
            lambda: b"\xff" * size,
            lambda: bytes(size),
        ))()  # fmt: skip

    def params(self, path: str) -> bytes:
        """Give a tensor of any form, with as many weights as the one that is there, or nearly."""
        count = self.count(path)
        if self.chance.random() < 0.3:
            count = self.chance.choice((0, 1, max(0, count - 1), count + 1, 2 * count))
        nbits = self.chance.choice((1, 2, 3, 4, 5, 6, 7, 8, 8))
        raw = bytearray(self.chance.randbytes((count * nbits + 7) // 8))
        spare = -count * nbits % 8
        if raw and self.chance.random() < 0.8:
            raw[-1] &= 0xFF << spare & 0xFF
        scales = self.chance.choice((1, 1, *(n for n in range(2, 9) if count % n == 0), 2, count))
        stated = nbits if self.chance.random() < 0.9 else self.number()
        entries = (1 << nbits) + (self.chance.choice((-1, 1, 5)) if self.chance.random() < 0.1 else 0)

        def some(count: int) -> tuple[float, ...]:
            return struct.unpack(f"<{count}f", self.floats(count))

        made = self.chance.choice((
            lambda: bending.floats(*some(count)),
            lambda: bending.halves(*(max(-6e4, min(6e4, x)) for x in some(count))),
            lambda: bending.linear(bytes(raw), stated, some(scales), some(self.chance.choice((0, scales)))),
            lambda: bending.table(bytes(raw), stated, some(entries)),
            lambda: bending.signed(self.chance.randbytes(count)),
        ))()  # fmt: skip
        return made.SerializeToString()

    def count(self, path: str) -> int:
        """Count the weights of the tensor at a path, as far as its bytes tell."""
        for name, size in (("floatBytes", 4), ("float16Value", 2), ("int8RawValue", 1), ("rawValue", 1)):
            found = find(self.tree, f"{path}.{name}")
            if found and found.field and isinstance(found.field.value, bytes):
                return len(found.field.value) // size
        return 1
