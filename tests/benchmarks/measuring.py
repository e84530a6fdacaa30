"""Running the rows: two processes in turn on the same files, each measured as a whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Callable, NamedTuple

from tests.benchmarks.models import NO_MODEL, REAL, real
from tests.benchmarks.rows import Duel, Measured, Row, Task
from tests.parity.conftest import interpreter as peer_interpreter

PROGRAMS = Path(__file__).with_name("programs")
CHECKOUT = Path(__file__).parents[2]

#: Told what is being done, a line at a time.
Tell = Callable[[str], None]


class CrashError(Exception):
    """A measured process failed; the text is what it said last."""


class Skip(NamedTuple):
    """A model, or the whole row where it is empty, that could not be measured, and why."""

    model: str
    reason: str


class Result(NamedTuple):
    """What came of a row."""

    #: Day of the measurement, as 2025-12-31.
    day: str
    #: How many processes wanted a core on average, during the minute before.
    load: float
    duels: list[Duel]
    skipped: list[Skip]


class Workshop:
    """The interpreters, and the folder with the models that have been built and what is written."""

    def __init__(self, folder: Path, pypy: str | None, tell: Tell) -> None:
        self.folder = folder
        self.pypy = pypy
        self.tell = tell
        self.warm: set[str] = set()

    def interpreter(self, name: str) -> Path | None:
        """Give the path of an interpreter; None: it is not here."""
        if name == "python":
            return Path(sys.executable)
        if name == "pypy":
            return Path(self.pypy) if self.pypy and Path(self.pypy).exists() else None
        return peer_interpreter(name).absolute()

    def models(self, name: str) -> list[Path]:
        """Give the files that a task's model stands for, building them where they are not there yet."""
        if name.startswith(REAL):
            return real(name[len(REAL) :])
        if name == NO_MODEL:
            return [Path(NO_MODEL)]
        path = self.folder / f"{name}.mlmodel"
        if not path.exists():
            self.tell(f"building {name}")
            command = [sys.executable, "-m", "tests.benchmarks.models", name, str(path)]
            subprocess.run(command, cwd=CHECKOUT, check=True)
        return [path]

    def output(self, task: Task) -> Path:
        """Give the file that a task writes."""
        return self.folder / f"output-{task.interpreter}"

    def command(self, task: Task, model: Path) -> list[str]:
        """Give the command of a task on one model."""
        program = "ours.py" if task.interpreter in ("python", "pypy") else "theirs.py"
        arguments = [task.job, str(model), str(self.output(task)), str(task.nbits), task.mode]
        return [str(self.interpreter(task.interpreter)), str(PROGRAMS / program), *arguments]

    def once(self, task: Task, model: Path, into: Measured) -> None:
        """Run a task once and note what it took. Raises CrashError, saying who crashed."""
        if task.interpreter not in self.warm:
            # The first import would wait for the disk, or write compiled modules.
            self.warm.add(task.interpreter)
            launch(self.command(task._replace(job="load"), model), environment_of(task))
        try:
            seconds, peak = launch(self.command(task, model), environment_of(task))
        except CrashError as crash:
            raise CrashError(f"{task.who}: {crash}") from None
        into.seconds.append(seconds)
        into.peaks.append(peak)


def environment_of(task: Task) -> dict[str, str]:
    """Give the environment of a task: refquant is this checkout's, and no peer sees it."""
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    ours = {"PYTHONPATH": str(CHECKOUT)} if task.interpreter in ("python", "pypy") else {}
    return {**outer, **ours, **task.environment}


def launch(command: list[str], environment: dict[str, str]) -> tuple[float, int]:
    """Run a command in a process of its own; give its wall time in seconds and its peak memory in bytes."""
    # The launcher itself is to be small: no site packages.
    launcher = [sys.executable, "-I", "-S", str(PROGRAMS / "launcher.py")]
    done = subprocess.run([*launcher, *command], env=environment, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    if answer["status"]:
        said = done.stderr.strip().splitlines() or [f"status {answer['status']}"]
        raise CrashError(said[-1])
    return answer["seconds"], answer["peak"]


def measure(row: Row, runs: int, workshop: Workshop) -> Result:
    """Measure a row on each of its models; what cannot be measured is skipped, with the reason."""
    duels: list[Duel] = []
    skipped: list[Skip] = []
    load = round(os.getloadavg()[0], 2)
    for model, other_model in _pairs(row, workshop, skipped):
        duel = Duel(model.stem, Measured([], []), Measured([], []))
        try:
            for turn in _turns(row, runs, duel, model, other_model):
                workshop.once(*turn)
                workshop.tell(f"{row.name}: {model.stem}: {turn[0].who} {turn[2].seconds[-1]:.3f} s")
            duels.append(duel._replace(same=_same(row, workshop)))
        except CrashError as crash:
            skipped.append(Skip(model.stem, str(crash)))
            workshop.tell(f"{row.name}: {model.stem}: {crash}")
    return Result(date.today().isoformat(), load, duels, skipped)


def _same(row: Row, workshop: Workshop) -> bool | None:
    """Compare what both processes wrote last; None: they did not do the same."""
    if (row.ours.job, row.ours.model) != ("quantize", row.other.model) or row.other.job != "quantize":
        return None
    ours, other = map(workshop.output, (row.ours, row.other))
    return ours.read_bytes() == other.read_bytes()


def _pairs(row: Row, workshop: Workshop, skipped: list[Skip]) -> list[tuple[Path, Path]]:
    """Give the models of both processes, one by one; none where something that the row needs is not here."""
    for task in (row.ours, row.other):
        if workshop.interpreter(task.interpreter) is None:
            skipped.append(Skip("", f"{task.who} is not here"))
            return []
    pairs = list(zip(workshop.models(row.ours.model), workshop.models(row.other.model)))
    if not pairs:
        skipped.append(Skip("", "the folder of real models is not here"))
    return pairs


def _turns(
    row: Row, runs: int, duel: Duel, model: Path, other_model: Path
) -> Iterator[tuple[Task, Path, Measured]]:
    """Give each run of both processes, in turn."""
    for number in range(runs):
        if number < row.ours.most_runs:
            yield row.ours, model, duel.ours
        if number < row.other.most_runs:
            yield row.other, other_model, duel.other


def describe(row: Row, workshop: Workshop) -> dict[str, str]:
    """Say what the interpreters of a row are, by their names."""
    found = {}
    for task in (row.ours, row.other):
        python = workshop.interpreter(task.interpreter)
        if python is not None:
            command = [str(python), str(PROGRAMS / "versions.py")]
            environment = environment_of(task._replace(environment={}))
            found[task.interpreter] = subprocess.check_output(command, env=environment, text=True).strip()
    return found
