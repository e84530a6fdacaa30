"""The command `python -m tests.fuzz`: try hostile models by the thousand, or those of some files again."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from refquant.terminal import write_line
from tests.fuzz import crew, findings
from tests.fuzz.bends import Input, drawn
from tests.fuzz.target import CONVERSIONS, Finding, Outcomes

#: How many seconds lie between two lines that tell how far it has come.
SECONDS = 30.0


def main(arguments: list[str] | None = None) -> int:
    """Fuzz, or try files again; the exit code is 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="findings to try again, in place of new inputs")
    parser.add_argument("--seed", type=int, default=0, help="the same seed makes the same inputs (0)")
    parser.add_argument("--inputs", type=int, default=10_000, metavar="N", help="how many to try (10,000)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes to spread them over (1)")
    parser.add_argument("--seconds", type=float, default=1e9, metavar="T", help="start no more after this")
    parser.add_argument(
        "--conversions",
        type=int,
        default=1,
        metavar="N",
        help=f"how many of the {len(CONVERSIONS)} conversions each input goes through (1)",
    )
    parser.add_argument("--folder", type=Path, default=Path("fuzz-findings"), help="where findings go")
    options = parser.parse_args(arguments)
    return _again(options.files) if options.files else _fuzz(options)


def _again(files: list[Path]) -> int:
    """Try the inputs of files, each in a process of its own."""
    wrong = 0
    for path in files:
        for title, given in findings.read(path):
            found = findings.tried_alone(given)
            wrong += found is not None
            write_line(f"{path}: {title}\n  {': '.join(found) if found else 'nothing wrong'}")
    return int(wrong > 0)


def _fuzz(options: argparse.Namespace) -> int:
    settings = crew.Settings(options.seed, options.conversions)
    started = said = time.monotonic()
    outcomes: Outcomes = Counter()
    first: dict[tuple[str, str], tuple[Finding, Input]] = {}
    often: Counter[tuple[str, str]] = Counter()
    inputs = unchanged = 0
    for tried in crew.run(settings, options.inputs, options.jobs, options.seconds):
        inputs, unchanged = inputs + tried.inputs, unchanged + tried.unchanged
        outcomes.update(tried.outcomes)
        for number, found in tried.findings:
            often[found[:2]] += 1
            if found[:2] not in first:
                first[found[:2]] = found, drawn(options.seed, number)
                write_line(f"found in input {number}: {': '.join(found)}", sys.stderr)
        if time.monotonic() - said > SECONDS:
            said = time.monotonic()
            write_line(f"{inputs:,} inputs in {said - started:.0f} s, {len(first)} findings", sys.stderr)
    _print_outcomes(outcomes)
    seconds = time.monotonic() - started
    write_line(f"\n{inputs:,} inputs in {seconds:.1f} s, of which {unchanged:,} were as good as not mutated")
    for key, (found, given) in first.items():
        path = findings.write(options.folder, findings.minimized(given, found), found)
        write_line(f"{often[key]:,} x {': '.join(found)}\n  {path}")
    write_line(f"{len(first)} findings")
    return int(bool(first))


def _print_outcomes(outcomes: Outcomes) -> None:
    """Print how often each operation had each outcome, and each rule its fault."""
    operation = ""
    for (name, outcome, rule), count in sorted(outcomes.items()):
        if name != operation:
            write_line(name)
            operation = name
        write_line(f"{count:12,}  {outcome}{f' ({rule})' if rule else ''}")


if __name__ == "__main__":
    sys.exit(main())
