"""refquant.pyz: one file that quantizes on any Python, with nothing installed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from refquant import demo, sample
from refquant.quantize import quantize_weights
from tests.release.conftest import ROOT, Products, output_of

pytestmark = pytest.mark.slow

#: Nothing from outside the archive and the standard library: no environment, no site-packages.
ALONE = ("-I", "-S")

#: Interpreters to try, where they are there.
INTERPRETERS = (sys.executable, "python3.9", "python3.10", "python3.11", "python3.12", "python3.13", "pypy3")

#: Runs an archive as Python does, in an interpreter that was changed first: CHANGE ARCHIVE ARGUMENT...
CHANGED = (
    "import runpy, sys; exec(sys.argv[1]); del sys.argv[:2]; runpy.run_path(sys.argv[0], None, '__main__')"
)


@pytest.fixture
def pyz(products: Products, tmp_path: Path) -> Path:
    """Give a folder with a copy of the archive, and nothing else."""
    return Path(shutil.copy(products.pyz, tmp_path / "refquant.pyz"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "digits.mlmodel"
    path.write_bytes(sample.model_bytes())
    return path


def interpreter(name: str) -> str:
    """Give the path of an interpreter, if it runs."""
    found = shutil.which(name)
    if not found or subprocess.run([found, "-c", ""], stderr=subprocess.DEVNULL, check=False).returncode:
        pytest.skip(f"{name} is not here")
    return found


class TestContents:
    def test_what_is_in_it(self, products: Products) -> None:
        with zipfile.ZipFile(products.pyz) as archive:
            names = archive.namelist()
            dates = {info.date_time for info in archive.infolist()}
        assert names == sorted(names)
        assert len(dates) == 1
        assert {name.rpartition(".")[2] for name in names if "/data/" not in name} == {
            *("py", "binpb", "bin", "mlmodel", "LICENSE", "google/protobuf/LICENSE"),
        }
        wanted = {"__main__.py", "refquant/cli.py", "refquant/sample/digits.mlmodel"}
        assert wanted | {"refquant/conformance/data/vectors/linear.json"} <= set(names)
        # Parts of protobuf that nothing imports, and of refquant that need a checkout.
        for name in ("json_format", "any_pb2", "struct_pb2", "wrappers_pb2", "compiler/__init__"):
            assert f"google/protobuf/{name}.py" not in names
        assert not [name for name in names if name.startswith("refquant/spec/") or name.endswith("train.py")]

    def test_licenses(self, products: Products) -> None:
        with zipfile.ZipFile(products.pyz) as archive:
            assert archive.read("LICENSE") == (ROOT / "LICENSE").read_bytes()
            assert b"Copyright 2008 Google Inc." in archive.read("google/protobuf/LICENSE")

    def test_size(self, products: Products) -> None:
        assert products.pyz.stat().st_size < 1_000_000  # README: 0.9 MB


class TestRuns:
    @pytest.mark.parametrize("name", INTERPRETERS, ids=os.path.basename)
    def test_every_mode(self, name: str, pyz: Path) -> None:
        output_of(interpreter(name), *ALONE, pyz, "demo", "--output", "made", "--force", cwd=pyz.parent)
        made = {path.name: path.read_bytes() for path in (pyz.parent / "made").iterdir()}
        assert sorted(made.values()) == sorted(result.model for result in demo.results())

    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_processes(self, method: str, pyz: Path, model: Path) -> None:
        change = (
            f"import multiprocessing; multiprocessing.set_start_method({method!r})\n"
            "process = multiprocessing.process.BaseProcess; start = process.start\n"
            "process.start = lambda own: print('started') or start(own)"
        )
        command = ("quantize", model, "small", "--nbits", "4", "--mode", "kmeans_lut", "--jobs", "2")
        said = output_of(sys.executable, *ALONE, "-c", CHANGED, change, pyz.name, *command, cwd=pyz.parent)
        assert said == "started\n" * 2
        alone = quantize_weights(sample.model_bytes(), 4, "kmeans_lut")
        assert digest((pyz.parent / "small").read_bytes()) == digest(alone)

    def test_custom_function_from_this_folder(self, pyz: Path, model: Path) -> None:
        text = "def ones(nbits, weights):\n    return [1.0] * (1 << nbits), [0] * len(weights)\n"
        (pyz.parent / "own.py").write_text(text)
        command = ("quantize", model, "-", "--nbits", "1", "--mode", "custom_lut")
        done = subprocess.run(
            [sys.executable, "-S", str(pyz), *map(str, command), "--lut-function", "own:ones"],
            capture_output=True,
            cwd=pyz.parent,
            check=True,
        )

        def ones(nbits: int, weights: Sequence[float]) -> tuple[list[float], list[int]]:
            return [1.0] * (1 << nbits), [0] * len(weights)

        alone = quantize_weights(sample.model_bytes(), 1, "custom_lut", lut_function=ones)
        assert digest(done.stdout) == digest(alone)

    @pytest.mark.skipif(os.name != "posix", reason="the first line of a file says nothing there")
    def test_as_a_program(self, pyz: Path) -> None:
        assert output_of(pyz, "--version").startswith("refquant 0.")

    def test_the_kit(self, pyz: Path) -> None:
        said = output_of(sys.executable, *ALONE, pyz.name, "conformance", "smoke", cwd=pyz.parent)
        assert "15 of 15 operations answer well" in said
        command = ("conformance", "run", "--family", "packing")
        assert "passed" in output_of(sys.executable, *ALONE, pyz, *command, cwd=pyz.parent)


class TestOddPlaces:
    def test_another_protobuf_is_asked_for(self, pyz: Path) -> None:
        environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "upb"}
        output_of(sys.executable, "-W", "error", "-S", pyz, "demo", env=environment)

    def test_someone_made_a_package_google(self, pyz: Path) -> None:
        change = "import types; sys.modules['google'] = types.ModuleType('google')"
        assert output_of(sys.executable, *ALONE, "-c", CHANGED, change, pyz, "demo").startswith("mode")

    def test_python_is_too_old(self, pyz: Path) -> None:
        command = [sys.executable, *ALONE, "-c", CHANGED, "sys.version_info = (3, 8, 18)", str(pyz)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, "refquant needs Python 3.9 or later\n")


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
