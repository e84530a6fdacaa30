"""The command at work that takes for ever, for tests that end it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import refquant
from tests.networks import work_for_two

CHECKOUT = Path(__file__).parents[1]

#: A function that says which process has begun. It waits in short steps: Python calls no handler for a signal
#: that comes just before a long one.
WAITS = """
import os, time
def function(nbits, weights):
    open(f"begun-{os.getpid()}", "w").close()
    while True:
        time.sleep(0.01)
"""


def start(
    folder: Path, *options: str, processes: int = 1, program: Sequence[str] = ("-m", "refquant")
) -> subprocess.Popen[str]:
    """Quantize in.mlmodel to out.mlmodel in a folder, and return when so many processes wait in its tensors.

    `program` is what Python runs instead of the command, and gets its arguments. It leads a process group.
    """
    refquant.MLModel(work_for_two()).save(folder / "in.mlmodel")
    (folder / "waits.py").write_text(WAITS)
    command = ["quantize", "in.mlmodel", "out.mlmodel", "--nbits", "8", "--quiet", *options]
    command += ["--mode", "custom_lut", "--lut-function", "waits:function"]
    process = subprocess.Popen(
        [sys.executable, *program, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(list(folder.glob("begun-*"))) < processes:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process
