"""The composite action: its last step, run as a runner of actions would run it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conformance import generate

ACTION = (Path(generate.__file__).parent / "action.yml").read_text(encoding="utf-8")
FAULTY = Path(generate.__file__).parent / "testees" / "faulty.py"


def step(tmp_path: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run the last step with these inputs, and with the defaults of the others."""
    defaults = dict(re.findall(r"^  ([a-z-]+):\n(?:    .*\n)*?    default: (\S+)", ACTION, re.MULTILINE))
    values = {**{name: value.strip('"') for name, value in defaults.items()}, **inputs}
    variables = re.findall(r"^        ([A-Z]+): \$\{\{ inputs\.([a-z-]+) \}\}", ACTION, re.MULTILINE)
    assert {name for _, name in variables} == {*defaults, "command"}
    script = re.findall(r"^      run: (.+)$", ACTION, re.MULTILINE)[-1]
    (tmp_path / "refquant").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m refquant "$@"\n')
    (tmp_path / "refquant").chmod(0o755)
    environment = {
        **os.environ,
        **{variable: values[name] for variable, name in variables},
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
    }
    command = ["bash", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(os.name != "posix", reason="the action runs in bash")
class TestStep:
    def test_good(self, tmp_path: Path) -> None:
        done = step(tmp_path, command=f"{sys.executable} {FAULTY} none", level="required")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "passed" in done.stdout + done.stderr

    def test_bad(self, tmp_path: Path) -> None:
        done = step(tmp_path, command=f"{sys.executable} {FAULTY} pack.padding-of-ones", level="required")
        assert done.returncode == 1

    def test_known(self, tmp_path: Path) -> None:
        known = tmp_path / "known failures.json"
        known.write_text('{"known_failures": []}')
        faulty = [sys.executable, str(FAULTY), "pack.padding-of-ones"]
        update = ["--known-failures", str(known), "--update-known-failures"]
        run = [sys.executable, "-m", "refquant", "conformance", "run", *update, "--", *faulty]
        subprocess.run(run, capture_output=True, check=False)
        done = step(tmp_path, command=" ".join(faulty), **{"known-failures": str(known)})
        assert done.returncode == 0, done.stdout + done.stderr
        assert " known" in done.stdout + done.stderr
