"""The runner: every case to the testee, every answer to the judge, and what came of it."""

from __future__ import annotations

import fnmatch
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any, NamedTuple

from refquant.conformance.judge import Case, judge
from refquant.conformance.operations import OPERATIONS
from refquant.conformance.process import Testee, Trouble, side_by_side
from refquant.conformance.protocol import START, printable
from refquant.errors import ArgumentError

#: Outcomes of a case: as expected; wrong; in trouble (see process.TROUBLES); not offered; known to fail, and
#: failing as foretold; known to fail, and passing or failing otherwise.
OUTCOMES = ("passed", "failed", "trouble", "skipped", "known", "unexpected")

#: Outcomes for which a run as a whole has failed.
BAD_OUTCOMES = ("failed", "trouble", "unexpected")

#: Most processes of a testee for each core: with more, each waits for the others until its time is over.
JOBS_A_CORE = 4

#: Most characters of what is said of a case; a testee may send a novel.
LONGEST_MESSAGE = 400


#: Characters that make a pattern of a name.
WILD = frozenset("*?[")


class Known(NamedTuple):
    """An entry of a list of known failures."""

    #: Pattern of ids, as of files: `linear-*`.
    cases: str
    #: Why it fails.
    reason: str
    #: A part of the message with which it fails.
    message: str

    def names(self, case: Case) -> bool:
        """Whether the pattern is one of this case's id; most are an id, and told sooner."""
        identifier = case["id"]
        return identifier == self.cases or (
            not WILD.isdisjoint(self.cases) and fnmatch.fnmatchcase(identifier, self.cases)
        )


class Verdict(NamedTuple):
    """What came of one case."""

    case: Case
    outcome: str
    #: In one line, printable and not long, whatever the testee has sent.
    message: str = ""
    #: What is wrong with the answer, for a case that is known to fail as for any other.
    wrong: str = ""

    @classmethod
    def of(cls, case: Case, outcome: str, message: str) -> Verdict:
        """Make a verdict from words that may be a testee's."""
        said = printable(message[:LONGEST_MESSAGE])
        return cls(case, outcome, said, "" if outcome == "skipped" else said)


