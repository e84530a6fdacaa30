"""Reports of a run: for a person, for a machine, for a page."""

from __future__ import annotations

import json
import re
import shlex
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from xml.sax.saxutils import escape, quoteattr

from refquant.conformance.judge import Case
from refquant.conformance.operations import CODES, FLOATS, OPERATIONS
from refquant.conformance.protocol import counted, printable
from refquant.conformance.runner import BAD_OUTCOMES, OUTCOMES, Report, Verdict

#: Elements of a list, characters of anything else, and ids of like failures that are shown at the most.
ELEMENTS, CHARACTERS, IDS = 8, 60, 5


def as_text(report: Report, requests: bool = False) -> str:
    """Show every kind of failure once: its rules, the first weight that differs, its input, how to repeat it.

    With `requests`, also the line that the testee was sent. Counts come last.
    """
    lines = []
    for first, *others in _alike(report):
        lines += _failure(report, first)
        if requests:
            lines += [f"  request: {request(first.case)}"]
        if others:
            ids = [verdict.case["id"] for verdict in others]
            more = ", ..." if len(ids) > IDS else ""
            lines += [f"  and {len(ids)} more like it: {', '.join(ids[:IDS])}{more}"]
        lines += [""]
    if report.unknown:
        lines += [f"offered, but no operations of the kit: {', '.join(report.unknown)}"]
    return "\n".join([*lines, summary(report)]) + "\n"


def _alike(report: Report) -> Iterator[list[Verdict]]:
    """Group failures of one operation whose titles and messages differ in nothing but numbers."""
    groups: dict[tuple[str, ...], list[Verdict]] = {}
    for verdict in report.verdicts:
        if verdict.outcome in BAD_OUTCOMES:
            said = f"{verdict.case['title']}: {verdict.message}"
            key = (verdict.outcome, verdict.case["operation"], re.sub(r"\S*\d\S*", "#", said))
            groups.setdefault(key, []).append(verdict)
    yield from groups.values()


def _failure(report: Report, verdict: Verdict) -> list[str]:
    case = verdict.case
    lines = [
        f"{verdict.outcome.upper()} {case['id']} ({case['operation']}, {case['level']}): {case['title']}"
    ]
    lines += [f"  {rule}: {report.rules[rule]}" for rule in case["rules"]]
    lines += [f"  {verdict.message}", f"  input: {shown_input(case)}"]
    options = ["--vectors", report.vectors] if report.vectors else []
    again = shlex.join([*options, "--case", case["id"], "--", *report.command])
    return [*lines, f"  repeat: refquant conformance run {printable(again)}"]


def request(case: Case) -> str:
    """Write the request of a case, as the testee gets it."""
    return json.dumps({"seq": 1, "command": "run", "operation": case["operation"], "input": case["input"]})


def shown_input(case: Case, most: int = ELEMENTS) -> str:
    """Show the input of a case in decimals, and no more of it than tells one case from another."""
    kinds = OPERATIONS[case["operation"]].inputs
    shown = []
    for name, value in case["input"].items():
        elements: list[object] = []
        if kinds[name] is FLOATS:
            elements = list(struct.unpack(f">{len(value) // 8}f", bytes.fromhex(value)))
        elif kinds[name] is CODES:
            elements = list(bytes.fromhex(value))
        if elements:
            more = f" ... ({len(elements)} in all)" if len(elements) > most else ""
            shown.append(f"{name} = {' '.join(map(_short, elements[:most]))}{more}")
        else:
            text = json.dumps(value)
            shown.append(f"{name} = {text if len(text) <= CHARACTERS else text[:CHARACTERS] + ' ...'}")
    return "; ".join(shown)


def _short(number: object) -> str:
    """Write a binary32 number, or a code, in the fewest digits that tell it from every other."""
    if not isinstance(number, float):
        return str(number)
    texts = (f"{number:.{digits}g}" for digits in range(6, 10))
    return next((text for text in texts if _binary32(float(text)) == _binary32(number)), repr(number))


