"""The table of layers: which weight tensors a layer has, their shapes and their channel axis.

To support one more layer is to add a row to `LAYERS`. Nothing else in refquant asks for a layer's type
in order to find its weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, Callable, NamedTuple

from refquant.errors import RefquantError, ShapeError
from refquant.model.layout import Layout
from refquant.schema.coreml import NeuralNetwork, NeuralNetworkLayer, WeightParams

#: Most dimensions of an array. Source: the format.
MOST_DIMENSIONS = 5

#: Height and width of a kernel where none are stated. Source: the format.
KERNEL = (3, 3)

#: A message of a layer's parameters. Its type differs from row to row, so the table reads fields by name.
Parameters = Any


class Row(NamedTuple):
    """One weight tensor of a layer type."""

    #: Field that holds the tensor.
    tensor: str
    #: Layout that the layer's parameters state for it.
    layout: Callable[[Parameters], Layout]
    #: Flag of the parameters without which the tensor does not count; None: it always counts. Rule: LAY-2.
    flag: str | None = None
    #: Whether the selector is asked about it by itself, as `weight_param="bias"`. Rule: SEL-2.
    asked: bool = False


class Site(NamedTuple):
    """One weight tensor in its place in a model."""

    layer: NeuralNetworkLayer
    layer_type: str
    tensor: str
    row: Row
    params: WeightParams
    parameters: Parameters
    #: Whether the model has the message; without it there are no values in it.
    there: bool = True

    @property
    def where(self) -> dict[str, str]:
        """Layer, layer type and tensor, as errors and warnings carry them."""
        return {"layer": self.layer.name, "layer_type": self.layer_type, "tensor": self.tensor}

    @property
    def layout(self) -> Layout:
        """Layout that the layer states; ShapeError where it states too little to tell."""
        try:
            return self.row.layout(self.parameters)
        except RefquantError as error:
            raise error.located(**self.where) from None


def sites(layer: NeuralNetworkLayer, table: Mapping[str, tuple[Row, ...]] | None = None) -> Iterator[Site]:
    """Give the tensors of one layer that quantization covers, in the order of the table, or of another table.

    A tensor whose flag is off is left out; one without values is not. Layers that have no rows, such as
    custom layers, give nothing. Rule: LAY-1, LAY-2, LAY-5.
    """
    layer_type = layer.WhichOneof("layer") or ""
    rows = (LAYERS if table is None else table).get(layer_type)
    if rows is None:
        return
    parameters = getattr(layer, layer_type)
    holders = _holders(parameters)
    for row in rows:
        if row.flag is None or attrgetter(row.flag)(parameters):
            for prefix, holder in holders:
                params, there = getattr(holder, row.tensor), holder.HasField(row.tensor)
                yield Site(layer, layer_type, prefix + row.tensor, row, params, parameters, there)


def takes_weights(layer: NeuralNetworkLayer) -> bool:
    """Tell whether a layer takes its weights as a second input, and those in the file do not count.

    Rule: TEN-9, FUS-17.
    """
    return layer.WhichOneof("layer") in TAKE_WEIGHTS and len(layer.input) > 1


def inner_networks(layer: NeuralNetworkLayer) -> Sequence[NeuralNetwork]:
    """Give the networks inside a branch or a loop, in the order of the format. Rule: LAY-4."""
    fields = INNER_NETWORKS.get(layer.WhichOneof("layer") or "")
    return [attrgetter(field)(layer) for field in fields] if fields else ()


def _holders(parameters: Parameters) -> list[tuple[str, Parameters]]:
    """List the messages that hold a layer's tensors: its parameters, or each direction of an LSTM."""
    held = getattr(parameters, "weightParams", None)
    if held is None:
        return [("", parameters)]
    if hasattr(held, "DESCRIPTOR"):
        return [("", held)]
    return list(zip(("forward.", "backward."), held))


def _vector(field: str) -> Callable[[Parameters], Layout]:
    """Layout of a vector: one channel."""
    return lambda parameters: Layout((getattr(parameters, field),))


def _matrix(outputs: str, inputs: str) -> Callable[[Parameters], Layout]:
    """Layout of a matrix with one row for each output channel."""
    return lambda parameters: Layout((getattr(parameters, outputs), getattr(parameters, inputs)), axis=0)


def _listed(field: str, read_rank: int | None = 3) -> Callable[[Parameters], Layout]:
    """Layout of a constant whose shape is listed; of this rank, it may come with a scale for each row.

    Rule: LAY-6.
    """

    def layout(parameters: Parameters) -> Layout:
        shape = tuple(getattr(parameters, field))
        if len(shape) > MOST_DIMENSIONS:
            raise ShapeError(f"a shape of {len(shape)} dimensions, more than an array can have", rule="LAY-6")
        return Layout(shape, read_axis=0 if len(shape) == read_rank else None)

    return layout


def kernel_size(convolution: Parameters) -> tuple[int, int]:
    """Give height and width of a convolution's kernel. Rule: LAY-3."""
    size = tuple(convolution.kernelSize) or KERNEL
    if len(size) != 2:
        raise ShapeError(f"kernelSize must be 2 numbers (height, width); it has {len(size)}", rule="LAY-3")
    return size


