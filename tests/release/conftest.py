"""The products of a release, built once, from the commit that is checked out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]


class Products(NamedTuple):
    """The files of a release."""

    sdist: Path
    wheel: Path
    pyz: Path


def release(checkout: Path, output: Path, **options: Any) -> Products:
    """Build everything, in a process with these options."""
    command = [sys.executable, str(checkout / ".ci" / "release.py"), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr
    (sdist,), (wheel,) = output.glob("*.tar.gz"), output.glob("*.whl")
    products = Products(sdist, wheel, output / "refquant.pyz")
    assert [line.split()[1] for line in done.stdout.splitlines()] == [
        path.name for path in (wheel, sdist, products.pyz)
    ]
    return products


@pytest.fixture(scope="session")
def products(tmp_path_factory: pytest.TempPathFactory) -> Products:
    """Build a release of this checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("a release is built from a git checkout")
    return release(ROOT, tmp_path_factory.mktemp("release"))


def virtualenv(folder: Path, *wanted: str) -> Path:
    """Make a virtualenv with these packages; give the folder of its programs."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    command = [str(programs / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*command, *wanted], check=True)
    return programs


def output_of(*command: object, **options: Any) -> str:
    """Run a program that succeeds; give what it prints."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
