"""A family of cases: what goes into a vector file, and how it is written."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from conformance.cases import SPEC
from conformance.cases.flags import PLAIN, ROW, departures_of, flag
from refquant.conformance.operations import OPERATIONS, comparison
from refquant.conformance.vector_checks import LEVELS
from refquant.schema.coreml import Model

Case = dict[str, Any]

#: Verb of a rule -> the level that it asks for. A rule without one is a definition, which is as strict.
VERBS = {"MUST": "required", "SHOULD": "recommended", "MAY": "optional"}


class Family:
    """The cases of one file, as they are collected."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cases: dict[str, Case] = {}

    def add(
        self,
        operation: str,
        title: str,
        rules: str,
        given: dict[str, Any],
        expected: dict[str, Any],
        flags: str = "",
        level: str = "",
        compare: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Add a case; where one asks the same already, it gets the rules and flags of this one besides.

        The level is that of the strictest rule, unless another is named that one of the rules allows. Fields
        are compared as the operation says, unless `compare` says otherwise.
        """
        default = comparison(operation, expected)
        asked = [operation, given] if compare in (None, default) else [operation, given, compare]
        identifier = f"{self.name}-{digest(asked)[:10]}"
        named = [*flags.split(), *(["invalid"] if "error" in expected else [])]
        case = self.cases.setdefault(
            identifier,
            {
                "id": identifier,
                "title": title,
                "operation": operation,
                "level": level or strictest(rules.split()),
                "rules": [],
                "flags": [],
                "input": given,
                "expected": expected,
                "compare": compare or default,
                **more,
            },
        )
        assert case["expected"] == expected, f"{identifier} expects two things: {case['title']}, {title}"
        case["rules"] = merged(case["rules"], rules.split())
        case["flags"] = merged(case["flags"], named or [PLAIN[operation]])
        if not level:
            case["level"] = min(case["level"], strictest(case["rules"]), key=LEVELS.index)


def digest(content: object) -> str:
    """Give the SHA-256 of a JSON value, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def hexed_model(model: Model) -> str:
    """Write a model with sorted maps."""
    return model.SerializeToString(deterministic=True).hex()


def merged(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """Join two lists, each name once."""
    return list(dict.fromkeys([*first, *second]))


def with_departures(case: Case) -> Case:
    """Put the rows of the departure table that a case shows behind its other flags.

    A whole model says itself which row it is made to show; arithmetic has those of the known failures.
    """
    rows = {name for name in case["flags"] if ROW.fullmatch(name)}
    others = [name for name in case["flags"] if name not in rows]
    if not case["operation"].startswith("model."):
        rows = set(departures_of(case["id"]))
    return {**case, "flags": [*others, *sorted(rows, key=lambda row: int(row[4:]))]}


@cache
def sentences() -> dict[str, str]:
    """Read every rule of the specification: id -> sentence."""
    found: dict[str, str] = {}
    for chapter in sorted(SPEC.glob("[0-9]*.md")):
        text = chapter.read_text(encoding="utf-8")
        found.update(re.findall(r"^\* \*\*([A-Z0-9]+-\d+)\*\* (.+)$", text, re.MULTILINE))
    return found


def verbs(rule: str) -> list[str]:
    """Give the levels that a rule asks for, in the order of its sentence."""
    return [VERBS[verb] for verb in re.findall("MUST|SHOULD|MAY", sentences()[rule])] or [LEVELS[0]]


def strictest(rules: Iterable[str]) -> str:
    """Give the level of the strictest of some rules; of a rule with two verbs, the first one counts."""
    return min((verbs(rule)[0] for rule in rules), key=LEVELS.index)


def refusal(rule: str, index: int | None = None) -> dict[str, Any]:
    """Expect an error; `index` is that of the first offending element, where there is one."""
    return {"error": {"rule": rule, "index": index}}


def document(family: Family) -> str:
    """Write a family in its canonical form."""
    return canonical(family.name, family.cases.values())


def canonical(name: str, cases: Iterable[Case]) -> str:
    """Write cases in the canonical form: a case a line, keys sorted, with what its rules and flags mean."""
    cases = list(map(with_departures, cases))
    rules = sorted({rule for case in cases for rule in case["rules"]})
    flags = sorted({name for case in cases for name in case["flags"]})
    head = {
        "family": name,
        "version": 1,
        "count": len(cases),
        "rules": {rule: sentences()[rule] for rule in rules},
        "flags": {name: flag(name)._asdict() for name in flags},
    }
    lines = [json.dumps(case, sort_keys=True, ensure_ascii=False) for case in cases]
    start = json.dumps(head, indent=1, ensure_ascii=False)[:-2]
    return start + ',\n "cases": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def check(case: Case) -> None:
    """Hold a case to what every case must be, whoever made it."""
    operation, expected = OPERATIONS[case["operation"]], case["expected"]
    assert set(case["input"]) == set(operation.inputs), case["id"]
    assert set(case["compare"]) <= ({"index"} if "error" in expected else set(operation.outputs)), case["id"]
    assert "error" not in expected or expected["error"]["rule"] in case["rules"], case["id"]
    assert any(case["level"] in verbs(rule) for rule in case["rules"]), case["id"]
