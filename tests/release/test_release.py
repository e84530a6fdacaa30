"""Wheel and source archive: reproducible, complete, without stray files, and they work when installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from refquant import demo
from tests.release.conftest import ROOT, Products, output_of, release, virtualenv

pytestmark = pytest.mark.slow

#: What the package takes from conformance/: the files of these folders, and two for people.
KIT = ("schema", "testees", "testees/c", "vectors")
KIT_FILES = ("README.md", "action.yml")

#: What the wheel says of itself.
ABOUT = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt")


def committed() -> list[str]:
    """List the files of the commit that is checked out."""
    listed = output_of("git", "-C", ROOT, "ls-tree", "-r", "-z", "--name-only", "HEAD")
    return listed.rstrip("\0").split("\0")


class TestReproducible:
    def test_by_anyone_anywhere_at_any_time(self, products: Products, tmp_path: Path) -> None:
        elsewhere = tmp_path / "another folder"
        output_of("git", "clone", "-q", ROOT, elsewhere)
        for stray in ("refquant/stray.py", "refquant/sample/stray.bin", "conformance/vectors/stray.json"):
            (elsewhere / stray).write_text("")
        environment = {"TZ": "Pacific/Kiritimati", "LC_ALL": "C", "PYTHONHASHSEED": "1"}
        again = release(elsewhere, tmp_path / "out", umask=0o077, env={**os.environ, **environment})
        for first, second in zip(products, again):
            assert first.name == second.name
            assert first.read_bytes() == second.read_bytes()

    def test_not_from_what_is_no_checkout(self, tmp_path: Path) -> None:
        (tmp_path / ".ci").mkdir()
        script = tmp_path / ".ci" / "release.py"
        script.write_bytes((ROOT / ".ci" / "release.py").read_bytes())
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "a release is built from a git checkout" in done.stderr


class TestSourceArchive:
    def test_is_the_commit(self, products: Products) -> None:
        stem = products.sdist.name[: -len(".tar.gz")]
        with tarfile.open(products.sdist) as archive:
            members = archive.getmembers()
            named = {member.name.partition("/")[2]: member for member in members}
            assert {member.name.partition("/")[0] for member in members} == {stem}
            assert sorted(named) == sorted([*committed(), "PKG-INFO"])
            programs = {name for name, member in named.items() if member.mode == 0o755}
            assert {member.mode for member in members} == {0o644, 0o755}
            for name in ("LICENSE", "refquant/sample/digits.mlmodel", "tests/release/test_release.py"):
                file = archive.extractfile(named[name])
                assert file is not None
                assert file.read() == _committed_bytes(name)
        assert {".ci/run", ".ci/release.py"} <= programs
        assert "pyproject.toml" not in programs

    def test_its_tests_run(self, products: Products, tmp_path: Path) -> None:
        with tarfile.open(products.sdist) as archive:
            _extract(archive, tmp_path)
        (folder,) = tmp_path.iterdir()
        test = (virtualenv(tmp_path / "venv", f"{folder}[test]") / "python", "-m", "pytest", "-q")
        output_of(*test, "--collect-only", cwd=folder)  # all: what they import is there
        quick = ("codec/test_packing.py", "schema", "spec", "test_package.py", "test_sample.py")
        output_of(*test, *(f"tests/{name}" for name in quick), cwd=folder)


class TestWheel:
    def test_has_no_stray_file(self, products: Products) -> None:
        with zipfile.ZipFile(products.wheel) as archive:
            names = archive.namelist()
        about = f"{'-'.join(products.wheel.name.split('-')[:2])}.dist-info"
        kit = [path for path in map(PurePosixPath, committed()) if path.parts[0] == "conformance"]
        kit = [path.relative_to("conformance") for path in kit if not path.name.startswith(".")]
        assert sorted(names) == sorted(
            [
                *(name for name in committed() if name.startswith("refquant/")),
                *(f"refquant/conformance/data/{path}" for path in kit if str(path.parent) in KIT),
                *(f"refquant/conformance/data/{name}" for name in KIT_FILES),
                *(f"{about}/{name}" for name in ABOUT),
            ]
        )

    def test_needs_no_checkout(self, products: Products) -> None:
        with zipfile.ZipFile(products.wheel) as archive:
            texts = {name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")}
        statement = re.compile(r"^\s*(from|import) (conformance|tests)\b", re.MULTILINE)
        assert not [name for name, text in texts.items() if statement.search(text)]

    def test_needs_protobuf_alone(self, products: Products) -> None:
        with zipfile.ZipFile(products.wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
            lines = archive.read(name).decode().splitlines()
        needs = [line for line in lines if line.startswith("Requires-Dist:") and "extra ==" not in line]
        assert needs == ["Requires-Dist: protobuf>=4.25"]

    def test_an_index_would_take_both(self, products: Products, tmp_path: Path) -> None:
        programs = virtualenv(tmp_path / "venv", "twine")
        said = output_of(programs / "twine", "check", "--strict", products.wheel, products.sdist)
        assert said.count("PASSED") == 2


class TestInstalled:
    """Each in a virtualenv of its own, run from a folder with nothing in it."""

    def test_both(self, products: Products, tmp_path: Path) -> None:
        empty = tmp_path / "empty"
        empty.mkdir()
        files = {}
        for product in (products.wheel, products.sdist):
            programs = virtualenv(tmp_path / product.suffix, str(product))
            output_of(programs / "python", "-m", "pip", "check", cwd=empty)
            said = output_of(programs / "refquant", "demo", cwd=empty)
            assert "linear               8   32,288   3.76" in said
            assert len(said.splitlines()) == len(demo.SETTINGS) + 2  # the heading, and float32
            smoke = output_of(programs / "refquant", "conformance", "smoke", cwd=empty)
            assert "15 of 15 operations answer well" in smoke
            files[product] = _package(programs, empty)
        assert files[products.wheel] == files[products.sdist]
        with zipfile.ZipFile(products.wheel) as archive:
            listed = {name for name in archive.namelist() if name.startswith("refquant/")}
        assert {f"refquant/{name}" for name in files[products.wheel]} == listed


def _package(programs: Path, empty: Path) -> dict[str, bytes]:
    """Read every file of the installed package but compiled code, which names the time of its making."""
    where = "import pathlib, refquant; print(pathlib.Path(refquant.__file__).parent)"
    root = Path(output_of(programs / "python", "-c", where, cwd=empty).strip())
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def _committed_bytes(name: str) -> bytes:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "show", f"HEAD:{name}"], stdout=subprocess.PIPE, check=True
    )
    return done.stdout


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    if hasattr(tarfile, "data_filter"):  # where it is known, a warning comes without it
        archive.extractall(folder, filter="data")
    else:
        archive.extractall(folder)
