"""Small Core ML networks, one for each row of the table of layers, made from field names alone.

`ROWS` maps a name to a function of a seed that makes a model; different seeds give different sizes and
weights. Nothing here asks refquant's table of layers for a shape: the sizes are written out once more.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from typing import Any, Callable

from refquant.model.tensor import store_float32
from refquant.schema.coreml import Model, NeuralNetworkLayer, WeightParams

Builder = Callable[["Net"], None]


class Net:
    """A network under construction: each layer reads the blob that the one before it wrote."""

    def __init__(self, layers: Any, seed: int, blob: str = "input") -> None:
        self.layers = layers
        self.random = random.Random(seed)
        self.blob = blob
        self.seed = seed

    def pick(self, least: int, most: int) -> int:
        return self.random.randint(least, most)

    def add(self, name: str | None = None, inputs: Sequence[str] | None = None) -> NeuralNetworkLayer:
        name = name or f"layer_{len(self.layers)}"
        layer: NeuralNetworkLayer = self.layers.add(
            name=name, input=inputs or [self.blob], output=[f"{name}_out"]
        )
        self.blob = layer.output[0]
        return layer

    def fill(self, params: WeightParams, count: int, least: float = -1.0, most: float = 1.0) -> None:
        store_float32(params, array("f", [self.random.uniform(least, most) for _ in range(count)]))

    def convolution(
        self,
        outputs: int = 6,
        inputs: int = 3,
        groups: int = 1,
        bias: bool = True,
        deconvolution: bool = False,
        size: tuple[int, int] = (3, 2),
        name: str | None = None,
    ) -> NeuralNetworkLayer:
        """Add a convolution; `inputs` counts all input channels."""
        layer = self.add(name)
        c = layer.convolution
        c.outputChannels, c.nGroups = outputs, groups
        c.kernelChannels = inputs if deconvolution else inputs // groups
        c.kernelSize.extend(size)
        c.stride.extend([1, 1])
        c.dilationFactor.extend([1, 1])
        c.valid.SetInParent()
        c.isDeconvolution, c.hasBias = deconvolution, bias
        self.fill(c.weights, outputs * inputs // groups * size[0] * size[1])
        if bias:
            self.fill(c.bias, outputs)
        return layer

    def inner_product(
        self, outputs: int = 5, inputs: int = 7, bias: bool = True, name: str | None = None
    ) -> NeuralNetworkLayer:
        layer = self.add(name)
        layer.innerProduct.outputChannels, layer.innerProduct.inputChannels = outputs, inputs
        layer.innerProduct.hasBias = bias
        self.fill(layer.innerProduct.weights, outputs * inputs)
        if bias:
            self.fill(layer.innerProduct.bias, outputs)
        return layer

    def batchnorm(self, channels: int = 6, instance: bool = False) -> NeuralNetworkLayer:
        layer = self.add()
        b = layer.batchnorm
        b.channels, b.epsilon, b.instanceNormalization, b.computeMeanVar = channels, 1e-3, instance, instance
        for params, least in ((b.gamma, 0.5), (b.beta, -1.0), (b.mean, -1.0), (b.variance, 0.1)):
            self.fill(params, channels, least, 2.0)
        return layer

    def scale(self, shape: Sequence[int] = (6,), bias: Sequence[int] | None = (6,)) -> NeuralNetworkLayer:
        layer = self.add()
        layer.scale.shapeScale.extend(shape)
        self.fill(layer.scale.scale, product(shape))
        if bias is not None:
            layer.scale.hasBias = True
            layer.scale.shapeBias.extend(bias)
            self.fill(layer.scale.bias, product(bias))
        return layer

    def bias(self, shape: Sequence[int] = (6,)) -> NeuralNetworkLayer:
        layer = self.add()
        layer.bias.shape.extend(shape)
        self.fill(layer.bias.bias, product(shape))
        return layer

    def relu(self) -> NeuralNetworkLayer:
        layer = self.add()
        layer.activation.ReLU.SetInParent()
        return layer


def product(shape: Sequence[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def described(kind: str = "neuralNetwork", outputs: Sequence[str] = ("output",)) -> Model:
    """Make an empty model with one array input and these outputs."""
    model = Model(specificationVersion=1)
    image = model.description.input.add(name="input")
    image.type.multiArrayType.shape.extend([3, 8, 8])
    image.type.multiArrayType.dataType = 65568  # type: ignore[assignment] # FLOAT32
    for name in outputs:
        feature = model.description.output.add(name=name)
        feature.type.multiArrayType.dataType = 65568  # type: ignore[assignment]
    getattr(model, kind).SetInParent()
    return model


def network(build: Builder, seed: int = 0, kind: str = "neuralNetwork") -> Model:
    """Make a model of one network; its last layer writes the model's output."""
    model = described(kind)
    net = Net(getattr(model, kind).layers, seed)
    build(net)
    net.layers[-1].output[0] = "output"
    return model


