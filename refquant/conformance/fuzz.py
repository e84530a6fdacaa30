"""Fuzzing a testee: new cases by the thousand, refquant as the judge, and the first difference made small.

Needs hypothesis (extra `conformance`), which makes the cases from a seed and shrinks what fails.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any

from refquant.conformance import testee as own
from refquant.conformance import vectors
from refquant.conformance.operations import OPERATIONS, floats_from_hex
from refquant.conformance.process import Testee, side_by_side
from refquant.conformance.protocol import counted
from refquant.conformance.reports import request, shown_input
from refquant.conformance.runner import Verdict, introduce, put
from refquant.errors import ArgumentError

#: Seconds after the first difference in which smaller ones are looked for: a testee that hangs is slow.
SHRINKING = 20.0

#: Encoder -> the rule by which finite weights are refused, since what stands for them would not be finite.
TOO_FAR_APART = {"linear.encode": "LIN-9", "symmetric.encode": "LIN-9", "linear_lut.encode": "LUT-1"}

Given = dict[str, Any]
Case = vectors.Case


def operations(families: Iterable[str] | None, names: Iterable[str] | None) -> list[str]:
    """Choose operations by families of vectors (patterns) that have them, by name, or by both.

    Raises ArgumentError for what is not there.
    """
    chosen = [name for name in OPERATIONS if not name.startswith("model.")]
    if families:
        of = {case["operation"] for case in vectors.select(families)[0]}
        chosen = [name for name in chosen if name in of]
    if names:
        wanted = list(names)
        chosen = [name for name in chosen if any(fnmatch.fnmatchcase(name, one) for one in wanted)]
    if not chosen:
        raise ArgumentError("nothing to fuzz: whole models cannot be, and operations go by their full names")
    return chosen


def fuzz(
    command: Sequence[str],
    chosen: Sequence[str],
    seed: int = 0,
    examples: int = 1000,
    timeout: float = 10.0,
    say: Callable[[str], object] = lambda line: None,
) -> Verdict | None:
    """Compare a testee with refquant on made-up cases; give the smallest that differs, or None.

    Each operation that the testee offers of the `chosen` ones gets at most `examples` cases: fewer where
    inputs repeat, or no more can be made. The same seed makes the same cases. Raises ArgumentError where
    there is nothing to try, or no hypothesis.
    """
    try:
        from refquant.conformance.strategies import strategy
    except ImportError:
        raise ArgumentError(
            "fuzzing needs the extra 'conformance': pip install 'refquant[conformance]' "
            "or, in a checkout, '.[conformance]'"
        ) from None
    offered = [name for name in chosen if name in introduce(command, timeout)["operations"]]
    if not offered:
        raise ArgumentError(f"nothing to fuzz: the program offers none of {', '.join(chosen)}")

    def work(testee: Testee) -> Verdict | None:
        for name in offered:
            search = Search(testee, name)
            search.run(strategy(name), seed, examples)
            if search.smallest:
                return search.confirmed()
            say(search.outcome())
        return None

    (found,) = side_by_side(command, timeout, [work])
    return found


class Search:
    """The search for a difference in one operation. Every input is put to the testee once."""

    def __init__(self, testee: Testee, operation: str) -> None:
        self.testee = testee
        self.operation = operation
        self.maker = Maker(operation)
        self.verdicts: dict[str, Verdict] = {}
        self.smallest: Verdict | None = None
        self.until = math.inf

    def run(self, inputs: Any, seed: int, examples: int) -> None:
        """Put inputs of a strategy to the testee; after a difference, look for smaller ones."""
        from hypothesis import HealthCheck, Phase, given, settings
        from hypothesis import seed as seeded

        @seeded(seed)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        @given(inputs)
        def check(asked: Given) -> None:
            verdict = self.verdict(asked)
            if verdict is not None and verdict.wrong:
                self.smallest = verdict  # hypothesis runs the smallest once more at the end
                self.until = min(self.until, time.monotonic() + SHRINKING)
                raise Difference

        with contextlib.suppress(Difference):
            check()

    def verdict(self, asked: Given) -> Verdict | None:
        """Judge the testee's answer to an input; None where there is no more time to ask."""
        key = json.dumps(asked, sort_keys=True)
        if key not in self.verdicts:
            if time.monotonic() > self.until:
                return None
            self.verdicts[key] = put(self.testee, self.maker.case(asked))
        return self.verdicts[key]

    def confirmed(self) -> Verdict | None:
        """Give the smallest difference, having asked once more: an answer may be another one each time."""
        assert self.smallest is not None
        again = put(self.testee, self.smallest.case)
        if again.wrong:
            return self.smallest
        wrong = f"{self.smallest.wrong} (not when asked once more: answers change)"
        return self.smallest._replace(message=wrong, wrong=wrong)

    def outcome(self) -> str:
        """Say what came of a search that found nothing."""
        skipped = sum(verdict.outcome == "skipped" for verdict in self.verdicts.values())
        more = f", {skipped} skipped" if skipped else ""
        return f"{self.operation}: {counted(len(self.verdicts), 'case')}, no difference{more}"


