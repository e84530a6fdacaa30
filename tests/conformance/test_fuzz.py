"""Fuzzing: finds seeded faults, makes them small, and finds nothing where there is nothing."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conformance.testees import faulty
from refquant import cli
from refquant.conformance import fuzz, runner, vectors
from refquant.conformance.judge import judge
from refquant.conformance.operations import OPERATIONS
from refquant.conformance.process import Testee
from refquant.conformance.runner import Verdict
from refquant.errors import ArgumentError

OWN = [sys.executable, "-m", "refquant.conformance.testee"]
GUARDED = [sys.executable, str(Path(__file__).with_name("guarded.py"))]
HOSTILE = [sys.executable, str(Path(__file__).with_name("hostile.py"))]

#: Faults, the operation that shows each, and most weights, codes or bytes of a case that shows it. Those
#: that take longer are found in the slow run.
SEEDED = [
    ("pack.bits-lsb-first", "pack", 1),
    ("unpack.padding-must-be-zero", "unpack", 1),
    ("unpack.takes-surplus-bytes", "unpack", 2),
    ("int8.rounds", "int8.encode", 3),
    ("custom.takes-short-codes", "custom_lut.encode", 1),
    *(
        pytest.param(*found, marks=pytest.mark.slow)
        for found in (
            ("linear.takes-nan", "linear.encode", 2),
            ("linear.ties-away", "linear.encode", 3),
            ("linear.stored-scale", "linear.encode", 3),
            ("linear.divides-by-the-scale", "linear.encode", 3),
            ("linear.threshold-exclusive", "linear.encode", 2),
            ("symmetric.greatest-only", "symmetric.encode", 2),
            ("symmetric.reciprocal", "symmetric.encode", 3),
            ("symmetric.stored-scale", "symmetric.encode", 3),
            ("lut.entries-from-the-stored-scale", "linear_lut.encode", 2),
            ("lut.wraps-past-the-table", "lut.decode", 1),
            ("int8.unsigned", "int8.decode", 1),
            ("half.reads-big-endian", "half.decode", 2),
            ("half.ties-away", "half.encode", 1),
            ("decode.takes-anything", "linear.decode", 2),
            ("kmeans.even-table", "kmeans.encode", 6),
        )
    ),
]


def size(case: dict[str, Any]) -> int:
    """Count the elements of the longest list of weights, codes or bytes."""
    given = case["input"]
    return max(len(given.get("weights", "")) // 8, *(len(given.get(f, "")) // 2 for f in ("codes", "bytes")))


@pytest.mark.parametrize(("fault", "operation", "most"), SEEDED)
def test_finds_and_shrinks(fault: str, operation: str, most: int) -> None:
    started = time.monotonic()
    found = fuzz.fuzz([*GUARDED, fault], [operation], seed=1, examples=3000)
    assert time.monotonic() - started < 60
    assert found is not None
    assert found.case["operation"] == operation
    assert size(found.case) <= most
    # The case is a true one: the testee without its fault passes it, the one with it does not.
    given = found.case["input"]
    assert judge(found.case, faulty.answer(faulty.testee("none"), operation, given)) is None
    assert judge(found.case, faulty.answer(faulty.testee(fault), operation, given)) == found.wrong


def test_finds_nothing_in_a_right_testee() -> None:
    said: list[str] = []
    assert fuzz.fuzz(OWN, fuzz.operations(None, None), seed=2, examples=15, say=said.append) is None
    offered = [name for name in OPERATIONS if not name.startswith("model.")]
    assert [line.split(":")[0] for line in said] == offered
    assert all(line.endswith("cases, no difference") for line in said)


@pytest.mark.parametrize("operation", fuzz.operations(None, None))
def test_makes_good_input_and_bad(operation: str) -> None:
    """One search makes both; what is refused is refused by a rule, and no input breaks refquant."""
    from refquant.conformance.strategies import strategy

    testee = Testee(OWN, 10)
    search = fuzz.Search(testee, operation)
    search.run(strategy(operation), seed=3, examples=120)
    testee.stop()
    kinds = {"error" in verdict.case["expected"] for verdict in search.verdicts.values()}
    assert kinds == {True, False}
    assert search.smallest is None


class TestChoice:
    def test_by_family_and_name(self) -> None:
        assert fuzz.operations(["half"], None) == ["half.encode", "half.decode"]
        assert fuzz.operations(["packing", "half"], ["*ack"]) == ["pack", "unpack"]
        assert fuzz.operations(None, ["pack"]) == ["pack"]
        assert "model.quantize" not in fuzz.operations(["*"], None)

    def test_nothing(self) -> None:
        for families, names in ((None, ["fly"]), (["layers"], None), (["half"], ["pack"])):
            with pytest.raises(ArgumentError, match="nothing to fuzz"):
                fuzz.operations(families, names)
        with pytest.raises(ArgumentError, match="the families are"):
            fuzz.operations(["hlaf"], None)
        with pytest.raises(ArgumentError, match=r"offers none of half\.encode"):
            fuzz.fuzz([*HOSTILE, "offers nothing"], ["half.encode"])

    def test_no_hypothesis(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "refquant.conformance.strategies", raising=False)
        monkeypatch.setitem(sys.modules, "hypothesis", None)
        with pytest.raises(ArgumentError, match=r"pip install 'refquant\[conformance\]'"):
            fuzz.fuzz(OWN, ["pack"])


class TestHostile:
    def test_an_answer_that_changes(self) -> None:
        found = fuzz.fuzz([*HOSTILE, "moody once"], ["pack"], examples=100)
        assert found is not None
        assert found.wrong == "answered with an error: no (not when asked once more: answers change)"

    def test_a_crash(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Started anew for each, it crashes on every second case; there is an end to shrinking."""
        monkeypatch.setattr(fuzz, "SHRINKING", 1.0)
        started = time.monotonic()
        found = fuzz.fuzz([*HOSTILE, "crash"], ["pack"], examples=100)
        assert found is not None
        assert found.wrong.startswith("crash: ended with exit code 3")
        assert time.monotonic() - started < 30

    def test_skipping(self) -> None:
        said: list[str] = []
        assert fuzz.fuzz([*HOSTILE, "skips"], ["pack"], examples=20, say=said.append) is None
        cases = said[0].split()[1]
        assert said == [f"pack: {cases} cases, no difference, {cases} skipped"]


