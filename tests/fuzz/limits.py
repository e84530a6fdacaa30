"""What an operation on a model may cost, and how that is measured."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

#: Seconds of processor time that an operation may take whatever the size of the model, and for each megabyte.
SECONDS, SECONDS_A_MEGABYTE = 2.0, 1.0

#: Bytes of memory that an operation may take whatever the size of the model, and for each byte of it.
BYTES, BYTES_A_BYTE = 1 << 25, 10

#: Bytes of address space that a worker gets beyond what it has at its start; after that come MemoryErrors.
ADDRESS_SPACE = 1 << 30

#: Bytes in a unit of `ru_maxrss`.
UNIT = 1 if sys.platform == "darwin" else 1024


def seconds(size: int) -> float:
    """Give the seconds that an operation on a model of this size may take."""
    return SECONDS + SECONDS_A_MEGABYTE * size / 1e6


def memory(size: int) -> int:
    """Give the bytes of memory that an operation on a model of this size may take."""
    return BYTES + BYTES_A_BYTE * size


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
        self.size = size
        self.started = time.process_time()
        self.before = peak()

    def excess(self) -> tuple[str, str] | None:
        """Give what it took too much of, and how much that was; None: nothing.

        The peak of a process never falls: an operation that takes less than another did before is not seen.
        """
        took = time.process_time() - self.started
        if took > seconds(self.size):
            return "slow", f"{took:.1f} s for {self.size:,} bytes"
        more = peak() - self.before
        if more > memory(self.size):
            return "memory", f"{more:,} bytes for {self.size:,}"
        return None