def _kernel(convolution: Parameters) -> Layout:
    """Layout of a convolution's weights. Rule: LAY-3, LIN-7, DEQ-5."""
    size = kernel_size(convolution)
    outputs, inputs, groups = convolution.outputChannels, convolution.kernelChannels, convolution.nGroups or 1
    if not convolution.isDeconvolution:
        return Layout((outputs, inputs, *size), axis=0)
    if outputs % groups or inputs % groups:
        raise ShapeError(f"{groups} groups do not divide {inputs} and {outputs} channels", rule="LAY-3")
    shape = (inputs, outputs // groups, *size)
    return Layout(shape, axis=1) if groups == 1 else Layout(shape, read_axis=1, groups=groups)


def _kernel_3d(convolution: Parameters) -> Layout:
    """Layout of a convolution3d's weights. Rule: LAY-9."""
    c, groups = convolution, max(1, convolution.nGroups)
    size = (c.kernelDepth, c.kernelHeight, c.kernelWidth)
    if c.isDeconvolution:
        return Layout((c.inputChannels, c.outputChannels // groups, *size))
    return Layout((c.outputChannels, c.inputChannels // groups, *size))


def _rows(tensors: str, layout: Callable[[Parameters], Layout], flag: str | None = None) -> tuple[Row, ...]:
    """Several rows that are alike but for the tensor."""
    return tuple(Row(tensor, layout, flag) for tensor in tensors.split())


def _weights_and_bias(outputs: str, inputs: str, asked: bool = False) -> tuple[Row, ...]:
    return Row("weights", _matrix(outputs, inputs)), Row("bias", _vector(outputs), "hasBias", asked)


_STATE = _vector("outputVectorSize")
_INPUT = _matrix("outputVectorSize", "inputVectorSize")
_RECURSION = _matrix("outputVectorSize", "outputVectorSize")

_LSTM = (
    *_rows("inputGateWeightMatrix forgetGateWeightMatrix", _INPUT),
    *_rows("blockInputWeightMatrix outputGateWeightMatrix", _INPUT),
    *_rows("inputGateRecursionMatrix forgetGateRecursionMatrix", _RECURSION),
    *_rows("blockInputRecursionMatrix outputGateRecursionMatrix", _RECURSION),
    *_rows("inputGateBiasVector forgetGateBiasVector blockInputBiasVector outputGateBiasVector", _STATE),
    *_rows("inputGatePeepholeVector forgetGatePeepholeVector", _STATE, "params.hasPeepholeVectors"),
    *_rows("outputGatePeepholeVector", _STATE, "params.hasPeepholeVectors"),
)

#: Layer type -> its weight tensors. Rule: LAY-1.
LAYERS: dict[str, tuple[Row, ...]] = {
    "convolution": (
        Row("weights", _kernel),
        Row("bias", _vector("outputChannels"), "hasBias", asked=True),
    ),
    "innerProduct": _weights_and_bias("outputChannels", "inputChannels", asked=True),
    "batchedMatmul": _weights_and_bias(
        "weightMatrixSecondDimension", "weightMatrixFirstDimension", asked=True
    ),
    "embedding": _weights_and_bias("outputChannels", "inputDim"),
    "embeddingND": _weights_and_bias("embeddingSize", "vocabSize"),
    "batchnorm": _rows("gamma beta mean variance", _vector("channels")),
    "scale": (
        Row("scale", _listed("shapeScale")),
        Row("bias", _listed("shapeBias"), "hasBias"),
    ),
    "bias": (Row("bias", _listed("shape")),),
    "loadConstant": (Row("data", _listed("shape")),),
    "loadConstantND": (Row("data", _listed("shape", read_rank=None)),),
    "simpleRecurrent": (
        Row("weightMatrix", _INPUT),
        Row("recursionMatrix", _RECURSION),
        Row("biasVector", _STATE, "hasBiasVector"),
    ),
    "gru": (
        *_rows("updateGateWeightMatrix resetGateWeightMatrix outputGateWeightMatrix", _INPUT),
        *_rows("updateGateRecursionMatrix resetGateRecursionMatrix outputGateRecursionMatrix", _RECURSION),
        *_rows("updateGateBiasVector resetGateBiasVector outputGateBiasVector", _STATE, "hasBiasVectors"),
    ),
    "uniDirectionalLSTM": _LSTM,
    "biDirectionalLSTM": _LSTM,
}

#: Layer type -> weight tensors that quantization leaves alone, of layers that must have floats. Rule: LAY-9.
FLOAT_LAYERS: dict[str, tuple[Row, ...]] = {
    "convolution3d": (Row("weights", _kernel_3d), Row("bias", _vector("outputChannels"), "hasBias")),
    "layerNormalization": _rows("gamma beta", _listed("normalizedShape", read_rank=None)),
}

#: Layer types that can take their weights as a second input, and then have none of their own. Rule: TEN-9.
TAKE_WEIGHTS = ("convolution", "batchedMatmul")

#: Layer type -> the fields of its inner networks. Rule: LAY-4.
INNER_NETWORKS: dict[str, tuple[str, ...]] = {
    "branch": ("branch.ifBranch", "branch.elseBranch"),
    "loop": ("loop.conditionNetwork", "loop.bodyNetwork"),
}
