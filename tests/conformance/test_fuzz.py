"""Fuzzing: finds seeded faults, makes them small, and finds nothing where there is nothing."""

from __future__ import annotations

import json
import struct
import sys
import time
from pathlib import Path

import pytest

from conformance.testees import faulty
from refquant import cli
from refquant.conformance import fuzz
from refquant.conformance.judge import judge
from refquant.errors import ArgumentError

OWN = [sys.executable, "-m", "refquant.conformance.testee"]
FAULTY = [sys.executable, str(Path(faulty.__file__))]

#: Faults, the operation that shows each, and most weights or codes of a case that shows it.
SEEDED = [
    ("pack.bits-lsb-first", "pack", 1),
    ("half.ties-away", "half.encode", 1),
    ("linear.ties-away", "linear.encode", 3),
    ("symmetric.greatest-only", "symmetric.encode", 2),
    ("int8.rounds", "int8.encode", 2),
]


@pytest.mark.parametrize(("fault", "operation", "size"), SEEDED)
def test_finds_and_shrinks(fault: str, operation: str, size: int) -> None:
    started = time.monotonic()
    found = fuzz.fuzz([*FAULTY, fault], [operation], seed=1, examples=5000)
    assert time.monotonic() - started < 60
    assert found is not None
    assert found["operation"] == operation
    digits = 2 if operation == "pack" else 8
    assert len(found["input"].get("weights") or found["input"]["codes"]) // digits <= size
    # The case is a true one: the testee without its fault passes it, the one with it does not.
    good = faulty.answer(faulty.testee("none"), operation, found["input"])
    assert judge(found, good) is None
    assert judge(found, faulty.answer(faulty.testee(fault), operation, found["input"]))


def test_finds_nothing_in_a_right_testee() -> None:
    said: list[str] = []
    assert fuzz.fuzz([*FAULTY, "none"], seed=2, examples=60, say=said.append) is None
    assert len(said) == len(fuzz.strategies())


def test_nothing_to_fuzz(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match="nothing to fuzz"):
        fuzz.fuzz(OWN, ["fly"])
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ArgumentError, match="extra 'conformance'"):
        fuzz.strategies()


def test_command(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    command = ["conformance", "fuzz", "--operation", "half.encode", "--save", str(path)]
    assert cli.main([*command, "--", *FAULTY, "half.truncates"]) == 1
    assert capfd.readouterr().out.startswith("half.encode: bytes[")
    saved = json.loads(path.read_text())
    assert saved["operation"] == "half.encode"
    assert struct.unpack(">f", bytes.fromhex(saved["input"]["weights"]))
    assert cli.main(["conformance", "fuzz", "--operation", "pack", "--examples", "20", "--", *OWN]) == 0
    assert "pack: 20 cases, no difference" in capfd.readouterr().err
