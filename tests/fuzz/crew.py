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

#: Seconds without progress after which a worker is taken to hang.
PATIENCE = 60.0

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


def _work(connection: Connection, progress: Any, settings: Settings) -> None:
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

    def __init__(self, settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.progress = context.Value("q", -1, lock=False)
        self.process = context.Process(target=_work, args=(theirs, self.progress, settings), daemon=True)
        self.process.start()
        theirs.close()
        self.numbers = range(0)
        self.seen, self.since = -1, time.monotonic()

    def give(self, numbers: range) -> None:
        self.numbers = numbers
        self.since = time.monotonic()
        self.connection.send(numbers)

    def stuck(self) -> float:
        """Give the seconds since there was progress."""
        if self.progress.value != self.seen:
            self.seen, self.since = self.progress.value, time.monotonic()
        return time.monotonic() - self.since

    def end(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def run(settings: Settings, inputs: int, jobs: int, seconds: float) -> Iterator[Tried]:
    """Spread inputs over so many processes; give what came of them, a batch or a lost worker at a time."""
    until = time.monotonic() + seconds
    waiting = iter(range(at, min(at + BATCH, inputs)) for at in range(0, inputs, BATCH))
    again: list[range] = []
    workers: list[_Worker] = []

    def following() -> range | None:
        if again:
            return again.pop()
        return next(waiting, None) if time.monotonic() < until else None

    def start() -> None:
        numbers = following()
        if numbers is not None:
            workers.append(_Worker(settings))
            workers[-1].give(numbers)

    try:
        for _ in range(jobs):
            start()
        while workers:
            wait([worker.connection for worker in workers], timeout=1.0)
            for worker in list(workers):
                tried, lost = _heard(worker), None
                if tried is not None:
                    yield tried
                    numbers = following()
                    if numbers is not None:
                        worker.give(numbers)
                        continue
                elif not worker.process.is_alive():
                    lost = Finding("crash", "worker", f"it ended with {worker.process.exitcode}")
                elif worker.stuck() > settings.patience:
                    lost = Finding("hang", "worker", f"no progress in {settings.patience:.0f} s")
                else:
                    continue
                workers.remove(worker)
                worker.end()
                if lost:
                    at = max(worker.progress.value, worker.numbers.start)
                    again += [
                        part
                        for part in (range(worker.numbers.start, at), range(at + 1, worker.numbers.stop))
                        if part
                    ]
                    yield Tried(1, 0, Counter(), [(at, lost)])
                    start()
    finally:
        for worker in workers:
            worker.end()


def _heard(worker: _Worker) -> Tried | None:
    """Take what a worker tells; None: nothing, or it is gone."""
    try:
        return worker.connection.recv() if worker.connection.poll() else None
    except (EOFError, OSError):
        worker.process.join(5.0)
        return None
