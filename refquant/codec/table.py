"""Looking codes up in a table of float32 numbers."""

from __future__ import annotations

from array import array

#: Entries of a table that any byte can be looked up in.
FULL = 256


def look_up_by_definition(codes: bytes, table: array[float]) -> array[float]:
    """Give table[code] for each code; `look_up` gives the same numbers sooner. Rule: LUT-6."""
    return array("f", [table[code] for code in codes])


def look_up(codes: bytes, table: array[float]) -> array[float]:
    """Give table[code] for each code, bit for bit.

    The table has 1 to 256 entries, and every code must be less than their number. No number is made: each
    of the four bytes of an entry is looked up for all codes at once. Rule: LUT-6.
    """
    entries = table.tobytes().ljust(4 * FULL)  # with what does not matter: no code is so great
    found = bytearray(4 * len(codes))
    for byte in range(4):
        found[byte::4] = codes.translate(entries[byte::4])
    return array("f", bytes(found))
