"""In WebAssembly refquant does what it does elsewhere: the same bytes, and every case of the kit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="needs Node"),
]

#: Where protobuf's wheel without compiled code is, whatever this machine is.
PURE = ("--only-binary=:all:", "--platform=any", "--python-version=3.14")


def run(*command: object, **options: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the script there, from wheels alone, and here."""
    folder = tmp_path_factory.mktemp("wasm")
    pip = (sys.executable, "-m", "pip", "-q", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "-w", folder, CHECKOUT)
    run(*pip, "download", "--no-deps", *PURE, "-d", folder, "protobuf")
    for name in ("package.json", "package-lock.json", "run.mjs"):
        shutil.copy(HERE / name, folder)
    run("npm", "ci", "--no-audit", "--no-fund", cwd=folder)
    script = HERE / "script.py"
    there = run("node", "run.mjs", script, *sorted(folder.glob("*.whl")), cwd=folder)
    return json.loads(there), json.loads(run(sys.executable, script, cwd=CHECKOUT))


def test_it_is_another_platform(answers: tuple[dict[str, Any], dict[str, Any]]) -> None:
    there, here = answers
    assert there["platform"] == "emscripten" != here["platform"]


def test_every_mode_gives_the_same_bytes(answers: tuple[dict[str, Any], dict[str, Any]]) -> None:
    there, here = answers
    assert len(here["digests"]) == 2 * (2 + 4 * 8)
    assert there["digests"] == here["digests"]


def test_every_case_of_the_kit_passes(answers: tuple[dict[str, Any], dict[str, Any]]) -> None:
    there, here = answers
    assert there["kit"] == here["kit"]
    assert there["kit"].keys() == {"passed"}
    assert there["kit"]["passed"] > 4900


def test_jobs_are_refused(answers: tuple[dict[str, Any], dict[str, Any]]) -> None:
    there, here = answers
    assert there["jobs"] == "ArgumentError: jobs must be 1 on emscripten, which has no processes, not 2"
    assert here["jobs"] == ""
