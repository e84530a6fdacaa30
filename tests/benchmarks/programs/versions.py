"""Print in one line what an interpreter is, with the libraries that are measured or have a part in it."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

LIBRARIES = ("refquant", "coremltools", "numpy", "scikit-learn", "protobuf")


def version(library: str) -> str:
    """Name a library with its version; nothing where it is not installed."""
    try:
        return f"{library} {metadata.version(library)}"
    except metadata.PackageNotFoundError:
        return ""


def interpreter() -> str:
    """Name the interpreter with its version; PyPy has one beside that of the language."""
    name = f"{platform.python_implementation()} {platform.python_version()}"
    own = getattr(sys, "pypy_version_info", None)
    return name if own is None else f"{name} (PyPy {own.major}.{own.minor}.{own.micro})"


def backend() -> str:
    """Name what is under protobuf: `upb` is written in C, `python` is not."""
    from google.protobuf.internal import api_implementation

    return f"({api_implementation.Type()})"


if __name__ == "__main__":
    found = [interpreter(), *filter(None, map(version, LIBRARIES))]
    sys.stdout.write(f"{', '.join(found)} {backend()}\n")
