"""The judge: whether an answer is what a case expects, and if not, what is the first thing wrong."""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from refquant.conformance.operations import OPERATIONS, floats_from_hex

#: How much more inertia than the least a clustering may have; the rule says 0.1 %. Rule: KM-4.
SLACK = Fraction(1001, 1000)

#: Rules that ask for the index of the first offending element.
NAMING = ("TEN-7", "HALF-2")

#: A case of a vector file, and the result that a testee gave, field by field.
Case = dict[str, Any]
Result = dict[str, Any]


def judge(case: Case, reply: dict[str, Any]) -> str | None:
    """Compare a testee's reply with what a case expects; None: it is right. Else say what is wrong."""
    expected = case["expected"]
    if "error" in expected:
        return _judge_error(expected["error"], reply)
    if "error" in reply:
        return f"answered with an error: {_message(reply['error'])}"
    result = reply.get("result")
    if not isinstance(result, dict):
        return "gave no result"
    operation = OPERATIONS[case["operation"]]
    for field, default in operation.compare.items():
        got = result.get(field)
        if operation.outputs[field].digits:
            if not isinstance(got, str):
                return f"{field}: gave {got!r}, which is no hexadecimal string"
            got = got.lower()
        how = case.get("compare", {}).get(field, default)
        wrong = COMPARISONS[how](case, field, got, result)
        if wrong:
            return wrong
    return None


def _judge_error(expected: dict[str, Any], reply: dict[str, Any]) -> str | None:
    error = reply.get("error")
    if error is None:
        return f"should have been refused by {expected['rule']}, and was not"
    index = error.get("index") if isinstance(error, dict) else None
    if index is None and expected["rule"] in NAMING and expected.get("index") is not None:
        return f"refused, but without an index instead of {expected['index']}"
    if index is not None and expected.get("index") is not None and index != expected["index"]:
        return f"refused, but for index {index} instead of {expected['index']}"
    return None


def _message(error: Any) -> str:
    return str(error.get("message", error)) if isinstance(error, dict) else str(error)


def _exact(case: Case, field: str, got: str, result: Result) -> str | None:
    """Digit for digit."""
    expected = case["expected"][field]
    if got == expected:
        return None
    digits = OPERATIONS[case["operation"]].outputs[field].digits
    if len(got) != len(expected):
        return f"{field}: gave {len(got) // digits} elements, expected {len(expected) // digits}"
    index = next(i for i in range(len(expected) // digits) if _at(got, i, digits) != _at(expected, i, digits))
    return _first_difference(case, field, index, _at(expected, index, digits), _at(got, index, digits))


def _number(case: Case, field: str, got: str, result: Result) -> str | None:
    """Bit for bit, but that a zero may have either sign."""
    expected = case["expected"][field]
    if len(got) == len(expected):
        pairs = [(_at(got, i, 8), _at(expected, i, 8)) for i in range(len(expected) // 8)]
        got = "".join(e if {g, e} == {"00000000", "80000000"} else g for g, e in pairs)
    return _exact(case, field, got, result)


def _nearest(case: Case, field: str, got: str, result: Result) -> str | None:
    """Every weight has the code of an entry that none is nearer than, the lower of two. Rule: KM-2."""
    weights = floats_from_hex(case["input"]["weights"])
    table, codes = _numbers(result.get("table")), bytes.fromhex(got)
    if len(codes) != len(weights):
        return f"codes: gave {len(codes)} codes for {len(weights)} weights"
    for index, (weight, code) in enumerate(zip(weights, codes)):
        distances = [abs(Fraction(weight) - entry) for entry in table]
        best = distances.index(min(distances))
        if code != best:
            return _first_difference(case, "codes", index, f"{best:02x}", f"{code:02x}")
    return None


def _clustering(case: Case, field: str, got: str, result: Result) -> str | None:
    """Ascending entries, as many as there are codes, of an inertia near the least. Rule: KM-1, KM-4."""
    table = _numbers(got)
    entries = 1 << case["input"]["nbits"]
    if len(table) != entries:
        return f"table: gave {len(table)} entries, expected {entries}"
    if table != sorted(table):
        return "table: the entries are not in ascending order"
    weights = [Fraction(weight) for weight in floats_from_hex(case["input"]["weights"])]
    codes = bytes.fromhex(result.get("codes") or "")
    inertia = sum((w - table[c]) ** 2 for w, c in zip(weights, codes) if c < entries)
    least = Fraction(case["expected"]["inertia"])
    if inertia > least * SLACK:
        return f"table: the inertia is {float(inertia):.6g}, and {float(least):.6g} is possible"
    return None


def _model(case: Case, field: str, got: str, result: Result) -> str | None:
    """Accept the same model, whatever the order of maps."""
    if got == case["expected"][field]:
        return None
    from refquant.conformance.models import difference

    return difference(bytes.fromhex(case["expected"][field]), bytes.fromhex(got))


def _faults(case: Case, field: str, got: Any, result: Result) -> str | None:
    """Report the same faults, in any order; an index may be left out. Rule: FILE-8."""
    if not isinstance(got, list) or not all(isinstance(fault, dict) for fault in got):
        return f"{field}: gave {got!r}, which is no list of faults"
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


def _numbers(text: Any) -> list[Fraction]:
    values = floats_from_hex(text) if isinstance(text, str) and len(text) % 8 == 0 else []
    return [Fraction(value) for value in values if math.isfinite(value)]


def _at(text: str, index: int, digits: int) -> str:
    return text[index * digits : (index + 1) * digits]


def _first_difference(case: Case, field: str, index: int, expected: str, got: str) -> str:
    """Say which element is wrong: its weight as a decimal and as bits, and what it should have been."""
    weights = case["input"].get("weights", "") if field == "codes" else ""
    bits = _at(weights, index, 8)
    of = ""
    if len(bits) == 8:
        (value,) = struct.unpack(">f", bytes.fromhex(bits))
        of = f" (weight {value!r}, bits {bits})"
    return f"{field}[{index}]{of}: expected {_shown(field, expected)}, got {_shown(field, got)}"


def _shown(field: str, digits: str) -> str:
    if len(digits) == 8:
        return f"{struct.unpack('>f', bytes.fromhex(digits))[0]!r} (bits {digits})"
    return str(int(digits, 16)) if field == "codes" else digits


#: Name -> how a field is compared: (case, field, what was given, the whole result) -> what is wrong.
COMPARISONS: dict[str, Callable[[Case, str, Any, Result], str | None]] = {
    "exact": _exact,
    "number": _number,
    "nearest": _nearest,
    "clustering": _clustering,
    "model": _model,
    "faults": _faults,
}
