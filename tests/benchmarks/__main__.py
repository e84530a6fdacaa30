"""`python -m tests.benchmarks [ROW...]`: measure refquant against coremltools and print tables."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks import page, saved
from tests.benchmarks.measuring import Workshop, describe, measure
from tests.benchmarks.rows import ROWS, Row

#: How often each process of a row is run unless told otherwise.
RUNS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked for; 1: a row misses its target."""
    options = _parser().parse_args(arguments)
    if options.page:
        page.PAGE.write_text(page.page(saved.read(options.page)), encoding="utf-8")
        return 0
    rows = chosen(options.rows)
    if options.list:
        sys.stdout.write("".join(f"{row.name:26} {row.target:>5g}  {row.title}\n" for row in rows))
        return 0
    results = _measured(rows, options)
    sys.stdout.write(page.summary(rows, results.results))
    return 1 if page.shorts(rows, results.results) else 0


def chosen(patterns: Sequence[str]) -> list[Row]:
    """Give the rows whose names match a pattern; all without one."""
    return [row for row in ROWS if any(fnmatchcase(row.name, pattern) for pattern in patterns or ["*"])]


def _measured(rows: Sequence[Row], options: argparse.Namespace) -> saved.Saved:
    """Measure row by row, keeping each result as it comes."""
    try:
        results = saved.started(options.save)
        with TemporaryDirectory() as folder:
            workshop = Workshop(Path(folder), options.pypy, _tell)
            for row in rows:
                results.add(row.name, measure(row, options.runs, workshop), describe(row, workshop))
                if options.save:
                    saved.write(results, options.save)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    return results


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="name of a row, or a pattern like 'kmeans*'")
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of each process (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="list the rows with their targets, and stop")
    parser.add_argument("--save", type=Path, metavar="FILE", help="put the raw results into a JSON file")
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="write README.md from such a file, and stop"
    )
    parser.add_argument(
        "--pypy",
        default=os.environ.get("REFQUANT_PYPY"),
        metavar="PYTHON",
        help="a PyPy with protobuf (default: the environment variable REFQUANT_PYPY)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
