"""The judge: whether an answer is what a case expects, and if not, what is the first thing wrong.

How each field of an answer is compared is said by the case, in `compare`: field -> how.

| how | the field is right |
| --- | --- |
| `"exact"` | digit for digit |
| `"number"` | bit for bit, but that a zero may have either sign |
| `{"ulp": n}` | where no number is more than n binary32 numbers away |
| `{"either": [...]}` | digit for digit one of these |
| `{"property": name}` | where the property holds: see PROPERTIES |

An error has one field that is compared, its `index`; what is not given is null.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from refquant.conformance.operations import OPERATIONS, How, floats_from_hex

#: How much more inertia than the least a clustering may have; the rule says 0.1 %. Rule: KM-4.
SLACK = Fraction(1001, 1000)

#: A case of a vector file, and the result that a testee gave, field by field.
Case = dict[str, Any]
Result = dict[str, Any]


def judge(case: Case, reply: dict[str, Any]) -> str | None:
    """Compare a testee's reply with what a case expects; None: it is right. Else say what is wrong."""
    if "error" in case["expected"]:
        return _judge_error(case, reply)
    if "error" in reply:
        return f"answered with an error: {_message(reply['error'])}"
    result = reply.get("result")
    if not isinstance(result, dict):
        return "gave no result"
    read = {}
    for field, kind in OPERATIONS[case["operation"]].outputs.items():
        got = result.get(field)
        if kind.digits:
            if not isinstance(got, str) or not re.fullmatch("([0-9a-fA-F]{2})*", got):
                return f"{field}: {_no_digits(field, result)}"
            if len(got) % kind.digits:
                return f"{field}: gave {len(got)} digits, which are no whole number of elements"
            got = got.lower()
        read[field] = got
    for field, how in case["compare"].items():
        wrong = _compare(case, field, how, read)
        if wrong:
            return wrong
    return None


def _compare(case: Case, field: str, how: How, result: Result) -> str | None:
    """Compare one field as the case says."""
    if isinstance(how, str):
        return WORDS[how](case, field, result[field], case["expected"][field])
    ((word, argument),) = how.items()
    if word == "property":
        return PROPERTIES[argument](case, field, result)
    return WORDS_WITH[word](case, field, result[field], argument)


def _judge_error(case: Case, reply: dict[str, Any]) -> str | None:
    expected, error = case["expected"]["error"], reply.get("error")
    if error is None:
        return f"should have been refused by {expected['rule']}, and was not"
    index = error.get("index") if isinstance(error, dict) else None
    how = case["compare"]["index"]
    allowed = [expected["index"]] if how == "exact" else how["either"]
    if isinstance(index, bool) or index not in allowed:
        given = "without an index" if index is None else f"for index {_short(index)}"
        due = "none" if expected["index"] is None else expected["index"]
        return f"refused, but {given} instead of {due}"
    return None


def _no_digits(field: str, result: Result) -> str:
    if field not in result:
        return f"the result has no key `{field}`"
    return f"gave {_short(result[field])}, which is no hexadecimal string"


def _message(error: Any) -> str:
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _exact(case: Case, field: str, got: str, expected: str) -> str | None:
    """Digit for digit."""
    return _differing(case, field, got, expected, lambda g, e: g == e)


def _number(case: Case, field: str, got: str, expected: str) -> str | None:
    """Bit for bit, but that a zero may have either sign."""
    zeros = {"00000000", "80000000"}
    return _differing(case, field, got, expected, lambda g, e: g == e or {g, e} == zeros)


def _ulp(case: Case, field: str, got: str, units: int) -> str | None:
    """Count binary32 numbers from one to the other; the two zeros are one, and NaN is near nothing."""

    def near(g: str, e: str) -> bool:
        place, due = _place(g), _place(e)
        return g == e or (place is not None and due is not None and abs(place - due) <= units)

    return _differing(case, field, got, case["expected"][field], near)


def _place(bits: str) -> int | None:
    """Give the place of a binary32 number in ascending order, 0 for zero; None for a NaN."""
    size = int(bits, 16) & 0x7FFFFFFF
    if size > 0x7F800000:
        return None
    return -size if bits[0] in "89abcdef" else size


def _either(case: Case, field: str, got: str, allowed: list[str]) -> str | None:
    """Digit for digit one of several."""
    return None if got in allowed else _exact(case, field, got, case["expected"][field])


