"""Run a command, and print how long it took in seconds, its peak memory in bytes and its exit status.

`launcher.py COMMAND...` prints one JSON object. The standard output of the command is dropped. This is a
process of its own because Linux counts what a process held before it became another program: measured from a
large parent, every child would seem as large as that.
"""

from __future__ import annotations

import json
import os
import sys
import time

#: What `ru_maxrss` counts in: kilobytes, but bytes on macOS.
UNIT = 1 if sys.platform == "darwin" else 1024


def run(command: list[str]) -> None:
    """Become the command in a child with nowhere to write to; only a failure returns, to nothing."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.execv(command[0], command)
    finally:
        os._exit(127)


def measure(command: list[str]) -> dict[str, float]:
    """Run the command to its end."""
    start = time.perf_counter()
    child = os.fork()
    if child == 0:
        run(command)
    _, status, usage = os.wait4(child, 0)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak": usage.ru_maxrss * UNIT, "status": status}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(sys.argv[1:])))
