"""What a file of vectors must be, as far as the runner and the judge rely on it.

`conformance/schema/vectors.json` says more, in a form that other tools read. A check of a case is a row of
CHECKS and may rely on those before it: of a file, the first fault is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from refquant.conformance.judge import PROPERTIES, WORDS, WORDS_WITH, Case
from refquant.conformance.operations import FLOATS, NUMBER, OPERATIONS, Kind
from refquant.conformance.protocol import DIGITS, is_whole, shown

#: Levels of obligation, the strictest first.
LEVELS = ("required", "recommended", "optional")

#: Field of a file -> its type; and of a case.
FILE: dict[str, type] = {"family": str, "rules": dict, "cases": list}
CASE: dict[str, type] = {
    **dict.fromkeys(("id", "title", "operation", "level"), str),
    **dict.fromkeys(("rules", "flags"), list),
    **dict.fromkeys(("input", "expected", "compare"), dict),
}

#: Type -> what JSON calls it.
TYPES: dict[type, str] = {str: "a string", list: "a list", dict: "an object"}

#: Named property -> what it needs of what is expected, where that is not the field itself.
NEEDED = {"nearest": (), "clustering": ("entries",), "inertia": ("inertia",)}

#: What is expected of a clustering, in place of a field -> whether a value can be that, and what it must be.
MEASURES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "entries": (lambda value: is_whole(value) and value >= 0, "a count"),
    "inertia": (
        lambda value: isinstance(value, str) and bool(re.fullmatch("[0-9]+/0*[1-9][0-9]*", value)),
        "a fraction such as '1/2'",
    ),
}

#: Comparison with an argument -> the type of that.
ARGUMENTS = {"ulp": int, "either": list, "property": str}


def fault(content: Any) -> str | None:
    """Say what is the first thing wrong with the content of a file, and where; None: nothing is."""
    return next(_file_faults(content), None)


def _file_faults(content: Any) -> Iterator[str]:
    yield from _type_faults(content, FILE)
    seen: dict[str, int] = {}
    for number, case in enumerate(content["cases"], 1):
        for check in CHECKS:
            for wrong in check(case, content):
                yield f"{_name(case, number)}: {wrong}"
        if seen.setdefault(case["id"], number) != number:
            yield f"{_name(case, number)}: it has the id of case {seen[case['id']]}"


def _name(case: Any, number: int) -> str:
    """Call a case by its place in the file, and by its id where it has one."""
    known = case.get("id") if isinstance(case, dict) else None
    return f"case {number}" + ("" if known is None else f" ({shown(known)})")


def _type_faults(holder: Any, types: dict[str, type]) -> Iterator[str]:
    """Find fields that are missing, or of another type."""
    if not isinstance(holder, dict):
        yield f"it is {shown(holder)}, not an object"
    for name, kind in types.items():
        if name not in holder:
            yield f"it has no `{name}`"
        if not isinstance(holder[name], kind):
            yield f"`{name}` is {shown(holder[name])}, not {TYPES[kind]}"


def _fields(case: Case, content: Case) -> Iterator[str]:
    return _type_faults(case, CASE)


def _operation(case: Case, content: Case) -> Iterator[str]:
    if case["operation"] not in OPERATIONS:
        yield f"`operation` is {shown(case['operation'])}, which is none of the kit's"
    if case["level"] not in LEVELS:
        yield f"`level` is {shown(case['level'])}, not one of {', '.join(LEVELS)}"
    if not (is_whole(case.get("repeat", 1)) and case.get("repeat", 1) >= 1):
        yield f"`repeat` is {shown(case['repeat'])}, not a number of times"


def _rules(case: Case, content: Case) -> Iterator[str]:
    """Find rules without a sentence, which a report would print, and flags that are no words."""
    for rule in case["rules"]:
        if not isinstance(rule, str) or not isinstance(content["rules"].get(rule), str):
            yield f"its rule {shown(rule)} has no sentence in the `rules` of the file"
    for flag in case["flags"]:
        if not isinstance(flag, str):
            yield f"its flag {shown(flag)} is not a string"


def _input(case: Case, content: Case) -> Iterator[str]:
    """Find fields that the operation does not take, or wants, or that are not written as it wants them."""
    given, kinds = case["input"], OPERATIONS[case["operation"]].inputs
    for name in sorted(set(given) - set(kinds)):
        yield f"`input` has {shown(name)}, which {case['operation']} does not take"
    for name, kind in kinds.items():
        if name not in given:
            yield f"`input` has no `{name}`"
        yield from _writing(f"`{name}` of `input`", given[name], kind)


def _writing(what: str, value: Any, kind: Kind) -> Iterator[str]:
    """Find a value that is not written as its kind is."""
    if kind.digits and not (isinstance(value, str) and DIGITS.fullmatch(value)):
        yield f"{what} is {shown(value)}, not pairs of hexadecimal digits"
    if kind is FLOATS and len(value) % kind.digits:  # an odd number of bytes is a question that may be put
        yield f"{what} has {len(value)} digits, and a number takes {kind.digits}"
    if kind is NUMBER and not (is_whole(value) and value >= 0):
        yield f"{what} is {shown(value)}, not a count"


def _comparison(case: Case, content: Case) -> Iterator[str]:
    """Find comparisons that the judge does not know, or knows no field for."""
    outputs = {"index"} if "error" in case["expected"] else set(OPERATIONS[case["operation"]].outputs)
    if not case["compare"]:
        yield "`compare` names nothing"
    for field, how in case["compare"].items():
        if field not in outputs:
            yield f"`compare` names {shown(field)}, which is no field of such an answer"
        if not _is_known(field, how):
            yield f"`compare` has {shown(how)} for `{field}`, which the judge does not know"


def _is_known(field: str, how: Any) -> bool:
    """Whether the judge knows a way to compare a field; of an index, not all ways."""
    if isinstance(how, str):
        return how == "exact" if field == "index" else how in WORDS
    if not isinstance(how, dict) or len(how) != 1:
        return False
    ((word, argument),) = how.items()
    if not isinstance(argument, ARGUMENTS.get(word, ())) or (field == "index" and word != "either"):
        return False
    return argument in PROPERTIES if word == "property" else word in WORDS_WITH


def _expected(case: Case, content: Case) -> Iterator[str]:
    """Find what the comparison needs and is not there, or is not written as it should be."""
    expected, outputs = case["expected"], OPERATIONS[case["operation"]].outputs
    if "error" in expected:
        yield from _refusal(expected["error"])
        return
    for field, how in case["compare"].items():
        for name in NEEDED.get(how["property"], (field,)) if "property" in how else (field,):
            if name not in expected:
                yield f"`expected` has no `{name}`"
    for name, value in expected.items():
        good, due = MEASURES.get(name, (lambda value: True, ""))
        if not good(value):
            yield f"`{name}` of `expected` is {shown(value)}, not {due}"
        if name in outputs:
            yield from _writing(f"`{name}` of `expected`", value, outputs[name])


def _refusal(error: Any) -> Iterator[str]:
    if not isinstance(error, dict) or not isinstance(error.get("rule"), str):
        yield "`error` of `expected` is no object with a `rule`"
    if "index" not in error or not (error["index"] is None or is_whole(error["index"])):
        yield "`error` of `expected` has no `index` that is a position or null"


#: What a case must meet, in this order: (case, content of its file) -> faults.
CHECKS: tuple[Callable[[Case, Case], Iterator[str]], ...] = (
    _fields,
    _operation,
    _rules,
    _input,
    _comparison,
    _expected,
)
