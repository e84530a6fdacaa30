"""Findings as files: made small, written down, read back and tried again."""

from __future__ import annotations

import json
import multiprocessing
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.fuzz import limits
from tests.fuzz.bends import Input
from tests.fuzz.crew import data_of
from tests.fuzz.mutations import Mutation
from tests.fuzz.target import CONVERSIONS, Finding, explore

#: Kinds of findings that a process does not survive, or that are told only by a process of its own.
ALONE = ("crash", "hang", "memory")

#: Most candidates that are tried to make an input smaller.
CANDIDATES = 300

#: Seconds after which a process by itself is taken to hang.
PATIENCE = 60.0


def tried(given: Input) -> Finding | None:
    """Take an input along the whole path, with every conversion."""
    return explore(data_of(given), list(CONVERSIONS), Counter(), on_disk=True)


def tried_alone(given: Input, patience: float = PATIENCE) -> Finding | None:
    """Like `tried`, in a process of its own, which may crash or hang."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_answer, args=(theirs, given), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(patience):
            return Finding("hang", "worker", f"no answer in {patience:.0f} s")
        found: Finding | None = ours.recv()
        return found
    except EOFError:
        process.join()
        return Finding("crash", "worker", f"it ended with {process.exitcode}")
    finally:
        process.kill()
        process.join()
        ours.close()


def _answer(connection: Connection, given: Input) -> None:
    limits.confine()
    connection.send(tried(given))


def minimized(given: Input, found: Finding) -> Input:
    """Make an input smaller that is still found for the same reason; the same input where that cannot be."""
    attempt: Callable[[Input], Finding | None] = tried_alone if found.kind in ALONE else tried
    left = CANDIDATES

    def same(candidate: Input) -> bool:
        nonlocal left
        left -= 1
        again = attempt(candidate)
        return again is not None and again[:2] == found[:2]

    if not same(given):
        return given
    smaller: Input | None = given
    while smaller is not None and left > 0:
        given = smaller
        smaller = next((candidate for candidate in _smaller(given) if left > 0 and same(candidate)), None)
    return given


def _smaller(given: Input) -> Iterator[Input]:
    """Give inputs that are a step smaller: without a mutation, or with an argument that is simpler."""
    for at, mutation in enumerate(given.mutations):
        before, after = given.mutations[:at], given.mutations[at + 1 :]
        yield given._replace(mutations=[*before, *after])
        for simpler in _simpler(mutation):
            yield given._replace(mutations=[*before, simpler, *after])


def _simpler(mutation: Mutation) -> Iterator[Mutation]:
    """Give mutations that are simpler: half the number, or half the bytes, or nearly all of either."""
    for at, argument in enumerate(mutation):
        choices: list[Any] = []
        if isinstance(argument, int):
            choices = [n for n in (argument // 2, argument - 1) if 0 <= n < argument]
        elif at and re.fullmatch("([0-9a-f]{2})+", argument):
            half = len(argument) // 4 * 2
            choices = [argument[:half], argument[half:], argument[:-2], argument[2:]]
        for choice in choices:
            yield [*mutation[:at], choice, *mutation[at + 1 :]]


def write(folder: Path, given: Input, found: Finding) -> Path:
    """Write an input and what was found down, as a file that `read` takes."""
    name = re.sub(r"\W+", "-", f"{found.kind} {found.place}").strip("-").lower()
    path = folder / f"{name}.json"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(document([(f"{found.kind}: {found.place}: {found.detail}", given)]), encoding="utf-8")
    return path


def document(titled: Iterable[tuple[str, Input]]) -> str:
    """Write inputs with their titles as JSON, a mutation a line."""
    parts = []
    for title, (base, mutations) in titled:
        lines = ",\n".join(f"   {json.dumps(mutation)}" for mutation in mutations)
        head = f'  "title": {json.dumps(title)},\n  "base": {json.dumps(base)},\n'
        parts.append(f' {{\n{head}  "mutations": [\n{lines}\n  ]\n }}')
    return "[\n" + ",\n".join(parts) + "\n]\n"


def read(path: Path) -> list[tuple[str, Input]]:
    """Read what `document` wrote."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return [(each["title"], Input(each["base"], each["mutations"])) for each in content]