class Difference(Exception):  # noqa: N818 -- what hypothesis looks for
    """A testee and refquant differ."""


class Maker:
    """Makes cases of an operation, with what refquant says as what is expected."""

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.models = [case for case in vectors.select()[0] if case["operation"] == operation]
        self.refused = [case for case in self.models if "error" in case["expected"]]
        self.served = [case for case in self.models if "error" not in case["expected"]]

    def case(self, asked: Given) -> Case:
        """Make the case of an input; level, flags, rules and comparison are those of the kit."""
        answer = own.run(self.operation, asked)
        like = self.refused if "error" in answer else self.served
        compare: Given | None
        if "error" in answer:
            error = _refusal(self.operation, answer["error"], asked)
            expected: Given = {"error": error}
            rules, compare = [error["rule"]], _indexes(error, asked)
        else:
            found = answer["result"]
            if self.operation == "kmeans.encode":
                found, like = _clustering(asked, found, like)
            expected = {field: found[field] for field in like[0]["expected"]}
            rules = sorted({rule for case in like for rule in case["rules"]})
            compare = like[0].get("compare")
        digest = hashlib.sha256(json.dumps([self.operation, asked], sort_keys=True).encode()).hexdigest()
        case = {
            "id": f"fuzz-{digest[:10]}",
            "title": "found by fuzzing",
            "operation": self.operation,
            "level": (like or self.models)[0]["level"],
            "rules": rules,
            "flags": (like or self.models)[0]["flags"],
            "input": asked,
            "expected": expected,
            "source": "refquant",
            "family": "fuzz",
        }
        return {**case, "compare": compare} if compare else case


def _refusal(operation: str, error: dict[str, Any], asked: Given) -> dict[str, Any]:
    """Give the rule and the index of a refusal; where finite weights are too far apart, none is to blame."""
    if error["kind"] == "NonFiniteError" and operation in TOO_FAR_APART:
        weights = floats_from_hex(asked["weights"])
        if all(map(math.isfinite, weights)):
            return {"rule": TOO_FAR_APART[operation], "index": None}
    return {"rule": error["rule"], "index": error["index"]}


def _indexes(error: dict[str, Any], asked: Given) -> dict[str, Any]:
    """Say which indexes an error may have: the right one or none, or that of a channel out of range."""
    channels = range(asked["channels"]) if error["rule"] == "LIN-9" else ()
    return {"index": {"either": [None, *{error["index"]} - {None}, *channels]}}


def _clustering(asked: Given, result: Given, like: list[Case]) -> tuple[Given, list[Case]]:
    """Give what a clustering is judged by, and the cases that judge by it.

    That is the inertia where there are more weights than entries, and else that every weight is an entry.
    """
    weights = [Fraction(weight) for weight in floats_from_hex(asked["weights"])]
    table, codes = floats_from_hex(result["table"]), bytes.fromhex(result["codes"])
    inertia = sum(((w - Fraction(table[code])) ** 2 for w, code in zip(weights, codes)), Fraction())
    found = {"entries": len(table), "inertia": f"{inertia.numerator}/{inertia.denominator}"}
    wanted = "inertia" if len(set(weights)) > len(table) else "entries"
    return found, [case for case in like if wanted in case["expected"]] or like


def document(found: Verdict) -> str:
    """Write a case that fuzzing found as a file of vectors, which `run --vectors` takes."""
    case = {key: value for key, value in found.case.items() if key != "family"}
    families = vectors.families().values()
    sentences = {rule: sentence for content in families for rule, sentence in content["rules"].items()}
    flags = {name: flag for content in families for name, flag in content["flags"].items()}
    content = {
        "family": "fuzz",
        "version": 1,
        "count": 1,
        "rules": {rule: sentences[rule] for rule in case["rules"]},
        "flags": {name: flags[name] for name in case["flags"]},
        "cases": [case],
    }
    return json.dumps(content, indent=1) + "\n"


def shown(found: Verdict) -> str:
    """Describe a case that fuzzing found, its weights as decimals."""
    case = found.case
    lines = [f"{case['operation']}: {found.wrong}", f"  input: {shown_input(case, most=99)}"]
    return "\n".join([*lines, f"  request: {request(case)}"]) + "\n"
