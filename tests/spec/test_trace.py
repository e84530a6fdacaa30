"""The trace is complete in both directions, and finds each kind of gap. Small checkouts make up rules."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from refquant.errors import FileError
from refquant.spec import __main__ as main
from refquant.spec import trace
from refquant.spec.trace import WITHOUT_VECTOR

TRACE = trace.read()
COMMAND = [sys.executable, "-m", "refquant.spec", "trace"]


def test_complete() -> None:
    """Every rule that binds has a docstring, a test and a vector, and every rule that is named exists."""
    assert TRACE.problems == []


def test_there_are_rules() -> None:
    assert len(TRACE.rules) >= 88
    assert sum(rule.binding for rule in TRACE.rules.values()) >= 87
    assert TRACE.rules["PACK-1"].chapter == "02-packing.md"
    assert set(WITHOUT_VECTOR) <= set(TRACE.rules)


#: A checkout in which all is well: file -> text. Rule AB-1 binds, AB-2 does not.
CHECKOUT = {
    "spec/01-a.md": "# 1. A\n\nText with `MUST` in code, and\n\n```example AB-A\nMUST\n```\n\n"
    "* **AB-1** It MUST be so.\n* **AB-2** It MAY be so.\n",
    "spec/02-departures.md": "| DEP-1 | case | AB-1 |\n",
    "refquant/a.py": 'class A:\n    def f(self):\n        """Do. Rule: AB-1."""\n'
    '        raise E(rule="AB-2")  # UTF-8, IEEE-754\n',
    "tests/test_a.py": "# AB-1\n",
    "conformance/vectors/a.json": json.dumps({"cases": [{"rules": ["AB-1"]}, {"rules": ["AB-1", "AB-2"]}]}),
}


def checkout(folder: Path, changed: dict[str, str]) -> trace.Trace:
    for name, text in {**CHECKOUT, **changed}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return trace.read(folder)


def test_all_that_names_a_rule(tmp_path: Path) -> None:
    found = checkout(tmp_path, {})
    assert found.problems == []
    first, second = found.rules.values()
    assert (first.chapter, first.line, first.sentence) == ("01-a.md", 9, "It MUST be so.")
    assert first.code == ["refquant/a.py:2 f"]
    assert first.tests == ["tests/test_a.py:1"]
    assert first.vectors == {"a": 2}
    assert first.others == ["refquant/a.py:3", "spec/02-departures.md:1"]
    assert (second.code, second.tests, second.others) == ([], [], ["refquant/a.py:4"])
    assert (first.word, second.word) == ("MUST", "MAY")


#: What is wrong with a checkout -> the file that is so, its text, and what the trace says.
WRONG = {
    "no docstring": ("refquant/a.py", "# AB-1\n", "spec/01-a.md, line 9: AB-1 has no docstring"),
    "no test": ("tests/test_a.py", "# AB-2\n", "spec/01-a.md, line 9: AB-1 has no test"),
    "a test that is an oracle": ("tests/test_a.py", "", "AB-1 has no test"),
    "no vector": ("conformance/vectors/a.json", '{"cases": []}', "spec/01-a.md, line 9: AB-1 has no vector"),
    "a rule that says nothing": (
        "spec/03-b.md",
        "* **AB-3** It is so.\n",
        "AB-3 says none of MUST, SHOULD, MAY",
    ),
    "a rule that says it in code": ("spec/03-b.md", "* **AB-3** It `MAY` be.\n", "AB-3 says none of MUST"),
    "a rule twice": ("spec/03-b.md", "\n* **AB-2** It MAY.\n", "line 2: AB-2 stands twice: also in 01-a.md"),
    "a departure twice": ("spec/03-b.md", "| DEP-1 | x |\n", "spec/03-b.md, line 1: DEP-1 stands twice"),
    "MUST without an id": ("spec/03-b.md", "\nA writer\nMUST sing.\n", "line 3: MUST, SHOULD or MAY stands"),
    "SHOULD without an id": ("spec/03-b.md", "One SHOULD not.\n", "line 1: MUST, SHOULD or MAY stands"),
    "an item that is no rule": ("spec/03-b.md", "* **AB3** It MUST.\n", "begins in bold and is no rule"),
    "a rule with another bullet": (
        "spec/03-b.md",
        "- **A rule** it MUST.\n",
        "begins in bold and is no rule",
    ),
    "a family in a docstring": (
        "refquant/b.py",
        '"""Rule: BA-1."""\n',
        "refquant/b.py, line 1: BA-1 does not exist",
    ),
    "a number in a docstring": (
        "refquant/b.py",
        '"""Rule: AB-7."""\n',
        "refquant/b.py, line 1: AB-7 does not exist",
    ),
    "a range in a docstring": (
        "refquant/b.py",
        '"""AB-1 to AB-3"""\n',
        "refquant/b.py, line 1: AB-3 does not exist",
    ),
    "an error's rule": (
        "refquant/b.py",
        'raise E(rule="AB-8")\n',
        "refquant/b.py, line 1: AB-8 does not exist",
    ),
    "a comment": ("refquant/b.py", "\n#: Rule: AB-8\n", "refquant/b.py, line 2: AB-8 does not exist"),
    "a stub": ("refquant/b.pyi", "# AB-8\n", "refquant/b.pyi, line 1: AB-8 does not exist"),
    "a test": ("tests/b/test_b.py", "# AB-8\n", "tests/b/test_b.py, line 1: AB-8 does not exist"),
    "a chapter": ("spec/03-b.md", "See (AB-8).\n", "spec/03-b.md, line 1: AB-8 does not exist"),
    "a row's rule": ("spec/02-departures.md", "| DEP-1 | c | AB-8 |\n", "line 1: AB-8 does not exist"),
    "a row": ("refquant/b.py", "# DEP-2\n", "refquant/b.py, line 1: DEP-2 does not exist"),
    "the kit's page": (
        "conformance/README.md",
        "AB-8\n",
        "conformance/README.md, line 1: AB-8 does not exist",
    ),
    "the kit's generator": ("conformance/g.py", "AB-8\n", "conformance/g.py, line 1: AB-8 does not exist"),
    "a testee": ("conformance/testees/c/t.c", "/* AB-8 */\n", "conformance/testees/c/t.c, line 1: AB-8"),
    "known failures": (
        "conformance/testees/k.json",
        '{"DEP-3": 1}\n',
        "k.json, line 1: DEP-3 does not exist",
    ),
    "a vector": (
        "conformance/vectors/b.json",
        '{"cases": [{"rules": ["AB-8"]}]}',
        "b.json, line 1: AB-8 does",
    ),
    "the front page": ("README.md", "AB-8\n", "README.md, line 1: AB-8 does not exist"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told(name: str, tmp_path: Path) -> None:
    path, text, expected = WRONG[name]
    changed = {path: text}
    if name == "a test that is an oracle":
        changed["tests/oracle/a.py"] = "# AB-1\n"
    (problem,) = checkout(tmp_path, changed).problems
    assert expected in problem


def test_an_excuse_that_is_not_needed_any_more() -> None:
    excused = TRACE.rules["FILE-6"]
    assert (excused.missing, excused.vectors) == ([], {})
    assert excused._replace(vectors=Counter(models=1)).missing == [
        "FILE-6 has a vector; strike it from WITHOUT_VECTOR"
    ]


def test_ranges() -> None:
    assert trace.cited("Rule: LIN-1 to LIN-3, TEN-2 to 4; UTF-8 [A-Z0-9] a-B-1") == [
        *("LIN-1", "LIN-2", "LIN-3"),
        *("TEN-2", "TEN-3", "TEN-4"),
        "UTF-8",
    ]


def test_not_a_checkout(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="checkout"):
        trace.read(tmp_path)


class TestCommand:
    def run(self, *rules: str) -> tuple[int, str, str]:
        done = subprocess.run([*COMMAND, *rules], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def test_matrix(self) -> None:
        status, out, _ = self.run()
        assert status == 0
        assert out.startswith("01-tensor.md            code  tests  cases  others\n  TEN-1     MUST ")
        assert out.endswith("complete\n")

    def test_incomplete(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = checkout(tmp_path, {"spec/03-b.md": "* **AB-3** It is so.\n"})
        text = trace.matrix(found)
        assert text.endswith("spec/03-b.md, line 1: AB-3 says none of MUST, SHOULD, MAY\n1 problem\n")
        monkeypatch.setattr(main, "read", lambda: found)
        monkeypatch.setattr(sys, "argv", ["refquant.spec", "trace"])
        assert main.main() == 1
        assert capsys.readouterr().out == text

    def test_one_rule(self) -> None:
        status, out, _ = self.run("PACK-3", "FILE-6")
        assert status == 0
        assert out.startswith("PACK-3: The bits of the last byte")
        assert re.search(r"^  chapter  spec/02-packing\.md:\d+$", out, re.MULTILINE)
        assert re.search(r"^  code     refquant/codec/packing\.py:\d+ pack$", out, re.MULTILINE)
        assert re.search(r"^  tests    tests/codec/test_packing\.py:\d+$", out, re.MULTILINE)
        assert re.search(r"^  vectors  packing: \d{3} cases$", out, re.MULTILINE)
        assert "  vectors  none: about a disk" in out

    def test_unknown_rule(self) -> None:
        assert self.run("LINK-1") == (1, "", "refquant: there is no rule LINK-1\n")


def quotations() -> list[tuple[str, str, str]]:
    """List what docstrings of tests quote: where, rule, words. A quotation is the first sentence after an id
    and a colon, where it says MUST, SHOULD or MAY; "..." stands for words left out.
    """
    found = []
    for path in sorted((trace.ROOT / "tests").rglob("*.py")):
        for _, name, docstring in trace.docstrings(path):
            text = " ".join(docstring.split()).replace("...", "\u2026")
            for rule, rest in re.findall(r"\b([A-Z]+[0-9]?-\d+): ((?:(?! [A-Z]+[0-9]?-\d+: ).)+)", text):
                sentence = re.split(r"\.(?:\s|$)", rest)[0]
                if re.search("MUST|SHOULD|MAY", sentence):
                    found += [(f"{path.name}:{name}", rule, part) for part in sentence.split("\u2026")]
    return found


def test_tests_quote_the_specification() -> None:
    quoted = quotations()
    assert len(quoted) > 80
    for where, rule, words in quoted:
        assert words.strip(" ,;:") in TRACE.rules[rule].sentence, f"{where} quotes {rule} otherwise"
