"""How lines of a worked example are read, and what is found is written beside them."""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from refquant.conformance.operations import BYTES, CODES, FLOATS, NUMBER, OBJECT
from refquant.errors import RefquantError


class Line(NamedTuple):
    """A line of an example: where it stands, and its words."""

    number: int
    text: str

    @property
    def words(self) -> list[str]:
        return self.text.split()


#: What takes a line that is due and gives it and what was found, in a form that can be compared and read.
Answer = Callable[[Line], "tuple[str, str]"]


def refusal(line: Line, error: RefquantError | None) -> tuple[str, str]:
    """Compare a refusal by what the line tells of it: the rule and, if they stand there, place and index."""
    if error is None:
        return line.text, "not refused"
    words = [f"refused {error.rule}"]
    words += [f"in {error.layer}.{error.tensor}"] if " in " in line.text else []
    words += [f"at {error.index}"] if " at " in line.text else []
    return line.text, " ".join(words)


def answered(ask: Callable[[], Any], answer: Callable[[Any, Line], tuple[str, str]]) -> Answer:
    """Ask once; lines that are due are compared with what is given back, or with the refusal."""
    try:
        result, refused = ask(), None
    except RefquantError as error:
        result, refused = None, error

    def compare(line: Line) -> tuple[str, str]:
        if line.words[0] == "refused":
            return refusal(line, refused)
        if refused is not None:
            raise refused
        return answer(result, line)

    return compare


def written(values: Any) -> str:
    """Write numbers so that those that differ look so: floats with their sign and last bit."""
    if isinstance(values, array):
        return " ".join(f"{value:.9g} ({struct.pack('>f', value).hex()})" for value in values)
    return values.hex(" ") if isinstance(values, bytes) else str(values)


#: Kind of a field -> how it is read from a line.
READ: dict[str, Callable[[str], Any]] = {
    FLOATS.name: lambda text: array("f", map(float, text.split())),
    CODES.name: lambda text: bytes(map(int, text.split())),
    BYTES.name: bytes.fromhex,
    NUMBER.name: int,
    OBJECT.name: json.loads,
}


def pairs(words: list[str], read: Callable[[str], Any]) -> Iterator[tuple[str, Any]]:
    """Take words two by two: a name, and a value to be read."""
    if len(words) % 2:
        raise ValueError(f"{words[-1]} has no value")
    return ((name, read(value)) for name, value in zip(words[::2], words[1::2]))
