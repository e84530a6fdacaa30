"""The notation of worked examples, in which chapters show what happens and tests run it.

An example is a fenced block whose first word is `example`, with an id. Its lines say what is given and,
behind an arrow, what is due. Numbers are decimals, bytes are hexadecimal.

An example of numbers begins with an operation of the conformance kit and sizes; then each line is a field. A
tensor is one channel unless the line says otherwise.

    linear.encode nbits 1
    weights 0 3
    -> codes 0 1

An example of a model begins with `version`, `updatable` or a layer. A layer reads what the one before it
writes, unless it says `from` which layer; the lines below it are its tensors, in float32 or in the form that
is named. Then come a selector, if there is one, and what is done.

    layer fc innerProduct outputChannels 1 inputChannels 2
    weights 0 3
    quantize linear nbits 1
    -> fc.weights codes 0 1

What is refused is shown by `-> refused RULE`, with `in LAYER.TENSOR` and `at INDEX` where it is told.
"""

from __future__ import annotations

import re
from array import array
from pathlib import Path
from typing import Any, NamedTuple

from refquant.conformance.operations import OPERATIONS
from refquant.conformance.testee import ANSWERS
from tests.spec import models
from tests.spec.reading import READ, Answer, Line, answered, pairs, written

SPEC = Path(__file__).parents[2] / "spec"
BLOCK = re.compile(r"^```example (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ARROW = "-> "


class Example(NamedTuple):
    """A block of a chapter; `line` is that of its fence."""

    name: str
    chapter: str
    line: int
    text: str

    @property
    def lines(self) -> list[Line]:
        return [Line(self.line + at, text) for at, text in enumerate(self.text.splitlines(), 1)]


class ExampleError(AssertionError):
    """What the chapter says is not so; the message begins with chapter and line."""


def examples(folder: Path = SPEC) -> list[Example]:
    """List the examples of all chapters."""
    return [
        Example(block[1], path.name, text[: block.start()].count("\n") + 1, block[2])
        for path in sorted(folder.glob("[0-9]*.md"))
        for text in [path.read_text(encoding="utf-8")]
        for block in BLOCK.finditer(text)
    ]


def run(example: Example) -> None:
    """Do what an example says, and compare every line behind an arrow. Raises ExampleError."""
    given = [line for line in example.lines if not line.text.startswith(ARROW)]
    due = [Line(at, text[len(ARROW) :]) for at, text in example.lines if text.startswith(ARROW)]
    at = example.line
    try:
        if not given or not due:
            raise ValueError("an example needs something given and something due")
        answer = _operation(given) if given[0].words[0] in OPERATIONS else models.answer(given)
        for line in due:
            at = line.number
            wanted, found = answer(line)
            if wanted != found:
                raise ValueError(f"it is {found}")
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise ExampleError(f"spec/{example.chapter}, line {at}, example {example.name}: {told}") from error


def _operation(lines: list[Line]) -> Answer:
    """Run an example of numbers."""
    name, *sizes = lines[0].words
    operation = OPERATIONS[name]
    fields: dict[str, Any] = dict(pairs(sizes, int))
    for line in lines[1:]:
        field, _, value = line.text.partition(" ")
        fields[field] = READ[operation.inputs[field].name](value)
    if "outer" in operation.inputs and "channels" not in fields:
        fields.update(outer=1, channels=1, inner=len(fields.get("weights", fields.get("codes", ()))))
    fields.setdefault("biases", array("f"))

    def answer(found: dict[str, Any], line: Line) -> tuple[str, str]:
        field, _, value = line.text.partition(" ")
        return written(READ[operation.outputs[field].name](value)), written(found[field])

    return answered(lambda: ANSWERS[name](fields), answer)
