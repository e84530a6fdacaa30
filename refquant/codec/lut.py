"""Lookup tables: one table of 2^n numbers for a whole tensor, and codes that count in it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Callable, NamedTuple

from refquant.codec.linear import encode_channel
from refquant.codec.packing import check_nbits
from refquant.codec.table import look_up
from refquant.codec.weights import check_finite
from refquant.errors import (
    ArgumentError,
    CodeError,
    LutFunctionError,
    NonFiniteError,
    RefquantError,
    ShapeError,
)

#: What a custom function is: (nbits, weights) -> (table, codes). See `encode_custom`.
LutFunction = Callable[[int, "array[float]"], object]


class LutCodes(NamedTuple):
    """A tensor as codes and a table: weight = table[code].

    `codes` has one byte a weight, in tensor order; `table` has 2^nbits binary32 entries; `collapsed` tells
    that the weights differ though every code is 0.
    """

    codes: bytes
    table: array[float]
    collapsed: bool


def encode_linear(weights: array[float], nbits: int) -> LutCodes:
    """Quantize float32 weights to `nbits` bits (1 to 8) with an even grid as the table.

    Codes are those of linear quantization with the whole tensor as one channel; entry i of the table is
    i * scale + bias with the scale in binary64. The error is within `linear.error_bound`. Raises
    NonFiniteError with the index for NaN and infinity, ShapeError where there are no weights, and so no least
    one. Rule: LUT-1 to LUT-3.
    """
    check_nbits(nbits)
    check_finite(weights)
    if not weights:
        raise ShapeError("no weights to lay a grid over", rule="LIN-1")
    codes, scale, bias, collapsed = encode_channel(weights, nbits)
    # Every entry is finite, as LUT-1 demands: the last is the greatest weight but for roundings to binary64.
    table = array("f", [i * scale + bias for i in range(1 << nbits)])
    return LutCodes(codes, table, collapsed)


def encode_custom(weights: array[float], nbits: int, lut_function: LutFunction | None) -> LutCodes:
    """Quantize float32 weights with the table and codes of a caller's function.

    The function gets `nbits` and a copy of the weights, a flat array('f') in tensor order (which
    numpy.asarray takes as it is), and gives a table of 2^nbits numbers and one code a weight: sequences,
    arrays or numpy arrays of any shape, read in order. Codes may be floats with whole values.

    Raises ArgumentError where there is no function to call and where `nbits` is not 1 to 8, NonFiniteError
    for NaN and infinity among the weights, LutFunctionError, with its cause, where the function or what it
    gives raises anything but a RefquantError, which passes, and with the index where what it gives cannot be
    stored. Rule: LUT-4, LUT-5.
    """
    if not callable(lut_function):
        raise ArgumentError(f"custom_lut needs a lut_function to call, not {lut_function!r}", rule="LUT-4")
    check_nbits(nbits)
    check_finite(weights)
    try:
        # What it gives may run code of its caller's, too: a generator, or numbers of a class of their own.
        given = lut_function(nbits, array("f", weights.tobytes()))
        table, codes = _pair(given, 1 << nbits, len(weights))
        return LutCodes(_checked_codes(codes, nbits, len(weights)), _checked_table(table, nbits), False)
    except RefquantError:
        raise
    except Exception as error:
        raise LutFunctionError(
            f"lut_function raised {type(error).__name__}: {error}", rule="LUT-4"
        ) from error


def decode(codes: bytes, table: array[float]) -> array[float]:
    """Turn codes back into float32 weights. Rule: LUT-6.

    Raises CodeError with the index for a code past the table, NonFiniteError for an entry that is no
    finite number.
    """
    check_finite(table, "table entry", "DEQ-4")
    if codes.translate(None, bytes(range(len(table)))):
        index = next(i for i, code in enumerate(codes) if code >= len(table))
        raise CodeError(f"code {codes[index]} is past the table's end", index=index, rule="PACK-4")
    return look_up(codes, table)


def _pair(given: Any, entries: int, count: int) -> tuple[list[Any], list[Any]]:
    """Take what a custom function gave apart into flat lists, table and codes, of one too many at most."""
    try:
        table, codes = given
        return list(islice(_flat(table), entries + 1)), list(islice(_flat(codes), count + 1))
    except TypeError:
        kind = type(given).__name__
    except ValueError:
        kind = "something that is not two values"
    raise LutFunctionError(f"lut_function must return a table and codes, not {kind}", rule="LUT-5")


def _flat(values: Any) -> Iterator[Any]:
    """Give the numbers of nested sequences, or of anything with `tolist`, in order."""
    values = values.tolist() if hasattr(values, "tolist") else values
    if isinstance(values, (str, dict)) or not isinstance(values, Iterable):
        raise TypeError
    for value in values:
        value = value.tolist() if hasattr(value, "tolist") else value  # a number of numpy's has it, too
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        else:
            yield value


def _amount(found: int, due: int) -> str:
    """Tell how many there are of something; past what is due, nobody has counted."""
    return f"more than {due}" if found > due else f"{found}"


def _checked_table(table: list[Any], nbits: int) -> array[float]:
    if len(table) != 1 << nbits:
        found = _amount(len(table), 1 << nbits)
        raise LutFunctionError(f"lut_function gave a table of {found}, not {1 << nbits}", rule="LUT-5")
    try:
        stored = array("f", table)
        check_finite(stored)
    except (TypeError, NonFiniteError, OverflowError):
        index = next(i for i, entry in enumerate(table) if not _is_number(entry))
        raise LutFunctionError(
            f"lut_function gave {table[index]!r} as a table entry", index=index, rule="LUT-5"
        ) from None
    return stored


def _is_number(entry: Any) -> bool:
    """Whether an entry is a finite number in binary32."""
    try:
        return math.isfinite(array("f", [entry])[0])
    except (TypeError, OverflowError):
        return False


def _checked_codes(codes: list[Any], nbits: int, count: int) -> bytes:
    if len(codes) != count:
        found = _amount(len(codes), count)
        raise LutFunctionError(f"lut_function gave {found} codes for {count} weights", rule="LUT-5")
    known = {float(code): code for code in range(1 << nbits)}
    try:
        return bytes([known[code] for code in codes])
    except (KeyError, TypeError):
        index = next(i for i, code in enumerate(codes) if not _is_code(code, known))
    raise LutFunctionError(
        f"lut_function gave {codes[index]!r} as a code of {nbits} bits", index=index, rule="LUT-5"
    )


def _is_code(code: Any, known: dict[float, int]) -> bool:
    try:
        return code in known
    except TypeError:
        return False
