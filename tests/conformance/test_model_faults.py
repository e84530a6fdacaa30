"""The cases of whole models catch what they should: refquant with one fault at a time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from conformance.testees.model_faults import FAULTS
from refquant.conformance import runner, vectors
from refquant.conformance import testee as own
from refquant.conformance.judge import judge

FAMILIES = {name: content["cases"] for name, content in vectors.families().items()}
PROGRAM = [sys.executable, "-m", "conformance.testees.model_faults"]


def catches(family: str, likely: str = "") -> Iterator[tuple[dict[str, Any], str]]:
    """Give the cases of a family that refquant fails, as it is now; those with a word in the title first."""
    for case in sorted(FAMILIES[family], key=lambda case: likely not in case["title"]):
        wrong = judge(case, own.run(case["operation"], case["input"]))
        if wrong:
            yield case, wrong


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_caught(fault: str) -> None:
    family, _, name = fault.partition(".")
    with FAULTS[fault]():
        case, wrong = next(catches(family, name.split("-")[0]))
    print(f"{fault}: caught by {case['id']} ({case['title']}): {wrong}")  # noqa: T201 -- shown with -s


def test_faults_are_undone() -> None:
    for make in FAULTS.values():
        with make():
            pass
    assert [case["id"] for family in ("file", "fusion") for case, _ in catches(family)] == []


def test_there_are_a_hundred_faults() -> None:
    assert len(FAULTS) >= 100
    assert {fault.split(".")[0] for fault in FAULTS} <= set(FAMILIES)


def test_as_a_program() -> None:
    listed = subprocess.run(PROGRAM, capture_output=True, text=True, check=True).stdout
    assert listed.split() == list(FAULTS)
    command = [*PROGRAM, "file.unknown-fields-dropped"]
    unknown = [case for case in FAMILIES["file"] if case["title"].startswith("unknown fields")]
    report = runner.run(command, unknown, {})
    assert report.counts == {"failed": len(unknown)}
