"""refquant as a testee: `python -m refquant.conformance.testee` answers the protocol on standard streams."""

from __future__ import annotations

import json
import platform
import sys
from array import array
from collections.abc import Callable
from typing import Any

import refquant
from refquant.codec import half, int8, kmeans, linear, lut, packing, symmetric
from refquant.codec.channels import Channels
from refquant.conformance import models
from refquant.conformance.operations import OPERATIONS
from refquant.conformance.protocol import PROTOCOL
from refquant.errors import TensorError

Fields = dict[str, Any]


def _channels(fields: Fields) -> Channels:
    return Channels(fields["outer"], fields["channels"], fields["inner"])


def _coded(codes: linear.LinearCodes) -> Fields:
    return {"codes": codes.codes, "scales": codes.scales, "biases": codes.biases}


def _tabled(codes: lut.LutCodes) -> Fields:
    return {"codes": codes.codes, "table": codes.table}


def _int8_encode(f: Fields) -> Fields:
    codes, scale = int8.encode(f["weights"])
    return {"codes": codes, "scales": array("f", [scale])}


def _int8_decode(f: Fields) -> Fields:
    if len(f["scales"]) != 1:
        raise TensorError(f"{len(f['scales'])} scales, not one", rule="DEQ-3")
    return {"weights": int8.decode(f["codes"], f["scales"][0])}


#: Operation -> what refquant does for it, from decoded input fields to output fields.
ANSWERS: dict[str, Callable[[Fields], Fields]] = {
    "pack": lambda f: {"bytes": packing.pack(f["codes"], f["nbits"])},
    "unpack": lambda f: {"codes": packing.unpack(f["bytes"], f["nbits"], f["count"])},
    "half.encode": lambda f: {"bytes": half.encode(f["weights"])},
    "half.decode": lambda f: {"weights": half.decode(f["bytes"])},
    "linear.encode": lambda f: _coded(linear.encode(f["weights"], f["nbits"], _channels(f))),
    "linear.decode": lambda f: {"weights": linear.decode(f["codes"], f["scales"], f["biases"], _channels(f))},
    "symmetric.encode": lambda f: _coded(symmetric.encode(f["weights"], _channels(f))),
    "linear_lut.encode": lambda f: _tabled(lut.encode_linear(f["weights"], f["nbits"])),
    "custom_lut.encode": lambda f: _tabled(
        lut.encode_custom(f["weights"], f["nbits"], lambda nbits, weights: (f["table"], f["given_codes"]))
    ),
    "lut.decode": lambda f: {"weights": lut.decode(f["codes"], f["table"])},
    "kmeans.encode": lambda f: _tabled(kmeans.encode(f["weights"], f["nbits"])),
    "int8.encode": _int8_encode,
    "int8.decode": _int8_decode,
    "model.quantize": lambda f: {"model": models.quantize(f["model"], f["settings"])},
    "model.validate": lambda f: {"faults": models.faults(f["model"])},
}


def start() -> Fields:
    """Introduce the implementation."""
    return {
        "protocol": PROTOCOL,
        "implementation": {
            "name": "refquant",
            "version": refquant.__version__,
            "language": f"{platform.python_implementation()} {platform.python_version()}",
        },
        "operations": sorted(ANSWERS),
    }


def run(operation: str, given: Fields) -> Fields:
    """Answer one case: a result, an error, or that it is skipped."""
    if operation not in ANSWERS:
        return {"skipped": f"no operation {operation}"}
    wanted = OPERATIONS[operation]
    try:
        fields = {name: kind.decode(given[name]) for name, kind in wanted.inputs.items()}
        answer = ANSWERS[operation](fields)
    except refquant.RefquantError as error:
        found = {
            "kind": type(error).__name__,
            "message": str(error),
            "rule": error.rule,
            "index": error.index,
        }
        return {"error": found}
    return {"result": {name: kind.encode(answer[name]) for name, kind in wanted.outputs.items()}}


def main() -> int:
    """Answer requests until `stop` or the end of the input."""
    for line in sys.stdin:
        request = json.loads(line)
        command = request["command"]
        if command == "stop":
            break
        reply = start() if command == "start" else run(request["operation"], request["input"])
        sys.stdout.write(json.dumps({"seq": request["seq"], **reply}) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
