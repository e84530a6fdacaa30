"""The vectors: their form, their ids, their rules, and that they are what the oracle says."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from conformance import generate
from refquant.conformance import vectors
from refquant.conformance.operations import OPERATIONS
from refquant.errors import ArgumentError

FOLDER = Path(generate.__file__).parent
FAMILIES = vectors.families()


@pytest.mark.parametrize("name", FAMILIES)
def test_schema(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((FOLDER / "schema" / "vectors.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(FAMILIES[name])


def test_ids_tell_what_a_case_asks() -> None:
    seen: Counter[str] = Counter()
    for name, content in FAMILIES.items():
        assert content["count"] == len(content["cases"])
        for case in content["cases"]:
            seen[case["id"]] += 1
            asked = json.dumps([case["operation"], case["input"]], sort_keys=True)
            assert case["id"] == f"{name}-{hashlib.sha256(asked.encode()).hexdigest()[:10]}"
            assert set(case["rules"]) <= set(content["rules"])
            assert set(case["flags"]) <= set(content["flags"])
            operation = OPERATIONS[case["operation"]]
            assert set(case["input"]) == set(operation.inputs)
    assert max(seen.values()) == 1
    assert len(seen) >= 1500


def test_every_operation_has_good_and_bad_cases() -> None:
    kinds: dict[str, set[bool]] = {}
    for content in FAMILIES.values():
        for case in content["cases"]:
            kinds.setdefault(case["operation"], set()).add("error" in case["expected"])
    only_good = {operation for operation, found in kinds.items() if found == {False}}
    assert only_good <= {"int8.decode", "linear_lut.encode"}


def test_sentences_are_the_specifications() -> None:
    sentences = generate.sentences()
    for content in FAMILIES.values():
        for rule, sentence in content["rules"].items():
            assert sentences[rule] == sentence


@pytest.mark.parametrize("name", [name for name in generate.FAMILIES if name != "kmeans"])
def test_current(name: str) -> None:
    family = generate.Family(name)
    generate.FAMILIES[name](family)
    text = (FOLDER / "vectors" / f"{name}.json").read_text(encoding="utf-8")
    assert text == generate.document(family), "run: python -m conformance.generate"


@pytest.mark.slow
def test_current_kmeans() -> None:
    test_current("kmeans")


class TestSelection:
    def test_by_family_id_and_level(self) -> None:
        everything, rules = vectors.select()
        assert len(everything) == sum(content["count"] for content in FAMILIES.values())
        assert "PACK-1" in rules
        some, _ = vectors.select(["pack*", "half"], level="required")
        assert {case["family"] for case in some} == {"packing", "half"}
        assert {case["level"] for case in some} == {"required"}
        (one,), _ = vectors.select(id_globs=[some[0]["id"]])
        assert one == some[0]

    def test_nothing(self) -> None:
        with pytest.raises(ArgumentError, match="no case is chosen"):
            vectors.select(["nothing"])

    def test_not_installed(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(vectors, "FOLDERS", (tmp_path,))
        with pytest.raises(ArgumentError, match="not installed"):
            vectors.families()


def test_protocol_schema_takes_what_is_said() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator: Any = jsonschema.Draft202012Validator(
        json.loads((FOLDER / "schema" / "protocol.json").read_text())
    )
    from refquant.conformance import testee

    case = FAMILIES["packing"]["cases"][3]
    bad = next(case for case in FAMILIES["packing"]["cases"] if "error" in case["expected"])
    for line in (
        {"seq": 1, "command": "start", "protocol": 1},
        {"seq": 1, **testee.start()},
        {"seq": 2, "command": "run", "operation": case["operation"], "input": case["input"]},
        {"seq": 2, **testee.run(case["operation"], case["input"])},
        {"seq": 3, **testee.run(bad["operation"], bad["input"])},
        {"seq": 4, **testee.run("fly", {})},
        {"seq": 5, "command": "stop"},
    ):
        validator.validate(line)
    assert not validator.is_valid({"seq": 1, "result": {"bytes": "xyz"}})
    assert not validator.is_valid({"command": "stop"})


def test_examples_of_the_page_are_lines_of_the_protocol() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator: Any = jsonschema.Draft202012Validator(
        json.loads((FOLDER / "schema" / "protocol.json").read_text())
    )
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith('{"seq"')]
    assert len(lines) == 6
    for line in lines:
        validator.validate(json.loads(line))
