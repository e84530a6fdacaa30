"""The two ways in which files are written, of which a system may have one only."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from refquant.model import whole


def knows_nameless(folder: Path) -> bool:
    """Whether there can be files without names in a folder, found out without refquant."""
    try:
        number = os.open(folder, getattr(os, "O_TMPFILE", 0) | os.O_WRONLY, 0o600)
    except OSError:
        return False
    os.close(number)
    return not os.listdir(folder)


def unknown(*_: Any) -> Any:
    """Stand in for files without names where there are none."""
    raise OSError(errno.EOPNOTSUPP, "Operation not supported")


def without_nameless() -> None:
    """Let this process meet a file system that knows no files without names."""
    setattr(whole, "_nameless", unknown)  # noqa: B010 -- no such assignment is seen by mypy
