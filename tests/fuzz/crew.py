"""Workers that try inputs, and one that watches them: a worker may crash or hang, and the work goes on."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from tests.fuzz import bases, limits
from tests.fuzz.bends import Input, drawn
from tests.fuzz.mutations import mutated
from tests.fuzz.target import CONVERSIONS, Finding, Outcomes, explore

#: Inputs that a worker tries before it tells what came of them.
BATCH = 250

#: Seconds without progress after which a worker is taken to hang, and the least that it has to start.
PATIENCE = STARTING = 60.0

#: One input in so many goes the whole path, and one in so many is shown by the commands too.
WHOLE, ON_DISK = 4, 64


class Settings(NamedTuple):
    """What inputs are tried, and how."""

    seed: int = 0
    #: How many conversions each input goes through.
    conversions: int = 1
    patience: float = PATIENCE


class Tried(NamedTuple):
    """What came of a run of inputs."""

    inputs: int
    #: How many of these were the base itself: what was done to it changed nothing.
    unchanged: int
    outcomes: Outcomes
    findings: list[tuple[int, Finding]]


def chosen(number: int, count: int) -> list[str]:
    """Choose the conversions of an input by its number, so that all have their turn."""
    names = list(CONVERSIONS)
    return [names[(number + step) % len(names)] for step in range(count)]


def data_of(given: Input) -> bytes:
    """Give the bytes of an input."""
    return mutated(bases.tree(given.base), given.mutations)


def attempt(
    settings: Settings, numbers: range, before: Callable[[int], object] = lambda number: None
) -> Tried:
    """Try the inputs of these numbers; `before` is called with each."""
    outcomes: Outcomes = Counter()
    findings, unchanged = [], 0
    for number in numbers:
        before(number)
        given = drawn(settings.seed, number)
        data = data_of(given)
        unchanged += data == bases.model(given.base)
        conversions = chosen(number, settings.conversions)
        found = explore(
            data, conversions, outcomes, shorter=number % WHOLE > 0, on_disk=number % ON_DISK == 0
        )
        if found is not None:
            findings.append((number, found))
    return Tried(len(numbers), unchanged, outcomes, findings)


#: What tries the inputs of some numbers, and says each before it does.
Attempt = Callable[[Settings, range, Callable[[int], object]], Tried]


def _work(connection: Connection, progress: Any, settings: Settings, attempt: Attempt) -> None:
    """Try what comes over a connection, until nothing does."""
    limits.confine()

    def before(number: int) -> None:
        progress.value = number

    while True:
        numbers = connection.recv()
        if numbers is None:
            return
        connection.send(attempt(settings, numbers, before))


class _Worker:
    """A process that tries inputs, and what it is at."""

    def __init__(self, settings: Settings, attempt: Attempt) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.progress = context.Value("q", -1, lock=False)
        self.process = context.Process(
            target=_work, args=(theirs, self.progress, settings, attempt), daemon=True
        )
        self.process.start()
        theirs.close()
        self.numbers = range(0)
        self.seen, self.since, self.patience = -1, time.monotonic(), settings.patience

    def give(self, numbers: range) -> None:
        self.numbers = numbers
        self.since = time.monotonic()
        self.connection.send(numbers)

    def told(self) -> Tried | None:
        """Take what it tells; None: nothing."""
        try:
            return self.connection.recv() if self.connection.poll() else None
        except (EOFError, OSError):
            self.process.join(5.0)
            return None

    def lost(self) -> Finding | None:
        """Tell how it was lost: it has ended, or makes no progress. None: it works."""
        if not self.process.is_alive():
            return Finding("crash", "worker", f"it ended with {self.process.exitcode}")
        if self.progress.value != self.seen:
            self.seen, self.since = self.progress.value, time.monotonic()
        patience = self.patience if self.seen >= 0 else max(self.patience, STARTING)
        if time.monotonic() - self.since > patience:
            return Finding("hang", "worker", f"no progress in {patience:.0f} s")
        return None

    def end(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def run(
    settings: Settings, inputs: int, jobs: int, seconds: float, attempt: Attempt = attempt
) -> Iterator[Tried]:
    """Spread inputs over so many processes; give what came of them, a batch or a lost worker at a time.

    None are begun after so many seconds. What a worker had done of its batch when it was lost is done anew.
    """
    until = time.monotonic() + seconds
    waiting = (range(at, min(at + BATCH, inputs)) for at in range(0, inputs, BATCH))
    again: list[range] = []
    workers: list[_Worker] = []

    def employ(worker: _Worker | None) -> None:
        """Give a worker, or a new one, something to do, if there is anything."""
        numbers = again.pop() if again else next(waiting, None) if time.monotonic() < until else None
        if numbers is not None and worker is None:
            workers.append(_Worker(settings, attempt))
            worker = workers[-1]
        if numbers is not None and worker is not None:
            worker.give(numbers)
        elif worker is not None:
            workers.remove(worker)
            worker.end()

    try:
        for _ in range(jobs):
            employ(None)
        while workers:
            wait([worker.connection for worker in workers], timeout=1.0)
            for worker in list(workers):
                tried = worker.told()
                lost = None if tried else worker.lost()
                if tried:
                    yield tried
                    employ(worker)
                elif lost:
                    workers.remove(worker)
                    worker.end()
                    at = max(worker.progress.value, worker.numbers.start)
                    rest = (range(worker.numbers.start, at), range(at + 1, worker.numbers.stop))
                    again += [numbers for numbers in rest if numbers]
                    yield Tried(1, 0, Counter(), [(at, lost)])
                    employ(None)
    finally:
        for worker in workers:
            worker.end()
