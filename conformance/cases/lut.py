"""Chapter 6: even tables, tables from a caller, and looking up."""

from __future__ import annotations

from typing import Any

from conformance.cases.family import Family, refusal
from conformance.cases.pools import (
    BAD,
    LENGTHS,
    NO_NBITS,
    contracted_tables,
    contracted_tensors,
    hexed,
    mixed,
    tensors,
    threshold_pairs,
)
from tests import oracle
from tests.hard import f32

INFINITY = float("inf")
NAN = float("nan")


def table_of(nbits: int) -> list[float]:
    """Give a table of 2^nbits entries in no order."""
    entries = 1 << nbits
    return [f32(0.1 * (i * 77 % entries) - 1) for i in range(entries)]


def linear_lut(family: Family) -> None:
    """Hard tensors, ranges about the threshold and what is nearly a tie, as a table."""

    def add(title: str, values: list[float], nbits: int, flags: str) -> None:
        found = oracle.lut.encode_linear(values, nbits)
        expected = {"codes": bytes(found.codes).hex(), "table": hexed(found.table)}
        given = {"weights": hexed(values), "nbits": nbits}
        family.add("linear_lut.encode", title, "LUT-2 LUT-3", given, expected, flags)

    for nbits in range(1, 9):
        for title, values, flags in tensors():
            add(title, values, nbits, flags)
        for title, values in threshold_pairs((1 << nbits) - 1):
            add(title, values, nbits, "threshold")
        for values in contracted_tensors(nbits, 1):
            add("a tie after rounding", values, nbits, "contraction tie")
    for nbits in (4, 6, 8):
        for values in contracted_tables(nbits, 2):
            add("an entry that is a tie after rounding", values, nbits, "contraction tie")
    for title, bad in BAD:
        for index in (0, 3):
            values = mixed(4)
            values[index] = bad
            given = {"weights": hexed(values), "nbits": 4}
            family.add("linear_lut.encode", title, "TEN-7", given, refusal("TEN-7", index))
    for nbits in (1, 8):
        given = {"weights": "", "nbits": nbits}
        title = "no weights, and so no least one"
        family.add("linear_lut.encode", title, "LUT-3 LIN-1", given, refusal("LIN-1"), "empty")
    for nbits in NO_NBITS:
        given = {"weights": hexed(mixed(4)), "nbits": nbits}
        family.add("linear_lut.encode", f"{nbits} bits", "TEN-5", given, refusal("TEN-5"), "nbits")


def custom_lut(family: Family) -> None:
    """Every length at every number of bits, and one fault a case."""

    def add(
        title: str,
        nbits: int,
        weights: list[float],
        table: list[float],
        codes: list[Any],
        flags: str = "",
        refused: dict[str, Any] | None = None,
    ) -> None:
        given = {"weights": hexed(weights), "nbits": nbits, "table": hexed(table), "given_codes": codes}
        expected = refused or {"codes": bytes(map(int, codes)).hex(), "table": hexed(table)}
        family.add("custom_lut.encode", title, "LUT-1 LUT-4 LUT-5", given, expected, flags)

    for nbits in range(1, 9):
        entries = 1 << nbits
        table = table_of(nbits)
        for count in LENGTHS[1:]:
            codes = [(7 * i + count) % entries for i in range(count)]
            add(f"{count} codes of {nbits} bits", nbits, mixed(count), table, codes, "table length")
        for wrong in (entries - 1, entries + 1):
            short = (table * 2)[:wrong]
            title = f"a table of {wrong} for {nbits} bits"
            add(title, nbits, mixed(2), short, [0, 0], refused=refusal("LUT-5"), flags="table")
        title = f"code {entries} of {nbits} bits"
        add(title, nbits, mixed(3), table, [0, entries, 0], refused=refusal("LUT-5", 1))
    add("codes as whole floats", 2, mixed(4), table_of(2), [2.0, 1.0, 2.0, 3.0])
    add("a table of negative zeros", 2, mixed(4), [-0.0] * 4, [2, 1, 2, 3], flags="negative-zero")
    for title, table, index in (
        ("an empty table", [], None),
        ("a NaN in the table", [0.0, NAN, 0.0, 0.0], 1),
        ("an infinity in the table", [0.0, 0.0, 0.0, INFINITY], 3),
        ("minus infinity in the table", [-INFINITY, 0.0, 0.0, 0.0], 0),
    ):
        add(title, 2, mixed(4), table, [2, 1, 2, 3], refused=refusal("LUT-5", index))
    faults: list[tuple[str, list[Any], int | None]] = [
        ("too few codes", [0, 1, 2], None),
        ("too many codes", [0, 1, 2, 3, 0], None),
        ("no codes", [], None),
        ("a code past the table", [0, 1, 4, 0], 2),
        ("a negative code", [0, 1, 2, -1], 3),
        ("a code that is no whole number", [0, 0.5, 2, 3], 1),
        ("a code that is no number", ["0", 1, 2, 3], 0),
        ("a code that is null", [0, 1, None, 3], 2),
        ("a code far past the table", [0, 1, 2, 1e300], 3),
        ("two codes past the table", [0, 5, 4, 0], 1),
    ]
    for title, codes, index in faults:
        add(title, 2, mixed(4), table_of(2), codes, refused=refusal("LUT-5", index))
    for nbits in (0, 9):
        written = hexed(table_of(nbits))
        given = {"weights": hexed(mixed(2)), "nbits": nbits, "table": written, "given_codes": [0, 0]}
        family.add("custom_lut.encode", f"{nbits} bits", "TEN-5", given, refusal("TEN-5"), "nbits")


def lut(family: Family) -> None:
    """Every length at every number of bits looked up, and what cannot be."""

    def add(title: str, codes: list[int], table: list[float], flags: str = "") -> None:
        given = {"codes": bytes(codes).hex(), "table": hexed(table)}
        decoded = oracle.dequantization.lookup(codes, table, len(table).bit_length() - 1)
        family.add("lut.decode", title, "LUT-6", given, {"weights": hexed(decoded)}, flags)

    for nbits in range(1, 9):
        entries = 1 << nbits
        for count in LENGTHS:
            codes = [(7 * i + count) % entries for i in range(count)]
            add(
                f"{count} codes of {nbits} bits", codes, table_of(nbits), "table length" if count else "empty"
            )
        add("all codes", list(range(entries)), table_of(nbits))
        add("negative zeros", [0, entries - 1], [-0.0] * entries, "negative-zero")
        for index, bad in ((0, NAN), (entries - 1, INFINITY), (1, -INFINITY)):
            table = table_of(nbits)
            table[index] = bad
            given = {"codes": "0001", "table": hexed(table)}
            title = f"{bad} in a table of {entries}"
            family.add("lut.decode", title, "LUT-1 DEQ-4", given, refusal("LUT-1", index))
        if nbits < 8:
            given = {"codes": bytes([0, entries - 1, entries, 255]).hex(), "table": hexed(table_of(nbits))}
            title = f"a code past a table of {entries}"
            family.add("lut.decode", title, "PACK-4", given, refusal("PACK-4", 2))
