"""The runner: every case to the testee, every answer to the judge, and what came of it."""

from __future__ import annotations

import fnmatch
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from refquant.conformance.judge import Case, judge
from refquant.conformance.process import Testee, Trouble
from refquant.errors import ArgumentError

#: Outcomes of a case: as expected; wrong; in trouble (see process.TROUBLES); not offered; known to fail, and
#: failing as foretold; known to fail, and passing or failing otherwise.
OUTCOMES = ("passed", "failed", "trouble", "skipped", "known", "unexpected")

#: Outcomes for which a run as a whole has failed.
BAD_OUTCOMES = ("failed", "trouble", "unexpected")


class Known(NamedTuple):
    """An entry of a list of known failures."""

    #: Pattern of ids, as of files: `linear-*`.
    cases: str
    #: Why it fails.
    reason: str
    #: A part of the message with which it fails.
    message: str


class Verdict(NamedTuple):
    """What came of one case."""

    case: Case
    outcome: str
    message: str


class Report(NamedTuple):
    """What came of a run."""

    #: What the testee said of itself at `start`.
    implementation: dict[str, Any]
    verdicts: list[Verdict]
    #: Sentence of every rule.
    rules: dict[str, str]
    command: list[str]

    @property
    def counts(self) -> Counter[str]:
        """How many cases came to which outcome."""
        return Counter(verdict.outcome for verdict in self.verdicts)

    @property
    def good(self) -> bool:
        """Whether nothing failed that was not known to."""
        return not any(self.counts[outcome] for outcome in BAD_OUTCOMES)


def run(
    command: Sequence[str],
    cases: list[Case],
    rules: dict[str, str],
    known: Iterable[Known] = (),
    jobs: int = 1,
    timeout: float = 10.0,
    progress: Callable[[Verdict], object] = lambda verdict: None,
) -> Report:
    """Put cases to a testee, over `jobs` processes, and judge its answers.

    A case that the testee does not survive costs that case alone: the testee is started anew. Raises
    ArgumentError where the program cannot be started or does not answer `start`.
    """
    implementation = introduce(command, timeout)
    offered = set(implementation.get("operations", []))
    entries = list(known)

    def work(share: list[Case]) -> list[Verdict]:
        testee = Testee(command, timeout)
        verdicts = []
        try:
            for case in share:
                verdict = _with_known(_verdict(testee, case, offered), entries)
                progress(verdict)
                verdicts.append(verdict)
        finally:
            testee.stop()
        return verdicts

    shares = [cases[start::jobs] for start in range(jobs)]
    with ThreadPoolExecutor(jobs) as pool:
        found = {verdict.case["id"]: verdict for share in pool.map(work, shares) for verdict in share}
    return Report(implementation, [found[case["id"]] for case in cases], rules, list(command))


def introduce(command: Sequence[str], timeout: float) -> dict[str, Any]:
    """Ask a testee what it is. Raises ArgumentError where it does not say."""
    testee = Testee(command, timeout)
    try:
        reply = testee.ask({"command": "start", "protocol": 1})
    except Trouble as trouble:
        raise ArgumentError(f"{command[0]} does not answer `start`: {trouble}") from None
    finally:
        testee.stop()
    if reply.get("protocol") != 1 or not isinstance(reply.get("operations"), list):
        raise ArgumentError(f"{command[0]} does not speak protocol 1: {json.dumps(reply)[:80]}")
    return reply


def _verdict(testee: Testee, case: Case, offered: set[str]) -> Verdict:
    if case["operation"] not in offered:
        return Verdict(case, "skipped", f"{case['operation']} is not offered")
    request = {"command": "run", "operation": case["operation"], "input": case["input"]}
    try:
        # A case that says "repeat" is asked for several times, and wants one answer. Rule: KM-3.
        reply, *others = (_answer(testee.ask(request)) for _ in range(case.get("repeat", 1)))
    except Trouble as trouble:
        return Verdict(case, "trouble", str(trouble))
    if "skipped" in reply:
        return Verdict(case, "skipped", str(reply["skipped"]))
    try:
        wrong = judge(case, reply)
        if not wrong and any(other != reply for other in others):
            wrong = "gave another answer when asked once more"
    except (ValueError, TypeError, KeyError) as error:
        return Verdict(case, "trouble", f"rubbish: {error}")
    return Verdict(case, "failed" if wrong else "passed", wrong or "")


def _answer(reply: dict[str, Any]) -> dict[str, Any]:
    """Give a reply without its sequence number."""
    return {key: value for key, value in reply.items() if key != "seq"}


def _with_known(verdict: Verdict, known: list[Known]) -> Verdict:
    """Hold a verdict against the list of known failures, strictly: an entry must fail, and as it says."""
    entry = next((e for e in known if fnmatch.fnmatchcase(verdict.case["id"], e.cases)), None)
    if entry is None or verdict.outcome == "skipped":
        return verdict
    if verdict.outcome == "passed":
        return verdict._replace(outcome="unexpected", message=f"passes, but is known to fail: {entry.reason}")
    if entry.message not in verdict.message:
        message = f"fails otherwise than known ({entry.message!r}): {verdict.message}"
        return verdict._replace(outcome="unexpected", message=message)
    return verdict._replace(outcome="known", message=entry.reason)


def read_known(path: str | Path) -> list[Known]:
    """Read a list of known failures: `{"known_failures": [{"cases", "reason", "message"}, ...]}`."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return [
            Known(entry["cases"], entry["reason"], entry["message"]) for entry in content["known_failures"]
        ]
    except OSError as error:
        raise ArgumentError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ArgumentError(f"{path} is no list of known failures: {error!r}") from error


def write_known(path: str | Path, report: Report, old: list[Known]) -> None:
    """Write the list that would make a run good: old reasons are kept, new ones say that they are missing.

    An old entry stays where every case that it names still fails as it says; other failures get an entry
    each.
    """
    failing = {v.case["id"]: v for v in report.verdicts if v.outcome in (*BAD_OUTCOMES, "known")}
    failing = {i: v for i, v in failing.items() if "passes, but is known" not in v.message}
    kept = []
    for entry in old:
        named = [v for v in report.verdicts if fnmatch.fnmatchcase(v.case["id"], entry.cases)]
        if named and all(v.outcome in ("known", "skipped") for v in named):
            kept.append(entry)
    covered = {i for i in failing if any(fnmatch.fnmatchcase(i, entry.cases) for entry in kept)}
    reasons = {entry.cases: entry.reason for entry in old}
    fresh = [
        Known(i, reasons.get(i, "no reason given yet"), v.message.rpartition("): ")[2] or v.message)
        for i, v in failing.items()
        if i not in covered
    ]
    entries = [entry._asdict() for entry in (*kept, *fresh)]
    Path(path).write_text(json.dumps({"known_failures": entries}, indent=1) + "\n", encoding="utf-8")