def inner_product(values: list[float], bias: list[float] | None = None, name: str = "fc") -> Model:
    """Make a model of one innerProduct with one row for each bias, or one row."""
    model = described()
    layer = model.neuralNetwork.layers.add(name=name, input=["input"], output=["output"])
    layer.innerProduct.outputChannels = len(bias) if bias else 1
    layer.innerProduct.inputChannels = len(values) // layer.innerProduct.outputChannels
    store_float32(layer.innerProduct.weights, array("f", values))
    if bias:
        layer.innerProduct.hasBias = True
        store_float32(layer.innerProduct.bias, array("f", bias))
    return model


def _batched_matmul(net: Net) -> None:
    first, second = net.pick(2, 9), net.pick(1, 6)
    m = net.add().batchedMatmul
    m.weightMatrixFirstDimension, m.weightMatrixSecondDimension = first, second
    m.hasBias = net.pick(0, 1) == 1
    net.fill(m.weights, first * second)
    if m.hasBias:
        net.fill(m.bias, second)


def _embedding(net: Net) -> None:
    e = net.add().embedding
    e.inputDim, e.outputChannels, e.hasBias = net.pick(3, 9), net.pick(1, 5), net.pick(0, 1) == 1
    net.fill(e.weights, e.inputDim * e.outputChannels)
    if e.hasBias:
        net.fill(e.bias, e.outputChannels)


def _embedding_nd(net: Net) -> None:
    e = net.add().embeddingND
    e.vocabSize, e.embeddingSize, e.hasBias = net.pick(3, 9), net.pick(1, 5), net.pick(0, 1) == 1
    net.fill(e.weights, e.vocabSize * e.embeddingSize)
    if e.hasBias:
        net.fill(e.bias, e.embeddingSize)


def _load_constant(net: Net) -> None:
    layer = net.add().loadConstant
    layer.shape.extend([net.pick(1, 4), net.pick(1, 4), net.pick(1, 3)])
    net.fill(layer.data, product(layer.shape))


def _load_constant_nd(net: Net) -> None:
    layer = net.add().loadConstantND
    layer.shape.extend([net.pick(1, 4) for _ in range(net.pick(1, 4))])
    net.fill(layer.data, product(layer.shape))


def _simple_recurrent(net: Net) -> None:
    r = net.add().simpleRecurrent
    r.inputVectorSize, r.outputVectorSize, r.hasBiasVector = (
        net.pick(2, 5),
        net.pick(1, 4),
        net.pick(0, 1) == 1,
    )
    net.fill(r.weightMatrix, r.inputVectorSize * r.outputVectorSize)
    net.fill(r.recursionMatrix, r.outputVectorSize**2)
    if r.hasBiasVector:
        net.fill(r.biasVector, r.outputVectorSize)


def _gru(net: Net) -> None:
    g = net.add().gru
    g.inputVectorSize, g.outputVectorSize, g.hasBiasVectors = (
        net.pick(2, 5),
        net.pick(1, 4),
        net.pick(0, 1) == 1,
    )
    for gate in ("update", "reset", "output"):
        net.fill(getattr(g, f"{gate}GateWeightMatrix"), g.inputVectorSize * g.outputVectorSize)
        net.fill(getattr(g, f"{gate}GateRecursionMatrix"), g.outputVectorSize**2)
        if g.hasBiasVectors:
            net.fill(getattr(g, f"{gate}GateBiasVector"), g.outputVectorSize)


