"""The worked examples of the chapters, run: a failure names chapter and line. See `notation`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import refquant
from tests.networks import Net, described
from tests.spec.notation import BLOCK, SPEC, Example, ExampleError, examples, run

EXAMPLES = examples()

#: Chapters with nothing to run: the overview, and the table of departures, which has tests of its own.
WITHOUT = {"00-overview.md", "14-departures.md"}


@pytest.mark.filterwarnings("ignore::refquant.RefquantWarning")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_example(example: Example) -> None:
    run(example)


def test_every_chapter_has_examples() -> None:
    assert {example.chapter for example in EXAMPLES} | WITHOUT == {p.name for p in SPEC.glob("[0-9]*.md")}
    names = [example.name for example in EXAMPLES]
    assert len(names) == len(set(names))


def test_every_block_is_run() -> None:
    """A fence that is misspelt, or has no id, would hide an example."""
    for path in SPEC.glob("[0-9]*.md"):
        text = path.read_text(encoding="utf-8")
        assert len(re.findall(r"^[ `~]*ex", text, re.MULTILINE)) == len(BLOCK.findall(text)), path.name


PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_selector_of_chapter_9() -> None:
    (code,) = PYTHON.findall((SPEC / "09-selectors.md").read_text(encoding="utf-8"))
    names: dict[str, Any] = {"refquant": refquant}
    exec(code, names)
    model = described()
    net = Net(model.neuralNetwork.layers, 0)
    for name in ("dense_1", "dense_2"):
        net.inner_product(name=name)
    made = refquant.quantize_weights(model, 8, selector=names["AllBut"]())
    first, second = (layer.innerProduct for layer in made.neuralNetwork.layers)
    assert [bool(layer.weights.rawValue) for layer in (first, second)] == [True, False]


LAYER = "layer fc innerProduct outputChannels 1 inputChannels 2\nweights 0 1\n"

#: What a chapter may get wrong, and what is then told of it: line (the fence is in line 7) and reason.
WRONG = {
    "a value": ("pack nbits 8\ncodes 5\n-> bytes 06", 10, "it is 05"),
    "a sign": ("half.decode\nbytes 0080\n-> weights 0", 10, "it is -0 (80000000)"),
    "an operation": ("peck nbits 8\ncodes 5\n-> bytes 05", 7, "peck is no operation"),
    "a field": ("pack nbits 8\ncodes 5\n-> octets 05", 10, "KeyError: 'octets'"),
    "no refusal": ("pack nbits 8\ncodes 5\n-> refused PACK-4", 10, "it is not refused"),
    "a refusal": ("pack nbits 1\ncodes 5\n-> bytes 05", 10, "does not fit in 1 bits"),
    "the rule": ("pack nbits 1\ncodes 5\n-> refused PACK-5", 10, "it is refused PACK-4"),
    "the index": ("pack nbits 1\ncodes 5\n-> refused PACK-4 at 1", 10, "it is refused PACK-4 at 0"),
    "nothing due": ("pack nbits 1\ncodes 1", 7, "something due"),
    "a code": (LAYER + "quantize linear nbits 1\n-> fc.weights codes 1 1", 11, "it is 00 01"),
    "a version": (LAYER + "quantize linear nbits 1\n-> version 2", 11, "it is 3"),
    "a layer": (LAYER + "quantize linear nbits 1\n-> layers fd", 11, "it is fc"),
    "a tensor": (LAYER + "quantize linear nbits 1\n-> fc.wheats codes 0 1", 11, "wheats"),
    "a mode": (LAYER + "quantize linearly nbits 1\n-> version 3", 11, "linearly"),
    "a layer's field": (LAYER.replace("input", "in") + "quantize linear\n-> version 3", 7, "inChannels"),
    "a model's refusal": (LAYER + "quantize linear nbits 1\n-> refused TEN-7", 11, "it is not refused"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_with_chapter_and_line(name: str, tmp_path: Path) -> None:
    text, line, reason = WRONG[name]
    chapter = "# 2. Packing\n\nText.\n\nText.\n\n```example PACK-X\n" + text + "\n```\n"
    (tmp_path / "02-packing.md").write_text(chapter, encoding="utf-8")
    (example,) = examples(tmp_path)
    with pytest.raises(ExampleError) as caught:
        run(example)
    assert str(caught.value).startswith(f"spec/02-packing.md, line {line}, example PACK-X: ")
    assert reason in str(caught.value)
