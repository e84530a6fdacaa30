"""`refquant conformance`: run the kit against a program, or see whether the two meet at all."""

from __future__ import annotations

import argparse
import io
import math
import sys
from collections.abc import Callable, Iterator
from functools import partial

from refquant.conformance import fuzz, runner, vectors
from refquant.conformance.process import Testee, side_by_side
from refquant.conformance.reports import REPORTS, as_text, summary
from refquant.conformance.runner import Verdict
from refquant.conformance.vector_checks import LEVELS
from refquant.errors import ArgumentError

#: refquant's own testee, as a command that finds the package where this process has it: in an archive, maybe.
OWN = [
    sys.executable,
    "-c",
    f"import sys; sys.path[:] = {sys.path!r}; from refquant.conformance import testee; testee.main()",
]

#: Exit codes: all is well; the program is wrong; and, of `smoke`, the kit itself is.
GOOD, WRONG, HARNESS = 0, 1, 3


def parser() -> argparse.ArgumentParser:
    """Make the parser of `refquant conformance` and its actions."""
    made = argparse.ArgumentParser(
        prog="refquant conformance",
        description="Put an implementation of Core ML weight quantization to the test: any program "
        "that answers JSON lines, as conformance/README.md of the project says. Without one, refquant.",
    )
    actions = made.add_subparsers(metavar="ACTION", required=True)
    for name, (run, text, add) in ACTIONS.items():
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        action.set_defaults(run=run)
        add(action)
        action.add_argument("--debug", action="store_true", help="show the traceback of an error")
        action.set_defaults(verbose=False)
    return made


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not (number > 0 and math.isfinite(number)):
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return number


# What argparse says of a text that is no number at all: "invalid number value".
_positive.__name__ = _seconds.__name__ = "number"


def _program_options(action: argparse.ArgumentParser) -> None:
    action.add_argument("program", nargs="*", metavar="-- COMMAND", help="the program to test")
    action.add_argument(
        "--timeout", type=_seconds, default=10, metavar="S", help="seconds for an answer (10)"
    )


def _family_option(action: argparse.ArgumentParser) -> None:
    action.add_argument("--family", action="append", metavar="F", help="only families like this (repeatable)")


def _fuzz_options(action: argparse.ArgumentParser) -> None:
    _program_options(action)
    _family_option(action)
    action.add_argument("--operation", action="append", metavar="O", help="only this operation (repeatable)")
    action.add_argument(
        "--seed", type=int, default=0, metavar="S", help="the same seed makes the same cases (0)"
    )
    action.add_argument(
        "--examples",
        type=_positive,
        default=1000,
        metavar="N",
        help="at most so many cases an operation (1000)",
    )
    action.add_argument("--save", metavar="FILE", help="write the case that was found to FILE, as vectors")


def _run_options(action: argparse.ArgumentParser) -> None:
    _program_options(action)
    _family_option(action)
    action.add_argument("--vectors", metavar="FILE", help="the cases of this file, not those of the kit")
    action.add_argument("--case", action="append", metavar="ID", help="only cases like this (repeatable)")
    action.add_argument("--level", choices=LEVELS, default="optional", help="only up to this level")
    action.add_argument("--known-failures", metavar="FILE", help="failures to expect, with reasons")
    action.add_argument("--update-known-failures", action="store_true", help="rewrite FILE from this run")
    action.add_argument("--jobs", type=_positive, default=1, metavar="N", help="processes of the program (1)")
    action.add_argument("--report", choices=REPORTS, default="text", help="what to print (text)")
    action.add_argument("--show", action="store_true", help="print the request of every failure (text only)")


def _run(options: argparse.Namespace) -> int:
    families = vectors.read(options.vectors) if options.vectors else vectors.families()
    cases, rules = vectors.select(options.family or ["*"], options.case or ["*"], options.level, families)
    known = _known(options, [case for content in families.values() for case in content["cases"]])
    report = runner.run(options.program or OWN, cases, rules, known, options.jobs, options.timeout)
    report = report._replace(vectors=options.vectors or "")
    _write(as_text(report, requests=True) if options.show else REPORTS[options.report](report))
    if options.report != "text":
        sys.stderr.write(f"{summary(report)}\n")
    if options.update_known_failures:
        runner.write_known(options.known_failures, report, known)
        return GOOD
    return GOOD if report.good else WRONG


