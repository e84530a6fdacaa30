"""The test suite as a process that forks: collected once, it runs any of its tests, with or without a fault.

A mutant lives in a child of its own. Where only a function's code differs, the child of the collected suite
gives that function the other code. Where a module differs in what it does when it is imported (tables,
constants, defaults, decorators), a child that has imported nothing of refquant yet imports it with the fault
and collects the tests that it needs.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Callable, NoReturn

import pytest
from hypothesis import Phase, settings

from tests.mutants.mutants import ROOT, Mutant, Names, compiled, files

#: Exit codes of a child: what came of a mutant.
SURVIVED, KILLED, TIMED_OUT = 0, 1, 2

#: Most seconds that a test may take with a fault in it: a multiple of what it takes without, and some more.
PATIENCE = (10, 5.0)

#: Most seconds by the clock for a test that waits for others.
STUCK = 120

#: Most bytes of memory that a mutant may take.
MEMORY = 4 << 30

#: Options of pytest: what a test prints is of no interest, and each child has a temporary folder of its own.
OPTIONS = (
    *("-q", "-s", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)

#: What each test takes: its id -> seconds.
Times = Mapping[str, float]


class Suite:
    """A pytest plugin that does something else with the collected tests than to run them in turn."""

    def __init__(self, act: Callable[[Suite, list[pytest.Item]], None]) -> None:
        self.act = act
        self.failed = False

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        # A failing example is enough: nobody reads the smallest.
        now = settings.get_profile("refquant")
        settings.register_profile("mutants", now, phases=(Phase.explicit, Phase.generate), database=None)
        settings.load_profile("mutants")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("tests cannot be collected")
        self.act(self, session.items)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed = self.failed or report.failed

    def run(self, item: pytest.Item, following: pytest.Item | None) -> bool:
        """Run one test; tell whether it passed."""
        self.failed = False
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return not self.failed


def collect(act: Callable[[Suite, list[pytest.Item]], None], tests: Iterable[str] = ()) -> int:
    """Collect tests, all without any named, and hand them over."""
    # Examples are the same in every run, and a clone has no others to start from.
    os.environ["CI"] = "1"
    return int(pytest.main([*OPTIONS, *tests], plugins=[Suite(act)]))


def fork(task: Callable[[], int | None], folder: Path) -> int:
    """Start a child, which leads a group of processes, writes nowhere but to a folder, and exits as told."""
    folder.mkdir()
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.environ["PYTEST_DEBUG_TEMPROOT"] = os.environ["TMPDIR"] = str(folder)
        status = task() or 0
    except BaseException:
        import traceback

        (folder / "broken").write_text(traceback.format_exc(), encoding="utf-8")
    finally:
        os._exit(status)


def guard(seconds: float) -> None:
    """Limit the memory of this process for good, and its time until this is called anew."""

    def late(number: int, frame: FrameType | None) -> None:
        os._exit(TIMED_OUT)

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, late)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.alarm(STUCK)


def trial(suite: Suite, items: Sequence[pytest.Item], times: Times, folder: Path) -> NoReturn:
    """Run tests until one fails, and exit with what came of it."""
    for item, following in zip(items, [*items[1:], None]):
        guard(PATIENCE[0] * times.get(item.nodeid, 0.0) + PATIENCE[1])
        (folder / "test").write_text(item.nodeid, encoding="utf-8")
        if not suite.run(item, following):
            os._exit(KILLED)
    os._exit(SURVIVED)


def swap(mutant: Mutant) -> None:
    """Give a function that is already imported the code that has the fault, and forget what was cached."""
    assert mutant.function
    found: Any = import_module(mutant.module)
    for name in mutant.function:
        found = vars(found)[name] if isinstance(found, type) else getattr(found, name)
    if isinstance(found, cached_property):
        found = found.func
    found = getattr(found, "fget", None) or getattr(found, "__func__", found)
    while hasattr(found, "__wrapped__"):
        found = found.__wrapped__
    found.__code__ = _code(compiled(mutant), mutant.function)
    for name, module in list(sys.modules.items()):
        if name.startswith("refquant"):
            for value in vars(module).values():
                getattr(value, "cache_clear", int)()


def _code(module: CodeType, function: Names) -> CodeType:
    """Find a function's code in that of its module. Of several with the name, the last is what it means."""
    code: CodeType | None = module
    for name in function:
        assert code
        parts = [part for part in code.co_consts if isinstance(part, CodeType) and part.co_name == name]
        code = parts[-1]
    assert code
    return code


def infect(mutant: Mutant) -> None:
    """Have a module that is not yet imported come with the fault."""
    assert mutant.module not in sys.modules
    path, usual = str(ROOT / mutant.file), SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, name: str) -> CodeType | None:
        return compiled(mutant) if loader.path == path else usual(loader, name)

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment] # nobody calls it for less


def measure(tests: str, result: Path) -> None:
    """Run a file of tests under coverage, before refquant is imported, and write down what was measured."""
    import coverage

    measuring = coverage.Coverage(None, include=[str(ROOT / file) for file in files()], config_file=False)
    times: dict[str, float] = {}
    failed: list[str] = []

    def act(suite: Suite, items: list[pytest.Item]) -> None:
        for item, following in zip(items, [*items[1:], None]):
            measuring.switch_context(item.nodeid)
            before = sum(os.times()[:4])
            if not suite.run(item, following):
                failed.append(item.nodeid)
            times[item.nodeid] = sum(os.times()[:4]) - before

    measuring.start()
    code = collect(act, [tests])
    measuring.stop()
    if code or failed:
        named = ", ".join(failed) or f"pytest exits with {code} at {tests}"
        raise RuntimeError(f"fails without a mutant: {named}")
    data = measuring.get_data()
    lines = {file: data.contexts_by_lineno(str(ROOT / file)) for file in files()}
    result.write_text(json.dumps({"times": times, "lines": lines}), encoding="utf-8")
