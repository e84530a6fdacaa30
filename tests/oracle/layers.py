"""Chapter 8: the tensors of each layer, as messages of the format's own definition."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, NamedTuple

from tests.oracle.refusal import Refused
from tests.oracle.tensor import Channels

#: Layer type, tensors, sizes of the shape, flag without which they do not count.
TABLE: list[tuple[str, str, str, str]] = [
    ("innerProduct", "weights", "outputChannels inputChannels", ""),
    ("innerProduct", "bias", "outputChannels", "hasBias"),
    ("batchedMatmul", "weights", "weightMatrixSecondDimension weightMatrixFirstDimension", ""),
    ("batchedMatmul", "bias", "weightMatrixSecondDimension", "hasBias"),
    ("embedding", "weights", "outputChannels inputDim", ""),
    ("embedding", "bias", "outputChannels", "hasBias"),
    ("embeddingND", "weights", "embeddingSize vocabSize", ""),
    ("embeddingND", "bias", "embeddingSize", "hasBias"),
    ("convolution", "bias", "outputChannels", "hasBias"),
    ("batchnorm", "gamma beta mean variance", "channels", ""),
    ("simpleRecurrent", "weightMatrix", "outputVectorSize inputVectorSize", ""),
    ("simpleRecurrent", "recursionMatrix", "outputVectorSize outputVectorSize", ""),
    ("simpleRecurrent", "biasVector", "outputVectorSize", "hasBiasVector"),
    *(
        ("gru", f"{gate}Gate{tensor}", sizes, flag)
        for gate in ("update", "reset", "output")
        for tensor, sizes, flag in (
            ("WeightMatrix", "outputVectorSize inputVectorSize", ""),
            ("RecursionMatrix", "outputVectorSize outputVectorSize", ""),
            ("BiasVector", "outputVectorSize", "hasBiasVectors"),
        )
    ),
    *(
        (layer, f"{gate}{tensor}", sizes, flag)
        for layer in ("uniDirectionalLSTM", "biDirectionalLSTM")
        for gate in ("inputGate", "forgetGate", "blockInput", "outputGate")
        for tensor, sizes, flag in (
            ("WeightMatrix", "outputVectorSize inputVectorSize", ""),
            ("RecursionMatrix", "outputVectorSize outputVectorSize", ""),
            ("BiasVector", "outputVectorSize", ""),
            ("PeepholeVector", "outputVectorSize", "params.hasPeepholeVectors"),
        )
        if (gate, tensor) != ("blockInput", "PeepholeVector")
    ),
]

#: Layer type -> its constants, the field that lists the shape of each, and the flag.
LISTED = {
    "scale": [("scale", "shapeScale", ""), ("bias", "shapeBias", "hasBias")],
    "bias": [("bias", "shape", "")],
    "loadConstant": [("data", "shape", "")],
    "loadConstantND": [("data", "shape", "")],
}

#: LAY-4: layer type -> the networks within.
INNER = {"branch": ("ifBranch", "elseBranch"), "loop": ("conditionNetwork", "bodyNetwork")}

#: SEL-2: layers of whose biases the selector is asked.
ASKED = ("convolution", "innerProduct", "batchedMatmul")


class Tensor(NamedTuple):
    """One tensor that counts, in its place."""

    layer: Any
    #: Name of the field.
    name: str
    #: The `WeightParams` message.
    params: Any
    #: LAY-1: as the layer states it; None: the layer states too little (LAY-3).
    shape: tuple[int, ...] | None
    #: The dimension with the channels; None: one channel.
    axis: int | None
    #: The dimension with the channels when it is read, where other writers may have used more than one.
    read_axis: int | None
    #: Groups of the channels along `read_axis`.
    groups: int = 1

    def channels(self, axis: int | None) -> Channels:
        """See the shape as three dimensions, the channel in the middle."""
        if self.shape is None:
            raise Refused("LAY-3")
        if axis is None:
            return Channels(1, 1, product(self.shape))
        outer, inner = product(self.shape[:axis]), product(self.shape[axis + 1 :])
        return Channels(outer // self.groups, self.shape[axis] * self.groups, inner, self.groups)


def product(sizes: tuple[int, ...]) -> int:
    """Multiply; of nothing: 1."""
    total = 1
    for size in sizes:
        total *= size
    return total


def kind(layer: Any) -> str:
    """Give the type of a layer; empty where it has none."""
    found: str | None = layer.WhichOneof("layer")
    return found or ""


def parameters(layer: Any) -> Any:
    """Give the message with the layer's own fields."""
    return getattr(layer, kind(layer))


def inner_networks(layer: Any) -> list[Any]:
    """LAY-4."""
    return [getattr(parameters(layer), name) for name in INNER.get(kind(layer), ())]


def tensors(layer: Any) -> list[Tensor]:
    """LAY-1 to LAY-3: the tensors of a layer that count, whether they hold values or not."""
    if not kind(layer):
        return []
    stated = parameters(layer)
    found = []
    if kind(layer) == "convolution":
        shape, axis, groups = kernel(stated)
        own = axis if groups == 1 else None
        found.append(Tensor(layer, "weights", stated.weights, shape, own, axis, groups))
    for layer_type, names, sizes, flag in TABLE:
        if layer_type == kind(layer) and (not flag or attrgetter(flag)(stated)):
            shape = tuple(getattr(stated, size) for size in sizes.split())
            axis = 0 if len(shape) == 2 else None
            for name in names.split():
                found += [
                    Tensor(layer, name, getattr(holder, name), shape, axis, axis)
                    for holder in holders(stated)
                ]
    for name, field, flag in LISTED.get(kind(layer), []):
        if not flag or getattr(stated, flag):
            shape = tuple(getattr(stated, field))
            read_axis = 0 if len(shape) == 3 and kind(layer) != "loadConstantND" else None
            found.append(Tensor(layer, name, getattr(stated, name), shape, None, read_axis))
    return found


def holders(stated: Any) -> list[Any]:
    """Give the messages that hold a layer's tensors: those of each direction of an LSTM."""
    if not hasattr(stated, "weightParams"):
        return [stated]
    if stated.DESCRIPTOR.name.startswith("Uni"):
        return [stated.weightParams]
    return list(stated.weightParams)


def kernel(convolution: Any) -> tuple[tuple[int, ...] | None, int | None, int]:
    """LAY-3, DEQ-5: shape of a convolution's weights, channel axis, and groups along it."""
    size = list(convolution.kernelSize) or [3, 3]
    if len(size) != 2:
        return None, None, 1
    height, width = size
    outputs, inputs = convolution.outputChannels, convolution.kernelChannels
    if not convolution.isDeconvolution:
        return (outputs, inputs, height, width), 0, 1
    # No groups is one group.
    groups = convolution.nGroups or 1
    if outputs % groups or inputs % groups:
        return None, None, 1
    return (inputs, outputs // groups, height, width), 1, groups
