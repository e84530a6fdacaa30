"""Pairs that fuse, to which numbers, and pairs that must not."""

from __future__ import annotations

import math
from array import array
from typing import Any

from conformance.cases.family import Family
from conformance.whole import (
    LINEAR,
    SETTINGS,
    Step,
    ask,
    chain,
    convolution,
    copied,
    layer,
    params,
    product,
    quantized,
    scale,
)
from refquant.model.tensor import store_float32
from refquant.schema.coreml import Model
from tests.networks import BATCHNORMS, CHAINS, LAYERS, Net, network

#: Rules that every pair that fuses is about.
PAIR = "FUS-1 FUS-2 FUS-4 FUS-9 FUS-11"


def fusion(family: Family) -> None:
    """Fill the family."""
    for name, build in {**CHAINS, **BATCHNORMS}.items():
        for seed in (1, 2):
            flags = "fusion DEP-1" if name in BATCHNORMS else "fusion"
            ask(family, f"{name}, {seed}", PAIR, flags, network(build, seed), LINEAR)
    model = network(CHAINS["conv_bias_scale_bias"], 1)
    for settings in SETTINGS:
        title = f"a chain, {settings['nbits']} bits {settings['mode']}"
        ask(family, title, "FUS-1", "fusion", model, settings)
    model = network(BATCHNORMS["conv_bn"], 1)
    ask(family, "16 bits do not fuse a batchnorm", "FUS-1", "fusion", model, SETTINGS[-1])
    title = "pairs inside a branch"
    ask(family, title, "FUS-1 FUS-6 LAY-4", "fusion", network(LAYERS["branch"], 2), LINEAR)
    numbers(family)
    deconvolutions(family)
    vectors(family)
    forms(family)
    readers(family)
    writers(family)
    turns(family)
    batchnorms(family)
    past_the_end(family)
    second_inputs(family)
    long_chains(family)
    not_pairs(family)


def numbers(family: Family) -> None:
    """Fuse with a bias on either side, on both or on none."""
    for name, producer in (
        ("convolution", convolution(bias=True)),
        ("innerProduct", product(6, 4, bias=True)),
    ):
        model = chain(producer, scale((6,)))
        title = f"{name} with a bias, scale without"
        ask(family, title, "FUS-6", "fusion DEP-13", model, LINEAR)
        model = chain(producer, scale((1,)))
        ask(family, f"{title}, of one element", "FUS-6", "fusion DEP-13", model, LINEAR)
        model = chain(producer, scale((6,), (1,)))
        title = f"{name} with a bias, scale with a bias of one element"
        ask(family, title, "FUS-6", "fusion", model, LINEAR)
    for name, producer in (
        ("convolution", convolution(bias=False)),
        ("innerProduct", product(6, 4)),
    ):
        model = chain(producer, scale((6,), (1,)))
        title = f"{name} without a bias, scale with a bias of one element"
        ask(family, title, "FUS-6 FUS-10", "fusion DEP-14", model, LINEAR)
        model = chain(producer, lambda net: net.bias((1,)))
        title = f"{name} without a bias, bias of one element"
        ask(family, title, "FUS-7 FUS-10", "fusion DEP-14", model, LINEAR)
    for shape, bias in (((1,), None), ((6,), (1,)), ((1,), (6,))):
        model = chain(Net.batchnorm, scale(shape, bias))
        title = f"batchnorm, scale of {shape} with bias of {bias}"
        ask(family, title, "FUS-8", "fusion", model, LINEAR)
    # A great bias and a great mean, near to each other, and a beta that takes away the rest: another order
    # of the sum shows in every bit.
    model = chain(convolution(2, 2), lambda net: net.batchnorm(2))
    old, mean = [1e8, -3e7], [1e8 + 8, -3e7 - 2]
    spread = [0.7, 1.3]
    beta = [
        -g * (b - m) / math.sqrt(g + layer(model, 1).batchnorm.epsilon) for g, b, m in zip(spread, old, mean)
    ]
    store_float32(params(model, 0, "bias"), array("f", old))
    for tensor, values in (("mean", mean), ("beta", beta), ("gamma", spread), ("variance", spread)):
        store_float32(params(model, 1, tensor), array("f", values))
    ask(family, "the order of the sum", "FUS-5 FUS-4", "fusion precision DEP-1", model, LINEAR)