def _lstm_direction(net: Net, held: Any, inputs: int, outputs: int, biases: bool, peepholes: bool) -> None:
    for gate in ("inputGate", "forgetGate", "blockInput", "outputGate"):
        net.fill(getattr(held, f"{gate}WeightMatrix"), inputs * outputs)
        net.fill(getattr(held, f"{gate}RecursionMatrix"), outputs**2)
        if biases:
            net.fill(getattr(held, f"{gate}BiasVector"), outputs)
        if peepholes and gate != "blockInput":
            net.fill(getattr(held, f"{gate}PeepholeVector"), outputs)


def _lstm(net: Net, directions: int) -> None:
    layer = net.add()
    kind = layer.uniDirectionalLSTM if directions == 1 else layer.biDirectionalLSTM
    kind.inputVectorSize, kind.outputVectorSize = net.pick(2, 5), net.pick(1, 4)
    kind.params.hasBiasVectors = True
    kind.params.hasPeepholeVectors = net.pick(0, 1) == 1
    for _ in range(directions):
        held = layer.uniDirectionalLSTM.weightParams
        if directions == 2:
            held = layer.biDirectionalLSTM.weightParams.add()
        _lstm_direction(
            net,
            held,
            kind.inputVectorSize,
            kind.outputVectorSize,
            kind.params.hasBiasVectors,
            kind.params.hasPeepholeVectors,
        )


def _branch(net: Net) -> None:
    branch = net.add("branch").branch
    for inner, seed in ((branch.ifBranch, 1), (branch.elseBranch, 2)):
        part = Net(inner.layers, net.seed + seed, "input")
        part.convolution(bias=False, name=f"inner_{seed}")
        part.scale((6,), None)
        part.layers[-1].output[0] = "branch_result"
    net.blob = "branch_result"
    net.relu()


def _loop(net: Net) -> None:
    loop = net.add("loop").loop
    loop.maxLoopIterations = 3
    condition = Net(loop.conditionNetwork.layers, net.seed + 1, "input")
    condition.inner_product(1, 7)
    condition.layers[-1].output[0] = "goes_on"
    loop.conditionVar = "goes_on"
    body = Net(loop.bodyNetwork.layers, net.seed + 2, "input")
    body.inner_product(7, 7)
    body.layers[-1].output[0] = "loop_result"
    net.blob = "loop_result"
    net.relu()


def _custom(net: Net) -> None:
    layer = net.add()
    layer.custom.className = "Mine"
    net.fill(layer.custom.weights.add(), 5)
    net.inner_product()


def _varied(net: Net) -> dict[str, Any]:
    return {"outputs": net.pick(1, 7), "inputs": net.pick(1, 5), "bias": net.pick(0, 1) == 1}


#: Row of the table of layers -> a network with that layer, which no fusion touches.
LAYERS: dict[str, Builder] = {
    "convolution": lambda net: void(net.convolution(**_varied(net), size=(net.pick(1, 3), net.pick(1, 3)))),
    "grouped_convolution": lambda net: void(net.convolution(8, 4, groups=2, bias=net.pick(0, 1) == 1)),
    "depthwise_convolution": lambda net: void(net.convolution(6, 6, groups=6)),
    "deconvolution": lambda net: void(net.convolution(**_varied(net), deconvolution=True)),
    "innerProduct": lambda net: void(net.inner_product(**_varied(net))),
    "batchedMatmul": _batched_matmul,
    "embedding": _embedding,
    "embeddingND": _embedding_nd,
    "batchnorm": lambda net: void(net.batchnorm(net.pick(1, 9))),
    "instance_norm": lambda net: void(net.batchnorm(net.pick(1, 9), instance=True)),
    "scale": lambda net: void(net.scale((net.pick(1, 5), 2, 3), None if net.pick(0, 1) else (4,))),
    "bias": lambda net: void(net.bias((net.pick(1, 5), 2, 3))),
    "loadConstant": _load_constant,
    "loadConstantND": _load_constant_nd,
    "simpleRecurrent": _simple_recurrent,
    "gru": _gru,
    "uniDirectionalLSTM": lambda net: _lstm(net, 1),
    "biDirectionalLSTM": lambda net: _lstm(net, 2),
    "branch": _branch,
    "loop": _loop,
    "custom": _custom,
}


