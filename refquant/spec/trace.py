"""The trace: every rule of spec/, the code, tests and vectors that name it, and what is wrong with either.

It goes both ways. A rule that binds is named by a docstring, by a test and by a vector; a rule that is named
anywhere, in whatever kind of file, exists.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from refquant.errors import ArgumentError, FileError

#: The checkout: this file is three folders down.
ROOT = Path(__file__).parents[2]

#: A rule as a chapter has it: a list item that begins with the id in bold.
RULE = re.compile(r"^\* \*\*([A-Z]+\d?-\d+)\*\* (\S.*)$")

#: How a rule begins, whether or not it goes on as it should.
BOLD_ITEM = re.compile(r"^\s*[*+-] +\*\*")

#: A row of the table of departures.
DEPARTURE = re.compile(r"^\| (DEP-\d+) \|")

#: What makes a sentence a rule, the strongest first. In a chapter these words stand in rules only.
WORDS = ("MUST", "SHOULD", "MAY")
WORD = re.compile(rf"\b({'|'.join(WORDS)})\b")

#: What is no text of a chapter: examples and spans of code.
NOT_TEXT = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)

#: An id, or several: `LIN-1`, `LIN-1 to LIN-7`, `LIN-1 to 7`.
CITED = re.compile(r"(?<![\w-])([A-Z]+\d?)-(\d+)\b(?: to (?:\1-)?(\d+)\b)?")

#: What looks like an id and is the name of a standard or a license.
NOT_RULES = frozenset({"BSD", "IEEE", "ISO", "PEP", "RFC", "SHA", "UTF"})

#: Where names of rules may stand, from the root of a checkout.
SCANNED = (
    "*.md",
    "spec/*.md",
    "refquant/**/*.py*",
    "tests/**/*.py",
    "conformance/**/*.*",
    "conformance/**/Makefile",
)

#: Endings of files that are read for names.
TEXT = frozenset({".c", ".h", ".js", ".json", ".md", ".py", ".pyi", ".txt", ".yml", ""})

#: The folder of vectors, whose cases are counted rather than listed.
VECTORS = "conformance/vectors"

#: The file that makes up rules in order to test this one.
MADE_UP = "tests/spec/test_trace.py"

#: Rules that bind and that no vector shows, and why.
WITHOUT_VECTOR = {
    "FILE-6": "about a disk, which a testee that answers lines does not have",
}


class Rule(NamedTuple):
    """A rule: where it stands, its sentence, and what names it."""

    name: str
    chapter: str
    line: int
    sentence: str
    #: Docstrings of the package, as `path:line name`.
    code: list[str]
    #: Lines of tests, as `path:line`.
    tests: list[str]
    #: Lines of anything else: comments, errors that are raised by it, other chapters, the kit's page.
    others: list[str]
    #: Family of vectors -> number of its cases about the rule.
    vectors: Counter[str]

    @property
    def word(self) -> str:
        """The strongest of MUST, SHOULD and MAY that it says; "" for none."""
        return next((word for word in WORDS if re.search(rf"\b{word}\b", self.sentence)), "")

    @property
    def binding(self) -> bool:
        """Whether the rule says MUST."""
        return self.word == "MUST"

    @property
    def missing(self) -> list[str]:
        """What should name a binding rule and does not, or is excused and does."""
        if not self.binding:
            return []
        found = [kind for kind, names in (("docstring", self.code), ("test", self.tests)) if not names]
        if not self.vectors and self.name not in WITHOUT_VECTOR:
            found.append("vector")
        problems = [f"{self.name} has no {kind}" for kind in found]
        if self.vectors and self.name in WITHOUT_VECTOR:
            problems.append(f"{self.name} has a vector; strike it from WITHOUT_VECTOR")
        return problems


class Trace(NamedTuple):
    """Every rule by id, and all that is wrong, as `path, line N: what`."""

    rules: dict[str, Rule]
    problems: list[str]


def read(root: Path = ROOT) -> Trace:
    """Read the trace of a checkout. Raises FileError where there is no spec/ beside the package."""
    chapters = sorted((root / "spec").glob("[0-9]*.md"))
    if not chapters:
        raise FileError("spec/ is not here: the trace works in a checkout only")
    trace, departures = Trace({}, []), set[str]()
    for path in chapters:
        _read_chapter(trace, departures, path)
    for path in sorted({path for pattern in SCANNED for path in root.glob(pattern)}):
        where = path.relative_to(root).as_posix()
        if path.is_file() and path.suffix in TEXT and where != MADE_UP:
            _note_names(trace, departures, where, path.read_text(encoding="utf-8"))
    for path in sorted((root / "refquant").rglob("*.py")):
        for line, name, docstring in docstrings(path):
            for cites in cited(docstring):
                if cites in trace.rules:
                    trace.rules[cites].code.append(f"{path.relative_to(root).as_posix()}:{line} {name}")
    for path in sorted((root / VECTORS).glob("*.json")):
        for case in json.loads(path.read_text(encoding="utf-8")).get("cases", ()):
            for cites in case["rules"]:
                if cites in trace.rules:
                    trace.rules[cites].vectors[path.stem] += 1
    for rule in trace.rules.values():
        trace.problems.extend(f"spec/{rule.chapter}, line {rule.line}: {text}" for text in rule.missing)
    return trace


def _read_chapter(trace: Trace, departures: set[str], path: Path) -> None:
    """Take the rules of a chapter, and the rows of its table of departures."""
    text = path.read_text(encoding="utf-8")
    # Without code, and with every line in its place.
    plain = NOT_TEXT.sub(lambda found: "\n" * found[0].count("\n"), text).splitlines()
    for number, (line, words) in enumerate(zip(text.splitlines(), plain), 1):
        wrong = []
        rule, departure = RULE.match(line), DEPARTURE.match(line)
        if rule:
            name, sentence = rule.groups()
            if name in trace.rules:
                wrong.append(f"{name} stands twice: also in {trace.rules[name].chapter}")
            else:
                trace.rules[name] = Rule(name, path.name, number, sentence, [], [], [], Counter())
            if not WORD.search(words):
                wrong.append(f"{name} says none of {', '.join(WORDS)}")
        elif BOLD_ITEM.match(words):
            wrong.append("an item begins in bold and is no rule")
        elif WORD.search(words):
            wrong.append("MUST, SHOULD or MAY stands outside of a rule")
        if departure:
            if departure[1] in departures:
                wrong.append(f"{departure[1]} stands twice")
            departures.add(departure[1])
        trace.problems.extend(f"spec/{path.name}, line {number}: {what}" for what in wrong)


def _note_names(trace: Trace, departures: set[str], where: str, text: str) -> None:
    """Note which rules the lines of a file name; a name of none is a problem."""
    kind = "tests" if where.startswith("tests/") and "oracle" not in where.split("/") else "others"
    listed = where.startswith(VECTORS)
    for number, line in enumerate(text.splitlines(), 1):
        for name in cited(line) if "-" in line else ():
            if name in trace.rules:
                rule = trace.rules[name]
                if not listed and (where, number) != (f"spec/{rule.chapter}", rule.line):
                    getattr(rule, kind).append(f"{where}:{number}")
            elif name not in departures and name.partition("-")[0] not in NOT_RULES:
                trace.problems.append(f"{where}, line {number}: {name} does not exist")


def docstrings(path: Path) -> Iterator[tuple[int, str, str]]:
    """Give every docstring of a file, with the line and the name of what it is about."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield getattr(node, "lineno", 1), getattr(node, "name", "module"), ast.get_docstring(node) or ""


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
    lines = [f"{name}: {rule.sentence}", f"  chapter  spec/{rule.chapter}:{rule.line}"]
    for kind, places in (("code", rule.code), ("tests", rule.tests), ("others", rule.others)):
        lines += [f"  {kind:8} {place}" for place in places]
    lines += [f"  vectors  {family}: {count} cases" for family, count in sorted(rule.vectors.items())]
    if name in WITHOUT_VECTOR:
        lines.append(f"  vectors  none: {WITHOUT_VECTOR[name]}")
    return "\n".join(lines) + "\n"


def matrix(trace: Trace) -> str:
    """Write the trace as a table, chapter by chapter, with all that is wrong at its end.

    Numbers count docstrings, lines of tests, cases in vectors, and lines of anything else.
    """
    lines, chapter = [], ""
    for rule in trace.rules.values():
        if rule.chapter != chapter:
            chapter = rule.chapter
            lines += ["", f"{chapter:22}{'code':>6}{'tests':>7}{'cases':>7}{'others':>8}"]
        counts = f"{len(rule.code):6}{len(rule.tests):7}{sum(rule.vectors.values()):7}{len(rule.others):8}"
        excuse = f"   {WITHOUT_VECTOR[rule.name]}" if rule.name in WITHOUT_VECTOR else ""
        lines.append(f"  {rule.name:10}{rule.word:10}{counts}{excuse}")
    words = Counter(rule.word for rule in trace.rules.values())
    lines += ["", f"{len(trace.rules)} rules: " + ", ".join(f"{words[word]} {word}" for word in WORDS)]
    many = len(trace.problems)
    lines += [*trace.problems, f"{many} problem{'s' if many > 1 else ''}" if many else "complete"]
    return "\n".join(lines[1:]) + "\n"