def _known(options: argparse.Namespace, everything: list[vectors.Case]) -> list[runner.Known]:
    """Read the list of known failures that is to be used, or to be written and may not be there yet."""
    if options.update_known_failures and not options.known_failures:
        raise ArgumentError("--update-known-failures needs --known-failures FILE")
    if not options.known_failures:
        return []
    known = runner.read_known(options.known_failures, missing=options.update_known_failures)
    stale = runner.stale(known, everything)
    if stale and not options.update_known_failures:
        names = ", ".join(repr(entry.cases) for entry in stale)
        raise ArgumentError(f"{options.known_failures} names cases that there are not: {names}")
    return [entry for entry in known if entry not in stale]


def _write(text: str) -> None:
    """Print, in a terminal that cannot show a character too."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stdout.write(text)


def _smoke(options: argparse.Namespace) -> int:
    """Put a few cases of each operation to refquant, and then to the program."""
    cases = list(_easy(vectors.select()[0]))
    steps = [("the harness, with refquant itself", OWN, HARNESS)]
    if options.program:
        steps.append(("the program", options.program, WRONG))
    for who, command, code in steps:
        offered = runner.introduce(command, options.timeout)["operations"]
        asked = [case for case in cases if case["operation"] in offered]
        (verdicts,) = side_by_side(command, options.timeout, [partial(_answers, asked)])
        good = _say_how_well(who, verdicts)
        if not good:
            return code
    return GOOD


def _answers(cases: list[vectors.Case], testee: Testee) -> list[Verdict]:
    return [runner.put(testee, case) for case in cases]


def _easy(cases: list[vectors.Case]) -> Iterator[vectors.Case]:
    """Choose for every operation the first case, the first of zeros, and the first to be refused."""
    wanted: tuple[Callable[[vectors.Case], bool], ...] = (
        lambda case: "error" not in case["expected"],
        lambda case: "error" not in case["expected"] and _is_zeros(case),
        lambda case: "error" in case["expected"],
    )
    chosen = {
        (case["operation"], number): case
        for case in reversed(cases)
        for number, matches in enumerate(wanted)
        if matches(case)
    }
    yield from {case["id"]: case for _, case in sorted(chosen.items(), key=lambda item: item[0])}.values()


def _is_zeros(case: vectors.Case) -> bool:
    lists = [case["input"].get(field) for field in ("weights", "codes", "bytes")]
    return any(text and set(text) == {"0"} for text in lists)


def _say_how_well(who: str, verdicts: list[Verdict]) -> bool:
    """Say how many operations answer every case well, and what is wrong with the others."""
    outcomes: dict[str, set[str]] = {}
    for verdict in verdicts:
        outcomes.setdefault(verdict.case["operation"], set()).add(verdict.outcome)
    well = [operation for operation, found in outcomes.items() if found <= {"passed", "skipped"}]
    skipped = [operation for operation in well if outcomes[operation] == {"skipped"}]
    answered = len(outcomes) - len(skipped)
    more = f", {len(skipped)} skipped" if skipped else ""
    _write(f"{who}: {len(well) - len(skipped)} of {answered} operations answer well{more}\n")
    if not answered:
        _write("  nothing was answered: see that `operations` names those of the kit\n")
    for verdict in verdicts:
        if verdict.wrong:
            case = verdict.case
            _write(f"  {case['operation']} ({case['id']}, {case['title']}): {verdict.wrong}\n")
    return answered > 0 and len(well) == len(outcomes)


def _fuzz(options: argparse.Namespace) -> int:
    found = fuzz.fuzz(
        options.program or OWN,
        fuzz.operations(options.family, options.operation),
        options.seed,
        options.examples,
        options.timeout,
        lambda line: _write(f"{line}\n"),
    )
    if found is None:
        return GOOD
    _write(fuzz.shown(found))
    if options.save:
        runner.write(options.save, fuzz.document(found))
    return WRONG


def _list(options: argparse.Namespace) -> int:
    if options.family:
        _list_cases(vectors.select(options.family)[0])
        return GOOD
    families = vectors.families()
    width = max(map(len, families))
    for name, content in families.items():
        _write(f"{name:{width}} {content['count']:5} cases\n")
    return GOOD


def _list_cases(cases: list[vectors.Case]) -> None:
    width = max(len(case["id"]) for case in cases)
    for case in cases:
        _write(f"{case['id']:{width}} {case['level']:12} {case['title']}\n")


#: Action -> what runs, a line of help, and what adds its options.
ACTIONS: dict[
    str, tuple[Callable[[argparse.Namespace], int], str, Callable[[argparse.ArgumentParser], None]]
] = {
    "run": (_run, "put every case to a program and judge its answers", _run_options),
    "smoke": (_smoke, "tell a broken harness from a broken implementation", _program_options),
    "fuzz": (_fuzz, "make new cases, and shrink the first that a program gets wrong", _fuzz_options),
    "list": (_list, "list the families, or the cases of some", _family_option),
}
