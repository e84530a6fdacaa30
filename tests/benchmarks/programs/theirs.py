"""What coremltools is measured at: `theirs.py JOB MODEL OUTPUT NBITS MODE`, in a peer's interpreter.

Imports nothing of refquant.
"""

from __future__ import annotations

import sys
from typing import Any


class Holder:
    """What quantize_weights asks of a model: its specification and its compute unit."""

    compute_unit = None

    def __init__(self, spec: Any) -> None:
        self.spec = spec

    def get_spec(self) -> Any:
        return self.spec


def load(model: str, output: str, nbits: str, mode: str) -> None:
    """Import the module that quantizes."""
    import coremltools.models.neural_network.quantization_utils  # noqa: F401


def quantize(model: str, output: str, nbits: str, mode: str) -> None:
    """Load, quantize and save the model."""
    from coremltools.models.neural_network import quantization_utils as utils

    # The result would be wrapped in an MLModel, which compiles on macOS and only costs time elsewhere.
    utils._get_model = lambda spec, **settings: spec
    _write(utils.quantize_weights(Holder(_read(model)), int(nbits), mode), output)


def kmeans(model: str, output: str, nbits: str, mode: str) -> None:
    """Do the k-means of coremltools, which crashes behind it with numpy 2, on every tensor with floats."""
    import numpy
    from sklearn.cluster import KMeans

    spec, size = _read(model), 1 << int(nbits)
    for weights in _tensors(spec):
        values = numpy.array(weights.floatValue).reshape(-1, 1)
        count = min(size, len(numpy.unique(values)))
        found = KMeans(count, init="k-means++", tol=1e-2, n_init=1, random_state=0).fit(values)
        table = numpy.zeros(size)
        table[:count] = found.cluster_centers_.flatten()
        weights.quantization.numberOfBits = int(nbits)
        weights.quantization.lookupTableQuantization.floatValue.extend(table)
        weights.rawValue = numpy.uint8(found.labels_).tobytes()
        del weights.floatValue[:]
    _write(spec, output)


def _tensors(message: Any) -> list[Any]:
    """List every weight tensor with floats within a message."""
    if message.DESCRIPTOR.name == "WeightParams":
        return [message] if len(message.floatValue) else []
    inner = [value for field, value in message.ListFields() if field.message_type is not None]
    parts = [part for value in inner for part in ([value] if hasattr(value, "DESCRIPTOR") else value)]
    return [tensor for part in parts if hasattr(part, "DESCRIPTOR") for tensor in _tensors(part)]


def _read(path: str) -> Any:
    from coremltools.proto import Model_pb2

    with open(path, "rb") as file:
        return Model_pb2.Model.FromString(file.read())


def _write(spec: Any, path: str) -> None:
    with open(path, "wb") as file:
        file.write(spec.SerializeToString())


JOBS = {"load": load, "quantize": quantize, "kmeans": kmeans}

if __name__ == "__main__":
    JOBS[sys.argv[1]](*sys.argv[2:])
