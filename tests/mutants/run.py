"""Try mutants: each with the tests that run its line, the most promising first, several side by side."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache, partial
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Callable, NamedTuple

import pytest

from tests.mutants import suite
from tests.mutants.ledger import FOLDER, hash_of, hash_of_all
from tests.mutants.mutants import Mutant

#: Exit code of a child -> what came of its mutant. Any other tells of a crash, which is noticed as well.
OUTCOMES = {suite.SURVIVED: "survived", suite.TIMED_OUT: "timed out"}

#: Seconds in which modules must be imported and tests collected.
STARTING = 30.0

#: Told of every mutant: the mutant, what came of it, the test that was run last.
Record = Callable[[Mutant, str, "str | None"], None]


#: Tries a mutant, in a child that has a folder of its own; gives the child's exit code.
Task = Callable[[Mutant, Path], int]


class Measured(NamedTuple):
    """What the suite does without a fault: seconds of each test, and the tests that run each line."""

    times: dict[str, float]
    #: File -> line -> ids of tests; an empty one stands for what is run when modules are imported.
    lines: dict[str, dict[str, list[str]]]

    def at_import(self, mutant: Mutant) -> bool:
        """Tell whether a mutant matters when modules are imported."""
        lines = self.lines[mutant.file]
        return mutant.function is None or any("" in lines.get(str(line), ()) for line in mutant.lines)

    def tests(self, mutant: Mutant) -> set[str]:
        """Give the tests that run a line of the mutant; of one that matters when imported, of its module."""
        lines = self.lines[mutant.file]
        wanted = lines.values() if self.at_import(mutant) else (lines.get(str(n), []) for n in mutant.lines)
        return {test for tests in wanted for test in tests if test}

    def of(self, tests: str) -> Measured:
        """Give what was measured of the tests of one file."""
        start = f"{tests}::"
        lines = {
            file: {
                line: [test for test in run_by if not test or test.startswith(start)]
                for line, run_by in of_file.items()
            }
            for file, of_file in self.lines.items()
        }
        return Measured({test: time for test, time in self.times.items() if test.startswith(start)}, lines)

    def add(self, other: Measured) -> None:
        """Add what was measured of other tests."""
        self.times.update(other.times)
        for file, lines in other.lines.items():
            mine = self.lines.setdefault(file, {})
            for line, tests in lines.items():
                mine.setdefault(line, []).extend(tests)


class Runner:
    """Tries mutants, `jobs` at a time, and tells of each.

    A mutant has survived `budget` seconds of tests, as they take without a fault, or all that there are.
    """

    def __init__(self, tests: Sequence[str], jobs: int, budget: float, record: Record) -> None:
        self.tests = tests
        self.jobs = jobs
        self.budget = budget
        self.record = record
        #: Module and function -> tests that have noticed something there, which are tried first.
        self.noticed: defaultdict[object, Counter[str]] = defaultdict(Counter)

    def run(self, mutants: Iterable[Mutant]) -> None:
        """Try mutants: those of functions in a child that has collected the suite, the others in new ones."""
        with TemporaryDirectory(prefix="mutants-") as name:
            self.folder = Path(name)
            self.measured = self._measured()
            kinds: dict[bool, list[Mutant]] = {False: [], True: []}
            for mutant in mutants:
                kinds[self.measured.at_import(mutant)].append(mutant)
            if kinds[False]:
                self._alone(partial(suite.collect, partial(self._swapped, kinds[False]), self.tests))
            # One file of tests is collected much sooner than all; what survives it meets the others.
            survivors = self._infected(kinds[True], near=True)
            self._infected(survivors, near=False)

    def noted(self, mutant: Mutant, test: str) -> None:
        """Note that a test has noticed a mutant."""
        self.noticed[mutant.file, mutant.function][test] += 1

    def _alone(self, task: Callable[[], int | None]) -> None:
        """Do something in a child on which all else depends."""
        folder = self.folder / f"alone-{len(list(self.folder.iterdir()))}"
        child = suite.fork(task, folder)
        try:
            _, status = os.waitpid(child, 0)
        except BaseException:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
            raise
        if status:
            broken = folder / "broken"
            raise RuntimeError(broken.read_text(encoding="utf-8") if broken.exists() else f"status {status}")

    def _measured(self) -> Measured:
        """Run the tests without a fault, those of every file where they or refquant differ from last time."""
        base = FOLDER / "measured" / hash_of_all("refquant")
        kept = {file: base / f"{file.replace('/', '-')}-{hash_of(file)}.json" for file in self.tests}
        missing = [file for file, path in kept.items() if not path.exists()]
        if missing:
            self._alone(partial(suite.measure, missing, self.folder))
            found = Measured(**json.loads((self.folder / "measured.json").read_text(encoding="utf-8")))
            base.mkdir(parents=True, exist_ok=True)
            for file in missing:
                kept[file].write_text(json.dumps(found.of(file)._asdict()), encoding="utf-8")
        measured = Measured({}, {})
        for path in kept.values():
            measured.add(Measured(**json.loads(path.read_text(encoding="utf-8"))))
        return measured

    def _swapped(self, mutants: Sequence[Mutant], running: suite.Suite, items: list[pytest.Item]) -> None:
        by_id = {item.nodeid: item for item in items}

        def task(mutant: Mutant, folder: Path) -> int:
            suite.guard(suite.PATIENCE[1])
            suite.swap(mutant)
            tests = self._promising(mutant)
            suite.trial(running, [by_id[test] for test in tests], self.measured.times, folder)

        self._spread(mutants, task, self.record)

    def _infected(self, mutants: Sequence[Mutant], near: bool) -> list[Mutant]:
        """Try mutants that matter at import, with the tests near them or with the others; list survivors."""
        survivors: list[Mutant] = []

        def task(mutant: Mutant, folder: Path) -> int:
            suite.guard(STARTING)
            tests = [
                test
                for test in self._promising(mutant)
                if (_distance(mutant.file, test.split("::")[0]) < 2) == near
            ]
            if not tests:
                return suite.SURVIVED

            def act(running: suite.Suite, items: list[pytest.Item]) -> None:
                by_id = {item.nodeid: item for item in items}
                if not all(test in by_id for test in tests):
                    os._exit(suite.KILLED)  # a test that is named after what it tests
                suite.trial(running, [by_id[test] for test in tests], self.measured.times, folder)

            suite.infect(mutant)
            suite.collect(act, sorted({test.split("::")[0] for test in tests}))
            return suite.KILLED  # tests could not even be collected

        def record(mutant: Mutant, outcome: str, test: str | None) -> None:
            if near and outcome == "survived":
                survivors.append(mutant)
            else:
                self.record(mutant, outcome, test)

        self._spread(mutants, task, record)
        return survivors

    def _spread(self, mutants: Iterable[Mutant], task: Task, record: Record) -> None:
        """Do a task for each mutant in a child, so many at a time."""
        waiting = deque(enumerate(mutants))
        running: dict[int, tuple[Mutant, Path]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.jobs:
                    number, mutant = waiting.popleft()
                    folder = self.folder / f"{os.getpid()}-{number}"
                    child = suite.fork(partial(task, mutant, folder), folder)
                    running[child] = mutant, folder
                child, status = os.wait()
                mutant, folder = running.pop(child)
                _end(child)
                code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1
                self._tell(mutant, code, folder, record)
        finally:
            for child in running:
                _end(child)

    def _tell(self, mutant: Mutant, code: int, folder: Path, record: Record) -> None:
        broken, last = folder / "broken", folder / "test"
        if broken.exists() and not last.exists():
            raise RuntimeError(f"{mutant.id}: {broken.read_text(encoding='utf-8')}")
        outcome = OUTCOMES.get(code, "killed")
        test = last.read_text(encoding="utf-8") if last.exists() and outcome != "survived" else None
        if test:
            self.noted(mutant, test)
        record(mutant, outcome, test)
        shutil.rmtree(folder, ignore_errors=True)

    def _promising(self, mutant: Mutant) -> list[str]:
        """Order the tests that may notice a mutant, and cut them where the budget is spent."""
        noticed, times = self.noticed[mutant.file, mutant.function], self.measured.times

        def rank(test: str) -> tuple[object, ...]:
            return not noticed[test], _distance(mutant.file, test.split("::")[0]), times[test]

        chosen, spent = [], 0.0
        for test in sorted(self.measured.tests(mutant), key=rank):
            spent += times[test]
            if spent > self.budget:
                break
            chosen.append(test)
        return chosen


@cache
def _distance(file: str, tests: str) -> int:
    """Tell how far a file of tests is from a module: 0 the one named after it, 1 of its chapter, 2 others."""
    module, path = PurePath(file), PurePath(tests)
    if path.stem == f"test_{module.stem}":
        return 0
    return 1 if path.parent.name == (module.parent.name or "tests") else 2


def _end(child: int) -> None:
    """End a child and all that it has started, which is one group of processes."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
