"""The composite action: its last step, run as a runner of actions would run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from conformance import generate

ACTION = (Path(generate.__file__).parent / "action.yml").read_text(encoding="utf-8")
FAULTY = Path(generate.__file__).parent / "testees" / "faulty.py"


def scripts() -> list[str]:
    """Give what the steps run: on one line, or in a block below."""
    found = re.findall(r"^      run: (?:\|\n((?:        .*\n)+)|(.+)$)", ACTION, re.MULTILINE)
    return [textwrap.dedent(block) or line for block, line in found]


def step(tmp_path: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run the last step with these inputs, and with the defaults of the others."""
    defaults = dict(re.findall(r"^  ([a-z-]+):\n(?:    .*\n)*?    default: (\S+)", ACTION, re.MULTILINE))
    values = {**{name: value.strip('"') for name, value in defaults.items()}, **inputs}
    variables = re.findall(r"^        ([A-Z]+): \$\{\{ inputs\.([a-z-]+) \}\}", ACTION, re.MULTILINE)
    assert {name for _, name in variables} == {*defaults, "command"}
    folder = tmp_path / "refquant" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "refquant").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m refquant "$@"\n')
    (folder / "refquant").chmod(0o755)
    environment = {
        **os.environ,
        **{variable: values[name] for variable, name in variables},
        "RUNNER_TEMP": str(tmp_path),
    }
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", scripts()[-1]]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(os.name != "posix", reason="the action runs in bash")
class TestStep:
    def test_good(self, tmp_path: Path) -> None:
        done = step(tmp_path, command=f"{sys.executable} {FAULTY} none", level="required", family="int8")
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"cases: \d+ passed\n", done.stdout)

    def test_bad(self, tmp_path: Path) -> None:
        done = step(tmp_path, command=f"{sys.executable} {FAULTY} pack.padding-of-ones", family="packing")
        assert done.returncode == 1

    def test_words_of_a_command_may_be_quoted(self, tmp_path: Path) -> None:
        path = tmp_path / "a testee.py"
        path.write_text(FAULTY.read_text(encoding="utf-8"), encoding="utf-8")
        command = f"'{sys.executable}' \"{path}\" none"
        done = step(tmp_path, command=command, family="int8")
        assert done.returncode == 0, done.stdout + done.stderr

    def test_report_in_a_file(self, tmp_path: Path) -> None:
        output = tmp_path / "the report.xml"
        command = f"{sys.executable} {FAULTY} none"
        done = step(tmp_path, command=command, family="int8", report="junit", output=str(output), jobs="2")
        assert done.returncode == 0, done.stdout + done.stderr
        assert ElementTree.parse(output).getroot().get("failures") == "0"

    def test_known(self, tmp_path: Path) -> None:
        known = tmp_path / "known failures.json"
        faulty = [sys.executable, str(FAULTY), "pack.padding-of-ones"]
        update = ["--family", "packing", "--known-failures", str(known), "--update-known-failures"]
        run = [sys.executable, "-m", "refquant", "conformance", "run", *update, "--", *faulty]
        subprocess.run(run, capture_output=True, check=True)
        done = step(tmp_path, command=" ".join(faulty), family="packing", **{"known-failures": str(known)})
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r" [1-9]\d* known\n", done.stdout)


def test_installs_its_own_revision() -> None:
    install = scripts()[0]
    assert install.endswith('pip" install --quiet "$SOURCE"')
    assert "SOURCE: ${{ github.action_path }}/.." in ACTION
