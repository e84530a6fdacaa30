"""Runs inside a peer's interpreter: quantizes with coremltools what it is told to, one JSON line at a time.

A request has `model` and `output` (paths) and `settings`; the answer is `{"ok": true}` or the exception as
`{"crash": "TypeError: ..."}`. Imports nothing of refquant. coremltools prints as it goes, so answers go to
a copy of the original standard output.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def even_table(nbits: int, weights: Any) -> tuple[list[float], list[int]]:
    """Custom table and codes: even steps of a quarter around zero, the nearest lower one."""
    half = 1 << (nbits - 1)
    flat = weights.flatten().tolist() if hasattr(weights, "flatten") else list(weights)
    codes = [min(max(int(w * 4 + half), 0), 2 * half - 1) for w in flat]
    return [(i - half) / 4 for i in range(2 * half)], codes


class Holder:
    """What quantize_weights asks of a model: its specification and its compute unit."""

    compute_unit = None

    def __init__(self, spec: Any) -> None:
        self.spec = spec

    def get_spec(self) -> Any:
        return self.spec


def run(request: dict[str, Any], coremltools: Any, utils: Any) -> None:
    """Quantize one model and write the result."""
    with open(request["model"], "rb") as file:
        spec = coremltools.proto.Model_pb2.Model.FromString(file.read())
    settings = dict(request["settings"])
    if settings.get("reload"):
        with open(request["output"], "wb") as copy:
            copy.write(spec.SerializeToString())
        return
    selector = settings.pop("selector", None)
    if selector:
        settings["selector"] = getattr(utils, selector["name"])(**selector["arguments"])
    if settings.pop("int8", False):
        result = utils.activate_int8_int8_matrix_multiplications(spec, **settings)
    else:
        if settings.get("quantization_mode") == "custom_lut":
            import numpy

            def function(nbits: int, weights: Any) -> Any:
                return tuple(map(numpy.array, even_table(nbits, weights)))

            settings["lut_function"] = function
        result = utils.quantize_weights(Holder(spec), **settings)
    with open(request["output"], "wb") as written:
        written.write(result.SerializeToString())


def main() -> None:
    """Answer requests until there are no more."""
    import coremltools
    from coremltools.models.neural_network import quantization_utils as utils

    # The answers keep the real standard output; whatever is printed goes nowhere.
    answers = os.fdopen(os.dup(1), "w")
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 -- for as long as the process lives
    # The result would be wrapped in an MLModel, which compiles on macOS and only costs time elsewhere.
    utils._get_model = lambda spec, **settings: spec
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, Any] = {"ok": True}
        try:
            run(request, coremltools, utils)
        except Exception as error:
            answer = {"crash": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
