"""The operations that a testee may offer: their fields, how each is written, and how it is compared.

On the wire every number of a weight, scale or table is its binary32 bits as 8 hexadecimal digits, most
significant first, and a list of numbers is their digits one after the other. Codes are two digits each.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from typing import Any, NamedTuple, Union


class Kind(NamedTuple):
    """How a field is written on the wire."""

    name: str
    decode: Callable[[Any], Any]
    encode: Callable[[Any], Any]
    #: Hexadecimal digits of one element; 0 for what is not a list of elements.
    digits: int


def floats_from_hex(text: str) -> array[float]:
    """Read binary32 numbers from their bits."""
    return array("f", struct.unpack(f">{len(text) // 8}f", bytes.fromhex(text)))


def floats_to_hex(values: Any) -> str:
    """Write binary32 numbers as their bits."""
    return struct.pack(f">{len(values)}f", *values).hex()


FLOATS = Kind("floats", floats_from_hex, floats_to_hex, 8)
CODES = Kind("codes", bytes.fromhex, lambda codes: bytes(codes).hex(), 2)
BYTES = Kind("bytes", bytes.fromhex, lambda data: bytes(data).hex(), 2)
#: Bytes that are binary16 numbers, the less significant byte first.
HALVES = BYTES._replace(digits=4)
NUMBER = Kind("number", int, int, 0)
OBJECT = Kind("object", lambda value: value, lambda value: value, 0)


#: How a field is compared: a word, or a word with what it needs.
How = Union[str, dict[str, Any]]


class Operation(NamedTuple):
    """One thing that a testee may be asked to do."""

    chapter: str
    inputs: dict[str, Kind]
    outputs: dict[str, Kind]
    #: Output field -> how it is compared where a case does not say otherwise: see `judge.judge`.
    compare: dict[str, How]
    summary: str
    #: Input field whose elements become those of the output field, one by one; "" where none do.
    source: str = ""


_SHAPE = {"outer": NUMBER, "channels": NUMBER, "inner": NUMBER}
_CODED = {"codes": CODES, "scales": FLOATS, "biases": FLOATS}
_TABLED = {"codes": CODES, "table": FLOATS}

#: Name -> operation, in the order of the chapters.
OPERATIONS: dict[str, Operation] = {
    "pack": Operation(
        "02-packing",
        {"codes": CODES, "nbits": NUMBER},
        {"bytes": BYTES},
        {"bytes": "exact"},
        "pack codes into bytes",
    ),
    "unpack": Operation(
        "02-packing",
        {"bytes": BYTES, "nbits": NUMBER, "count": NUMBER},
        {"codes": CODES},
        {"codes": "exact"},
        "read codes out of bytes",
    ),
    "half.encode": Operation(
        "03-half",
        {"weights": FLOATS},
        {"bytes": HALVES},
        {"bytes": "exact"},
        "round weights to binary16",
        "weights",
    ),
    "half.decode": Operation(
        "03-half",
        {"bytes": HALVES},
        {"weights": FLOATS},
        {"weights": "exact"},
        "read binary16 weights",
        "bytes",
    ),
    "linear.encode": Operation(
        "04-linear",
        {"weights": FLOATS, "nbits": NUMBER, **_SHAPE},
        _CODED,
        {"codes": "exact", "scales": "exact", "biases": "number"},
        "quantize on an even grid, channel by channel",
        "weights",
    ),
    "linear.decode": Operation(
        "04-linear",
        {**_CODED, **_SHAPE},
        {"weights": FLOATS},
        {"weights": "number"},
        "turn codes, scales and biases into weights",
        "codes",
    ),
    "symmetric.encode": Operation(
        "05-symmetric",
        {"weights": FLOATS, **_SHAPE},
        _CODED,
        {"codes": "exact", "scales": "exact", "biases": "number"},
        "quantize to 8 bits on a grid around zero",
        "weights",
    ),
    "linear_lut.encode": Operation(
        "06-lut",
        {"weights": FLOATS, "nbits": NUMBER},
        _TABLED,
        {"codes": "exact", "table": "number"},
        "quantize with an even table for the whole tensor",
        "weights",
    ),
    "custom_lut.encode": Operation(
        "06-lut",
        {"weights": FLOATS, "nbits": NUMBER, "table": FLOATS, "given_codes": OBJECT},
        _TABLED,
        {"codes": "exact", "table": "exact"},
        "take the table and codes that a caller's function gave, or refuse them",
        "weights",
    ),
    "lut.decode": Operation(
        "06-lut",
        _TABLED,
        {"weights": FLOATS},
        {"weights": "exact"},
        "look codes up in a table",
        "codes",
    ),
    "kmeans.encode": Operation(
        "07-kmeans",
        {"weights": FLOATS, "nbits": NUMBER},
        _TABLED,
        {"codes": {"property": "nearest"}, "table": {"property": "clustering"}},
        "quantize with a table made by k-means",
        "weights",
    ),
    "int8.encode": Operation(
        "12-int8",
        {"weights": FLOATS},
        {"codes": CODES, "scales": FLOATS},
        {"codes": "exact", "scales": "exact"},
        "turn weights into signed bytes (two's complement) and one scale",
        "weights",
    ),
    "int8.decode": Operation(
        "12-int8",
        {"codes": CODES, "scales": FLOATS},
        {"weights": FLOATS},
        {"weights": "number"},
        "turn signed bytes and their scale into weights",
        "codes",
    ),
    "model.quantize": Operation(
        "08-layers",
        {"model": BYTES, "settings": OBJECT},
        {"model": BYTES},
        {"model": {"property": "model"}},
        "quantize the networks of a whole model",
    ),
    "model.validate": Operation(
        "13-file",
        {"model": BYTES},
        {"faults": OBJECT},
        {"faults": {"property": "faults"}},
        "list the faults of a model's weights",
    ),
}

#: Rules that ask for the index of the first offending element. Rule: TEN-7, HALF-2.
NAMING = ("TEN-7", "HALF-2")


def comparison(operation: str, expected: dict[str, Any]) -> dict[str, How]:
    """Say how the fields of an answer are compared, where a case does not say otherwise.

    An error is compared by its index alone. Where there is an offending element, the index may be left out
    unless the rule asks for it.
    """
    if "error" not in expected:
        return dict(OPERATIONS[operation].compare)
    error = expected["error"]
    free = error["index"] is not None and error["rule"] not in NAMING
    return {"index": {"either": [error["index"], None]} if free else "exact"}
