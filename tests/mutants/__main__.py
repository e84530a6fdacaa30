"""`python -m tests.mutants [FILE...]`: put faults into refquant, and see that a test notices each.

Fails where a mutant survives that is not accepted, where one is accepted that does not survive, or that does
not exist any more.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import count
from types import FrameType

from tests.mutants.ledger import Ledger, accepted
from tests.mutants.mutants import ROOT, Mutant, files, mutants
from tests.mutants.run import Runner

#: The tests that have to notice: those of the chapters, and none that is about other programs or starts some.
TESTS = (
    *("tests/codec/test_*.py", "tests/model/test_*.py", "tests/spec/test_layers.py"),
    *("tests/spec/test_examples.py", "tests/test_quantize.py", "tests/test_refusals.py"),
    *("tests/schema/test_schema.py::TestFloats", "tests/schema/test_schema.py::TestSameBytes"),
    "tests/test_parallel.py::TestArguments",
)

#: Seconds of tests that a mutant has to survive, if it is run by so many.
BUDGET = 20.0

#: Least share of mutants, accepted ones included, that tests must notice.
LEAST = 0.95


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked for; 1: something is not as it should be."""
    options = _parser().parse_args(arguments)
    every = [mutant for file in files() for mutant in mutants(file)]
    chosen = [
        mutant
        for mutant in every
        if any(fnmatchcase(mutant.file, glob) for glob in options.files or ["*"])
        and zlib.crc32(mutant.id.encode()) % options.every == 0
    ]
    if options.list:
        sys.stdout.writelines(f"{mutant.id}\n" for mutant in chosen)
        return 0
    signal.signal(signal.SIGTERM, _stop)
    ledger = Ledger()
    new = [mutant for mutant in chosen if options.anew or ledger.known(mutant) is None]
    if new:
        _try(new, ledger, options.jobs, options.budget)
    return _report(chosen, {mutant.id for mutant in every}, Ledger())


def _try(new: list[Mutant], ledger: Ledger, jobs: int, budget: float) -> None:
    """Try mutants, write down what comes of them, and say how far it is."""
    progress = os.fdopen(os.dup(2), "w", buffering=1)
    counter = count(1)

    def record(mutant: Mutant, outcome: str, test: str | None) -> None:
        ledger.add(mutant, outcome, test)
        number = next(counter)
        if outcome == "survived":
            progress.write(f"survived: {mutant.id}\n")
        elif number % 100 == 0:
            progress.write(f"{number} done\n")

    tests = sorted(
        f"{path.relative_to(ROOT.parent)}{''.join(within)}"
        for glob, *within in (entry.partition("::") for entry in TESTS)
        for path in ROOT.parent.glob(glob)
    )
    runner = Runner(tests, jobs, budget, record)
    for mutant in new:
        known = ledger.results.get(mutant.id)
        if known and known.test:
            runner.noted(mutant, known.test)
    progress.write(f"{len(new)} mutants to try\n")
    runner.run(new)


def _report(chosen: list[Mutant], every: set[str], ledger: Ledger) -> int:
    """Print what came of mutants, and tell whether it is as it should be."""
    reasons = accepted()
    survived = {mutant.id for mutant in chosen if ledger.results[mutant.id].outcome == "survived"}
    noticed = {mutant.id for mutant in chosen} - survived
    for file, total in sorted(Counter(mutant.file for mutant in chosen).items()):
        found = sum(mutant.file == file and mutant.id in noticed for mutant in chosen)
        sys.stdout.write(f"{found:5} of {total:5}  {file}\n")
    share = len(noticed) / max(1, len(chosen))
    sys.stdout.write(f"{len(noticed):5} of {len(chosen):5}  mutants were noticed: {share:.1%}\n")
    wrong = {
        "survives and is not accepted": survived - reasons.keys(),
        "is accepted and does not survive": noticed & reasons.keys(),
        "is accepted and is no mutant": reasons.keys() - every,
    }
    for what, ids in wrong.items():
        sys.stdout.writelines(f"{what}: {each}\n" for each in sorted(ids))
    return 1 if any(wrong.values()) or share < LEAST else 0


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit("stopped; the next run goes on from here")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("files", nargs="*", help="globs of files below refquant (default: all)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only one mutant of N")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time (default: 1)")
    parser.add_argument(
        "--budget",
        type=float,
        default=BUDGET,
        metavar="SECONDS",
        help=f"of tests for each (default: {BUDGET:g})",
    )
    parser.add_argument("--anew", action="store_true", help="forget earlier results")
    parser.add_argument("--list", action="store_true", help="print ids and try nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
