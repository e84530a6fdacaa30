"""The testee in C, which is written from the protocol page alone: built anew, and put to the test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import conformance
from refquant.conformance import fuzz, runner, vectors

FOLDER = Path(conformance.__file__).parent / "testees" / "c"

pytestmark = pytest.mark.skipif(
    shutil.which("cc") is None or shutil.which("make") is None, reason="needs a C compiler and make"
)


@pytest.fixture(scope="module")
def testee(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("c")
    for name in ("Makefile", "testee.c"):
        shutil.copy(FOLDER / name, folder)
    subprocess.run(["make", "-s", "-C", str(folder), "testee"], check=True)
    return str(folder / "testee")


def test_passes_all_that_it_offers(testee: str) -> None:
    cases, rules = vectors.select(["packing", "half", "linear", "symmetric", "lut", "int8", "deq*"])
    report = runner.run([testee], cases, rules)
    assert [verdict.message for verdict in report.verdicts if verdict.wrong] == []
    assert report.good
    assert report.counts["passed"] > 2000
    assert not report.unknown


def test_fuzzing_finds_nothing(testee: str) -> None:
    chosen = fuzz.operations(["packing", "dequantization"], None)
    assert fuzz.fuzz([testee], chosen, seed=5, examples=100) is None


def test_rubbish_is_survived(testee: str) -> None:
    """A line that is no request gets an answer, and the next request the right one."""
    lines = ["", "rubbish", '{"seq": 1', "[" * 5000, '{"seq": 7, "command": "fly"}']
    good = '{"seq": 9, "command": "run", "operation": "pack", "input": {"codes": "050107", "nbits": 3}}'
    done = subprocess.run(
        [testee], input="\n".join([*lines, good]), capture_output=True, text=True, check=True
    )
    answers = done.stdout.splitlines()
    assert len(answers) == len(lines) + 1
    assert answers[-1] == '{"seq": 9, "result": {"bytes": "a780"}}'
