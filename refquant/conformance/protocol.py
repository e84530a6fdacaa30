"""The protocol: its version, and what of an answer breaks it.

`conformance/schema/protocol.json` says the same in a form that other tools read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

#: Version of the protocol; a change by which a right testee would become a wrong one raises it.
PROTOCOL = 1

#: The first request to every testee.
START = {"command": "start", "protocol": PROTOCOL}

#: What a field of a result is, but for `faults`: pairs of hexadecimal digits.
DIGITS = re.compile("(?:[0-9a-fA-F]{2})*")

Answer = dict[str, Any]


def printable(text: str) -> str:
    """Write what cannot be shown (controls, line ends, halves of surrogate pairs) as escapes."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def counted(number: float, thing: str) -> str:
    """Say how many there are of something: `1 case`, `2 cases`."""
    return f"{number:.12g} {thing}{'' if number == 1 else 's'}"


def is_whole(value: object) -> bool:
    """Whether a JSON value is a whole number, as JSON Schema has it: 1.0 is, and true is not."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and value.is_integer()
    )


def shown(value: object) -> str:
    """Show a JSON value for a person, and no more of it than a line takes."""
    return f"{value!r:.40}" if isinstance(value, (str, int, float)) else f"a {type(value).__name__}"


def fault(command: str, answer: Answer) -> str | None:
    """Say what is wrong with an answer to a command; None where it keeps to the protocol.

    `seq` is looked at by whoever knows which number is due.
    """
    return next(FAULTS[command](answer), None)


def _start_faults(answer: Answer) -> Iterator[str]:
    yield from _key_faults(answer, {"protocol", "implementation", "operations"})
    spoken, made, offered = answer["protocol"], answer["implementation"], answer["operations"]
    if not is_whole(spoken) or spoken != PROTOCOL:
        yield f"`protocol` is {shown(spoken)}, not {PROTOCOL}"
    if not isinstance(made, dict):
        yield "`implementation` is no object"
    else:
        for key in ("name", "version", "language"):
            if not isinstance(made.get(key), str):
                yield f"`implementation` has no string `{key}`"
    if not isinstance(offered, list) or not all(isinstance(name, str) for name in offered):
        yield "`operations` is no list of names"
    elif len(set(offered)) < len(offered):
        yield "`operations` names one twice"


def _run_faults(answer: Answer) -> Iterator[str]:
    kind = next((kind for kind in _KINDS if kind in answer), None)
    if kind is None:
        yield "neither `result`, `error` nor `skipped`"
    else:
        yield from _key_faults(answer, {kind})
        yield from _KINDS[kind](answer[kind])


def _key_faults(answer: Answer, wanted: set[str]) -> Iterator[str]:
    for key in sorted(wanted - set(answer)):
        yield f"no key `{key}`"
    for key in sorted(set(answer) - wanted - {"seq"}):
        yield f"unexpected key `{key}`"


def _result_faults(result: object) -> Iterator[str]:
    if not isinstance(result, dict):
        yield "`result` is no object"
    else:
        for key, value in result.items():
            if key == "faults":
                yield from _list_faults(value)
            elif not isinstance(value, str) or not DIGITS.fullmatch(value):
                yield f"`{key}` is no string of pairs of hexadecimal digits: {shown(value)}"


def _list_faults(value: object) -> Iterator[str]:
    if not isinstance(value, list) or not all(map(_is_fault, value)):
        yield f"`faults` is no list of objects with `rule`, `layer` and `tensor`: {shown(value)}"


def _is_fault(fault: object) -> bool:
    if not isinstance(fault, dict) or not {"rule", "layer", "tensor"} <= set(fault):
        return False
    index = fault.get("index")
    named = isinstance(fault["rule"], str) and all(
        fault[key] is None or isinstance(fault[key], str) for key in ("layer", "tensor")
    )
    return named and (index is None or (is_whole(index) and index >= 0))


def _error_faults(error: object) -> Iterator[str]:
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        yield "`error` is no object with a string `message`"
    else:
        index = error.get("index")
        if index is not None and not (is_whole(index) and index >= 0):
            yield f"`index` is no position: {shown(index)}"


def _skipped_faults(skipped: object) -> Iterator[str]:
    if not isinstance(skipped, str):
        yield "`skipped` is no string"


_KINDS: dict[str, Callable[[Any], Iterator[str]]] = {
    "result": _result_faults,
    "error": _error_faults,
    "skipped": _skipped_faults,
}

#: Command -> what finds the faults of its answer.
FAULTS: dict[str, Callable[[Answer], Iterator[str]]] = {"start": _start_faults, "run": _run_faults}
