"""What the suite catches: `python -m conformance.faults` prints a case that caught each seeded fault.

A fault is a testee that gets one decision wrong (`conformance.testees.faulty`). The exit code is 1 when there
is one that no case catches, or when a case catches the testee without a fault.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from conformance.testees import faulty
from refquant.conformance import vectors
from refquant.conformance.judge import Case, judge


class Catch(NamedTuple):
    """A fault, and the first case that catches it; None where none does."""

    fault: str
    case: Case | None
    message: str


def catches(fault: str, cases: Iterable[Case]) -> Iterator[Catch]:
    """Give every case that catches a fault."""
    wrong = faulty.testee(fault)
    for case in cases:
        if case["operation"] in faulty.OPERATIONS:
            message = judge(case, faulty.answer(wrong, case["operation"], case["input"]))
            if message:
                yield Catch(fault, case, message)


def first(fault: str, cases: Iterable[Case]) -> Catch:
    """Give the first case that catches a fault; clusterings, which take long to judge, come last."""
    ordered = sorted(cases, key=lambda case: bool(case["operation"] == "kmeans.encode"))
    return next(catches(fault, ordered), Catch(fault, None, "no case catches it"))


def shown(found: Catch) -> str:
    """Write a line of the table."""
    if found.case is None:
        return f"{found.fault:36} MISSED\n"
    return f"{found.fault:36} {found.case['id']:26} {found.case['title']}: {found.message}\n"


def main() -> int:
    """Print the table."""
    cases, _ = vectors.select()
    good = first("none", cases)
    if good.case is not None:
        sys.stdout.write(f"without a fault: {shown(good)}")
        return 1
    found = [first(fault, cases) for fault in faulty.FAULTS]
    sys.stdout.write("".join(shown(catch) for catch in found))
    missed = sum(catch.case is None for catch in found)
    sys.stdout.write(f"{len(found)} faults, {len(found) - missed} caught\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
