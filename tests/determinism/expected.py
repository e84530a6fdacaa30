"""The digests that are expected everywhere: `python -m tests.determinism.expected` makes them, once.

They come from the oracle (tests/oracle/models.py), which computes in rational numbers and shares nothing
with refquant but the messages. What it cannot say is the table of k-means, which the specification leaves
open: those digests are of what refquant made on CPython 3.11 on an x86-64, and say that it is the same
everywhere. With `--check`, nothing is written, and a difference from what is checked in is an error.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

from refquant.errors import RefquantWarning
from tests.determinism.results import digests, refquant_quantizer
from tests.oracle import models as oracle

FILE = Path(__file__).with_name("expected.json")

#: The modes whose tables the oracle does not compute.
OPEN = ("kmeans_lut",)


def expected() -> dict[str, str]:
    """Read the digests that are checked in."""
    found: dict[str, str] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def quantizer(model: bytes, settings: dict[str, Any]) -> bytes:
    """Ask the oracle or, for what is open, refquant."""
    ask = refquant_quantizer(jobs=1) if settings["mode"] in OPEN else oracle.quantize
    return ask(model, settings)


if __name__ == "__main__":
    warnings.simplefilter("ignore", RefquantWarning)
    text = json.dumps(digests(quantizer), indent=1) + "\n"
    if "--check" not in sys.argv:
        FILE.write_text(text, encoding="utf-8")
    elif FILE.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{FILE.name} is stale; run: python -m tests.determinism.expected")
