"""The interpreters that results are compared on: those that are installed, and those of other machines.

Another machine is a folder with Debian's Python for it, put together from Debian's packages, whose programs
this kernel runs (i386, of 32 bits) or an emulator (s390x, whose bytes are in the other order). That needs
Linux, the superuser, and the packages `debootstrap` and, for what is emulated, `qemu-user-static`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).parents[2]

#: Names of installed interpreters that are tried where everything is asked for.
INSTALLED = (*(f"python3.{minor}" for minor in range(9, 14)), "pypy3")

#: Machine -> the program that emulates it; empty where the kernel of an x86-64 runs its programs.
MACHINES = {"i386": "", "s390x": "qemu-s390x-static"}

#: The release of Debian that machines have.
RELEASE = "bookworm"

#: Where a machine has the checkout, and protobuf in plain Python beside it.
THERE = Path("/checkout")


class Interpreter(NamedTuple):
    """A Python that has protobuf, and the checkout as it sees it."""

    name: str
    command: list[str]
    checkout: Path


def ready(name: str, folder: Path) -> Interpreter | None:
    """Make an interpreter or a machine ready, within a folder; None: there is none of that name."""
    if name in MACHINES:
        return _machine(name, folder / name)
    python = shutil.which(name)
    if python is None or not _runs(python, "import venv, ensurepip"):
        return None
    if not _runs(python, "import google.protobuf"):
        made = folder / Path(name).name / "bin" / "python"
        if not made.exists():
            subprocess.run([python, "-m", "venv", str(made.parents[1])], check=True)
            subprocess.run([str(made), "-m", "pip", "install", "-q", "protobuf"], check=True)
        python = str(made)
    return Interpreter(name, [python], CHECKOUT)


def _runs(python: str, program: str) -> bool:
    return subprocess.run([python, "-c", program], capture_output=True, check=False).returncode == 0


def _machine(name: str, root: Path) -> Interpreter:
    emulator = MACHINES[name]
    if not (root / "usr/bin/python3").exists():
        _unpack(name, root)
    there = root / THERE.relative_to("/")
    shutil.rmtree(there, ignore_errors=True)
    for part in ("refquant", "tests"):
        shutil.copytree(CHECKOUT / part, there / part, ignore=shutil.ignore_patterns("__pycache__"))
    plain = ["--no-deps", "--platform", "any", "--only-binary", ":all:", "--target", str(there)]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *plain, "protobuf"], check=True)
    if emulator:
        shutil.copy(_found(emulator), root)
    prefix = [f"/{emulator}"] if emulator else []
    return Interpreter(name, ["chroot", str(root), *prefix, "/usr/bin/python3"], THERE)


def _unpack(machine: str, root: Path) -> None:
    """Put a machine together: its packages are unpacked, and none of their scripts is run."""
    wanted = ["--foreign", "--variant=minbase", f"--arch={machine}", "--include=python3"]
    subprocess.run([_found("debootstrap"), *wanted, RELEASE, str(root)], stdout=sys.stderr, check=True)
    for package in sorted((root / "var/cache/apt/archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", str(package), str(root)], check=True)


def _found(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise SystemExit(f"{program} is not installed")
    return path