def deconvolutions(family: Family) -> None:
    """Output channels in the second dimension."""
    for outputs, inputs in ((3, 6), (4, 4), (6, 2)):
        made = convolution(outputs, inputs, bias=False, deconvolution=True)
        sizes = f"deconvolution of {inputs} to {outputs} channels"
        model = chain(made, scale((outputs,), (outputs,)))
        ask(family, f"{sizes}, scale", "FUS-6 LAY-3", "fusion axis DEP-23", model, LINEAR)
        model = chain(made, lambda net, count=outputs: net.bias((count,)))  # type: ignore[misc]
        ask(family, f"{sizes}, bias", "FUS-7 LAY-3", "fusion axis", model, LINEAR)
        model = chain(made, lambda net, count=outputs: net.batchnorm(count))  # type: ignore[misc]
        ask(family, f"{sizes}, batchnorm", "FUS-5 LAY-3", "fusion axis DEP-1", model, LINEAR)
    made = convolution(6, 4, groups=2, bias=False, deconvolution=True)
    model = chain(made, scale((6,)))
    ask(family, "deconvolution in groups, scale", "FUS-6 LAY-3 DEQ-5", "fusion axis DEP-10", model, LINEAR)


def vectors(family: Family) -> None:
    """Vectors over space do not fuse; those over channels do, with ones behind."""
    for shape in ((6, 1, 1), (1, 1, 1)):
        model = chain(convolution(bias=False), scale(shape, shape))
        flags = "fusion DEP-14" if shape == (1, 1, 1) else "fusion"
        ask(family, f"a scale of {shape}", "FUS-6 FUS-10", flags, model, LINEAR)
    model = chain(convolution(), scale((6, 8, 8)))
    ask(family, "a scale over space", "FUS-10", "fusion DEP-15", model, LINEAR)
    model = chain(convolution(), scale((1, 2, 3)))
    title = "a scale over space with as many numbers as there are channels"
    ask(family, title, "FUS-10", "fusion DEP-15", model, LINEAR)
    model = chain(convolution(), lambda net: net.bias((1, 2, 3)))
    title = "a bias over space with as many numbers as there are channels"
    ask(family, title, "FUS-10", "fusion DEP-15", model, LINEAR)
    model = chain(convolution(bias=False), scale((6,), (1, 6, 1)))
    title = "a scale over channels whose bias runs over space"
    ask(family, title, "FUS-10", "fusion DEP-15", model, LINEAR)


def halved(model: Model, index: int, *tensors: str) -> Model:
    """Store tensors of one layer in half precision."""
    made, copy = quantized(model, nbits=16), copied(model)
    for tensor in tensors:
        params(copy, index, tensor).CopyFrom(params(made, index, tensor))
    return copy


def forms(family: Family) -> None:
    """Only floats take something up; halves are taken up, codes are not."""
    model = halved(chain(convolution(), Net.bias), 0, "weights", "bias")
    ask(family, "a producer in half precision", "FUS-10 TEN-8", "fusion DEP-17", model, LINEAR)
    model = halved(chain(convolution(bias=False), scale()), 0, "weights")
    ask(family, "a producer in half precision, scaled", "FUS-10 TEN-8", "fusion DEP-17", model, LINEAR)
    model = halved(chain(Net.batchnorm, scale()), 0, "gamma", "beta", "mean", "variance")
    ask(family, "a batchnorm in half precision", "FUS-10 TEN-8", "fusion DEP-17", model, LINEAR)
    model = halved(chain(convolution(bias=False), scale()), 1, "scale")
    ask(family, "a consumer in half precision", "FUS-15 FUS-6", "fusion", model, LINEAR)
    model = chain(convolution(bias=False), Net.relu, scale())
    made = quantized(model)
    model = chain(convolution(bias=False), scale())
    params(model, 1, "scale").CopyFrom(params(made, 2, "scale"))
    ask(family, "a consumer of codes", "FUS-10 TEN-8", "fusion DEP-36", model, LINEAR)