class Report(NamedTuple):
    """What came of a run."""

    #: What the testee said of itself at `start`.
    implementation: dict[str, Any]
    verdicts: list[Verdict]
    #: Sentence of every rule.
    rules: dict[str, str]
    command: list[str]
    #: File of the cases, where they are not the kit's own.
    vectors: str = ""

    @property
    def counts(self) -> Counter[str]:
        """How many cases came to which outcome."""
        return Counter(verdict.outcome for verdict in self.verdicts)

    @property
    def judged(self) -> int:
        """How many cases were not skipped."""
        return len(self.verdicts) - self.counts["skipped"]

    @property
    def unknown(self) -> list[str]:
        """Operations that the testee offers and the kit does not have: misspelt ones, most likely."""
        return [name for name in self.implementation["operations"] if name not in OPERATIONS]

    @property
    def good(self) -> bool:
        """Whether anything was judged, and nothing failed that was not known to."""
        return self.judged > 0 and not any(self.counts[outcome] for outcome in BAD_OUTCOMES)


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

    There are never more processes than cases, nor than JOBS_A_CORE a core. A case that the testee does not
    survive costs that case alone: the testee is started anew. `progress` is called from other threads. Raises
    ArgumentError where the program cannot be started or does not answer `start`.
    """
    implementation = introduce(command, timeout)
    offered = set(implementation["operations"])
    entries = list(known)
    jobs = max(1, min(jobs, len(cases), JOBS_A_CORE * (os.cpu_count() or 1)))

    def work(share: list[Case], testee: Testee) -> list[Verdict]:
        verdicts = []
        for case in share:
            verdict = _with_known(_offered(testee, case, offered), entries)
            progress(verdict)
            verdicts.append(verdict)
        return verdicts

    shares = side_by_side(command, timeout, [partial(work, cases[start::jobs]) for start in range(jobs)])
    found = {verdict.case["id"]: verdict for share in shares for verdict in share}
    return Report(implementation, [found[case["id"]] for case in cases], rules, list(command))


def introduce(command: Sequence[str], timeout: float) -> dict[str, Any]:
    """Ask a testee what it is. Raises ArgumentError where it does not say."""
    try:
        (reply,) = side_by_side(command, timeout, [methodcaller("ask", START)])
    except Trouble as trouble:
        raise ArgumentError(f"{command[0]} does not answer `start`: {printable(str(trouble))}") from None
    named = {key: reply["implementation"][key] for key in ("name", "version", "language")}
    return {
        "protocol": reply["protocol"],
        "implementation": {key: printable(text[:LONGEST_MESSAGE]) for key, text in named.items()},
        "operations": [printable(name[:LONGEST_MESSAGE]) for name in reply["operations"]],
    }


def put(testee: Testee, case: Case) -> Verdict:
    """Put one case to a testee and judge what it answers, whatever that is."""
    request = {"command": "run", "operation": case["operation"], "input": case["input"]}
    try:
        # A case that says "repeat" is asked for several times, and wants one answer. Rule: KM-3.
        reply, *others = (testee.ask(request) for _ in range(case.get("repeat", 1)))
    except Trouble as trouble:
        return Verdict.of(case, "trouble", str(trouble))
    if "skipped" in reply:
        return Verdict.of(case, "skipped", reply["skipped"])
    try:
        wrong = judge(case, reply)
    except (ValueError, TypeError, KeyError, ArithmeticError) as error:
        wrong = f"a result that nothing can be made of: {error}"
    if not wrong and any(other != reply for other in others):
        wrong = "gave another answer when asked once more"
    return Verdict.of(case, "failed", wrong) if wrong else Verdict(case, "passed")


def _offered(testee: Testee, case: Case, offered: set[str]) -> Verdict:
    if case["operation"] not in offered:
        return Verdict(case, "skipped", f"{case['operation']} is not offered")
    return put(testee, case)


def _with_known(verdict: Verdict, known: list[Known]) -> Verdict:
    """Hold a verdict against the list of known failures, strictly: an entry must fail, and as it says."""
    entry = next((entry for entry in known if entry.names(verdict.case)), None)
    if entry is None or verdict.outcome == "skipped":
        return verdict
    if verdict.outcome == "passed":
        return verdict._replace(outcome="unexpected", message=f"passes, but is known to fail: {entry.reason}")
    if entry.message not in verdict.wrong:
        message = f"fails otherwise than known ({entry.message!r}): {verdict.wrong}"
        return verdict._replace(outcome="unexpected", message=message)
    return verdict._replace(outcome="known", message=entry.reason)


def read_known(path: str | Path, missing: bool = False) -> list[Known]:
    """Read a list of known failures: `{"known_failures": [{"cases", "reason", "message"}, ...]}`.

    A file that is not there is an empty list where it may be `missing`. Raises ArgumentError where it is not
    one, or says nothing in a reason or a message.
    """
    if missing and not Path(path).exists():
        return []
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        known = [Known(*(entry[field] for field in Known._fields)) for entry in content["known_failures"]]
    except OSError as error:
        raise ArgumentError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ArgumentError(f"{path} is no list of known failures: {error!r}") from error
    for number, entry in enumerate(known, 1):
        for field, text in entry._asdict().items():
            if not isinstance(text, str) or not text.strip():
                raise ArgumentError(f"{path}, entry {number}: `{field}` must be words, not {text!r}")
    return known


def stale(known: Iterable[Known], cases: Iterable[Case]) -> list[Known]:
    """Give the entries that name no case, of all that there are."""
    everything = {case["id"]: case for case in cases}
    return [
        entry
        for entry in known
        if entry.cases not in everything and not any(map(entry.names, everything.values()))
    ]


def write_known(path: str | Path, report: Report, old: list[Known]) -> None:
    """Write the list that would make a run good: old reasons are kept, new ones say that they are missing.

    An old entry stays where every case of the run that it names still fails as it says, and where it names
    none of them; other failures get an entry each. Raises ArgumentError where the file cannot be written.
    """
    kept = []
    for entry in old:
        named = [verdict for verdict in report.verdicts if entry.names(verdict.case)]
        if all(verdict.outcome in ("known", "skipped") for verdict in named):
            kept.append(entry)
    reasons = {entry.cases: entry.reason for entry in old}
    fresh = [
        Known(v.case["id"], reasons.get(v.case["id"], "no reason given yet"), v.wrong)
        for v in report.verdicts
        if v.wrong and not any(entry.names(v.case) for entry in kept)
    ]
    entries = [entry._asdict() for entry in (*kept, *fresh)]
    write(path, json.dumps({"known_failures": entries}, indent=1) + "\n")


def write(path: str | Path, text: str) -> None:
    """Write a file. Raises ArgumentError where that cannot be done."""
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ArgumentError(f"cannot write {path}: {error.strerror}") from error
