"""`python -m tests.determinism [NAME...]`: show that results are the same everywhere.

A NAME is an interpreter, such as python3.9, or another machine: i386 or s390x. Without one, it is this
interpreter; `--everything` is every interpreter that is found, and both machines.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tests.determinism.expected import expected
from tests.determinism.interpreters import INSTALLED, MACHINES, Interpreter, ready


class Run(NamedTuple):
    """How an interpreter is started; strings are hashed by another seed in each run."""

    locale: str
    jobs: int
    #: Added to the environment.
    more: Mapping[str, str]


PLAIN = {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}

#: The runs of each interpreter. German has a decimal comma, Turkish an I without a dot.
RUNS = (Run("C", 1, {}), Run("tr_TR.UTF-8", 2, {}), Run("de_DE.UTF-8", 1, PLAIN))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything that is asked for; 1: something differs, or is not here."""
    options = _parser().parse_args(arguments)
    names = [*INSTALLED, *MACHINES] if options.everything else options.names or [sys.executable]
    bad = 0
    with TemporaryDirectory() as scratch:
        compiled = locales(Path(scratch, "locales"))
        for name in names:
            interpreter = ready(name, options.folder or Path(scratch))
            if interpreter is None:
                _tell(f"{name}: not here")
                bad += not options.everything
                continue
            bad += sum(not _same(interpreter, run, compiled) for run in RUNS)
    return int(bool(bad))


def _same(interpreter: Interpreter, run: Run, locales: Path) -> bool:
    """Run once; tell what was run, and which results differ from those that are expected."""
    made = launch(interpreter, run, locales)
    found, wanted = made.pop("digests"), expected()
    wrong = [title for title in wanted if found.get(title) != wanted[title]]
    what = f"{len(wrong)} of {len(wanted)} differ: {'; '.join(wrong)}" if wrong else f"{len(wanted)} the same"
    _tell(f"{interpreter.name}: {', '.join(map(str, made.values()))}, jobs {run.jobs}: {what}")
    return not wrong and found.keys() == wanted.keys()


def launch(interpreter: Interpreter, run: Run, locales: Path) -> dict[str, Any]:
    """Run the program in an interpreter; give its answer."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "LC_"))
    }
    environment.update(run.more)
    environment.update(PYTHONHASHSEED="random", PYTHONPATH=str(interpreter.checkout), LC_ALL=run.locale)
    if locales.is_dir():
        environment["LOCPATH"] = str(locales)
    command = [*interpreter.command, "-m", "tests.determinism.program", str(run.jobs)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def locales(folder: Path) -> Path:
    """Make the locales of the runs, where the system has what they are made from."""
    for name in (run.locale for run in RUNS if "." in run.locale):
        folder.mkdir(exist_ok=True)
        language, _, encoding = name.partition(".")
        command = ["localedef", "-i", language, "-f", encoding, str(folder / name)]
        try:
            subprocess.run(command, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            _tell(f"{name}: not here")
    return folder


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.determinism", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="an interpreter or a machine")
    parser.add_argument("--everything", action="store_true", help="all interpreters and machines there are")
    parser.add_argument("--folder", type=Path, help="keep here what is made: virtualenvs and machines")
    return parser


if __name__ == "__main__":
    sys.exit(main())
