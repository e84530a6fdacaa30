"""Every binding rule is implemented, tested and in a vector; every rule that is named exists."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from refquant.errors import FileError
from refquant.spec import trace

TRACE = trace.read()
BINDING = {name: rule for name, rule in TRACE.rules.items() if rule.binding}

#: Rules that no vector can show, and why.
WITHOUT_VECTOR = {
    "FILE-6": "about a disk, which a testee that answers lines does not have",
}


def test_there_are_rules() -> None:
    assert len(TRACE.rules) >= 78
    assert TRACE.rules["PACK-1"].chapter == "02-packing.md"


def test_every_name_exists() -> None:
    assert TRACE.unknown == []


@pytest.mark.parametrize("name", BINDING)
def test_implemented_and_tested(name: str) -> None:
    assert BINDING[name].code
    assert BINDING[name].tests


@pytest.mark.parametrize("name", BINDING)
def test_in_a_vector(name: str) -> None:
    assert bool(BINDING[name].vectors) != (name in WITHOUT_VECTOR)


def test_ranges() -> None:
    assert trace.cited("Rule: LIN-1 to LIN-3, TEN-2 to 4; UTF-8") == [
        *("LIN-1", "LIN-2", "LIN-3"),
        *("TEN-2", "TEN-3", "TEN-4"),
        "UTF-8",
    ]


def test_not_a_checkout(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="checkout"):
        trace.read(tmp_path)


def test_unknown_rules_are_told(tmp_path: Path) -> None:
    for folder in ("spec", "refquant", "tests", "conformance/vectors"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "spec" / "01-a.md").write_text("* **AB-1** It MUST be so.\n* **AB-2** It MAY be so.\n")
    (tmp_path / "refquant" / "a.py").write_text('# AB-2\ndef f():\n    """Rule: AB-1, AB-7, UTF-8"""\n')
    found = trace.read(tmp_path)
    assert found.unknown == [("refquant/a.py:f", "AB-7")]
    assert (found.rules["AB-1"].code, found.rules["AB-1"].binding) == (["refquant/a.py:f"], True)
    assert found.rules["AB-2"].code == []
    assert "AB-7, which does not exist" in trace.matrix(found)


def test_command() -> None:
    command = [sys.executable, "-m", "refquant.spec"]
    done = subprocess.run([*command, "trace"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("rule      chapter")
    one = subprocess.run([*command, "trace", "PACK-3"], capture_output=True, text=True, check=True).stdout
    assert one.startswith("PACK-3: The bits of the last byte")
    assert "  code     refquant/codec/packing.py:" in one
    assert "  vectors  packing\n" in one
    done = subprocess.run([*command, "trace", "LINK-1"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "refquant: there is no rule LINK-1\n")


def quotations() -> list[tuple[str, str, str]]:
    """List what docstrings of tests quote: where, rule, words. A quotation is the first sentence after an id
    and a colon, where it says MUST, SHOULD or MAY; "..." stands for words left out.
    """
    found = []
    for path in sorted((trace.ROOT / "tests").rglob("*.py")):
        for name, docstring in trace.docstrings(path):
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
