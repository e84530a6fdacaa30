"""The runner: testees good, wrong and hostile, known failures, and every report."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from conformance import faults
from conformance.testees import faulty
from refquant import cli
from refquant.conformance import runner, vectors
from refquant.conformance import testee as own
from refquant.conformance.judge import judge
from refquant.conformance.process import Testee
from refquant.conformance.reports import REPORTS, as_text, summary
from refquant.conformance.runner import Known, Report
from refquant.errors import ArgumentError

OWN = [sys.executable, "-m", "refquant.conformance.testee"]
HOSTILE = [sys.executable, str(Path(__file__).with_name("hostile.py"))]
FAULTY = [sys.executable, str(Path(faulty.__file__))]

CASES, RULES = vectors.select()
PACKING = [case for case in CASES if case["operation"] == "pack"]


def run(command: list[str], cases: list[Any] | None = None, **options: Any) -> Report:
    return runner.run(command, PACKING[:30] if cases is None else cases, RULES, **options)


class TestTestees:
    def test_refquant_passes_everything(self) -> None:
        report = run(OWN, CASES, jobs=2)
        assert report.counts == {"passed": len(CASES)}
        assert report.good
        assert summary(report).endswith(f"{len(CASES)} cases: {len(CASES)} passed")

    def test_a_plain_third_implementation_passes(self) -> None:
        plain = faulty.testee("none")
        for case in CASES:
            if case["operation"] in faulty.OPERATIONS:
                assert judge(case, faulty.answer(plain, case["operation"], case["input"])) is None

    @pytest.mark.parametrize("fault", faulty.FAULTS)
    def test_every_fault_is_caught(self, fault: str) -> None:
        assert faults.first(fault, CASES).case is not None

    def test_there_are_sixty_faults(self) -> None:
        assert len(faulty.FAULTS) >= 60

    def test_a_fault_as_a_program(self) -> None:
        report = run([*FAULTY, "pack.bits-lsb-first"], PACKING)
        assert report.counts["failed"] > 10
        assert not report.good

    def test_numpy(self) -> None:
        pytest.importorskip("numpy")
        report = run([sys.executable, str(Path(faulty.__file__).with_name("numpy_testee.py"))], CASES)
        assert report.counts["passed"] + report.counts["skipped"] == len(CASES)
        assert report.counts["passed"] > 2000


class TestHostile:
    """What a testee does costs the case at hand, and no other."""

    @pytest.mark.parametrize(
        ("way", "outcome", "message"),
        [
            ("crash", "trouble", "crash: ended with exit code 3"),
            ("signal", "trouble", "crash: ended by signal 9"),
            ("hang", "trouble", "hang: no answer within 1 seconds"),
            ("flood", "trouble", "flood: over"),
            ("lines", "trouble", ""),
            ("rubbish", "trouble", "rubbish: not JSON"),
            ("list", "trouble", "rubbish: not an object"),
            ("wrong turn", "trouble", "out of turn: answered"),
            ("no result", "failed", "gave no result"),
            ("odd digits", "failed", ""),
            ("numbers", "failed", "no hexadecimal string"),
        ],
    )
    def test_costs_one_case(self, way: str, outcome: str, message: str) -> None:
        report = run([*HOSTILE, way], PACKING[:5], timeout=1.0 if way == "hang" else 10.0)
        outcomes = [verdict.outcome for verdict in report.verdicts]
        # Started anew, the testee misbehaves again on its second case.
        assert outcomes[:2] == ["passed", outcome]
        assert report.verdicts[1].message.startswith(message) or message in report.verdicts[1].message
        assert "passed" in outcomes[2:]
        assert not report.good

    def test_another_answer_when_asked_once_more(self) -> None:
        cases = [case for case in CASES if case.get("repeat")]
        assert {verdict.outcome for verdict in run(OWN, cases).verdicts} == {"passed"}
        (first, *_) = run([*HOSTILE, "moody"], cases).verdicts
        assert (first.outcome, first.message) == ("failed", "gave another answer when asked once more")

    def test_never_answers(self) -> None:
        with pytest.raises(ArgumentError, match="does not answer `start`: hang"):
            run([*HOSTILE, "mute"], timeout=0.5)

    @pytest.mark.parametrize(
        ("program", "message"),
        [
            ("print('{}')", "does not answer `start`: out of turn"),
            ("print('{\"seq\": 1}')", "does not speak protocol 1"),
            ("pass", "does not answer `start`: crash"),
        ],
    )
    def test_no_testee(self, program: str, message: str) -> None:
        with pytest.raises(ArgumentError, match=message):
            run([sys.executable, "-c", program])

    def test_no_program(self) -> None:
        with pytest.raises(ArgumentError, match="cannot start"):
            run(["/nowhere/testee"])

    def test_stopping_twice(self) -> None:
        testee = Testee(OWN, 5)
        testee.stop()
        testee.ask({"command": "start", "protocol": 1})
        testee.stop()
        testee.stop()
        assert testee.process is None


class TestOwnTestee:
    def test_skips_and_errors(self) -> None:
        assert own.run("fly", {}) == {"skipped": "no operation fly"}
        found = own.run("pack", {"codes": "ff", "nbits": 2})["error"]
        assert (found["kind"], found["rule"], found["index"]) == ("CodeError", "PACK-4", 0)

    def test_skipped_is_an_answer(self) -> None:
        only = {"pack"}
        case = next(case for case in CASES if case["operation"] == "unpack")
        assert runner._verdict(Testee(OWN, 5), case, only).outcome == "skipped"


class TestKnownFailures:
    """A list of known failures is strict: an entry that passes, or fails otherwise, is a failure."""

    FAULT = (*FAULTY, "pack.padding-of-ones")

    def known(self, **changes: str) -> list[Known]:
        entry = {"cases": "packing-*", "reason": "pads with ones", "message": "expected"}
        return [Known(**{**entry, **changes})]

    def test_foretold(self) -> None:
        wrong = [v.case for v in run([*self.FAULT]).verdicts if v.outcome == "failed"]
        report = run([*self.FAULT], wrong, known=self.known())
        assert report.counts == {"known": len(wrong)}
        assert report.good

    def test_an_entry_that_passes(self) -> None:
        report = run(OWN, known=self.known())
        assert report.counts == {"unexpected": 30}
        assert "passes, but is known to fail: pads with ones" in report.verdicts[0].message

    def test_an_entry_that_fails_otherwise(self) -> None:
        wrong = [v.case for v in run([*self.FAULT]).verdicts if v.outcome == "failed"]
        report = run([*self.FAULT], wrong, known=self.known(message="gave no result"))
        assert report.counts == {"unexpected": len(wrong)}

    def test_files(self, tmp_path: Path) -> None:
        path = tmp_path / "known.json"
        first = run([*self.FAULT])
        runner.write_known(path, first, [])
        known = runner.read_known(path)
        assert len(known) == first.counts["failed"] > 0
        again = run([*self.FAULT], known=known)
        assert again.good
        assert again.counts["known"] == len(known)
        # What no longer fails leaves the list; what still does keeps its reason.
        told = [entry._replace(reason="because") for entry in known]
        runner.write_known(path, run([*self.FAULT], known=told), told)
        assert runner.read_known(path) == told
        runner.write_known(path, run(OWN, known=told), told)
        assert runner.read_known(path) == []

    def test_bad_files(self, tmp_path: Path) -> None:
        path = tmp_path / "known.json"
        with pytest.raises(ArgumentError, match="cannot read"):
            runner.read_known(path)
        for content in ("", "[]", '{"known_failures": [{"cases": "x"}]}'):
            path.write_text(content)
            with pytest.raises(ArgumentError, match="no list of known failures"):
                runner.read_known(path)


class TestReports:
    def report(self) -> Report:
        return run(
            [*HOSTILE, "crash"], [*PACKING[:3], next(c for c in CASES if c["operation"] == "linear.encode")]
        )

    def test_text(self) -> None:
        wrong = next(c for c in CASES if c["operation"] == "linear.encode" and "reciprocal" in c["flags"])
        text = as_text(run([*FAULTY, "linear.divides-by-the-scale"], [wrong]))
        assert f"FAILED {wrong['id']} (linear.encode, required)" in text
        assert "LIN-2: A code MUST be computed as" in text
        assert "codes[" in text
        assert "(weight " in text
        assert f"repeat: refquant conformance run --case {wrong['id']} -- " in text

    def test_json_and_badge(self) -> None:
        report = self.report()
        found = json.loads(REPORTS["json"](report))
        assert found["counts"] == dict(report.counts)
        assert found["cases"][1]["message"].startswith("crash")
        badge = json.loads(REPORTS["badge"](report))
        assert (badge["message"], badge["color"]) == (f"{report.counts['passed']} of 4", "red")
        assert json.loads(REPORTS["badge"](run(OWN)))["color"] == "brightgreen"

    def test_junit(self) -> None:
        suite = ElementTree.fromstring(REPORTS["junit"](self.report()))
        assert (suite.get("tests"), suite.get("errors")) == ("4", "2")
        assert suite.findall("testcase")[1].find("error") is not None

    def test_markdown(self) -> None:
        text = REPORTS["markdown"](self.report())
        assert text.startswith("## refquant")
        assert "| packing | 3 | 2 |" in text


class TestCommand:
    def test_run(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["conformance", "run", "--family", "int8", "--report", "json"]) == 0
        captured = capfd.readouterr()
        assert json.loads(captured.out)["counts"].keys() == {"passed"}
        assert captured.err.startswith("refquant ")
        command = ["conformance", "run", "--family", "packing", "--", *FAULTY, "pack.padding-of-ones"]
        assert cli.main(command) == 1
        assert "FAILED packing-" in capfd.readouterr().out

    def test_known_failures(self, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        path = str(tmp_path / "known.json")
        start = ["conformance", "run", "--family", "packing", "--known-failures", path]
        end = ["--", *FAULTY, "pack.padding-of-ones"]
        Path(path).write_text('{"known_failures": []}')
        assert cli.main([*start, "--update-known-failures", *end]) == 1
        assert cli.main([*start, *end]) == 0
        assert cli.main(["conformance", "run", "--update-known-failures"]) == 2
        assert cli.main(["conformance", "run", "--jobs", "0"]) == 2
        capfd.readouterr()

    def test_smoke(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["conformance", "smoke", "--", *OWN]) == 0
        out = capfd.readouterr().out
        assert out.count("operations answer well") == 2
        assert cli.main(["conformance", "smoke", "--", *FAULTY, "half.big-endian"]) == 1
        assert "half.encode: bytes[" in capfd.readouterr().out
        assert cli.main(["conformance", "smoke", "--", *HOSTILE, "crash"]) == 1
        assert "crash: ended with exit code 3" in capfd.readouterr().out

    def test_list(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["conformance", "list"]) == 0
        assert "packing" in capfd.readouterr().out
        assert cli.main(["conformance", "list", "--family", "int8"]) == 0
        assert capfd.readouterr().out.count("int8-") == len([c for c in CASES if c["family"] == "int8"])