def _binary32(number: float) -> bytes:
    try:
        return struct.pack("<f", number)
    except OverflowError:  # a decimal that was rounded past the greatest one
        return b""


def summary(report: Report) -> str:
    """Say in one line what came of a run."""
    counts = report.counts
    said = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
    nothing = "" if report.judged else "; nothing was judged"
    return f"{_name(report)}: {counted(len(report.verdicts), 'case')}: {said or 'none'}{nothing}"


def _name(report: Report) -> str:
    known = report.implementation["implementation"]
    return f"{known['name']} {known['version']}".strip()


def as_json(report: Report) -> str:
    """Give everything as JSON."""
    cases = [
        {"id": v.case["id"], "family": v.case["family"], "outcome": v.outcome, "message": v.message}
        for v in report.verdicts
    ]
    content = {
        "implementation": report.implementation,
        "unknown_operations": report.unknown,
        "good": report.good,
        "counts": dict(report.counts),
        "cases": cases,
    }
    return json.dumps(content, indent=1) + "\n"


#: Outcome -> the element of JUnit's XML that says so; a case without one has passed.
JUNIT = {
    "failed": "failure",
    "unexpected": "failure",
    "trouble": "error",
    "skipped": "skipped",
    "known": "skipped",
}


def as_junit(report: Report) -> str:
    """Give the run as JUnit's XML, which most CI systems read."""
    counts = Counter(JUNIT.get(verdict.outcome) for verdict in report.verdicts)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuite name={quoteattr(_name(report))} tests="{len(report.verdicts)}" '
        f'failures="{counts["failure"]}" errors="{counts["error"]}" skipped="{counts["skipped"]}">',
    ]
    for v in report.verdicts:
        start = f"<testcase classname={quoteattr(v.case['family'])} name={quoteattr(v.case['id'])}"
        tag = JUNIT.get(v.outcome)
        if tag is None:
            lines.append(f"  {start}/>")
        else:
            body = escape("\n".join(_failure(report, v)) if tag != "skipped" else v.message)
            lines.append(f"  {start}><{tag} message={quoteattr(v.message)}>{body}</{tag}></testcase>")
    return "\n".join([*lines, "</testsuite>"]) + "\n"


def as_markdown(report: Report) -> str:
    """Give a table of families by outcome, and every kind of failure below it."""
    tally: dict[str, Counter[str]] = {}
    for v in report.verdicts:
        tally.setdefault(v.case["family"], Counter())[v.outcome] += 1
    lines = [
        f"## {_name(report)}",
        "",
        "| family | cases | " + " | ".join(OUTCOMES) + " |",
        "| --- | ---: | " + " | ".join("---:" for _ in OUTCOMES) + " |",
    ]
    for family, counts in (*tally.items(), ("all", report.counts)):
        row = " | ".join(str(counts[outcome] or "") for outcome in OUTCOMES)
        lines.append(f"| {family} | {sum(counts.values())} | {row} |")
    lines += [""]
    for first, *others in _alike(report):
        more = f" and {len(others)} more" if others else ""
        rules = ", ".join(first.case["rules"])
        lines += [f"* `{first.case['id']}`{more} ({rules}): {escape(first.message)}"]
    return "\n".join(lines).rstrip() + "\n"


def as_badge(report: Report) -> str:
    """Give the description of a badge, in the form that shields.io reads from an address."""
    counts = report.counts
    content = {
        "schemaVersion": 1,
        "label": "refquant conformance",
        "message": f"{counts['passed']} of {report.judged}",
        "color": "brightgreen" if report.good and not counts["known"] else "yellow" if report.good else "red",
    }
    return json.dumps(content) + "\n"


#: Name of a report -> what makes it.
REPORTS: dict[str, Callable[[Report], str]] = {
    "text": as_text,
    "json": as_json,
    "junit": as_junit,
    "markdown": as_markdown,
    "badge": as_badge,
}
