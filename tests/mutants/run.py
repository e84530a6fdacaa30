"""Try mutants: each with the tests that run its line, the most promising first, several side by side."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import count, islice
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Callable, NamedTuple, Optional, TypeVar

import pytest

from tests.mutants import suite
from tests.mutants.ledger import FOLDER, hash_of, hash_of_all
from tests.mutants.mutants import Mutant

T = TypeVar("T")

#: Exit code of a child -> what came of its mutant. Any other tells of a crash, which is noticed as well.
OUTCOMES = {suite.SURVIVED: "survived", suite.TIMED_OUT: "timed out"}

#: Seconds in which modules must be imported and tests collected.
STARTING = 30.0

#: Tests that are run before and after mutants without one, so that a failure is known to be a mutant's.
CONTROL = 200

#: Told of every mutant: the mutant, what came of it, the test that was run last.
Record = Callable[[Mutant, str, "str | None"], None]

#: What a child does, which has a folder of its own; gives its exit code.
Task = Callable[[Path], Optional[int]]

#: Tries a mutant in such a child.
Trial = Callable[[Mutant, Path], Optional[int]]


class Measured(NamedTuple):
    """What the suite does without a fault: seconds of each test, and the tests that run each line."""

    times: dict[str, float]
    #: File -> line -> ids of tests; an empty one stands for what is run when modules are imported.
    lines: dict[str, dict[str, list[str]]]

    def at_import(self, mutant: Mutant) -> bool:
        """Tell whether a mutant matters when modules are imported.

        So does one in a function that another makes then: it lives on, and nobody knows where.
        """
        lines = self.lines[mutant.file]
        run = (*mutant.lines, *mutant.made)
        return mutant.function is None or any("" in lines.get(str(line), ()) for line in run)

    def tests(self, mutant: Mutant) -> set[str]:
        """Give the tests that run a line of the mutant; of one that matters when imported, of its module."""
        lines = self.lines[mutant.file]
        wanted = lines.values() if self.at_import(mutant) else (lines.get(str(n), []) for n in mutant.lines)
        return {test for tests in wanted for test in tests if test}

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
        self.numbers = count()
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
                self._collected(kinds[False])
            # One file of tests is collected much sooner than all; what survives it meets the others.
            survivors = self._infected(kinds[True], near=True)
            self._infected(survivors, near=False)

    def noted(self, mutant: Mutant, test: str) -> None:
        """Note that a test has noticed a mutant."""
        self.noticed[mutant.file, mutant.function][test] += 1

    def _measured(self) -> Measured:
        """Run the tests without a fault, those of every file where they or refquant differ from last time."""
        base = FOLDER / "measured" / hash_of_all("refquant")
        base.mkdir(parents=True, exist_ok=True)
        kept = {file: base / f"{file.replace('/', '-')}-{hash_of(file)}.json" for file in self.tests}

        def ended(file: str, code: int, folder: Path) -> None:
            _raise_broken(folder)
            shutil.move(folder / "measured.json", kept[file])

        def task(file: str, folder: Path) -> None:
            suite.measure(file, folder / "measured.json")

        missing = [file for file, path in kept.items() if not path.exists()]
        self._side_by_side(((file, partial(task, file)) for file in missing), ended)
        measured = Measured({}, {})
        for path in kept.values():
            measured.add(Measured(**json.loads(path.read_text(encoding="utf-8"))))
        return measured

    def _collected(self, mutants: Sequence[Mutant]) -> None:
        """Have one child collect the suite and try mutants in children of its own."""
        folder = self.folder / "collected"
        child = suite.fork(partial(suite.collect, partial(self._swapped, mutants), self.tests), folder)
        try:
            _, status = os.waitpid(child, 0)
        except BaseException:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
            raise
        _raise_broken(folder)
        if status:
            raise RuntimeError(f"the collected suite ended with status {status}")

    def _swapped(self, mutants: Sequence[Mutant], running: suite.Suite, items: list[pytest.Item]) -> None:
        by_id = {item.nodeid: item for item in items}
        times = self.measured.times

        def control(folder: Path) -> None:
            quickest = sorted(times, key=lambda test: times[test])[:CONTROL]
            suite.trial(running, [by_id[test] for test in quickest], times, folder)

        def controlled(_: None, code: int, folder: Path) -> None:
            if code != suite.SURVIVED:
                raise RuntimeError(f"{(folder / 'test').read_text(encoding='utf-8')} fails without a mutant")

        def task(mutant: Mutant, folder: Path) -> None:
            suite.guard(suite.PATIENCE[1])
            suite.swap(mutant)
            tests = self._promising(mutant)
            suite.trial(running, [by_id[test] for test in tests], times, folder)

        self._side_by_side([(None, control)], controlled)
        self._try(mutants, task, self.record)
        self._side_by_side([(None, control)], controlled)

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
                times = self.measured.times
                # Tests of each row of a table have other names where a row has: they are tried as well.
                named_anew = [item for item in items if item.nodeid not in times]
                known = [by_id[test] for test in tests if test in by_id]
                suite.trial(running, [*known, *named_anew], times, folder)

            suite.infect(mutant)
            files = {test.split("::")[0] for test in tests}
            suite.collect(act, [part for part in self.tests if part.split("::")[0] in files])
            return suite.KILLED  # tests could not even be collected

        def record(mutant: Mutant, outcome: str, test: str | None) -> None:
            if near and outcome == "survived":
                survivors.append(mutant)
            else:
                self.record(mutant, outcome, test)

        self._try(mutants, task, record)
        return survivors

    def _try(self, mutants: Iterable[Mutant], task: Trial, record: Record) -> None:
        """Try mutants side by side, and tell what comes of each."""

        def ended(mutant: Mutant, code: int, folder: Path) -> None:
            last = folder / "test"
            if not last.exists():
                _raise_broken(folder)
            outcome = OUTCOMES.get(code, "killed")
            test = last.read_text(encoding="utf-8") if last.exists() and outcome != "survived" else None
            if test:
                self.noted(mutant, test)
            record(mutant, outcome, test)

        self._side_by_side(((mutant, partial(task, mutant)) for mutant in mutants), ended)

    def _side_by_side(self, tasks: Iterable[tuple[T, Task]], ended: Callable[[T, int, Path], None]) -> None:
        """Do each task in a child of its own, so many at a time, and tell the exit code of each."""
        waiting, running = iter(tasks), dict[int, tuple[T, Path]]()
        try:
            while True:
                for subject, task in islice(waiting, self.jobs - len(running)):
                    folder = self.folder / f"{os.getpid()}-{next(self.numbers)}"
                    running[suite.fork(partial(task, folder), folder)] = subject, folder
                if not running:
                    return
                child, status = os.wait()
                subject, folder = running.pop(child)
                _end(child)
                ended(subject, os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1, folder)
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            for child in running:
                _end(child)

    def _promising(self, mutant: Mutant) -> list[str]:
        """Order the tests that may notice a mutant, and cut them where the budget is spent."""
        noticed, times = self.noticed[mutant.file, mutant.function], self.measured.times

        def rank(test: str) -> tuple[object, ...]:
            return -noticed[test], _distance(mutant.file, test.split("::")[0]), times[test]

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


def _raise_broken(folder: Path) -> None:
    """Raise what a child has not come to terms with."""
    broken = folder / "broken"
    if broken.exists():
        raise RuntimeError(broken.read_text(encoding="utf-8"))


def _end(child: int) -> None:
    """End a child and all that it has started, which is one group of processes."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