def test_command(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "case.json"
    wrong = ["--", *GUARDED, "half.truncates"]
    assert cli.main(["conformance", "fuzz", "--family", "half", "--save", str(path), *wrong]) == 1
    out = capfd.readouterr().out
    assert out.startswith("half.encode: bytes[")
    assert "  input: weights = " in out
    assert json.loads(out.split("  request: ")[1])["operation"] == "half.encode"
    # What is saved is a file of vectors: under the schema, and for the runner.
    run = ["conformance", "run", "--vectors", str(path)]
    assert cli.main([*run, *wrong]) == 1
    assert cli.main(run) == 0
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((vectors.folder() / "schema" / "vectors.json").read_text(encoding="utf-8"))
    saved = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(saved)
    assert saved["cases"][0]["rules"]
    # A place where nothing can be saved is a mistake, not the program's.
    nowhere = ["--save", str(tmp_path / "nowhere" / "case.json")]
    assert cli.main(["conformance", "fuzz", "--family", "half", *nowhere, *wrong]) == 2
    assert "error: cannot write " in capfd.readouterr().err


def test_command_finds_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    command = ["conformance", "fuzz", "--operation", "pack", "--examples", "20"]
    assert cli.main([*command, "--", *OWN]) == 0
    out = capfd.readouterr().out
    assert out.startswith("pack: ")
    assert out.endswith(" cases, no difference\n")


def test_no_place_for_what_overflows() -> None:
    """LIN-9: finite weights too far apart are refused; no weight is to blame, but a channel may be named."""
    given = {"weights": "7f7fffffff7fffff", "nbits": 1, "outer": 1, "channels": 1, "inner": 2}
    case = fuzz.Maker("linear.encode").case(given)
    assert case["expected"] == {"error": {"rule": "LIN-9", "index": None}}
    for index in (None, 0):
        verdict: Verdict = runner.put(Answering({"error": {"message": "no", "index": index}}), case)
        assert verdict.outcome == "passed"


class Answering(Testee):
    """A testee that needs no program."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__([], 1)
        self.answer = answer

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.answer
