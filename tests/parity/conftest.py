"""The peers: coremltools 9.0 and 8.1, and dask, each in a virtualenv made once, in REFQUANT_PEERS."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refquant.schema.coreml import Model

#: The peer computes in whatever numpy makes of a repeated float: binary64, until protobuf 7 turned it into
#: binary32, with other bits in scales and codes. The specification is the former.
PROTOBUF = "protobuf<7"


class Peer:
    """A process that runs coremltools."""

    def __init__(self, version: str, scratch: Path) -> None:
        self.version = version
        self.scratch = scratch
        self.process = subprocess.Popen(
            [str(interpreter(version)), str(Path(__file__).with_name("peer.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def quantize(self, model: Model, **settings: Any) -> Model | str:
        """Quantize with the peer; give the model, or the text of the exception."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        before, after = self.scratch / "before.mlmodel", self.scratch / "after.mlmodel"
        before.write_bytes(model.SerializeToString())
        request = {"model": str(before), "output": str(after), "settings": settings}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return str(answer["crash"]) if "crash" in answer else Model.FromString(after.read_bytes())

    def stop(self) -> None:
        self.process.communicate()


def interpreter(version: str) -> Path:
    """Give the Python of the virtualenv of one version of coremltools."""
    return virtualenv(f"coremltools-{version}", f"coremltools=={version}", PROTOBUF, "scikit-learn")


def virtualenv(name: str, *wanted: str) -> Path:
    """Give the Python of a virtualenv with these packages, which is made where it is not there yet."""
    root = Path(os.environ.get("REFQUANT_PEERS") or Path(__file__).parents[2] / ".peers")
    python = root / name / "bin" / "python"
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests that run side by side want the same one
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(root / name)], check=True)
            subprocess.run([str(python), "-m", "pip", "install", "-q", *wanted], check=True)
    return python


def _running(version: str, scratch: Path) -> Iterator[Peer]:
    peer = Peer(version, scratch)
    yield peer
    peer.stop()


@pytest.fixture(scope="session")
def coremltools_9(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    yield from _running("9.0", tmp_path_factory.mktemp("peer"))


@pytest.fixture(scope="session")
def coremltools_8(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    yield from _running("8.1", tmp_path_factory.mktemp("peer"))
