"""Ctrl-C and SIGTERM end the kit at once, and every testee with what it has started."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from refquant.conformance.process import Dismissed, Testee, side_by_side
from refquant.conformance.protocol import START
from tests.test_parallel import group
from tests.waiting import CHECKOUT

on_posix = pytest.mark.skipif(os.name != "posix" or not shutil.which("ps"), reason="signals, and ps")

SLOW = str(Path(__file__).with_name("slow.py"))

#: Seconds that a busy machine may take; what is ended here would go on for longer.
LONG = 60


def start(folder: Path, *options: str, seconds: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "refquant", "conformance", *options, "--", sys.executable, SLOW, seconds],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_testees(folder: Path, count: int) -> list[int]:
    """Wait until so many testees are at a case, and give the numbers of their process groups."""
    deadline = time.monotonic() + LONG
    while len(begun := list(folder.glob("begun-*"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return [int(path.name.partition("-")[2]) for path in begun]


def wait_for_silence(testees: list[int]) -> None:
    deadline = time.monotonic() + LONG
    while left := [args for testee in testees for args in group(testee)]:
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


@on_posix
class TestSignals:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    @pytest.mark.parametrize("jobs", [1, 2])
    def test_run(self, jobs: int, number: signal.Signals, code: int, tmp_path: Path) -> None:
        process = start(tmp_path, "run", "--jobs", str(jobs), seconds="0.05")
        testees = wait_for_testees(tmp_path, jobs)
        process.send_signal(number)
        assert process.communicate(timeout=LONG) == ("", "")
        assert process.returncode == code
        wait_for_silence(testees)

    @pytest.mark.parametrize("action", ["fuzz", "smoke"])
    def test_in_the_middle_of_an_answer(self, action: str, tmp_path: Path) -> None:
        process = start(tmp_path, action, "--timeout", "600", seconds="600")
        testees = wait_for_testees(tmp_path, 1)
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=LONG)
        assert said.count("\n") == (1 if action == "smoke" else 0)  # how well refquant itself did
        assert errors == ""
        assert process.returncode == 130
        wait_for_silence(testees)


def fails(testee: Testee) -> None:
    raise ZeroDivisionError


class TestSideBySide:
    """An error ends all testees; it is not waited for an answer that there is no hope of."""

    def test_work_that_fails(self) -> None:
        program = [sys.executable, "-c", "import time; time.sleep(600)"]
        ended = threading.Event()

        def waits(testee: Testee) -> None:
            try:
                testee.ask(START)
            except Dismissed:
                ended.set()
                raise

        with pytest.raises(ZeroDivisionError):
            side_by_side(program, 600, [waits, fails])
        assert ended.wait(LONG)

    def test_who_is_dismissed_does_not_start_anew(self) -> None:
        testee = Testee([sys.executable, "-c", ""], 600)
        testee.dismiss()
        with pytest.raises(Dismissed):
            testee.ask(START)
        assert testee.process is None

    def test_an_output_that_stays_open(self) -> None:
        """A process that has left the testee's group may go on, and hold the output."""
        testee = Testee([sys.executable, "-c", "import time; time.sleep(600)"], 600)
        asked = threading.Thread(target=self.ask, args=(testee,), daemon=True)
        asked.start()
        testee.dismissed = True  # and nothing has come to an end
        asked.join(LONG)
        assert not asked.is_alive()
        testee.stop()

    def ask(self, testee: Testee) -> None:
        with contextlib.suppress(Dismissed):
            testee.ask(START)
