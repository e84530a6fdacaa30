"""Make the vectors of whole models: `python -m conformance.generate_models` (in a checkout, extra `test`).

What a case expects is what the oracle makes of it (tests/oracle/models.py). coremltools 9.0 is the third
voice: `conformance.departures` asks it for every case of the kit, and it must agree exactly where the case
has no row of the departure table among its flags. With `--check` nothing is written, and a difference from
what is checked in is an error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from conformance.cases import HERE
from conformance.cases.family import Family, document
from conformance.whole import dequantization, file, fusion, half, int8, layers, selectors, tensor

#: File -> what fills it; by chapter, and where a chapter has arithmetic of its own as well, `_models`.
FAMILIES: dict[str, Callable[[Family], None]] = {
    "tensor": tensor.tensor,
    "half_models": half.half,
    "layers": layers.layers,
    "selectors": selectors.selectors,
    "fusion": fusion.fusion,
    "dequantization_models": dequantization.dequantization,
    "int8_models": int8.int8,
    "file": file.file,
}


def collect(name: str) -> Family:
    """Make one family."""
    family = Family(name)
    FAMILIES[name](family)
    return family


def main(arguments: list[str]) -> int:
    """Write the vectors of whole models, or check them."""
    parser = argparse.ArgumentParser(
        prog="python -m conformance.generate_models", description="Make the vectors of whole models."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file is stale")
    check_only = parser.parse_args(arguments).check
    stale = []
    for name in FAMILIES:
        path, text = HERE / "vectors" / f"{name}.json", document(collect(name))
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if not check_only:
                path.write_text(text, encoding="utf-8")
    if stale and check_only:
        raise SystemExit(f"stale: {', '.join(stale)}; run: python -m conformance.generate_models")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