def _differing(
    case: Case, field: str, got: str, expected: str, same: Callable[[str, str], bool]
) -> str | None:
    """Find the first element that is not the same as the expected one."""
    digits = OPERATIONS[case["operation"]].outputs[field].digits
    if len(got) != len(expected):
        return f"{field}: gave {len(got) // digits} elements, expected {len(expected) // digits}"
    for index in range(len(expected) // digits):
        g, e = _at(got, index, digits), _at(expected, index, digits)
        if not same(g, e):
            return _difference(case, field, index, e, g)
    return None


def _nearest(case: Case, field: str, result: Result) -> str | None:
    """Every weight has the code of an entry that none is nearer than, the lower of two. Rule: KM-2."""
    weights, table = _weights(case), _numbers(result["table"])
    codes = bytes.fromhex(result[field])
    if len(codes) != len(weights):
        return f"{field}: gave {len(codes)} elements, expected {len(weights)}"
    for index, (weight, code) in enumerate(zip(weights, codes)):
        distances = [abs(weight - entry) for entry in table]
        best = distances.index(min(distances)) if table else -1
        if code != best:
            return _difference(case, field, index, f"{max(best, 0):02x}", f"{code:02x}")
    return None


def _clustering(case: Case, field: str, result: Result) -> str | None:
    """Ascending entries, as many as there are codes; every weight, where there are enough. Rule: KM-1."""
    table, entries = _numbers(result[field]), case["expected"]["entries"]
    wrong = _ill_table(field, result, entries)
    if wrong:
        return wrong
    if table != sorted(table):
        return f"{field}: the entries are not in ascending order"
    distinct = set(_weights(case))
    if len(distinct) <= entries and not distinct <= set(table):
        lost = min(distinct - set(table))
        return f"{field}: {len(distinct)} distinct weights for {entries} entries, and {float(lost)!r} is none"
    return None


def _inertia(case: Case, field: str, result: Result) -> str | None:
    """Compare the sum of squared errors with the least there is for so many entries. Rule: KM-1, KM-4."""
    weights, table = _weights(case), _numbers(result[field])
    wrong = _ill_table(field, result, 1 << int(case["input"]["nbits"]))
    if wrong:
        return wrong
    codes = bytes.fromhex(result["codes"])
    if len(codes) != len(weights):
        return f"codes: gave {len(codes)} elements, expected {len(weights)}"
    if max(codes, default=-1) >= len(table):
        return f"codes: {max(codes)} is past the table's {len(table)} entries"
    inertia = sum((weight - table[code]) ** 2 for weight, code in zip(weights, codes))
    least = Fraction(case["expected"]["inertia"])
    if inertia > least * SLACK:
        return f"{field}: the inertia is {float(inertia):.6g}, and {float(least):.6g} is possible"
    return None


def _ill_table(field: str, result: Result, entries: int) -> str | None:
    """Say how a table is not one of so many finite numbers; None: it is."""
    table = floats_from_hex(result[field])
    if len(table) != entries:
        return f"{field}: gave {len(table)} entries, expected {entries}"
    for index, entry in enumerate(table):
        if not math.isfinite(entry):
            return f"{field}[{index}]: gave {entry}, not a finite number"
    return None


def _model(case: Case, field: str, result: Result) -> str | None:
    """Accept the same model, whatever the order of maps."""
    if result[field] == case["expected"][field]:
        return None
    from refquant.conformance.models import difference

    return difference(bytes.fromhex(case["expected"][field]), bytes.fromhex(result[field]))


def _faults(case: Case, field: str, result: Result) -> str | None:
    """Report the same faults, in any order; an index may be left out. Rule: FILE-8."""
    got = result[field]
    if not isinstance(got, list) or not all(isinstance(fault, dict) for fault in got):
        return f"{field}: gave {_short(got)}, which is no list of faults"
    due, reported = case["expected"][field], Counter(map(_named, got))
    for fault, count in Counter(map(_named, due)).items():
        if reported[fault] < count:
            return f"{field}: did not report {_called(fault)}"
        if reported[fault] > count:
            return f"{field}: reported {_called(fault)} {reported[fault]} times instead of {count}"
        del reported[fault]
    if reported:
        return f"{field}: reported {_called(next(iter(reported)))}, which is not there"
    for fault in due:
        indices = [other.get("index") for other in got if _named(other) == _named(fault)]
        if fault["index"] is not None and not {None, fault["index"]} & set(indices):
            return f"{field}: {_called(_named(fault))} is at index {fault['index']}, not {indices[0]}"
    return None


def _named(fault: dict[str, Any]) -> tuple[str, ...]:
    """Give the fields by which a fault is known, as text: a testee may have put anything there."""
    return tuple(json.dumps(fault.get(key)) for key in ("rule", "layer", "tensor"))


def _called(fault: tuple[str, ...]) -> str:
    return "{} in layer {}, tensor {}".format(*fault)


def _weights(case: Case) -> list[Fraction]:
    return [Fraction(weight) for weight in floats_from_hex(case["input"]["weights"])]


def _numbers(text: str) -> list[Fraction]:
    return [Fraction(value) for value in floats_from_hex(text) if math.isfinite(value)]


def _at(text: str, index: int, digits: int) -> str:
    return text[index * digits : (index + 1) * digits]


def _difference(case: Case, field: str, index: int, expected: str, got: str) -> str:
    """Say which element is wrong, what it was made of, and what it should have been."""
    operation = OPERATIONS[case["operation"]]
    of = ""
    if operation.source and field in ("codes", "bytes", "weights"):
        kind = operation.inputs[operation.source]
        element = _at(case["input"][operation.source], index, kind.digits)
        name = {"weights": "weight", "codes": "code", "bytes": "bytes"}[operation.source]
        of = f" ({name} {_shown(operation.source, element, '{!r}, bits {}')})"
    return f"{field}[{index}]{of}: expected {_shown(field, expected)}, got {_shown(field, got)}"


def _shown(field: str, digits: str, form: str = "{!r} (bits {})") -> str:
    """Write an element for a person: numbers with their bits, codes as decimals, bytes as they are."""
    if len(digits) == 8:
        (value,) = struct.unpack(">f", bytes.fromhex(digits))
        return form.format(value, digits)
    return str(int(digits, 16)) if field == "codes" else digits


#: Comparison with what is expected: (case, field, what was given, what is expected) -> what is wrong.
WORDS: dict[str, Callable[[Case, str, str, str], str | None]] = {"exact": _exact, "number": _number}

#: Comparison with an argument: (case, field, what was given, the argument) -> what is wrong.
WORDS_WITH: dict[str, Callable[[Case, str, str, Any], str | None]] = {"ulp": _ulp, "either": _either}

#: Named properties: (case, field, the whole result) -> what is wrong.
PROPERTIES: dict[str, Callable[[Case, str, Result], str | None]] = {
    "nearest": _nearest,
    "clustering": _clustering,
    "inertia": _inertia,
    "model": _model,
    "faults": _faults,
}
