"""Those who work beside this process: processes of our own, or an executor that someone has.

Neither `multiprocessing` nor `concurrent.futures` is imported before there is use for it.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Union

from refquant.errors import WorkerError

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

#: How far ahead of its work an executor is kept: two batches for each processor here or, so that a whole
#: cluster may be busy, 64 MiB. The rest of a large model waits, without a copy.
AHEAD_EACH, AHEAD = 2, 1 << 26

#: Seconds after which a wait looks around: an interrupt that arrives in the moment before it begins is not
#: noticed sooner, and on Windows none is.
PATIENCE = 1.0


class Batch(NamedTuple):
    """Items that travel together: their numbers, in ascending order, and their bytes."""

    numbers: list[int]
    size: int


class Lost(Exception):  # noqa: N818 -- `parallel` knows what was lost, and makes an error of it
    """These batches will not come back.

    The reason is the start of a sentence about a tensor, which is named next; what else is known follows.
    """

    def __init__(self, reason: str, batches: Collection[Batch], details: str = "") -> None:
        super().__init__(reason)
        self.batches = batches
        self.details = details


class Worker(NamedTuple):
    """A process and the pipe to it."""

    process: BaseProcess
    pipe: Connection


class Processes:
    """Up to `jobs` processes, started in the platform's way, each when there is work for it.

    Used as a context, at whose end they are gone; where it ends in an exception, at once. Unlike those of a
    ProcessPoolExecutor they come without a thread, which would be at odds with forking, and which waits for
    ever, in some versions of Python, for a worker that died over a long message (python/cpython#94777).
    """

    def __init__(self, jobs: int) -> None:
        import multiprocessing

        self.context = multiprocessing.get_context()
        self.jobs = jobs
        self.workers: list[Worker] = []
        self.idle: list[Worker] = []
        self.busy: dict[Worker, Batch] = {}

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        for process, pipe in self.workers:
            if kind is not None:
                process.kill()
            with suppress(OSError):  # whoever is dead by now
                pipe.send(None)
            pipe.close()
        for process, _ in self.workers:
            process.join()

    @property
    def flying(self) -> Collection[Batch]:
        """Give the batches that are at work."""
        return self.busy.values()

    def has_room(self) -> bool:
        """Tell whether another batch would find someone, or keep someone busy."""
        return len(self.busy) < self.jobs

    def send(self, batch: Batch, function: Callable[..., Any], *arguments: Any) -> None:
        """Have a function called for a batch. Raises Lost, or WorkerError where no process can be had."""
        worker = self.idle.pop() if self.idle else self._start()
        self.busy[worker] = batch
        try:
            worker.pipe.send((function, arguments))
        except OSError:
            raise self._lost(worker) from None

    def receive(self) -> Iterator[tuple[Batch, Any]]:
        """Wait a while, and give batches that are done with what the function returned. Raises Lost."""
        from multiprocessing.connection import wait

        ready = wait([worker.pipe for worker in self.busy], PATIENCE)
        for worker in [worker for worker in self.busy if worker.pipe in ready]:
            try:
                answer = worker.pipe.recv()
            except (EOFError, OSError):
                raise self._lost(worker) from None
            self.idle.append(worker)
            yield self.busy.pop(worker), answer

    def _start(self) -> Worker:
        try:
            ours, theirs = self.context.Pipe()
        except OSError as error:
            raise WorkerError(f"cannot start a worker process: {error}") from error
        process = self.context.Process(target=_serve, args=(theirs,))
        if os.name == "posix" and self.context.get_start_method() != "fork":
            from multiprocessing import resource_tracker

            resource_tracker.ensure_running()  # which would let interrupts through, were it started later
        with theirs, _signals_held():
            try:
                process.start()
            except (OSError, AssertionError) as error:
                # An AssertionError says that this process may not have children.
                ours.close()
                raise WorkerError(f"cannot start a worker process: {error}") from error
            self.workers.append(Worker(process, ours))
        return self.workers[-1]

    def _lost(self, worker: Worker) -> Lost:
        worker.process.join()
        code = worker.process.exitcode or 0
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return Lost(f"a worker process {how} at work on", [self.busy[worker]])


@contextmanager
def _signals_held() -> Iterator[None]:
    """Hold back, for the time of a block, signals to end; a process that is started there holds them too."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection) -> None:
    """Do what the pipe says, in a worker process, until it says None."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the parent, which ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, ConnectionError):
        while True:
            message = pipe.recv()
            if message is None:
                return
            function, arguments = message
            pipe.send(function(*arguments))


def _end_with_parent() -> None:
    """End this process as soon as its parent has, however that came about."""
    import multiprocessing

    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


class Hired:
    """An executor, used like Processes; it is left running, and what it has not begun is taken back."""

    def __init__(self, executor: Executor) -> None:
        self.executor = executor
        self.futures: dict[Future[Any], Batch] = {}

    def __enter__(self) -> Hired:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        for future in self.futures:
            future.cancel()

    @property
    def flying(self) -> Collection[Batch]:
        """Give the batches that are at work."""
        return self.futures.values()

    def has_room(self) -> bool:
        """Tell whether another batch would find someone, or keep someone busy."""
        few = len(self.futures) < AHEAD_EACH * (os.cpu_count() or 1)
        return few or sum(batch.size for batch in self.flying) < AHEAD

    def send(self, batch: Batch, function: Callable[..., Any], *arguments: Any) -> None:
        """Have a function called for a batch. Raises Lost."""
        from concurrent.futures import Future

        try:
            future = self.executor.submit(function, *arguments)
        except Exception as error:
            raise self._lost("did not take the work on", error, batch) from error
        if not isinstance(future, Future) or future in self.futures:
            raise instead(future, "a future of its own", batch)
        self.futures[future] = batch

    def receive(self) -> Iterator[tuple[Batch, Any]]:
        """Wait a while, and give batches that are done with what the function returned. Raises Lost."""
        from concurrent.futures import FIRST_COMPLETED, wait

        for future in wait(self.futures, PATIENCE, FIRST_COMPLETED).done:
            batch = self.futures.pop(future)
            try:
                answer = future.result()
            except Exception as error:
                raise self._lost("failed at work on", error, batch) from error
            yield batch, answer

    def _lost(self, what: str, error: Exception, batch: Batch) -> Lost:
        from concurrent.futures import BrokenExecutor

        batches = [batch]
        if isinstance(error, BrokenExecutor):
            what, batches = "failed at work on", [batch, *self.flying]
        return Lost(f"the executor {what}", batches, f"{type(error).__name__}: {error}".removesuffix(": "))


def instead(given: object, due: str, batch: Batch) -> Lost:
    """Say that an executor, which is somebody else's, gave something else than was due."""
    import reprlib

    return Lost(f"the executor gave back {reprlib.repr(given)} in place of {due} for", [batch])


Crew = Union[Processes, Hired]
