"""A testee: another program, asked and answered in JSON lines, that may do anything at all."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from typing import Any, Callable, TypeVar

from refquant.conformance.protocol import START, counted, fault, is_whole
from refquant.crew import PATIENCE
from refquant.errors import ArgumentError

Result = TypeVar("Result")

#: Most bytes of one answer; more is a flood.
LONGEST_ANSWER = 1 << 24

#: The commonest reason for a program that never answers.
HINT = "(does it flush its output after each line?)"

#: Bytes read at a time.
CHUNK = 1 << 16

#: What can be wrong with a testee, apart from its results.
TROUBLES = ("crash", "hang", "flood", "out of turn", "rubbish")


class Trouble(Exception):  # noqa: N818 -- it is reported, not raised to a caller
    """A testee did not answer as the protocol says; `kind` is one of TROUBLES."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class Dismissed(BaseException):
    """Nobody waits for an answer any more. No Exception, which could be taken for a fault of the testee."""


class Testee:
    """A running program under test. After a Trouble it is stopped, and started anew for the next request."""

    __test__ = False  # pytest: not a class of tests

    def __init__(self, command: Sequence[str], timeout: float) -> None:
        self.command = list(command)
        self.timeout = timeout
        self.sequence = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.starting = threading.Lock()
        self.dismissed = False
        self.lines: queue.Queue[bytes | Trouble | None] = queue.Queue()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one request and give its answer, which keeps to the protocol, without its number.

        Raises Trouble where it does not, ArgumentError where there is no program, Dismissed after `dismiss`.
        """
        if self.process is None:
            self._launch()
            if request["command"] != "start":
                self._exchange(START)
        return self._exchange(request)

    def stop(self) -> None:
        """End the program: by asking, and where that does not help, by force."""
        process = self.process
        if process is None:
            return
        assert process.stdin is not None
        if not self.dismissed:
            line = json.dumps({"seq": self.sequence + 1, "command": "stop"}) + "\n"
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                process.stdin.write(line.encode())
                process.stdin.close()
                process.wait(1)
        self._kill(process)
        self.process = None

    def dismiss(self) -> None:
        """End the program for good, by force and at once, whatever another thread is asking it.

        That thread clears up.
        """
        with self.starting:
            self.dismissed, process = True, self.process
        if process is not None:
            self._strike(process)

    def _launch(self) -> None:
        with self.starting:
            if self.dismissed:
                raise Dismissed
            try:
                self.process = subprocess.Popen(
                    self.command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=os.name == "posix",
                )
            except OSError as error:
                raise ArgumentError(f"cannot start {self.command[0]}: {error.strerror}") from error
        self.lines = queue.Queue()
        threading.Thread(target=_read_lines, args=(self.process, self.lines), daemon=True).start()

    def _exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return self._answer(request)
        except Trouble:
            process, self.process = self.process, None
            assert process is not None
            self._kill(process)
            if self.dismissed:
                raise Dismissed from None
            raise

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process is not None
        assert self.process.stdin is not None
        self.sequence += 1
        try:
            line = json.dumps({"seq": self.sequence, **request}) + "\n"
            self.process.stdin.write(line.encode())
            self.process.stdin.flush()
        except OSError:
            raise Trouble("crash", self._last_words()) from None
        got = self._line()
        if isinstance(got, Trouble):
            raise got
        if got is None:
            raise Trouble("crash", self._last_words())
        if any(line is not None for line in list(self.lines.queue)):  # None: it has ended by now
            raise Trouble("out of turn", "more than one line for one request")
        return self._parsed(got, request["command"])

    def _line(self) -> bytes | Trouble | None:
        """Wait for a line, in steps: an orphan of the program may keep its output open."""
        until = time.monotonic() + self.timeout
        while not self.dismissed:
            left = until - time.monotonic()
            try:
                return self.lines.get(timeout=max(0, min(left, PATIENCE)))
            except queue.Empty:
                if left <= PATIENCE:
                    raise Trouble(
                        "hang", f"no answer within {counted(self.timeout, 'second')} {HINT}"
                    ) from None
        raise Dismissed

    def _parsed(self, line: bytes, command: str) -> dict[str, Any]:
        try:
            reply = json.loads(line.decode())
        except (ValueError, RecursionError):
            raise Trouble("rubbish", f"not JSON: {line[:60]!r}") from None
        if not isinstance(reply, dict):
            raise Trouble("rubbish", f"not an object: {line[:60]!r}")
        seq = reply.pop("seq", None)
        if not is_whole(seq) or seq != self.sequence:
            raise Trouble("out of turn", f"answered {seq!r:.40} to request {self.sequence}")
        wrong = fault(command, reply)
        if wrong:
            raise Trouble("rubbish", wrong)
        return reply

    def _last_words(self) -> str:
        assert self.process is not None
        try:
            code = self.process.wait(1)
        except subprocess.TimeoutExpired:
            return "closed its output"
        return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"

    @staticmethod
    def _strike(process: subprocess.Popen[bytes]) -> None:
        """Kill a program and whatever it started."""
        with contextlib.suppress(OSError):
            if os.name == "posix":
                os.killpg(process.pid, 9)
            else:
                process.kill()

    @classmethod
    def _kill(cls, process: subprocess.Popen[bytes]) -> None:
        """Kill a program and whatever it started, and clear up."""
        cls._strike(process)
        process.wait()
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()


def side_by_side(
    command: Sequence[str], timeout: float, works: Sequence[Callable[[Testee], Result]]
) -> list[Result]:
    """Do pieces of work at once, each with a testee of its own; give what they return, in their order.

    They are done beside this thread, which waits, so that a signal finds it free. Whatever it is interrupted
    by, and the first exception of a work, ends all testees, and is raised.
    """
    testees = [Testee(command, timeout) for _ in works]
    futures: list[Future[Result]] = [Future() for _ in works]
    waiting = set(futures)
    try:
        for parts in zip(works, testees, futures):
            threading.Thread(target=_do, args=parts, daemon=True).start()
        while waiting:
            done, waiting = wait(waiting, PATIENCE, FIRST_EXCEPTION)
            for future in done:
                future.result()
    except BaseException:
        for testee in testees:
            testee.dismiss()
        wait(waiting, PATIENCE)
        raise
    return [future.result() for future in futures]


def _do(work: Callable[[Testee], Result], testee: Testee, future: Future[Result]) -> None:
    try:
        try:
            result = work(testee)
        finally:
            testee.stop()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def _read_lines(process: subprocess.Popen[bytes], lines: queue.Queue[bytes | Trouble | None]) -> None:
    """Put what a program writes into a queue, line by line; None at its end, a Trouble where it floods.

    The output is closed here and nowhere else: closed by someone else, its number could be that of another
    program's output by the time of the next read.
    """
    assert process.stdout is not None
    with process.stdout as output:
        lines.put(_pass_lines(output.fileno(), lines))


def _pass_lines(descriptor: int, lines: queue.Queue[bytes | Trouble | None]) -> Trouble | None:
    pending = bytearray()
    while True:
        chunk = os.read(descriptor, CHUNK)
        if not chunk:
            return None
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            lines.put(bytes(pending + end))
            pending.clear()
        pending += rest
        if len(pending) > LONGEST_ANSWER or lines.qsize() > CHUNK:
            return Trouble("flood", f"over {LONGEST_ANSWER:,} bytes a line, or {CHUNK:,} lines unasked")