def readers(family: Family) -> None:
    """Someone else looks at what lies between."""
    pair = chain(convolution(bias=False), scale())
    between = layer(pair).output[0]

    model = copied(pair)
    shown = model.description.output.add()
    shown.CopyFrom(model.description.output[0])
    shown.name = between
    ask(family, "what lies between is an output", "FUS-3", "fusion DEP-16", model, LINEAR)

    model = copied(pair)
    other = model.neuralNetwork.layers.add(name="other", input=[between], output=["other_out"])
    other.activation.ReLU.SetInParent()
    ask(family, "two readers", "FUS-2", "fusion", model, LINEAR)

    model = copied(pair)
    branch = model.neuralNetwork.layers.add(name="branch", input=["input"], output=["branch_out"])
    inner = branch.branch.ifBranch.layers.add(name="inner", input=[between], output=["branch_out"])
    inner.activation.ReLU.SetInParent()
    ask(family, "read inside a branch", "FUS-2 FUS-14", "fusion DEP-27", model, LINEAR)

    model = chain(convolution(bias=False))
    between = layer(model).output[0] = "between"
    branch = model.neuralNetwork.layers.add(name="branch", input=["input"], output=["branch_out"])
    net = Net(branch.branch.elseBranch.layers, 5, between)
    net.scale((6,), None)
    ask(family, "the consumer is inside a branch", "FUS-2", "fusion", model, LINEAR)

    model = chain(Net.relu)
    loop = model.neuralNetwork.layers.add(name="loop", input=["input"], output=["loop_out"]).loop
    net = Net(loop.conditionNetwork.layers, 5)
    net.convolution(1, 3, bias=False, name="condition")
    net.scale((1,), None)
    loop.conditionVar = "condition_out"
    body = loop.bodyNetwork.layers.add(name="body", input=["input"], output=["loop_out"])
    body.activation.ReLU.SetInParent()
    ask(family, "what lies between is a loop's condition", "FUS-2 FUS-14", "fusion DEP-27", model, LINEAR)

    for name in ("categoricalCrossEntropyLossLayer", "meanSquaredErrorLossLayer"):
        model = copied(pair)
        model.isUpdatable = True
        loss = getattr(model.neuralNetwork.updateParams.lossLayers.add(name="loss"), name)
        loss.input, loss.target = layer(model).output[0], "truth"
        ask(family, f"read by {name}", "FUS-2 FUS-14", "fusion DEP-37", model, LINEAR)

    model = chain(convolution(bias=False), scale(), kind="neuralNetworkClassifier")
    model.neuralNetworkClassifier.labelProbabilityLayerName = layer(model).output[0]
    title = "what lies between is the probabilities of a classifier"
    ask(family, title, "FUS-3 FUS-2 FUS-14", "fusion DEP-37", model, LINEAR)


def writers(family: Family) -> None:
    """Several values of one name."""
    model = chain(convolution(bias=False), scale())
    between = layer(model).output[0]
    first = Model.FromString(model.SerializeToString()).neuralNetwork.layers
    del model.neuralNetwork.layers[:]
    early = model.neuralNetwork.layers.add(name="early", input=["input"], output=[between])
    early.activation.ReLU.SetInParent()
    model.neuralNetwork.layers.extend(first)
    ask(family, "two writers of what lies between", "FUS-2", "fusion", model, LINEAR)

    for feature in ("input", "trainingInput"):
        model = chain(convolution(bias=False), scale())
        given = getattr(model.description, feature).add()
        given.CopyFrom(model.description.input[0])
        given.name = layer(model).output[0]
        title = f"what lies between is of the {feature} too"
        ask(family, title, "FUS-2 FUS-14", "fusion DEP-38", model, LINEAR)

    # `older` is written, read and written again: fused, the second value would come before it is read.
    model = chain(convolution(bias=False), scale())
    (producer, consumer) = (copied(model).neuralNetwork.layers[i] for i in (0, 1))
    for inside in (False, True):
        model = chain(Net.relu)
        layers = model.neuralNetwork.layers
        layers[0].output[0] = consumer.output[0] = "older"
        layers.append(producer)
        if inside:
            holder = layers.add(name="reader", input=["input"], output=["reader_out"])
            reader = holder.branch.ifBranch.layers.add(name="inner", output=["reader_out"])
        else:
            reader = layers.add(name="reader", output=["reader_out"])
        reader.input.append("older")
        reader.activation.ReLU.SetInParent()
        layers.append(consumer)
        title = f"an older value is read between{', inside a branch' if inside else ''}"
        ask(family, title, "FUS-12", "fusion DEP-38", model, LINEAR)
    model = chain(Net.relu)
    layers = model.neuralNetwork.layers
    layers[0].output[0] = "older"
    layers.append(producer)
    layers.append(consumer)
    ask(family, "an older value that nobody reads", "FUS-12 FUS-1", "fusion", model, LINEAR)


def turns(family: Family) -> None:
    """Write a name once more, so that a pair is in the way of another until its turn comes."""
    model = chain(product(6, 4), convolution(bias=False))
    net = Net(model.neuralNetwork.layers, 7)
    first, second = model.neuralNetwork.layers
    second.input[0] = "input"
    first.output[0], second.output[0] = "first_out", "second_out"
    for blob in ("first_out", "second_out"):
        net.blob = blob
        net.scale((6,), None).output[0] = "output"
    title = "a pair whose way is free after its turn"
    ask(family, title, "FUS-11 FUS-12", "fusion DEP-38", model, LINEAR)


