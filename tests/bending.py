"""Valid models to bend, and what bends them: a path of field names and what to put there.

Paths begin at the parameters of the model's first layer; those that begin with a slash at the model. A list
replaces a repeated field, a message is copied, None clears. Nothing here asks refquant what a fault is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf.message import Message

from refquant.schema.coreml import Model, WeightParams
from tests.networks import LAYERS, Net, described, network

#: Path -> what to put there.
Bends = Mapping[str, Any]

#: The codes 0 to 5 in 3 bits each, and six zeros behind them.
SIX_CODES = bytes([0b00000101, 0b00111001, 0b01000000])


def bent(model: Model, bends: Bends) -> Model:
    """Copy a model and bend the copy."""
    copy = Model.FromString(model.SerializeToString())
    for path, value in bends.items():
        *steps, last = path.lstrip("/").split(".")
        target: Any = copy if path.startswith("/") else parameters(copy)
        for step in steps:
            target = target[int(step)] if step.isdigit() else getattr(target, step)
        if value is None:
            target.ClearField(last)
        elif isinstance(value, list):
            target.ClearField(last)
            getattr(target, last).extend(value)
        elif isinstance(value, Message):
            (target[int(last)] if last.isdigit() else getattr(target, last)).CopyFrom(value)
        else:
            setattr(target, last, value)
    return copy


def parameters(model: Model) -> Any:
    """Give the parameters of a model's first layer."""
    first = model.neuralNetwork.layers[0]
    return getattr(first, first.WhichOneof("layer") or "")


def at(message: Any, path: str) -> Any:
    """Read a field at a path."""
    for step in path.split("."):
        message = message[int(step)] if step.isdigit() else getattr(message, step)
    return message


# Tensors.


def floats(*values: float) -> WeightParams:
    # No run at all for no values: an empty run is read like none, and not written again.
    return WeightParams(floatBytes=[struct.pack(f"<{len(values)}f", *values)] if values else [])


def halves(*values: float) -> WeightParams:
    return WeightParams(float16Value=struct.pack(f"<{len(values)}e", *values))


def linear(
    raw: bytes, bits: int = 8, scales: Iterable[float] = (0.5,), biases: Iterable[float] = ()
) -> WeightParams:
    made = WeightParams(rawValue=raw)
    made.quantization.numberOfBits = bits
    made.quantization.linearQuantization.scale.extend(scales)
    made.quantization.linearQuantization.bias.extend(biases)
    return made


def table(raw: bytes, bits: int, entries: Iterable[float]) -> WeightParams:
    made = WeightParams(rawValue=raw)
    made.quantization.numberOfBits = bits
    made.quantization.lookupTableQuantization.floatValue.extend(entries)
    return made


def signed(codes: bytes) -> WeightParams:
    made = WeightParams(int8RawValue=codes)
    made.quantization.numberOfBits = 8
    made.quantization.linearQuantization.scale.append(0.5)
    return made


# Models with one layer, and enough of a version for all that may be put into them.


def of(build: Callable[[Net], object], version: int = 5) -> Model:
    model = network(lambda net: [build(net)].clear(), 1)
    model.specificationVersion = version
    return model


def row(name: str, seed: int = 1) -> Model:
    """A layer of a row of the table of layers, as `tests.networks` makes it."""
    model = network(LAYERS[name], seed)
    model.specificationVersion = 5
    return model


#: An innerProduct with 2 x 3 weights and a bias in float32.
FLOATS = of(lambda net: net.inner_product(2, 3, name="fc"))

#: The same in half precision.
HALVES = bent(FLOATS, {"weights": halves(1.0, -2.0, 0.5, 0.0, 4.0, -0.25), "bias": halves(1.0, 2.0)})

#: The same with codes of 3 bits, a scale and a bias a row; the layer's bias stays in float32.
LINEAR = bent(FLOATS, {"weights": linear(SIX_CODES, 3, [0.5, 0.25], [-1.0, 1.0])})

#: The same with codes of 3 bits and a table.
TABLE = bent(FLOATS, {"weights": table(SIX_CODES, 3, [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5])})

#: The same without a bias, in dynamic int8.
SIGNED = bent(
    of(lambda net: net.inner_product(2, 3, bias=False, name="fc")),
    {
        "weights": signed(bytes([0, 1, 127, 129, 255, 64])),
        "int8DynamicQuantize": True,
        "/neuralNetwork.arrayInputShapeMapping": 1,
    },
)


def _learning() -> Model:
    model = described()
    net = Net(model.neuralNetwork.layers, 1)
    net.inner_product(2, 3, name="fc").isUpdatable = True
    net.inner_product(2, 2, name="frozen")
    model.isUpdatable, model.specificationVersion = True, 4
    return model


#: An updatable model: the layer `fc` learns, `frozen` behind it does not.
LEARNING = _learning()


def _convolution_3d(net: Net) -> None:
    c = net.add().convolution3d
    c.outputChannels, c.inputChannels, c.nGroups, c.hasBias = 4, 6, 2, True
    c.kernelDepth, c.kernelHeight, c.kernelWidth = 1, 2, 3
    net.fill(c.weights, 4 * 3 * 1 * 2 * 3)
    net.fill(c.bias, 4)


def _layer_normalization(net: Net) -> None:
    n = net.add().layerNormalization
    n.normalizedShape.extend([2, 3])
    net.fill(n.gamma, 6)
    net.fill(n.beta, 6)


def _softplus(net: Net) -> None:
    s = net.add().activation.parametricSoftplus
    net.fill(s.alpha, 3)
    net.fill(s.beta, 3)


def _two_inputs(net: Net) -> None:
    layer = net.add(inputs=["input", "input"])
    layer.batchedMatmul.weightMatrixFirstDimension = 3
    layer.batchedMatmul.weightMatrixSecondDimension = 2


CONVOLUTION_3D = of(_convolution_3d)
LAYER_NORMALIZATION = of(_layer_normalization)
PRELU = of(lambda net: net.fill(net.add().activation.PReLU.alpha, 3))
SOFTPLUS = of(_softplus)

#: A batchedMatmul with 2 x 3 weights that it does not have: they are its second input.
TWO_INPUTS = of(_two_inputs)
