"""Settings of the whole suite, and the tally of what was compared with other programs."""

import os
import signal
from collections import Counter
from typing import Any

import pytest
from hypothesis import settings

# Machines that run tests are often busy: no example has a deadline. Where CI is set, examples are the same
# in every run, so that a failure is about the change at hand.
settings.register_profile("refquant", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("refquant")

# Shells start what runs in the background with interrupts ignored, and so would the programs be that tests
# start, some of them to be interrupted.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: What was compared: outcome -> how many times. Processes that test side by side add theirs up at the end.
TALLY: Counter[str] = Counter()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    TALLY.update(getattr(node, "workeroutput", {}).get("tally", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of several processes (pytest-xdist)
        session.config.workeroutput["tally"] = dict(TALLY)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if TALLY:
        terminalreporter.section("compared with others")
        for outcome, count in sorted(TALLY.items()):
            terminalreporter.write_line(f"{count:6} {outcome}")