def batchnorms(family: Family) -> None:
    """Batchnorms that have no constant factors, and roots that do not exist."""

    def batchnorm(**fields: Any) -> Step:
        def build(net: Net) -> None:
            made = net.batchnorm()
            for name, value in fields.items():
                setattr(made.batchnorm, name, value)

        return build

    for fields in (
        {"computeMeanVar": True},
        {"instanceNormalization": True},
        {"computeMeanVar": True, "instanceNormalization": True},
    ):
        title = " and ".join(fields)
        model = chain(convolution(bias=False), batchnorm(**fields))
        flags = "fusion DEP-39" if fields == {"computeMeanVar": True} else "fusion"
        ask(family, f"convolution, batchnorm with {title}", "FUS-13", flags, model, LINEAR)
        model = chain(batchnorm(**fields), scale())
        ask(family, f"batchnorm with {title}, scale", "FUS-13", flags, model, LINEAR)
    for title, variance, epsilon in (
        ("variance and epsilon of zero", 0.0, 0.0),
        ("a variance below zero", -0.25, 1e-3),
        ("a variance of zero, with an epsilon", 0.0, 1e-3),
    ):
        model = chain(convolution(bias=False), batchnorm(epsilon=epsilon))
        store_float32(params(model, 1, "variance"), array("f", [1.0, variance, 2.0, 1.0, 1.0, 1.0]))
        ask(family, title, "FUS-13 FUS-5", "fusion DEP-1", model, LINEAR)


def past_the_end(family: Family) -> None:
    """Numbers that are infinite when fused, or were so before: both layers stay."""
    for title, producer, consumer, first, second in (
        ("a weight", convolution(bias=False), scale(), (0, "weights"), (1, "scale")),
        ("a bias, of a product", product(6, 4, bias=True), scale(), (0, "bias"), (1, "scale")),
        ("a bias, of a sum", convolution(), Net.bias, (0, "bias"), (1, "bias")),
        ("a weight, of a batchnorm", convolution(), Net.batchnorm, (0, "weights"), (1, "gamma")),
        ("a bias, of a batchnorm", convolution(bias=False), Net.batchnorm, (1, "mean"), (1, "gamma")),
        ("a gamma", Net.batchnorm, scale(), (0, "gamma"), (1, "scale")),
        ("a beta", Net.batchnorm, scale(), (0, "beta"), (1, "scale")),
    ):
        model = chain(producer, consumer)
        for index, tensor in (first, second):
            held = params(model, index, tensor)
            store_float32(held, array("f", [3e38, *held.floatValue[1:]]))
        flags = "fusion DEP-1" if "of a batchnorm" in title else "fusion DEP-50"
        ask(family, f"{title}, past binary32", "FUS-16", flags, model, LINEAR)


def second_inputs(family: Family) -> None:
    """Convolutions that take their weights as an input, whatever stands in the file in their place."""
    for title, consumer in (("scale", scale()), ("bias", Net.bias)):
        model = chain(convolution(bias=False), consumer)
        layer(model).input.append("other")
        title = f"a convolution with two inputs, {title}"
        ask(family, title, "FUS-17", "fusion DEP-51", model, LINEAR)


def long_chains(family: Family) -> None:
    """As many consumers as a producer takes up, and one more."""
    for count, flags in ((100, "fusion"), (101, "fusion DEP-52")):
        model = chain(product(1, 2), *[lambda net: net.bias((1,))] * count)
        ask(family, f"{count} biases behind an innerProduct", "FUS-18 FUS-11", flags, model, LINEAR)


def not_pairs(family: Family) -> None:
    """Neighbours that are no pair, and producers that cannot be read."""
    steps: list[tuple[str, Step, Step]] = [
        ("innerProduct, batchnorm", product(6, 4), Net.batchnorm),
        ("batchnorm, bias", Net.batchnorm, Net.bias),
        ("batchnorm, batchnorm", Net.batchnorm, Net.batchnorm),
        ("scale, scale", scale(), scale()),
        ("scale, convolution", scale((3,)), convolution()),
        ("bias, bias", Net.bias, Net.bias),
        ("batchedMatmul, scale", matmul, scale()),
    ]
    for title, first, second in steps:
        ask(family, f"{title} is no pair", "FUS-1", "fusion", chain(first, second), LINEAR)
    model = chain(convolution(6, 3, bias=False), scale())
    store_float32(params(model), params_without_last(model))
    ask(family, "a producer with a weight too few", "TEN-6 FUS-10", "fusion invalid", model, LINEAR)
    model = chain(convolution(6, 3, bias=False), scale((4,)))
    ask(family, "a scale for fewer channels", "FUS-10", "fusion DEP-15", model, LINEAR)


def matmul(net: Net) -> None:
    """Add a batchedMatmul with six output channels."""
    m = net.add().batchedMatmul
    m.weightMatrixFirstDimension, m.weightMatrixSecondDimension = 4, 6
    net.fill(m.weights, 24)


def params_without_last(model: Model) -> array[float]:
    """Give the weights of a model's first layer but for the last."""
    return array("f", list(params(model).floatValue)[:-1])
