"""Chapter 3: half precision."""

from __future__ import annotations

import struct

from conformance.cases.family import Family, refusal
from conformance.cases.pools import BAD, LENGTHS, hexed
from tests import oracle
from tests.hard import GREATEST, TINY, after, f32

#: Numbers of every kind, for tensors of several: ties, subnormals, zeros, both signs, one digit and all.
MIXED = [
    *(1.0, -0.5, f32(1 / 3), -0.0, 1 + 2.0**-11, -1 - 3 * 2.0**-11, 2.0**-24, -(2.0**-25), 65503.0, -1e-3),
    *(0.0, 3 * 2.0**-26, -f32(0.1), 2.0**-14, 1000.5, -2047.5, TINY),
]

#: What is no number in binary16: infinities, and NaNs quiet and signalling.
NOT_FINITE = ("007c", "00fc", "007e", "00fe", "017c", "ff7f")


def numbers() -> list[tuple[str, float, str]]:
    """Give single numbers: title, number, flags."""
    found: list[tuple[str, float, str]] = []
    for exponent in range(-14, 16):
        unit = 2.0 ** (exponent - 10)
        for k in (0, 1, 1022):
            middle = 2.0**exponent + (k + 0.5) * unit
            found.append((f"tie above 2^{exponent}", middle, "tie"))
            found += [("just below a tie", after(middle, -1), ""), ("just above a tie", after(middle), "")]
    for k in (0, 1, 2, 511, 1022):
        middle = (k + 0.5) * 2.0**-24
        found.append(("tie among subnormals", middle, "tie subnormal"))
        found += [("below it", after(middle, -1), "subnormal"), ("above it", after(middle), "subnormal")]
    found += [("zero", 0.0, "negative-zero")]
    found += [("one third", f32(1 / 3), ""), ("least subnormal of binary32", TINY, "subnormal")]
    found += [("the greatest that is taken", after(65504.0, -1), "limit")]
    return [(title, number, flags) for title, number, flags in found if number < 65504]


def half(family: Family) -> None:
    """Halfway cases of every exponent, both limits, subnormals; every class of number, and every length."""

    def encoded(title: str, values: list[float], flags: str) -> None:
        expected = {"bytes": oracle.half.encode(values).hex() if values else ""}
        family.add("half.encode", title, "HALF-1 TEN-4", {"weights": hexed(values)}, expected, flags)

    def decoded(title: str, data: bytes, flags: str) -> None:
        expected = {"weights": hexed(oracle.half.decode(data))}
        family.add("half.decode", title, "HALF-5 TEN-4", {"bytes": data.hex()}, expected, flags)

    for title, number, flags in numbers():
        for sign in (1.0, -1.0):
            encoded(title, [sign * number], flags)
    for count in LENGTHS:
        values = [MIXED[(5 * i + count) % len(MIXED)] for i in range(count)]
        flags = "length nearest" if count else "empty"
        encoded(f"{count} weights", values, flags)
        patterns = [(i * 9973 + 577 * count) % 0x7C00 | i % 2 << 15 for i in range(count)]
        decoded(f"{count} weights", struct.pack(f"<{count}H", *patterns), flags.replace("nearest", "bits"))
    for number in (65504.0, after(65504.0), 65519.0, 65520.0, 1e30, GREATEST):
        for sign in (1.0, -1.0):
            given = {"weights": hexed([1.0, f32(sign * number)])}
            family.add("half.encode", "outside", "HALF-2", given, refusal("HALF-2", 1), "limit")
    given = {"weights": hexed([1.0, -65504.0, 70000.0])}
    family.add("half.encode", "two outside", "HALF-2", given, refusal("HALF-2", 1), "limit")
    for pattern in ("0000", "0080", "0100", "0180", "ff03", "0004", "003c", "ff7b", "fffb", "5535", "01bc"):
        special = {"0080": "negative-zero", "0100": "subnormal", "0180": "subnormal", "ff03": "subnormal"}
        decoded(f"bits {pattern}", bytes.fromhex(pattern), special.get(pattern, "bits"))
    for size in (1, 3):
        given = {"bytes": "00" * size}
        family.add("half.decode", "odd number of bytes", "TEN-4", given, refusal("TEN-4"), "length")
    for pattern in NOT_FINITE:
        given = {"bytes": f"003c{pattern}003c"}
        family.add("half.decode", "not finite", "DEQ-4", given, refusal("DEQ-4", 1))
    for title, bad in BAD:
        given = {"weights": hexed([1.0, bad, 2.0])}
        family.add("half.encode", title, "TEN-7", given, refusal("TEN-7", 1))
