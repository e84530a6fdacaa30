"""Make the vectors: `python -m conformance.generate` (in a checkout, with the extra `test`).

Whole models come from `conformance.generate_models`; of their files, only what is told of rules and flags is
made anew here. With `--check` nothing is written, and a difference from what is
checked in is an error.

A case's id is its family and a digest of what it asks, so that an id never changes its meaning and is
never used again for another case: `conformance.ids` keeps the list.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from conformance import ids
from conformance.cases import HERE
from conformance.cases.dequantization import dequantization
from conformance.cases.family import Family, canonical, check, document, refusal, sentences
from conformance.cases.half import half
from conformance.cases.int8 import int8
from conformance.cases.kmeans import kmeans
from conformance.cases.linear import linear
from conformance.cases.lut import custom_lut, linear_lut, lut
from conformance.cases.packing import packing
from conformance.cases.symmetric import symmetric
from conformance.cases.validation import validation

__all__ = ["FAMILIES", "HERE", "Family", "collect", "document", "refusal", "sentences"]

#: Family -> what fills it.
FAMILIES: dict[str, Callable[[Family], None]] = {
    "packing": packing,
    "half": half,
    "linear": linear,
    "symmetric": symmetric,
    "linear_lut": linear_lut,
    "custom_lut": custom_lut,
    "lut": lut,
    "kmeans": kmeans,
    "dequantization": dequantization,
    "int8": int8,
    "validate": validation,
}


def collect(name: str) -> str:
    """Make a family, and write it in its canonical form."""
    family = Family(name)
    FAMILIES[name](family)
    for case in family.cases.values():
        check(case)
    return document(family)


def reform(path: Path) -> str:
    """Write the cases of a file in their canonical form, with what the specification says now."""
    content = json.loads(path.read_text(encoding="utf-8"))
    return canonical(content["family"], content["cases"])


def main(arguments: list[str]) -> int:
    """Write the vectors and the list of ids, or check them."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance.generate",
        description="Make the vectors of the codec and of validation, and bring the list of ids up to date.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is stale")
    check_only = parser.parse_args(arguments).check
    made = {HERE / "vectors" / f"{name}.json": collect(name) for name in FAMILIES}
    others = [path for path in (HERE / "vectors").glob("*.json") if path not in made]
    made.update({path: reform(path) for path in others})
    stale = []
    for path, text in made.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if not check_only:
                path.write_text(text, encoding="utf-8")
    if stale and check_only:
        raise SystemExit(f"stale: {', '.join(stale)}; run: python -m conformance.generate")
    return ids.main(["--check"] if check_only else [])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
