"""Reports of a run: for a person, for a machine, for a page."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Callable
from xml.sax.saxutils import escape, quoteattr

from refquant.conformance.runner import BAD_OUTCOMES, OUTCOMES, Report, Verdict


def as_text(report: Report) -> str:
    """Show every failure with its rule, the first weight that differs, and how to repeat it; then counts."""
    lines = []
    for verdict in report.verdicts:
        if verdict.outcome in BAD_OUTCOMES:
            lines += [*_failure(report, verdict), ""]
    return "\n".join([*lines, summary(report)]) + "\n"


def _failure(report: Report, verdict: Verdict) -> list[str]:
    case = verdict.case
    lines = [
        f"{verdict.outcome.upper()} {case['id']} ({case['operation']}, {case['level']}): {case['title']}"
    ]
    lines += [f"  {rule}: {report.rules[rule]}" for rule in case["rules"]]
    lines += [f"  {verdict.message}"]
    lines += [f"  repeat: refquant conformance run --case {case['id']} -- {shlex.join(report.command)}"]
    return lines


def summary(report: Report) -> str:
    """Say in one line what came of a run."""
    counts = report.counts
    said = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
    return f"{_name(report)}: {len(report.verdicts)} cases: {said or 'none'}"


def _name(report: Report) -> str:
    known = report.implementation.get("implementation", {})
    return f"{known.get('name', 'unnamed')} {known.get('version', '')}".strip()


def as_json(report: Report) -> str:
    """Give everything as JSON."""
    cases = [
        {"id": v.case["id"], "family": v.case["family"], "outcome": v.outcome, "message": v.message}
        for v in report.verdicts
    ]
    content = {"implementation": report.implementation, "counts": dict(report.counts), "cases": cases}
    return json.dumps(content, indent=1) + "\n"


def as_junit(report: Report) -> str:
    """Give the run as JUnit's XML, which most CI systems read."""
    counts = report.counts
    failures = counts["failed"] + counts["unexpected"]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuite name={quoteattr(_name(report))} tests="{len(report.verdicts)}" failures="{failures}" '
        f'errors="{counts["trouble"]}" skipped="{counts["skipped"] + counts["known"]}">',
    ]
    tags = {
        "failed": "failure",
        "unexpected": "failure",
        "trouble": "error",
        "skipped": "skipped",
        "known": "skipped",
    }
    for v in report.verdicts:
        start = f"<testcase classname={quoteattr(v.case['family'])} name={quoteattr(v.case['id'])}"
        tag = tags.get(v.outcome)
        if tag is None:
            lines.append(f"  {start}/>")
        else:
            body = escape("\n".join(_failure(report, v)) if tag != "skipped" else v.message)
            lines.append(f"  {start}><{tag} message={quoteattr(v.message)}>{body}</{tag}></testcase>")
    return "\n".join([*lines, "</testsuite>"]) + "\n"


def as_markdown(report: Report) -> str:
    """Give a table of families by outcome, and the failures below it."""
    tally: dict[str, Counter[str]] = {}
    for v in report.verdicts:
        tally.setdefault(v.case["family"], Counter())[v.outcome] += 1
    lines = [
        f"## {_name(report)}",
        "",
        "| family | cases | " + " | ".join(OUTCOMES) + " |",
        "| --- | ---: | " + " | ".join("---:" for _ in OUTCOMES) + " |",
    ]
    for family, counts in tally.items():
        row = " | ".join(str(counts[outcome] or "") for outcome in OUTCOMES)
        lines.append(f"| {family} | {sum(counts.values())} | {row} |")
    bad = [v for v in report.verdicts if v.outcome in BAD_OUTCOMES]
    lines += [""] + [f"* `{v.case['id']}` ({', '.join(v.case['rules'])}): {v.message}" for v in bad]
    return "\n".join(lines).rstrip() + "\n"


def as_badge(report: Report) -> str:
    """Give the description of a badge, in the form that shields.io reads from an address."""
    counts = report.counts
    judged = len(report.verdicts) - counts["skipped"]
    content = {
        "schemaVersion": 1,
        "label": "refquant conformance",
        "message": f"{counts['passed']} of {judged}",
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
