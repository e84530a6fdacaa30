"""The departure table, and coremltools held against it: `python -m conformance.departures`.

Asks coremltools 9.0, in the virtualenv of the parity run, for every case of the kit, and writes its list of
known failures. A case must fail exactly where a row of the table is among its flags, so that the list *is*
the table. With `--check` nothing is written, and a difference is an error.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from refquant.conformance import runner, vectors
from refquant.conformance.vectors import Case

HERE = Path(__file__).parent
TABLE = HERE.parent / "spec" / "14-departures.md"
TESTEE = HERE / "testees" / "coremltools_testee.py"
KNOWN = HERE / "testees" / "coremltools-9.0.json"

#: Operation and rule -> the row that a case of arithmetic shows where coremltools fails.
ARITHMETIC = {
    ("pack", "PACK-2"): "DEP-32",
    ("pack", "PACK-4"): "DEP-30",
    ("unpack", "PACK-5"): "DEP-31",
    ("half.encode", "HALF-2"): "DEP-19",
    ("linear.encode", "LIN-9"): "DEP-34",
    ("linear.decode", "DEQ-2"): "DEP-9",
    ("linear.decode", "DEQ-4"): "DEP-44",
    ("custom_lut.encode", "LUT-5"): "DEP-6",
    ("lut.decode", "LUT-5"): "DEP-6",
    ("lut.decode", "LUT-1"): "DEP-44",
    ("symmetric.encode", "LIN-9"): "DEP-34",
    ("kmeans.encode", "KM-4"): "DEP-33",
    ("kmeans.encode", "KM-1"): "DEP-33",
    ("kmeans.encode", "KM-3"): "DEP-33",
    **{
        (f"{chapter}.encode", "TEN-7"): "DEP-7"
        for chapter in ("half", "linear", "symmetric", "linear_lut", "kmeans", "int8")
    },
}

#: Seconds that a case may take: coremltools is slow to import.
TIMEOUT = 60.0

#: Characters of a message that the list keeps: enough to tell one way to fail from another.
KEPT = 60


class Row(NamedTuple):
    """A row of the table."""

    case: str
    theirs: str
    ours: str
    #: A rule, or several with commas between.
    rule: str
    #: The older of the two versions looked at, 8.1 and 9.0, that does it.
    since: str
    #: `yes`, or `no` and the reason.
    in_kit: str


def rows() -> dict[str, Row]:
    """Read the table: id of the row -> the row."""
    found = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("| DEP-"):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            found[name.strip()] = Row(*cells)
    return found


def shown(case: Case) -> str:
    """Give the row that a case of a whole model is made to show; empty where it shows none."""
    if not case["operation"].startswith("model."):
        return ""
    return next((flag for flag in case["flags"] if re.fullmatch(r"DEP-\d+", flag)), "")


def row_of(verdict: runner.Verdict) -> str:
    """Give the row that explains a failure: the case's own or, for arithmetic, that of its rules."""
    case = verdict.case
    by_rule = (ARITHMETIC.get((case["operation"], rule), "") for rule in case["rules"])
    return shown(case) or next(filter(None, by_rule), "")


def ask(interpreter: Path, cases: list[Case], timeout: float = TIMEOUT) -> list[runner.Verdict]:
    """Put cases to coremltools, with the Python of one of its virtualenvs."""
    return runner.run([str(interpreter), str(TESTEE)], cases, {}, timeout=timeout).verdicts


def disagreements(verdicts: Iterable[runner.Verdict]) -> list[str]:
    """Say where coremltools fails without a row of the table, or does not fail in spite of one."""
    found = []
    for verdict in verdicts:
        case = verdict.case
        explained = row_of(verdict) if verdict.outcome == "failed" else shown(case)
        if (verdict.outcome == "failed") != bool(explained):
            said = f"{verdict.outcome} {verdict.message[:200]}".rstrip()
            found.append(f"{case['id']} ({case['title']}): {said}; {explained or 'no row'}")
    return found


def known_failures(verdicts: Iterable[runner.Verdict]) -> str:
    """Write the list: a failing case, the rows that it shows, and how it fails."""
    table = rows()
    entries = [
        {
            "cases": verdict.case["id"],
            "reason": f"{row_of(verdict)}: {table[row_of(verdict)].case}",
            "message": verdict.message[:KEPT],
        }
        for verdict in verdicts
        if verdict.outcome == "failed"
    ]
    return json.dumps({"known_failures": entries}, indent=1) + "\n"


def main(arguments: list[str]) -> int:
    """Write the list of known failures, or check it."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance.departures",
        description="Ask coremltools 9.0 for every case of the kit, hold its failures against the departure "
        "table, and write them as its list of known failures. Installs coremltools where it is not yet.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the list is stale")
    check_only = parser.parse_args(arguments).check
    from tests.parity.conftest import interpreter

    cases, _ = vectors.select()
    verdicts = ask(interpreter("9.0"), cases)
    wrong = disagreements(verdicts)
    if wrong:
        raise SystemExit("\n".join(["the departure table is not true:", *wrong]))
    text = known_failures(verdicts)
    if not check_only:
        KNOWN.write_text(text, encoding="utf-8")
    elif KNOWN.read_text(encoding="utf-8") != text:
        raise SystemExit(f"stale: {KNOWN.name}; run: python -m conformance.departures")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
