"""Quantize the embedded sample in every mode, run the conformance kit, and print what came of it as JSON.

It runs in Pyodide and in CPython alike, and imports nothing but refquant and the standard library.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from typing import Any

import refquant
from refquant import sample
from refquant.conformance import runner, testee, vectors
from refquant.demo import even_steps_about_zero

#: Every number of bits in every mode.
SETTINGS = (
    (16, "linear"),
    (8, "linear_symmetric"),
    *(
        (nbits, mode)
        for mode in ("linear", "linear_lut", "kmeans_lut", "custom_lut")
        for nbits in range(1, 9)
    ),
)


def digests() -> dict[str, str]:
    """Give the SHA-256 of the sample in every mode, and of what dequantization makes of that."""
    found = {}
    for nbits, mode in SETTINGS:
        function = even_steps_about_zero if mode == "custom_lut" else None
        made = refquant.quantize_weights(sample.model_bytes(), nbits, mode, lut_function=function)
        found[f"{mode} {nbits}"] = hashlib.sha256(made).hexdigest()
        found[f"{mode} {nbits} and back"] = hashlib.sha256(refquant.dequantize_weights(made)).hexdigest()
    return found


def error_of_jobs() -> str:
    """Give the error that more than one job ends in, where it does."""
    try:
        refquant.quantize_weights(sample.model_bytes(), 8, jobs=2)
    except refquant.RefquantError as error:
        return f"{type(error).__name__}: {error}"
    return ""


class Here:
    """refquant's testee without a process of its own."""

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one request."""
        return testee.run(request["operation"], request["input"])


def kit() -> dict[str, int]:
    """Put every case of the conformance kit to refquant; give how many ended how."""
    here: Any = Here()
    return Counter(runner.put(here, case).outcome for case in vectors.select()[0])


if __name__ == "__main__":
    json.dump(
        {"platform": sys.platform, "digests": digests(), "jobs": error_of_jobs(), "kit": kit()}, sys.stdout
    )
    sys.stdout.write("\n")
