"""Every binding rule is implemented, tested and in a vector; every rule that is named exists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from refquant.errors import FileError
from refquant.spec import trace

TRACE = trace.read()
BINDING = {name: rule for name, rule in TRACE.rules.items() if rule.binding}

#: Rules that no vector can show, or none shows yet, and why.
WITHOUT_VECTOR = {
    "TEN-3": "about how a file is written; tests/schema has the files",
    "HALF-3": "about a request that the protocol does not have",
    "HALF-4": "the peer is wrong there, and no other source of a whole model is at hand yet",
    "LIN-7": "likewise",
    "KM-3": "about two runs",
    "SEL-3": "about an object of the caller's",
    "SEL-4": "about an object of the caller's",
    "SEL-8": "about an object of the caller's",
    "FUS-3": "the peer is wrong there, and no other source of a whole model is at hand yet",
    "FUS-10": "likewise",
    "INT8-3": "likewise",
    "FILE-6": "about a disk",
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
    (tmp_path / "refquant" / "a.py").write_text("# Rule: AB-1, AB-7, UTF-8\n")
    found = trace.read(tmp_path)
    assert found.unknown == [(str(Path("refquant") / "a.py"), "AB-7")]
    assert (found.rules["AB-1"].code, found.rules["AB-1"].binding) == ([str(Path("refquant") / "a.py")], True)
    assert "AB-7, which does not exist" in trace.matrix(found)


def test_command() -> None:
    command = [sys.executable, "-m", "refquant.spec"]
    done = subprocess.run([*command, "trace"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("rule      chapter")
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
