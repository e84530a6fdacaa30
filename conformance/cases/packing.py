"""Chapter 2: codes and bytes."""

from __future__ import annotations

from conformance.cases.family import Family, refusal
from conformance.cases.pools import LENGTHS, NO_NBITS
from tests import oracle


def packing(family: Family) -> None:
    """Every length up to 17 at every number of bits, all codes at once, and what must be refused."""
    for nbits in range(1, 9):
        top = (1 << nbits) - 1
        for count in LENGTHS:
            for name, codes in (
                ("mixed", [(5 * i * i + 3 * i + count) % (top + 1) for i in range(count)]),
                ("greatest", [top] * count),
            ):
                packed = oracle.packing.pack(codes, nbits).hex()
                flags = "bits" if count else "empty"
                if count * nbits % 8:
                    flags += " length"
                title = f"{count} {name} codes of {nbits} bits"
                given = {"codes": bytes(codes).hex(), "nbits": nbits}
                family.add("pack", title, "PACK-1 PACK-2 PACK-3", given, {"bytes": packed}, flags)
                given = {"bytes": packed, "nbits": nbits, "count": count}
                family.add("unpack", title, "PACK-1 PACK-2", given, {"codes": bytes(codes).hex()}, flags)
        padding = -5 * nbits % 8
        if padding:
            packed_codes = oracle.packing.pack([top, 0, top, 0, top], nbits)
            noisy = packed_codes[:-1] + bytes([packed_codes[-1] | ((1 << padding) - 1)])
            given = {"bytes": noisy.hex(), "nbits": nbits, "count": 5}
            codes_hex = bytes([top, 0, top, 0, top]).hex()
            family.add(
                "unpack", "padding of ones is ignored", "PACK-3", given, {"codes": codes_hex}, "length"
            )
        if nbits < 8:
            for index in (0, 1, 4):
                codes = [0] * 5
                codes[index] = top + 1
                given = {"codes": bytes(codes).hex(), "nbits": nbits}
                title = f"code {top + 1} in {nbits} bits"
                family.add("pack", title, "PACK-4", given, refusal("PACK-4", index))
        for size in (0, (5 * nbits + 7) // 8 - 1):
            given = {"bytes": "00" * size, "nbits": nbits, "count": 5}
            family.add("unpack", "too few bytes", "PACK-5", given, refusal("PACK-5"))
        given = {"bytes": "00" * ((5 * nbits + 7) // 8 + 1), "nbits": nbits, "count": 5}
        family.add("unpack", "surplus bytes", "PACK-5", given, refusal("PACK-5"), level="recommended")
    for nbits in NO_NBITS:
        title = f"codes of {nbits} bits"
        given = {"codes": "0000000000", "nbits": nbits}
        family.add("pack", title, "TEN-5", given, refusal("TEN-5"), "nbits")
        given = {"bytes": "00" * ((5 * nbits + 7) // 8), "nbits": nbits, "count": 5}
        family.add("unpack", title, "TEN-5", given, refusal("TEN-5"), "nbits")
