"""`python -m tests.model.ending FOLDER NAME OLD WAY SIGNAL [opcodes]`: end a process at every step.

For each step, a process of its own is forked, begins the write of FOLDER/NAME, and sends itself the signal
there; then a line of JSON says what is left. The last line is that of a process that came to its end.

OLD is `old` where there is a file or package to begin with, or `none`. WAY is `nameless` or `named`. A step
is a line of the modules that write or, with `opcodes`, an instruction of CPython.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import refquant
from refquant.cli import main
from refquant.errors import FileError
from refquant.model import disk, whole
from tests.model.ways import without_nameless
from tests.networks import ROWS, network

#: What an ended process was to write, and what was there before.
OLD = network(ROWS["innerProduct"]).SerializeToString()
NEW = refquant.dequantize_weights(network(ROWS["gru"]).SerializeToString())

#: Permissions of the old file, which are not those that a new one has.
MODE = 0o604

#: Modules whose lines are steps.
MODULES = (disk.__file__, whole.__file__)


class Left(NamedTuple):
    """What a process left."""

    #: How it ended: its exit code, or the number of the signal, less than zero.
    status: int
    #: Which bytes are there: `old`, `new`, `none`, or `broken`.
    content: str
    #: Permissions of the file; 0 where there is none.
    mode: int
    #: Other names in the folder or in the package, and whether each is that of a file with all new bytes.
    litter: dict[str, bool]


def tracer(step: int, number: int, opcodes: bool) -> Any:
    """Make a trace function that sends this process a signal at a step."""
    steps = count(1)

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in MODULES:
            return None
        frame.f_trace_opcodes = opcodes
        if event == ("opcode" if opcodes else "line") and next(steps) == step:
            os.kill(os.getpid(), number)
        return trace

    return trace


def child(target: Path, step: int, number: int, opcodes: bool) -> int:
    """Write the target, up to a step; as the command does it where the signal can be met."""
    source = target.parent.parent / "source.mlmodel"
    source.write_bytes(NEW)
    arguments = ["dequantize", str(source), str(target), "--force", "--quiet"]
    sys.settrace(tracer(step, number, opcodes))
    if number != signal.SIGKILL:
        return main(arguments)
    disk.write(target, NEW)
    return 0


def left(target: Path, status: int) -> Left:
    """See what there is."""
    try:
        data = disk.read(target)
        content = {NEW: "new", OLD: "old"}.get(data, "broken")
        file = target / "Data" / disk.PACKAGE_FILE if target.is_dir() else target
        mode = stat.S_IMODE(file.stat().st_mode)
    except FileError:
        content, mode = "broken" if target.exists() else "none", 0
    known = {target, *(target / part for part in ("Manifest.json", "Data", "Data/com.apple.CoreML"))}
    known.add(target / "Data" / disk.PACKAGE_FILE)
    litter = {}
    for path in target.parent.rglob("*"):
        if path not in known:
            litter[str(path.relative_to(target.parent))] = path.is_file() and path.read_bytes() == NEW
    return Left(status, content, mode, litter)


def run(target: Path, old: bool, number: int, opcodes: bool) -> None:
    """End one process after the other, a step later each, until one is not ended."""
    for step in count(1):
        shutil.rmtree(target.parent, ignore_errors=True)
        target.parent.mkdir()
        if old:
            disk.write(target, OLD)
            (target / "Data" / disk.PACKAGE_FILE if target.is_dir() else target).chmod(MODE)
        process = os.fork()
        if not process:
            try:
                os._exit(child(target, step, number, opcodes))
            finally:
                os._exit(99)
        _, status = os.waitpid(process, 0)
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        sys.stdout.write(json.dumps(left(target, code)) + "\n")
        if code not in (-number, 128 + number):
            return


if __name__ == "__main__":
    setattr(os, "fsync", lambda number: None)  # noqa: B010 -- processes are ended here, not the machine; it takes most of the time
    folder, name, old, way, number, *rest = sys.argv[1:]
    if way == "named":
        without_nameless()
    run(Path(folder, "folder", name), old == "old", int(number), bool(rest))
