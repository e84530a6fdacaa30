"""`refquant conformance`: run the kit against a program, or see whether the two meet at all."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

from refquant.conformance import fuzz, runner, vectors
from refquant.conformance.judge import judge
from refquant.conformance.process import Testee, Trouble
from refquant.conformance.reports import REPORTS, summary
from refquant.errors import ArgumentError

#: refquant's own testee, as a command.
OWN = [sys.executable, "-m", "refquant.conformance.testee"]


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


def _program_options(action: argparse.ArgumentParser) -> None:
    action.add_argument("program", nargs="*", metavar="-- COMMAND", help="the program to test")
    action.add_argument("--timeout", type=float, default=10, metavar="S", help="seconds for an answer (10)")


def _family_option(action: argparse.ArgumentParser) -> None:
    action.add_argument("--family", action="append", metavar="F", help="only families like this (repeatable)")


def _fuzz_options(action: argparse.ArgumentParser) -> None:
    _program_options(action)
    action.add_argument("--operation", action="append", metavar="O", help="only this operation (repeatable)")
    action.add_argument(
        "--seed", type=int, default=0, metavar="S", help="the same seed makes the same cases (0)"
    )
    action.add_argument("--examples", type=int, default=1000, metavar="N", help="cases an operation (1000)")
    action.add_argument("--save", metavar="FILE", help="write the case that was found to FILE, as a vector")


def _run_options(action: argparse.ArgumentParser) -> None:
    _program_options(action)
    _family_option(action)
    action.add_argument("--case", action="append", metavar="ID", help="only cases like this (repeatable)")
    action.add_argument("--level", choices=vectors.LEVELS, default="optional", help="only up to this level")
    action.add_argument("--known-failures", metavar="FILE", help="failures to expect, with reasons")
    action.add_argument("--update-known-failures", action="store_true", help="rewrite FILE from this run")
    action.add_argument("--jobs", type=int, default=1, metavar="N", help="processes of the program (1)")
    action.add_argument("--report", choices=REPORTS, default="text", help="what to print (text)")


def _run(options: argparse.Namespace) -> int:
    if options.jobs < 1:
        raise ArgumentError(f"--jobs must be at least 1, not {options.jobs}")
    cases, rules = vectors.select(options.family or ["*"], options.case or ["*"], options.level)
    if options.update_known_failures and not options.known_failures:
        raise ArgumentError("--update-known-failures needs --known-failures FILE")
    known = runner.read_known(options.known_failures) if options.known_failures else []
    report = runner.run(options.program or OWN, cases, rules, known, options.jobs, options.timeout)
    if options.update_known_failures:
        runner.write_known(options.known_failures, report, known)
    sys.stdout.write(REPORTS[options.report](report))
    if options.report != "text":
        sys.stderr.write(f"{summary(report)}\n")
    return 0 if report.good else 1


def _smoke(options: argparse.Namespace) -> int:
    """Go through the protocol step by step, with refquant first, and say where it breaks."""
    cases, _ = vectors.select()
    easy: dict[str, vectors.Case] = {}
    for case in cases:
        if "error" not in case["expected"]:
            easy.setdefault(case["operation"], case)
    steps = [("the harness, with refquant itself", OWN)]
    if options.program:
        steps.append(("the program", options.program))
    for who, command in steps:
        said = runner.introduce(command, options.timeout)
        offered = [operation for operation in easy if operation in said["operations"]]
        testee = Testee(command, options.timeout)
        wrong = []
        try:
            for operation in offered:
                case = easy[operation]
                reply = testee.ask({"command": "run", "operation": operation, "input": case["input"]})
                fault = None if "skipped" in reply else judge(case, reply)
                if fault:
                    wrong.append(f"{operation}: {fault}")
        except Trouble as trouble:
            wrong.append(str(trouble))
        finally:
            testee.stop()
        sys.stdout.write(f"{who}: {len(offered) - len(wrong)} of {len(offered)} operations answer well\n")
        if wrong:
            sys.stdout.write("".join(f"  {line}\n" for line in wrong))
            return 1
    return 0


def _fuzz(options: argparse.Namespace) -> int:
    found = fuzz.fuzz(
        options.program or OWN,
        options.operation or [],
        options.seed,
        options.examples,
        options.timeout,
        lambda line: sys.stderr.write(f"{line}\n"),
    )
    if found is None:
        return 0
    sys.stdout.write(fuzz.shown(found))
    if options.save:
        with open(options.save, "w", encoding="utf-8") as file:
            file.write(json.dumps(found, indent=1) + "\n")
    return 1


def _list(options: argparse.Namespace) -> int:
    for name, content in vectors.families().items():
        if not options.family:
            sys.stdout.write(f"{name:16} {content['count']:5} cases\n")
    if options.family:
        for case in vectors.select(options.family)[0]:
            sys.stdout.write(f"{case['id']:28} {case['level']:12} {case['title']}\n")
    return 0


#: Action -> what runs, a line of help, and what adds its options.
ACTIONS: dict[
    str, tuple[Callable[[argparse.Namespace], int], str, Callable[[argparse.ArgumentParser], None]]
] = {
    "run": (_run, "put every case to a program and judge its answers", _run_options),
    "smoke": (_smoke, "tell a broken harness from a broken implementation", _program_options),
    "fuzz": (_fuzz, "make new cases, and shrink the first that a program gets wrong", _fuzz_options),
    "list": (_list, "list the families, or the cases of some", _family_option),
}
