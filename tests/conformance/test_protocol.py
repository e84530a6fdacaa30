"""The protocol: what the runner takes for an answer is what the schema of the page says, and no more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import conformance
from refquant.conformance import protocol, testee
from tests.conformance import hostile

SCHEMA = Path(conformance.__file__).parent / "schema" / "protocol.json"

GOOD_START: dict[str, Any] = {
    "protocol": 1,
    "implementation": {"name": "a", "version": "1", "language": "C"},
    "operations": [],
}
MADE = GOOD_START["implementation"]

#: Command -> answers, without their numbers: good ones, then bad ones.
ANSWERS: dict[str, tuple[list[Any], list[Any]]] = {
    "start": (
        [
            GOOD_START,
            testee.start(),
            {**GOOD_START, "protocol": 1.0},
            {**GOOD_START, "implementation": {**MADE, "home": "here"}},
            {**GOOD_START, "operations": ["fly"]},
        ],
        [
            {},
            {**GOOD_START, "protocol": True},
            {**GOOD_START, "protocol": 2},
            {**GOOD_START, "protocol": "1"},
            {**GOOD_START, "implementation": "mine"},
            {**GOOD_START, "implementation": {"name": "a", "version": "1"}},
            {**GOOD_START, "implementation": {"name": "a", "version": 1, "language": "C"}},
            {**GOOD_START, "operations": "pack"},
            {**GOOD_START, "operations": [["pack"]]},
            {**GOOD_START, "operations": ["pack", "pack"]},
            {**GOOD_START, "greeting": "hello"},
            {key: value for key, value in GOOD_START.items() if key != "implementation"},
        ],
    ),
    "run": (
        [
            {"result": {}},
            {"result": {"bytes": "00fF", "codes": ""}},
            {"error": {"message": ""}},
            {"error": {"message": "no", "index": None, "kind": "TypeError"}},
            {"error": {"message": "no", "index": 0}},
            {"error": {"message": "no", "index": 2.0}},
            {"skipped": ""},
        ],
        [
            *hostile.ANSWERS.values(),
            {"result": {"bytes": None}},
            {"result": []},
            {"result": None},
            {"error": None},
            {"error": {"index": 1}},
            {"error": {"message": 5}},
            {"error": {"message": "no", "index": 0.5}},
            {"error": {"message": "no", "index": True}},
            {"error": {"message": "no", "index": "0"}},
            {"skipped": None},
            {"skipped": "no", "result": {}},
            {"answer": 42},
        ],
    ),
}
#: Answers of the hostile testee that are wrong in what they say only.
ONLY_WRONG = ("another key", "strange message")


def bad(command: str) -> list[Any]:
    spared = [hostile.ANSWERS[way] for way in ONLY_WRONG]
    return [answer for answer in ANSWERS[command][1] if answer not in spared]


@pytest.mark.parametrize("command", ANSWERS)
def test_by_hand(command: str) -> None:
    for answer in ANSWERS[command][0]:
        assert protocol.fault(command, answer) is None, answer
    for answer in bad(command):
        assert protocol.fault(command, answer), answer


@pytest.mark.parametrize("command", ANSWERS)
def test_the_schema_agrees(command: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    for answer in ANSWERS[command][0]:
        validator.validate({"seq": 1, **answer})
    for answer in bad(command):
        assert not validator.is_valid({"seq": 1, **answer}), answer


@pytest.mark.parametrize(
    ("value", "whole"),
    [(1, True), (1.0, True), (True, False), (0.5, False), (float("inf"), False), ("1", False)],
)
def test_whole_numbers(value: object, whole: bool) -> None:
    assert protocol.is_whole(value) is whole


def test_printable() -> None:
    assert protocol.printable("é 日 \t\n\x7f\ud800\u2028") == "é 日 \\t\\n\\x7f\\ud800\\u2028"