def void(layer: NeuralNetworkLayer) -> None:
    """Drop a layer: builders return nothing."""


def _chain(net: Net, *steps: Callable[[], object]) -> None:
    for step in steps:
        step()


#: Chains of layers that fuse as coremltools 9.0 does it right, or do not fuse.
CHAINS: dict[str, Builder] = {
    "conv_scale": lambda net: _chain(net, lambda: net.convolution(bias=False), lambda: net.scale()),
    "conv_bias_scale_bias": lambda net: _chain(
        net, net.convolution, net.scale, lambda: net.bias((6, 1, 1)), net.relu
    ),
    "conv_bias": lambda net: _chain(
        net, lambda: net.convolution(bias=net.pick(0, 1) == 1), net.bias, net.bias
    ),
    "conv_scale_without_bias": lambda net: _chain(
        net, lambda: net.convolution(bias=False), lambda: net.scale((6,), None)
    ),
    "conv_scale_of_one": lambda net: _chain(net, net.convolution, lambda: net.scale((1,), (6,))),
    "ip_scale": lambda net: _chain(net, lambda: net.inner_product(6), net.scale, net.relu),
    "ip_bias": lambda net: _chain(net, lambda: net.inner_product(6, bias=False), net.bias),
    "bn_scale": lambda net: _chain(net, net.batchnorm, net.scale, lambda: net.scale((6,), None)),
    "instance_norm_scale": lambda net: _chain(net, lambda: net.batchnorm(instance=True), net.scale),
    "conv_relu_scale": lambda net: _chain(net, net.convolution, net.relu, net.scale),
    "ip_then_conv": lambda net: _chain(
        net, net.inner_product, lambda: net.convolution(6), net.scale, net.bias
    ),
}

#: Every network of this module that has no batchnorm behind a convolution.
ROWS: dict[str, Builder] = {**LAYERS, **CHAINS}

#: Chains with a batchnorm behind a convolution, which coremltools 8.1 fuses and 9.0 does not survive.
BATCHNORMS: dict[str, Builder] = {
    "conv_bn": lambda net: _chain(net, lambda: net.convolution(bias=False), net.batchnorm, net.relu),
    "conv_bias_bn": lambda net: _chain(net, net.convolution, net.batchnorm),
    "conv_bn_scale_bias": lambda net: _chain(net, net.convolution, net.batchnorm, net.scale, net.bias),
    "depthwise_bn": lambda net: _chain(
        net, lambda: net.convolution(6, 6, groups=6, bias=False), net.batchnorm, net.relu, net.convolution
    ),
}


def random_network(seed: int) -> Model:
    """Make a chain of a few random layers whose neighbours may fuse; no batchnorm behind a convolution."""
    picks = random.Random(seed)

    def build(net: Net) -> None:
        fusable = False
        for _ in range(picks.randint(2, 7)):
            kind = picks.choice(["conv", "ip", "scale", "bias", "relu", "bn"])
            if kind == "bn" and fusable:
                kind = "relu"
            {
                "conv": lambda: net.convolution(bias=not net.layers),
                "ip": lambda: net.inner_product(6, 6, bias=False),
                "scale": lambda: net.scale((6,), (6,)),
                "bias": lambda: net.bias((6,)),
                "relu": net.relu,
                "bn": net.batchnorm,
            }[kind]()
            fusable = kind == "conv" or (fusable and kind in ("scale", "bias"))

    return network(build, seed, picks.choice(["neuralNetwork", "neuralNetworkRegressor"]))


def pipeline(*models: Model, kind: str = "pipeline") -> Model:
    """Put models into a pipeline, or into a pipeline classifier or regressor."""
    outer = described(kind)
    inner = outer.pipeline if kind == "pipeline" else getattr(outer, kind).pipeline
    for model in models:
        inner.models.add().CopyFrom(model)
    return outer


def work_for_two() -> Model:
    """Make a network of two matrices, each large enough for a process of its own."""

    def build(net: Net) -> None:
        for _ in range(2):
            net.inner_product(150, 150)

    return network(build)


def all_networks(seed: int = 0) -> dict[str, Model]:
    """Make every network of this module."""
    return {name: network(build, seed) for name, build in {**ROWS, **BATCHNORMS}.items()}
