"""What an operation on a model may cost, and how that is measured."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from google.protobuf.internal import api_implementation

#: Whether protobuf is the one in plain Python, which takes ten times as long for a model of small tensors.
PLAIN_PYTHON = api_implementation.Type() == "python"

#: Seconds of processor time that an operation may take whatever the model is, for each megabyte of it, and
#: for each of its layers and tensors, since one of 20 bytes takes as long as one of 2,000.
SECONDS, SECONDS_A_MEGABYTE, SECONDS_A_PART = 2.0, 1.0, 1e-4

#: Bytes of memory that an operation may take likewise, for each byte, and for each layer and tensor.
BYTES, BYTES_A_BYTE, BYTES_A_PART = 1 << 25, 10, 2000

#: Bytes of address space that a worker gets beyond what it has at its start; after that come MemoryErrors.
ADDRESS_SPACE = 1 << 30

#: Bytes in a unit of `ru_maxrss`.
UNIT = 1 if sys.platform == "darwin" else 1024


def peak() -> int:
    """Give the most bytes of memory that this process has ever had; 0 where nobody counts."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT


def confine() -> None:
    """Let this process have so much more memory than it has, and no more, where the system can do that."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        return
    limit = pages * os.sysconf("SC_PAGE_SIZE") + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


class Meter:
    """Measures an operation on a model of a size, from where it is made."""

    def __init__(self, size: int) -> None:
        self.seconds = SECONDS + SECONDS_A_MEGABYTE * size / 1e6
        self.memory = BYTES + BYTES_A_BYTE * size
        self.started = time.process_time()
        self.before = peak()

    def excess(self, parts: Callable[[], int]) -> tuple[str, str] | None:
        """Give what it took too much of, and how much that was; None: nothing.

        `parts` counts the layers and tensors of the model, and is called where that matters. The peak of a
        process never falls: an operation that takes less than another did before is not seen.
        """
        took, more = time.process_time() - self.started, peak() - self.before
        if took > self.seconds and took > self.seconds + parts() * SECONDS_A_PART:
            return "slow", f"{took:.1f} s"
        if more > self.memory and more > self.memory + parts() * BYTES_A_PART:
            return "memory", f"{more:,} bytes"
        return None
