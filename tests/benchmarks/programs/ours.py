"""What refquant is measured at: `ours.py JOB MODEL OUTPUT NBITS MODE`, in any interpreter that has refquant.

Imports nothing but refquant, so that the process is what a user's script would be.
"""

from __future__ import annotations

import sys


def load(model: str, output: str, nbits: str, mode: str) -> None:
    """Import refquant and touch the function that the other jobs call."""
    import refquant

    refquant.quantize_weights  # noqa: B018 -- public names load when they are asked for


def read(model: str, output: str, nbits: str, mode: str) -> None:
    """Import refquant and read the bytes of the model: what every job holds at least."""
    load(model, output, nbits, mode)
    with open(model, "rb") as file:
        file.read()


def quantize(model: str, output: str, nbits: str, mode: str) -> None:
    """Load, quantize and save the model."""
    import refquant

    refquant.quantize_weights(model, int(nbits), mode).save(output)


def share(model: str, output: str, nbits: str, mode: str) -> None:
    """Do the same with a process for each processor."""
    import os

    import refquant

    refquant.quantize_weights(model, int(nbits), mode, jobs=os.cpu_count() or 1).save(output)


def validate(model: str, output: str, nbits: str, mode: str) -> None:
    """Load and validate the model."""
    import refquant

    refquant.validate_model(model)


JOBS = {"load": load, "read": read, "quantize": quantize, "share": share, "validate": validate}

if __name__ == "__main__":
    JOBS[sys.argv[1]](*sys.argv[2:])
