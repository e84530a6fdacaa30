"""The worked examples of the chapters, run: a failure names chapter and line.

An example is a fenced block whose first word is `example`, with an id. Its first line is an operation of the
conformance kit and sizes; then an input or, behind an arrow, a result on each line, numbers as decimals and
bytes as hexadecimal. A tensor is one channel unless the block says otherwise.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from refquant.conformance.operations import BYTES, CODES, FLOATS, NUMBER, OPERATIONS
from refquant.conformance.testee import ANSWERS

SPEC = Path(__file__).parents[2] / "spec"
BLOCK = re.compile(r"^```example (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    name: str
    chapter: str
    line: int
    text: str


def examples() -> list[Example]:
    found = []
    for chapter in sorted(SPEC.glob("[0-9]*.md")):
        text = chapter.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            line = text[: block.start()].count("\n") + 1
            found.append(Example(block[1], chapter.name, line, block[2]))
    return found


READ: dict[str, Callable[[str], Any]] = {
    FLOATS.name: lambda text: array("f", map(float, text.split())),
    CODES.name: lambda text: bytes(map(int, text.split())),
    BYTES.name: bytes.fromhex,
    NUMBER.name: int,
}


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_example(example: Example) -> None:
    where = f"spec/{example.chapter}, line {example.line}, example {example.name}"
    first, *rest = example.text.splitlines()
    name, *sizes = first.split()
    operation = OPERATIONS[name]
    given: dict[str, Any] = dict(zip(sizes[::2], map(int, sizes[1::2])))
    expected: dict[str, Any] = {}
    for line in rest:
        into, fields = (expected, operation.outputs) if line.startswith("-> ") else (given, operation.inputs)
        field, _, value = line.replace("-> ", "").partition(" ")
        into[field] = READ[fields[field].name](value)
    if "outer" in operation.inputs and "channels" not in given:
        count = len(given.get("weights", given.get("codes", ())))
        given.update(outer=1, channels=1, inner=count)
    given.setdefault("biases", array("f"))
    found = ANSWERS[name](given)
    assert expected, where
    for field, value in expected.items():
        assert found[field] == value, f"{where}: {field} is {found[field]!r}"


def test_there_are_examples() -> None:
    names = [example.name for example in examples()]
    assert len(names) == len(set(names)) >= 14
