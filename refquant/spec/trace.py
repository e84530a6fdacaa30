"""The trace: every rule of spec/, and the files of code, tests and vectors that name it."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from refquant.errors import ArgumentError, FileError

#: The checkout: this file is three folders down.
ROOT = Path(__file__).parents[2]

#: A rule as a chapter has it: a list item that begins with the id in bold.
RULE = re.compile(r"^\* \*\*([A-Z0-9]+-\d+)\*\* (.+)$", re.MULTILINE)

#: An id, or several: `LIN-1`, `LIN-1 to LIN-7`, `LIN-1 to 7`.
CITED = re.compile(r"\b([A-Z]+[0-9]?)-(\d+)(?: to (?:\1-)?(\d+))?")


class Rule(NamedTuple):
    """A rule: its chapter and sentence, and what names it."""

    chapter: str
    sentence: str
    #: Docstrings, as `path:name`.
    code: list[str]
    #: Files of tests.
    tests: list[str]
    #: Families of vectors with a case about the rule.
    vectors: list[str]

    @property
    def binding(self) -> bool:
        """Whether the rule says MUST."""
        return "MUST" in self.sentence


class Trace(NamedTuple):
    """Every rule by id, and every id that is named and does not exist: (file, id)."""

    rules: dict[str, Rule]
    unknown: list[tuple[str, str]]


def read(root: Path = ROOT) -> Trace:
    """Read the trace of a checkout. Raises FileError where there is no spec/ beside the package."""
    chapters = sorted((root / "spec").glob("[0-9]*.md"))
    if not chapters:
        raise FileError("spec/ is not here: the trace works in a checkout only")
    rules = {
        name: Rule(chapter.name, sentence, [], [], [])
        for chapter in chapters
        for name, sentence in RULE.findall(chapter.read_text(encoding="utf-8"))
    }
    families = {name.rpartition("-")[0] for name in rules}
    unknown = []

    def note(where: str, kind: str, names: Iterable[str]) -> None:
        for name in names:
            if name in rules:
                getattr(rules[name], kind).append(where)
            elif name.rpartition("-")[0] in families:
                unknown.append((where, name))

    for path in sorted((root / "refquant").rglob("*.py")):
        where = path.relative_to(root).as_posix()
        for name, docstring in docstrings(path):
            note(f"{where}:{name}", "code", cited(docstring))
    for path in sorted((root / "tests").rglob("*.py")):
        if "oracle" not in path.parts:
            note(path.relative_to(root).as_posix(), "tests", cited(path.read_text(encoding="utf-8")))
    for path in sorted((root / "conformance" / "vectors").glob("*.json")):
        cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
        note(path.stem, "vectors", sorted({rule for case in cases for rule in case["rules"]}))
    return Trace(rules, unknown)


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Give every docstring of a file, with the name of what it is about."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            yield getattr(node, "name", "module"), ast.get_docstring(node) or ""


def cited(text: str) -> list[str]:
    """List the ids that a text names, those within a range too, each once."""
    found: dict[str, None] = {}
    for family, first, last in CITED.findall(text):
        for number in range(int(first), int(last or first) + 1):
            found[f"{family}-{number}"] = None
    return list(found)


def described(trace: Trace, name: str) -> str:
    """Write out a rule and everything that names it. Raises ArgumentError for an unknown one."""
    if name not in trace.rules:
        raise ArgumentError(f"there is no rule {name}")
    rule = trace.rules[name]
    lines = [f"{name}: {rule.sentence}", f"  chapter  spec/{rule.chapter}"]
    for kind in ("code", "tests", "vectors"):
        lines += [f"  {kind:8} {where}" for where in getattr(rule, kind)]
    return "\n".join(lines) + "\n"


def matrix(trace: Trace) -> str:
    """Write the trace as a table: how many docstrings, files of tests and families of vectors name a rule."""
    lines = [f"{'rule':9} {'chapter':22} {'code':>5} {'tests':>6} {'vectors':>8}"]
    for name, rule in trace.rules.items():
        counts = f"{len(rule.code):5} {len(rule.tests):6} {len(rule.vectors):8}"
        lines.append(f"{name:9} {rule.chapter:22} {counts}{'' if rule.binding else '  (not binding)'}")
    lines += [f"{where} names {name}, which does not exist" for where, name in trace.unknown]
    return "\n".join(lines) + "\n"
