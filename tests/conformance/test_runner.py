"""The runner: testees good, wrong and hostile, known failures, and every report."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from conformance import faults
from conformance.testees import faulty
from refquant import cli
from refquant.conformance import cli as kit
from refquant.conformance import runner, vectors
from refquant.conformance import testee as own
from refquant.conformance.judge import judge
from refquant.conformance.operations import OPERATIONS, floats_to_hex
from refquant.conformance.process import Testee
from refquant.conformance.reports import REPORTS, as_text, shown_input, summary
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
            ("hang", "trouble", "hang: no answer within 1 second (does it flush its output"),
            ("flood", "trouble", "flood: over"),
            ("lines", "trouble", ""),
            ("rubbish", "trouble", "rubbish: not JSON"),
            ("deep", "trouble", "rubbish: not JSON"),
            ("list", "trouble", "rubbish: not an object"),
            ("wrong turn", "trouble", "out of turn: answered"),
            ("true turn", "trouble", "out of turn: answered True"),
            ("no result", "trouble", "rubbish: neither `result`, `error` nor `skipped`"),
            ("another key", "failed", "bytes: the result has no key `bytes`"),
        ],
    )
    def test_costs_one_case(self, way: str, outcome: str, message: str) -> None:
        report = run([*HOSTILE, way], PACKING[:3], timeout=1.0 if way == "hang" else 10.0)
        outcomes = [verdict.outcome for verdict in report.verdicts]
        # Started anew, the testee misbehaves again on its second case.
        assert outcomes[:2] == ["passed", outcome]
        assert report.verdicts[1].message.startswith(message)
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
            ("print('{\"seq\": 1}')", "does not answer `start`: rubbish: no key `implementation`"),
            ("pass", "does not answer `start`: crash"),
        ],
    )
    def test_no_testee(self, program: str, message: str) -> None:
        with pytest.raises(ArgumentError, match=message):
            run([sys.executable, "-c", program])

    @pytest.mark.parametrize(
        ("way", "message"),
        [
            ("offers lists", "`operations` is no list of names"),
            ("offers twice", "`operations` names one twice"),
            ("nameless", "`implementation` is no object"),
            ("true", "`protocol` is True, not 1"),
            ("another protocol", "`protocol` is 2, not 1"),
        ],
    )
    def test_a_start_that_is_none(self, way: str, message: str) -> None:
        with pytest.raises(ArgumentError, match=f"does not answer `start`: rubbish: {message}"):
            run([*HOSTILE, way])

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

    def test_what_is_not_offered_is_not_asked_for(self) -> None:
        unpacking = next(case for case in CASES if case["operation"] == "unpack")
        report = run([*HOSTILE, "polite"], [PACKING[0], unpacking])
        assert [verdict.outcome for verdict in report.verdicts] == ["passed", "skipped"]
        assert report.verdicts[1].message == "unpack is not offered"
        assert report.good

    @pytest.mark.parametrize(
        ("operation", "given", "rule"),
        [
            ("int8.decode", {"codes": "01", "scales": ""}, "DEQ-3"),
            ("int8.decode", {"codes": "01", "scales": "3f8000003f800000"}, "DEQ-3"),
        ],
    )
    def test_ill_input_is_refused(self, operation: str, given: dict[str, Any], rule: str) -> None:
        error = own.run(operation, given)["error"]
        assert (error["rule"], error["index"]) == (rule, None)


class TestOffers:
    """A run in which nothing was judged proves nothing."""

    def test_nothing(self) -> None:
        report = run([*HOSTILE, "offers nothing"])
        assert report.counts == {"skipped": 30}
        assert not report.good
        assert summary(report) == "hostile 1: 30 cases: 30 skipped; nothing was judged"
        badge = json.loads(REPORTS["badge"](report))
        assert (badge["message"], badge["color"]) == ("0 of 0", "red")

    def test_skipping_all(self) -> None:
        assert not run([*HOSTILE, "skips"]).good

    def test_the_unknown(self) -> None:
        report = run([*HOSTILE, "offers the unknown"], PACKING[:1])
        assert report.unknown == ["fly"]
        assert report.good
        assert "offered, but no operations of the kit: fly\n" in as_text(report)
        assert json.loads(REPORTS["json"](report))["unknown_operations"] == ["fly"]


class TestJobs:
    def test_no_more_than_cases_or_than_cores_bear(self, monkeypatch: pytest.MonkeyPatch) -> None:
        started: list[int] = []
        launch = Testee._launch

        def counted(self: Testee) -> None:
            started.append(1)
            launch(self)

        monkeypatch.setattr(Testee, "_launch", counted)
        monkeypatch.setattr(os, "cpu_count", lambda: 1)
        assert run([*HOSTILE, "polite"], PACKING[:3], jobs=1000).counts == {"passed": 3}
        assert len(started) == 1 + 3
        started.clear()
        assert run([*HOSTILE, "polite"], PACKING[:20], jobs=1000).counts == {"passed": 20}
        assert len(started) == 1 + runner.JOBS_A_CORE


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

    def test_an_update_leaves_what_was_not_run(self, tmp_path: Path) -> None:
        path = tmp_path / "known.json"
        elsewhere = [*self.known(cases="half-*"), *self.known(cases="linear-*", reason="another")]
        report = run([*self.FAULT], known=elsewhere)
        runner.write_known(path, report, elsewhere)
        written = runner.read_known(path)
        assert written[:2] == elsewhere
        assert len(written) == 2 + report.counts["failed"]
        # What one entry foretells of many cases stays one entry.
        wrong = [v.case for v in report.verdicts if v.outcome == "failed"]
        runner.write_known(path, run([*self.FAULT], wrong, known=self.known()), self.known())
        assert runner.read_known(path) == self.known()

    def test_a_message_that_changed_is_written_whole(self, tmp_path: Path) -> None:
        path = tmp_path / "known.json"
        old = self.known(message="a text (with: brackets): and colons")
        runner.write_known(path, run([*self.FAULT], known=old), old)
        messages = {entry.message for entry in runner.read_known(path)}
        assert messages
        assert all(message.startswith("bytes[") for message in messages)

    def test_stale_entries(self) -> None:
        (gone,), (there,) = self.known(cases="gone-*"), self.known()
        exact = Known(PACKING[0]["id"], "because", "codes")
        assert runner.stale([gone, there, exact], CASES) == [gone]

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
        assert runner.read_known(path, missing=True) == []
        for content in ("", "[]", '{"known_failures": [{"cases": "x"}]}', '{"known_failures": 5}'):
            path.write_text(content)
            with pytest.raises(ArgumentError, match="no list of known failures"):
                runner.read_known(path)
        good = {"cases": "x", "reason": "y", "message": "z"}
        for field, value in (("cases", 5), ("reason", " "), ("message", ""), ("reason", None)):
            path.write_text(json.dumps({"known_failures": [good, {**good, field: value}]}))
            with pytest.raises(ArgumentError, match=f"entry 2: `{field}` must be words"):
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

    def test_like_failures_are_shown_once(self) -> None:
        report = run([*FAULTY, "pack.padding-of-ones"], PACKING)
        text = as_text(report)
        shown, more = text.count("FAILED "), sum(map(int, re.findall("and (\\d+) more like it", text)))
        assert shown + more == report.counts["failed"]
        assert 1 < shown < report.counts["failed"]
        assert re.search(r"and \d+ more like it: packing-\w+, ", text)
        assert f"* `{report.verdicts[0].case['id']}` and " not in text
        markdown = REPORTS["markdown"](report)
        assert markdown.count("\n* `packing-") == shown
        assert f"| all | {len(PACKING)} | {report.counts['passed']} |" in markdown

    def test_input_and_request(self) -> None:
        case = next(c for c in PACKING if len(c["input"]["codes"]) > 20)
        report = run([*FAULTY, "pack.last-byte-lost"], [case])
        count = len(case["input"]["codes"]) // 2
        assert re.search(rf"input: codes = \d+ \d+ .*\.\.\. \({count} in all\)", as_text(report))
        line = re.findall(r"^  request: (.*)$", as_text(report, requests=True), re.MULTILINE)[0]
        assert json.loads(line)["input"] == case["input"]
        assert "request: " not in as_text(report)

    def test_decimals_of_an_input_are_short_and_tell_all(self) -> None:
        weights = [0.1, -0.0, 16777217.0, 1e-45, float("nan"), 3.4028234663852886e38]
        case = {"operation": "int8.encode", "input": {"weights": floats_to_hex(weights)}}
        assert shown_input(case) == "weights = 0.1 -0 16777216 1.4013e-45 nan 3.4028235e+38"
        case = {"operation": "unpack", "input": {"bytes": "ff" * 90, "nbits": 1, "count": 720}}
        assert shown_input(case) == f'bytes = "{"ff" * 29}f ...; nbits = 1; count = 720'

    def test_whatever_a_testee_says_makes_a_report(self) -> None:
        """Control characters, half a surrogate pair, markup and 10,000 letters, in a name and a message."""
        report = run([*HOSTILE, "strange message"], PACKING[:3])._replace(
            implementation=runner.introduce([*HOSTILE, "strange name"], 10)
        )
        said = report.verdicts[1].message
        assert said.startswith("answered with an error: a\\nb\\x00\\ud800\\x1b[31m </x> & ]]>!!!")
        assert len(said) < 2 * runner.LONGEST_MESSAGE
        for made in REPORTS.values():
            assert made(report).encode("utf-8").count(b"\x1b") == 0
        suite = ElementTree.fromstring(REPORTS["junit"](report))
        assert suite.get("name") == "m\\n\\ud800< \\x1b[31m"
        assert suite.findall("testcase/failure")[0].get("message") == said
        assert REPORTS["markdown"](report).count("\n*") == 1

    def test_junit(self) -> None:
        suite = ElementTree.fromstring(REPORTS["junit"](self.report()))
        assert (suite.get("tests"), suite.get("errors")) == ("4", "2")
        assert suite.findall("testcase")[1].find("error") is not None

    def test_markdown(self) -> None:
        text = REPORTS["markdown"](self.report())
        assert text.startswith("## hostile 1\n")
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
        path = tmp_path / "known.json"
        start = ["conformance", "run", "--family", "packing", "--known-failures", str(path)]
        end = ["--", *FAULTY, "pack.padding-of-ones"]
        assert cli.main([*start, *end]) == 2
        # An update makes the file, and the run good.
        assert cli.main([*start, "--update-known-failures", *end]) == 0
        assert cli.main([*start, *end]) == 0
        assert cli.main(["conformance", "run", "--update-known-failures"]) == 2
        # An entry for no case at all is a mistake; an update mends it.
        known = json.loads(path.read_text())
        known["known_failures"].append({"cases": "nonexistent-*", "reason": "none", "message": "none"})
        path.write_text(json.dumps(known))
        capfd.readouterr()
        assert cli.main([*start, *end]) == 2
        assert "names cases that there are not: 'nonexistent-*'" in capfd.readouterr().err
        assert cli.main([*start, "--update-known-failures", *end]) == 0
        assert "nonexistent" not in path.read_text()

    def test_a_list_that_cannot_be_written(self, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        """That is no failure of the testee."""
        path = tmp_path / "nowhere" / "known.json"
        start = ["conformance", "run", "--case", PACKING[0]["id"], "--known-failures", str(path)]
        assert cli.main([*start, "--update-known-failures"]) == 2
        assert f"refquant: error: cannot write {path}: No such file" in capfd.readouterr().err

    @pytest.mark.parametrize(
        "options",
        [
            ["run", "--jobs", "0"],
            ["run", "--timeout", "-1"],
            ["smoke", "--timeout", "nan"],
            ["fuzz", "--examples", "0"],
            ["fuzz", "--examples", "many"],
        ],
    )
    def test_senseless_numbers(self, capfd: pytest.CaptureFixture[str], options: list[str]) -> None:
        with pytest.raises(SystemExit) as caught:
            cli.main(["conformance", *options])
        assert caught.value.code == 2
        assert re.search("must be a|invalid number value", capfd.readouterr().err)

    def test_a_terminal_of_another_time(self) -> None:
        command = [sys.executable, "-m", "refquant", "conformance", "run", "--case", PACKING[0]["id"], "--"]
        program = 'input(); print(\'{"seq": 1, "protocol": 1, "implementation": {"name": "\\\\u00e9", '
        program += '"version": "1", "language": "C"}, "operations": []}\', flush=True); input()'
        done = subprocess.run(
            [*command, sys.executable, "-c", program],
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            input="",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == "\\xe9 1: 1 case: 1 skipped; nothing was judged\n", done.stderr

    def test_vectors_of_a_file(self, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        path = tmp_path / "mine.json"
        content = {**vectors.families()["packing"], "family": "mine", "cases": PACKING[:2]}
        path.write_text(json.dumps(content))
        start = ["conformance", "run", "--vectors", str(path)]
        assert cli.main([*start, "--report", "json"]) == 0
        assert [case["family"] for case in json.loads(capfd.readouterr().out)["cases"]] == ["mine"] * 2
        assert cli.main([*start, "--", *FAULTY, "pack.last-byte-lost"]) == 1
        assert f"repeat: refquant conformance run --vectors {path} --case " in capfd.readouterr().out
        for broken in ("", "[]", '{"cases": [{}]}', json.dumps({**content, "rules": {}})):
            path.write_text(broken)
            assert cli.main(start) == 2
            assert "no file of vectors" in capfd.readouterr().err
        path.unlink()
        assert cli.main(start) == 2


class TestSmoke:
    def smoke(self, capfd: pytest.CaptureFixture[str], *command: str) -> tuple[int, str]:
        code = cli.main(["conformance", "smoke", "--", *command])
        return code, capfd.readouterr().out

    def test_good(self, capfd: pytest.CaptureFixture[str]) -> None:
        code, out = self.smoke(capfd, *OWN)
        assert code == 0
        assert out.count(f"{len(OPERATIONS)} of {len(OPERATIONS)} operations answer well\n") == 2

    def test_a_fault(self, capfd: pytest.CaptureFixture[str]) -> None:
        code, out = self.smoke(capfd, *FAULTY, "half.big-endian")
        assert code == 1
        assert re.search(r"the program: 12 of 13 .*\n  half.encode \(half-\w+, .*\): bytes\[", out)

    @pytest.mark.parametrize("fault", ["pack.large-codes-masked", "int8.divides-zero-by-zero"])
    def test_refusals_and_zeros_are_tried(self, capfd: pytest.CaptureFixture[str], fault: str) -> None:
        assert self.smoke(capfd, *FAULTY, fault)[0] == 1

    def test_after_a_crash_the_others_are_asked(self, capfd: pytest.CaptureFixture[str]) -> None:
        code, out = self.smoke(capfd, *HOSTILE, "crash")
        assert code == 1
        assert re.search(r"the program: [01] of 3 operations", out)
        assert re.search(r"\w+.encode \(\S+, .*\): crash: ended with exit code 3", out)
        assert "pack (packing-" in out

    @pytest.mark.parametrize("way", ["skips", "offers nothing"])
    def test_no_answers(self, capfd: pytest.CaptureFixture[str], way: str) -> None:
        code, out = self.smoke(capfd, *HOSTILE, way)
        assert code == 1
        assert "the program: 0 of 0 operations answer well" in out
        assert "nothing was answered" in out

    def test_a_broken_harness(
        self, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kit, "OWN", [*FAULTY, "half.big-endian"])
        code, out = self.smoke(capfd, *OWN)
        assert code == 3
        assert "the program" not in out


class TestList:
    def test_list(self, capfd: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["conformance", "list"]) == 0
        lines = capfd.readouterr().out.splitlines()
        assert len(lines) == len(vectors.families())
        assert len({len(line) for line in lines}) == 1  # numbers stand in a column
        assert cli.main(["conformance", "list", "--family", "int8"]) == 0
        assert capfd.readouterr().out.count("int8-") == len([c for c in CASES if c["family"] == "int8"])
