#!/usr/bin/env python3
"""Build what is released, from the commit that is checked out: `python3 .ci/release.py [PRODUCT...]`.

* `sdist`: every file of the commit, and PKG-INFO.
* `wheel`: the package, built from the files of the commit.
* `pyz`: the package and protobuf's pure-Python code in one file, for a Python with nothing installed.

The same commit, Python and zlib make the same bytes, whoever builds them, wherever and whenever: every file
is dated as the commit, and has mode 644 or, where git says that it is a program, 755. Git is needed, and the
two packages below, which pip fetches by version and hash.
"""

from __future__ import annotations

import argparse
import ast
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

#: What can be built.
PRODUCTS = ("sdist", "wheel", "pyz")

#: What builds the wheel, as pip takes it. The wheel names its version.
SETUPTOOLS = (
    "setuptools==80.9.0 --hash=sha256:062d34222ad13e0cc312a4c02d73f059e86a4acbfbdea8f8f76b28c99f306922"
)

#: What the pyz carries: the last protobuf for Python 3.9, without compiled code.
PROTOBUF = "protobuf==6.33.6 --hash=sha256:77179e006c476e69bf8e8ce866640091ec42e1beb80b213c3900006ecfba6901"

#: What the pyz leaves out of the package, by how a name begins or ends: what type checkers read, what works
#: in a checkout only, and files of the conformance kit that are for copying.
NOT_CARRIED_FOLDERS = (
    "refquant/spec/",
    "refquant/conformance/data/schema/",
    "refquant/conformance/data/testees/",
)
NOT_CARRIED = (
    ".pyi",
    "/py.typed",
    "/sample/evaluate.py",
    "/sample/train.py",
    "/schema/generate.py",
    "/data/action.yml",
)

#: How the pyz starts. An interpreter that is too old reads as far as the sentence.
MAIN = b'''\
"""`python refquant.pyz` is the command `refquant`."""

import os
import sys

if sys.version_info < (3, 9):
    sys.exit("refquant needs Python 3.9 or later")
os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"  # there is no other in here
sys.modules.pop("google", None)  # some installed packages make it when Python starts, without protobuf

from refquant.cli import main

sys.exit(main())
'''

#: What makes the pyz a program of its own.
SHEBANG = b"#!/usr/bin/env python3\n"


class Content(NamedTuple):
    """What a file holds, and whether it is a program."""

    data: bytes
    program: bool = False

    @property
    def mode(self) -> int:
        """Give the permissions of the file, in an archive or a folder."""
        return 0o755 if self.program else 0o644


#: Files by their names: relative, with slashes.
Files = Mapping[str, Content]


def main(arguments: Sequence[str] | None = None) -> int:
    """Build what is asked for; print the names of the files and their hashes, as sha256sum does."""
    parser = argparse.ArgumentParser(prog="release.py", description="Build what is released.")
    parser.add_argument("products", nargs="*", metavar="PRODUCT", help="sdist, wheel or pyz (all of them)")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", metavar="DIR", help="a folder (dist)")
    options = parser.parse_args(arguments)
    wanted = options.products or PRODUCTS
    if not set(wanted) <= set(PRODUCTS):
        parser.error(f"the products are {', '.join(PRODUCTS)}")
    os.umask(0o022)
    with TemporaryDirectory() as folder:
        built = dict(build(wanted, Path(folder)))
    options.output.mkdir(parents=True, exist_ok=True)
    for name, content in built.items():
        path = options.output / name
        path.write_bytes(content.data)
        path.chmod(content.mode)
        sys.stdout.write(f"{hashlib.sha256(content.data).hexdigest()}  {name}\n")
    return 0


def build(wanted: Iterable[str], folder: Path) -> Iterator[tuple[str, Content]]:
    """Give the name and content of each product, built in an empty folder."""
    date = int(git("log", "-1", "--format=%ct"))
    commit = read_tar(git("archive", "--format=tar", "HEAD"))
    run(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    name, wheel = build_wheel(commit, date, python, folder)
    files = read_zip(wheel)
    if "wheel" in wanted:
        yield name, Content(wheel)
    if "sdist" in wanted:
        stem = "-".join(name.split("-")[:2])
        (about,) = (content for name, content in files.items() if name.endswith(".dist-info/METADATA"))
        yield f"{stem}.tar.gz", Content(tar_gz(stem, {**commit, "PKG-INFO": about}, date))
    if "pyz" in wanted:
        chosen = carried(files, read_zip(fetched(PROTOBUF, python, folder)))
        yield "refquant.pyz", Content(pyz(chosen, date), program=True)


def build_wheel(commit: Files, date: int, python: Path, folder: Path) -> tuple[str, bytes]:
    """Build the wheel in a folder, with the one setuptools; give its name and content."""
    pip(python, "install", "--no-deps", "-r", requirement(SETUPTOOLS, folder))
    for name, content in commit.items():
        path = folder / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.data)
        path.chmod(content.mode)
    made = folder / "wheel"
    pip(python, "wheel", "--no-deps", "--no-build-isolation", "-w", made, folder / "tree", date=date)
    (wheel,) = made.iterdir()
    return wheel.name, wheel.read_bytes()


def fetched(wanted: str, python: Path, folder: Path) -> bytes:
    """Give the pure-Python wheel of a package."""
    target = folder / "fetched"
    only = ("--no-deps", "--only-binary=:all:", "--platform=any")
    pip(python, "download", *only, "-d", target, "-r", requirement(wanted, folder))
    (wheel,) = target.iterdir()
    return wheel.read_bytes()


def requirement(wanted: str, folder: Path) -> Path:
    """Write a file of requirements, with which pip takes nothing without a hash."""
    path = folder / "requirement.txt"
    path.write_text(wanted, encoding="utf-8")
    return path


def carried(package: Files, protobuf: Files) -> dict[str, Content]:
    """Choose the files of the pyz from those of two wheels, and add its start."""
    chosen = {
        name: content
        for name, content in package.items()
        if name.startswith("refquant/")
        and not name.startswith(NOT_CARRIED_FOLDERS)
        and not name.endswith(NOT_CARRIED)
    }
    chosen.update({name: protobuf[name] for name in needed(chosen, protobuf)})
    licenses = {"LICENSE": package, "google/protobuf/LICENSE": protobuf}
    for name, files in licenses.items():
        (chosen[name],) = (text for path, text in files.items() if path.endswith("/LICENSE"))
    # No file of protobuf, but without it some versions of Python do not see the folder in an archive.
    chosen["google/__init__.py"] = Content(b"")
    chosen["__main__.py"] = Content(MAIN)
    return {name: Content(content.data) for name, content in chosen.items()}


def needed(users: Files, library: Files) -> set[str]:
    """Find the modules of a library that the users import, and those that these import, and so on."""
    found: set[str] = set()
    waiting = [content.data for name, content in users.items() if name.endswith(".py")]
    while waiting:
        for module in imported(waiting.pop()):
            parts = module.split(".")
            for length in range(1, len(parts) + 1):
                path = "/".join(parts[:length])
                for name in {f"{path}.py", f"{path}/__init__.py"} & library.keys() - found:
                    found.add(name)
                    waiting.append(library[name].data)
    return found


def imported(source: bytes) -> Iterator[str]:
    """Give the modules that a module may import, wherever in it that is said."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def read_tar(data: bytes) -> dict[str, Content]:
    """Read the files of an archive that git made."""
    files = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                files[member.name] = Content(file.read(), bool(member.mode & 0o100))
    return files


def tar_gz(stem: str, files: Files, date: int) -> bytes:
    """Make a source archive: one folder, in alphabetical order, owned by root."""
    made = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", fileobj=made, mtime=date) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(f"{stem}/{name}")
            member.size, member.mtime, member.mode = len(content.data), date, content.mode
            archive.addfile(member, io.BytesIO(content.data))
    return made.getvalue()


def read_zip(data: bytes) -> dict[str, Content]:
    """Read the files of a wheel."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: Content(archive.read(name)) for name in archive.namelist()}


def pyz(files: Files, date: int) -> bytes:
    """Make an archive that Python runs, in alphabetical order."""
    made = io.BytesIO()
    made.write(SHEBANG)
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in sorted(files.items()):
            member = zipfile.ZipInfo(name, time.gmtime(date)[:6])
            member.create_system, member.external_attr = 3, (0o100000 | content.mode) << 16
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, content.data, compresslevel=9)
    return made.getvalue()


def git(*arguments: str) -> bytes:
    """Run git on the checkout; give what it prints."""
    try:
        return subprocess.run(["git", "-C", ROOT, *arguments], stdout=subprocess.PIPE, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"a release is built from a git checkout: {error}") from None


def pip(python: Path, action: str, *arguments: str | Path, date: int = 0) -> None:
    """Run pip quietly; what builds under it dates all files as said."""
    quiet = ("-q", "--disable-pip-version-check")
    run(python, "-m", "pip", action, *quiet, *arguments, SOURCE_DATE_EPOCH=str(date))


def run(*command: str | Path, **environment: str) -> None:
    """Run a program that says itself what is wrong."""
    done = subprocess.run(command, stdout=sys.stderr, env={**os.environ, **environment}, check=False)
    if done.returncode:
        raise SystemExit(f"{Path(command[0]).name} {command[1]} {command[2]} failed")


if __name__ == "__main__":
    sys.exit(main())
