"""Models with a fault and models that look as if they had one, each with all that a validator has to say.

A case is a valid model with a field or two bent, and beside it, by hand, what is wrong then. `CASES` has them
all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from refquant.schema.coreml import LookUpTableQuantizationParams, Model, QuantizationParams
from tests.bending import (
    CONVOLUTION_3D,
    FLOATS,
    HALVES,
    LAYER_NORMALIZATION,
    LEARNING,
    LINEAR,
    PRELU,
    SIGNED,
    SIX_CODES,
    SOFTPLUS,
    TABLE,
    TWO_INPUTS,
    Bends,
    at,
    bent,
    floats,
    halves,
    linear,
    of,
    parameters,
    row,
    signed,
    table,
)
from tests.networks import Net, described, pipeline


class Expected(NamedTuple):
    """A fault that a validator has to report."""

    rule: str
    layer: str
    tensor: str | None
    index: int | None = None  # type: ignore[assignment] # hides tuple.index


class Case(NamedTuple):
    """A model and all its faults; `rules` are those that it is about."""

    title: str
    rules: str
    model: Model
    faults: tuple[Expected, ...] = ()


#: The greatest binary32 and binary16 numbers.
GREATEST, GREATEST_HALF = (2 - 2.0**-23) * 2.0**127, 65504.0

SCALE = "weights.quantization.linearQuantization.scale"
BIAS = "weights.quantization.linearQuantization.bias"
ENTRIES = "weights.quantization.lookupTableQuantization.floatValue"
BITS = "weights.quantization.numberOfBits"
VERSION = "/specificationVersion"
EIGHT = [-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
NOTHING, TABLES = QuantizationParams(), LookUpTableQuantizationParams(floatValue=EIGHT)


def weights(rule: str, title: str, base: Model, bends: Bends, index: int | None = None) -> Case:
    """One fault, in the weights of the layer `fc`."""
    return Case(title, rule, bent(base, bends), (Expected(rule, "fc", "weights", index),))


#: Faults of one tensor.
TENSORS = [
    weights("TEN-1", "floats and halves", FLOATS, {"weights.float16Value": bytes(12)}),
    weights("TEN-1", "floats and raw bytes that nothing explains", FLOATS, {"weights.rawValue": b"\1"}),
    weights("TEN-1", "halves and codes", LINEAR, {"weights.float16Value": bytes(12)}),
    weights("TEN-1", "codes and signed codes", LINEAR, {"weights.int8RawValue": bytes(6)}),
    weights("TEN-2", "floats that are not whole words", FLOATS, {"weights.floatBytes": [bytes(23)]}),
    weights("TEN-2", "whole words in two odd runs", FLOATS, {"weights.floatBytes": [bytes(10), bytes(14)]}),
    weights("TEN-4", "an odd byte of halves", HALVES, {"weights.float16Value": bytes(13)}),
    weights("TEN-5", "numberOfBits 0", LINEAR, {BITS: 0}),
    weights("TEN-5", "numberOfBits 9", LINEAR, {BITS: 9}),
    weights("TEN-5", "numberOfBits 16, of a table", TABLE, {BITS: 16}),
    weights("TEN-5", "numberOfBits 2^63, of a table", TABLE, {BITS: 2**63}),
    weights("TEN-5", "no scales, no table", LINEAR, {"weights.quantization.linearQuantization": None}),
    weights("TEN-6", "a float too few", FLOATS, {"weights": floats(*[1.0] * 5)}),
    weights("TEN-6", "a float too many", FLOATS, {"weights": floats(*[1.0] * 7)}),
    weights("TEN-6", "a half too few", HALVES, {"weights": halves(*[1.0] * 5)}),
    weights("TEN-6", "a signed code too many", SIGNED, {"weights": signed(bytes(7))}),
    weights("TEN-9", "no weights", FLOATS, {"weights": None}),
    weights("TEN-9", "raw bytes without quantization", LINEAR, {"weights.quantization": None}),
    weights("TEN-9", "signed codes without quantization", SIGNED, {"weights.quantization": None}),
    weights("TEN-10", "NaN among floats", FLOATS, {"weights": floats(math.nan, *[1.0] * 5)}, 0),
    weights("TEN-10", "infinities among floats", FLOATS, {"weights": floats(1.0, *[math.inf] * 5)}, 1),
    weights(
        "TEN-10", "the greatest floats, and past", FLOATS, {"weights": floats(*[-GREATEST] * 5, -math.inf)}, 5
    ),
    weights("TEN-10", "NaN among halves", HALVES, {"weights": halves(1.0, 2.0, math.nan, *[1.0] * 3)}, 2),
    weights(
        "TEN-10",
        "the greatest halves, and past",
        HALVES,
        {"weights": halves(*[GREATEST_HALF] * 5, math.inf)},
        5,
    ),
    weights("PACK-2", "a byte of codes too few", LINEAR, {"weights.rawValue": SIX_CODES[:2]}),
    weights("PACK-2", "a byte of codes too many", LINEAR, {"weights.rawValue": SIX_CODES + b"\0"}),
    weights("PACK-2", "a byte too many beside a table", TABLE, {"weights.rawValue": SIX_CODES + b"\0"}),
    weights("PACK-3", "a bit behind the last code", LINEAR, {"weights.rawValue": SIX_CODES[:2] + b"\x41"}),
    weights("DEQ-4", "three scales for two rows", LINEAR, {SCALE: [1.0, 2.0, 3.0], BIAS: []}),
    weights("DEQ-4", "no scales", LINEAR, {SCALE: [], BIAS: []}),
    weights("DEQ-4", "one bias beside two scales", LINEAR, {BIAS: [1.0]}),
    weights("DEQ-4", "two biases beside one scale", LINEAR, {SCALE: [1.0]}),
    weights("DEQ-4", "a scale that is NaN", LINEAR, {SCALE: [1.0, math.nan]}, 1),
    weights("DEQ-4", "an infinite bias", LINEAR, {BIAS: [-math.inf, 1.0]}, 0),
    weights("DEQ-4", "a weight past binary32", LINEAR, {SCALE: [1.0, 1e38]}, 4),
    weights("DEQ-4", "a weight past binary32, below", LINEAR, {SCALE: [1.0, -1e38]}, 4),
    weights("LUT-1", "a table too short", TABLE, {ENTRIES: EIGHT[:7]}),
    weights("LUT-1", "a table too short, and codes past its end", TABLE, {ENTRIES: EIGHT[:4]}),
    weights("LUT-1", "a table too long", TABLE, {ENTRIES: [*EIGHT, 3.0]}),
    weights("LUT-1", "an empty table", TABLE, {ENTRIES: []}),
    weights("LUT-1", "NaN in a table", TABLE, {ENTRIES: [*EIGHT[:6], math.nan, 1.0]}, 6),
    weights("LUT-1", "infinity in a table", TABLE, {ENTRIES: [*EIGHT[:7], math.inf]}, 7),
    weights("INT8-2", "signed codes of 7 bits", SIGNED, {BITS: 7}),
    weights("INT8-2", "signed codes with a scale a row", SIGNED, {SCALE: [1.0, 2.0]}),
    weights("INT8-2", "signed codes without a scale", SIGNED, {SCALE: []}),
    weights(
        "INT8-2",
        "signed codes with a table",
        SIGNED,
        {"weights.quantization.lookupTableQuantization": TABLES},
    ),
    weights("INT8-2", "signed codes with a bias", SIGNED, {BIAS: [1.0]}),
    weights("DEQ-4", "signed codes whose scale is NaN", SIGNED, {SCALE: [math.nan]}, 0),
    weights("DEQ-4", "a signed code past binary32", SIGNED, {SCALE: [4e36]}, 2),
    weights("INT8-5", "linear codes for a product in integers", SIGNED, {"weights": linear(bytes(6))}),
    weights("INT8-5", "floats for a product in integers", SIGNED, {"weights": floats(*[1.0] * 6)}),
    weights("INT8-5", "signed codes without the flag", SIGNED, {"int8DynamicQuantize": False}),
    weights("FILE-7", "an empty message in a layer that learns", LEARNING, {"weights.quantization": NOTHING}),
    weights("FILE-7", "codes in a layer that learns", LEARNING, {"weights": linear(bytes(6))}),
    weights("FILE-1", "halves at version 1", HALVES, {VERSION: 1}),
    weights("FILE-1", "linear codes at version 2", LINEAR, {VERSION: 2}),
    weights("FILE-1", "a table at version 2", TABLE, {VERSION: 2}),
    weights("FILE-1", "dynamic int8 at version 4", SIGNED, {VERSION: 4}),
]


def other(rule: str, title: str, base: Model, bends: Bends, *tensors: str | None) -> Case:
    """One fault in each of these tensors of the first layer; None: in the layer."""
    name = base.neuralNetwork.layers[0].name
    return Case(title, rule, bent(base, bends), tuple(Expected(rule, name, tensor) for tensor in tensors))


SCALES, SIGNED_BIAS = of(lambda net: net.scale((2,), (2,))), {"bias": signed(bytes(2)), "hasBias": True}
LSTM, BOTH_WAYS, GRU = row("uniDirectionalLSTM"), row("biDirectionalLSTM"), row("gru")
NORM, CUSTOM, DIRECTION = (
    of(lambda net: net.batchnorm(3)),
    row("custom"),
    BOTH_WAYS.neuralNetwork.layers[0].biDirectionalLSTM.weightParams[0],
)
ONES = [1.0] * 99


def ones(model: Model, path: str) -> Any:
    """As many ones, in half precision, as there are weights at a path."""
    return halves(*ONES[: len(at(parameters(model), path).floatBytes[0]) // 4])


MATRIX, SECOND = "weightParams.forgetGateRecursionMatrix", "weightParams.1.forgetGateRecursionMatrix"

#: Faults of a layer as a whole, or of tensors that quantization does not cover.
LAYER = [
    other("HALF-4", "a half bias beside floats", FLOATS, {"bias": halves(1.0, 2.0)}, "bias"),
    other("HALF-4", "a float bias beside halves", HALVES, {"bias": floats(1.0, 2.0)}, "bias"),
    other("HALF-4", "a batchnorm in two precisions", NORM, {"variance": halves(*ONES[:3])}, "variance"),
    other("HALF-4", "a scale layer in two precisions", SCALES, {"scale": halves(1.0, 2.0)}, "bias"),
    other(
        "HALF-4",
        "a gru in two precisions",
        GRU,
        {"outputGateRecursionMatrix": ones(GRU, "outputGateRecursionMatrix")},
        "outputGateRecursionMatrix",
    ),
    other(
        "HALF-4", "an LSTM in two precisions", LSTM, {MATRIX: ones(LSTM, MATRIX)}, "forgetGateRecursionMatrix"
    ),
    other(
        "HALF-4",
        "a precision for each direction",
        BOTH_WAYS,
        {SECOND: ones(BOTH_WAYS, SECOND)},
        "backward.forgetGateRecursionMatrix",
    ),
    other("HALF-4", "a convolution3d in two precisions", CONVOLUTION_3D, {"bias": halves(*ONES[:4])}, "bias"),
    other("TEN-6", "no kernelSize, and not 3 x 3", row("convolution"), {"kernelSize": []}, "weights"),
    other("LAY-3", "a kernelSize of one number", row("convolution"), {"kernelSize": [3]}, "weights"),
    other(
        "LAY-3", "a kernelSize of three numbers", row("deconvolution"), {"kernelSize": [3, 2, 1]}, "weights"
    ),
    other("LAY-6", "a bias in two dimensions", of(lambda net: net.bias((6,))), {"shape": [6, 1]}, "bias"),
    other("LAY-6", "a bias in none", of(lambda net: net.bias((1,))), {"shape": []}, "bias"),
    other("LAY-6", "a scale in four dimensions", SCALES, {"shapeScale": [2, 1, 1, 1]}, "scale"),
    other("LAY-6", "a scale's bias in two dimensions", SCALES, {"shapeBias": [2, 1]}, "bias"),
    other("LAY-6", "a loadConstant in two dimensions", row("loadConstant"), {"shape": [6, 1]}, "data"),
    other("LAY-6", "a loadConstantND in none", row("loadConstantND"), {"shape": []}, "data"),
    other("LAY-6", "a loadConstantND in six dimensions", row("loadConstantND"), {"shape": [1] * 6}, "data"),
    other("LAY-6", "three hundred huge dimensions", row("loadConstantND"), {"shape": [2**63] * 300}, "data"),
    other(
        "LAY-6", "a layerNormalization in none", LAYER_NORMALIZATION, {"normalizedShape": []}, "gamma", "beta"
    ),
    other("LAY-8", "an LSTM with no direction of two", BOTH_WAYS, {"weightParams": []}, None),
    other("LAY-8", "an LSTM with one direction of two", BOTH_WAYS, {"weightParams": [DIRECTION]}, None),
    other("LAY-8", "an LSTM with three directions", BOTH_WAYS, {"weightParams": [DIRECTION] * 3}, None),
    other("LAY-9", "a convolution3d with codes", CONVOLUTION_3D, {"weights": linear(bytes(72))}, "weights"),
    other(
        "LAY-9", "a convolution3d with a bias of codes", CONVOLUTION_3D, {"bias": linear(bytes(4))}, "bias"
    ),
    other("TEN-6", "a convolution3d whose shape is another", CONVOLUTION_3D, {"nGroups": 1}, "weights"),
    other(
        "INT8-5",
        "a convolution3d with signed codes",
        CONVOLUTION_3D,
        {"weights": signed(bytes(72))},
        "weights",
    ),
    other(
        "LAY-9", "a layerNormalization with codes", LAYER_NORMALIZATION, {"gamma": linear(bytes(6))}, "gamma"
    ),
    other(
        "LAY-9",
        "a layerNormalization in half precision",
        LAYER_NORMALIZATION,
        {"gamma": halves(*ONES[:6]), "beta": halves(*ONES[:6])},
        "gamma",
        "beta",
    ),
    other(
        "LAY-9",
        "a layerNormalization beside a message",
        LAYER_NORMALIZATION,
        {"beta.quantization": NOTHING},
        "beta",
    ),
    other(
        "LAY-10",
        "a softplus in two precisions",
        SOFTPLUS,
        {"parametricSoftplus.beta": halves(*ONES[:3])},
        None,
    ),
    other(
        "LAY-10",
        "a softplus of floats and codes",
        SOFTPLUS,
        {"parametricSoftplus.alpha": linear(bytes(3))},
        None,
    ),
    other("LAY-10", "a softplus without a beta", SOFTPLUS, {"parametricSoftplus.beta": None}, None),
    other("LAY-11", "a custom layer's tensor without values", CUSTOM, {"weights": [floats()]}, "weights[0]"),
    other(
        "LAY-11",
        "a custom layer's tensor with two kinds",
        CUSTOM,
        {"weights.0.rawValue": b"\1"},
        "weights[0]",
    ),
    other("TEN-2", "a custom layer's odd floats", CUSTOM, {"weights.0.floatBytes": [bytes(7)]}, "weights[0]"),
    other(
        "TEN-4",
        "an odd byte in a PReLU",
        PRELU,
        {"PReLU.alpha.floatBytes": [], "PReLU.alpha.float16Value": bytes(5)},
        "PReLU.alpha",
    ),
    other(
        "LUT-1",
        "a PReLU with a short table",
        PRELU,
        {"PReLU.alpha": table(bytes(1), 2, [1.0])},
        "PReLU.alpha",
    ),
    other("DEQ-4", "a PReLU without scales", PRELU, {"PReLU.alpha": linear(bytes(3), 8, [])}, "PReLU.alpha"),
    other("TEN-9", "no bias where hasBias is", FLOATS, {"bias": None}, "bias"),
    other("TEN-9", "a batchnorm without a mean", NORM, {"mean": None}, "mean"),
    other(
        "TEN-9",
        "an LSTM without a bias vector",
        LSTM,
        {"weightParams.outputGateBiasVector": None},
        "outputGateBiasVector",
    ),
    other(
        "TEN-9",
        "an LSTM without peepholes",
        LSTM,
        {
            "params.hasPeepholeVectors": True,
            **{f"weightParams.{gate}GatePeepholeVector": None for gate in ("input", "forget", "output")},
        },
        *(f"{gate}GatePeepholeVector" for gate in ("input", "forget", "output")),
    ),
    other("INT8-5", "a signed PReLU", PRELU, {"PReLU.alpha": signed(bytes(3))}, "PReLU.alpha"),
    other("INT8-5", "a signed bias", FLOATS, {"bias": signed(bytes(2))}, "bias"),
    other(
        "INT8-5",
        "a signed embedding",
        row("embedding"),
        {"inputDim": 2, "outputChannels": 3, "hasBias": False, "weights": signed(bytes(6))},
        "weights",
    ),
    other("INT8-6", "dynamic int8 with a bias", SIGNED, {"bias": floats(1.0, 2.0), "hasBias": True}, None),
    other(
        "INT8-6",
        "dynamic int8 without the exact mapping",
        SIGNED,
        {"/neuralNetwork.arrayInputShapeMapping": 0},
        None,
    ),
    other(
        "INT8-6",
        "dynamic int8 of two inputs",
        TWO_INPUTS,
        {"int8DynamicQuantize": True, "/neuralNetwork.arrayInputShapeMapping": 1},
        None,
    ),
    other(
        "FILE-7", "codes for the bias of a layer that learns", LEARNING, {"bias": linear(bytes(2))}, "bias"
    ),
    other(
        "FILE-1",
        "a bias layer at version 2",
        of(lambda net: net.bias((2,)), 2),
        {"bias": linear(bytes(2))},
        "bias",
    ),
    other(
        "FILE-1",
        "a constant at version 2",
        row("loadConstantND"),
        {VERSION: 2, "shape": [2], "data": linear(bytes(2))},
        "data",
    ),
    other(
        "FILE-1", "a half PReLU at version 1", PRELU, {VERSION: 1, "PReLU.alpha": halves(1.0)}, "PReLU.alpha"
    ),
    other(
        "FILE-1",
        "a bias in no use, at version 1",
        FLOATS,
        {VERSION: 1, "hasBias": False, "bias": halves(1.0)},
        "bias",
    ),
    other(
        "FILE-1",
        "a half tensor of a custom layer at version 1",
        CUSTOM,
        {VERSION: 1, "weights": [halves(1.0)]},
        "weights[0]",
    ),
]


def channel_counts() -> Iterator[tuple[str, Model, str, int, int]]:
    """Tensors and how many scales they may have in place of one: name, model, path, weights, scales."""

    def convolution(**kind: Any) -> Model:
        return of(lambda net: net.convolution(6, 4, size=(2, 1), **kind))

    yield "convolution", convolution(), "weights", 48, 6
    yield "convolution in groups", convolution(groups=2), "weights", 24, 6
    yield "deconvolution", convolution(deconvolution=True), "weights", 48, 6
    yield "deconvolution in groups", convolution(groups=2, deconvolution=True), "weights", 24, 6
    yield "a convolution's bias", convolution(), "bias", 6, 1
    for name, rows, columns, path in (
        ("batchedMatmul", "weightMatrixSecondDimension", "weightMatrixFirstDimension", "weights"),
        ("embedding", "outputChannels", "inputDim", "weights"),
        ("embeddingND", "embeddingSize", "vocabSize", "weights"),
        ("simpleRecurrent", "outputVectorSize", "inputVectorSize", "weightMatrix"),
        ("simpleRecurrent", "outputVectorSize", "outputVectorSize", "recursionMatrix"),
        ("gru", "outputVectorSize", "inputVectorSize", "updateGateWeightMatrix"),
        ("gru", "outputVectorSize", "outputVectorSize", "resetGateRecursionMatrix"),
        ("uniDirectionalLSTM", "outputVectorSize", "inputVectorSize", "weightParams.blockInputWeightMatrix"),
    ):
        model = row(name, 3)
        count = int(at(parameters(model), rows))
        yield f"{name}, {path.split('.')[-1]}", model, path, count * at(parameters(model), columns), count
    lstm = row("uniDirectionalLSTM", 3)
    size = int(parameters(lstm).outputVectorSize)
    yield "an LSTM's bias vector", lstm, "weightParams.inputGateBiasVector", size, 1
    yield "batchnorm", of(lambda net: net.batchnorm(5)), "variance", 5, 1
    for shape, scales in (((4,), 1), ((4, 2, 3), 4), ((1, 2, 3), 1)):
        scale, bias = of(partial(Net.scale, shape=shape, bias=shape)), of(partial(Net.bias, shape=shape))
        yield f"scale of {shape}", scale, "scale", math.prod(shape), scales
        yield f"a scale's bias of {shape}", scale, "bias", math.prod(shape), scales
        yield f"bias of {shape}", bias, "bias", math.prod(shape), scales
    for name, scales in (("loadConstant", 3), ("loadConstantND", 1)):
        yield name, bent(row(name), {"shape": [3, 2, 2]}), "data", 12, scales


def of_channels() -> Iterator[Case]:
    """For each tensor of `channel_counts`: one scale, one a channel, and other numbers."""
    for name, base, path, count, channels in channel_counts():
        for scales in sorted({1, channels, channels + 1, max(2, channels - 1)}):
            model = bent(base, {path: linear(bytes(count), 8, [1.0] * scales, [0.0] * scales)})
            good = scales in (1, channels)
            faults = () if good else (Expected("DEQ-4", "layer_0", path.split(".")[-1]),)
            rules = "LAY-7" if good else "LAY-7 DEQ-4"
            yield Case(f"{name}: {scales} scales, {channels} channels", rules, model, faults)


MANY = {
    "weights": linear(SIX_CODES + b"\1", 9, [1.0, math.nan, 3.0], [1.0]),
    "bias": halves(math.nan),
    "hasBias": True,
    "int8DynamicQuantize": True,
    VERSION: 1,
}


def fault(title: str, rules: str, model: Model, *faults: Expected) -> Case:
    return Case(title, rules, model, faults)


FC = Expected("FILE-1", "fc", "weights")

#: Faults in networks within others, and several at once.
MODELS = [
    fault(
        "the second model of a pipeline in a pipeline is too old",
        "FILE-1 FILE-2",
        pipeline(HALVES, pipeline(LINEAR, bent(LINEAR, {VERSION: 2}))),
        FC,
    ),
    fault(
        "a pipeline of two that are too old", "FILE-1", pipeline(*[bent(HALVES, {VERSION: 1})] * 2), FC, FC
    ),
    fault(
        "named is what needs the most",
        "FILE-1",
        bent(HALVES, {VERSION: 1, "bias": linear(bytes(2))}),
        Expected("FILE-1", "fc", "bias"),
    ),
    fault(
        "codes in a branch are too new",
        "FILE-1 LAY-4",
        bent(row("branch"), {"elseBranch.layers.0.convolution.weights": linear(bytes(108)), VERSION: 2}),
        Expected("FILE-1", "inner_2", "weights"),
    ),
    fault(
        "a fault in a loop",
        "LAY-4 TEN-6",
        bent(row("loop"), {"bodyNetwork.layers.0.innerProduct.weights": floats(1.0)}),
        Expected("TEN-6", "layer_0", "weights"),
    ),
    fault(
        "a fault beside a tree ensemble",
        "TEN-9",
        pipeline(bent(of(lambda net: net.bias((2,))), {"bias": None}), described("treeEnsembleRegressor")),
        Expected("TEN-9", "layer_0", "bias"),
    ),
    fault(
        "many faults at once",
        "FILE-8 FILE-1 TEN-5 DEQ-4 INT8-5 INT8-6",
        bent(FLOATS, MANY),
        Expected("FILE-1", "fc", "weights"),
        Expected("INT8-5", "fc", "weights"),
        Expected("INT8-6", "fc", None),
        Expected("INT8-6", "fc", None),
        Expected("TEN-5", "fc", "weights"),
        Expected("DEQ-4", "fc", "weights"),
        Expected("DEQ-4", "fc", "weights"),
        Expected("DEQ-4", "fc", "weights", 1),
        Expected("TEN-6", "fc", "bias"),
        Expected("TEN-10", "fc", "bias", 0),
    ),
    fault(
        "each tensor has its own",
        "FILE-8",
        bent(NORM, {"gamma": None, "beta": floats(1.0), "variance": floats(1.0, math.nan, math.inf)}),
        Expected("TEN-9", "layer_0", "gamma"),
        Expected("TEN-6", "layer_0", "beta"),
        Expected("TEN-10", "layer_0", "variance", 1),
    ),
]

PEEPHOLES = {f"weightParams.{gate}GatePeepholeVector": None for gate in ("input", "forget", "output")}
VECTORS = {
    f"weightParams.{gate}BiasVector": floats(math.nan)
    for gate in ("inputGate", "forgetGate", "blockInput", "outputGate")
}


def good(rules: str, title: str, base: Model, bends: Bends) -> Case:
    return Case(title, rules, bent(base, bends))


#: Models in which nothing is wrong.
GOOD = [
    good("TEN-1", "quantization beside floats", FLOATS, {"weights.quantization": NOTHING}),
    good("TEN-1", "quantization beside halves", HALVES, {"weights.quantization": NOTHING}),
    good(
        "TEN-3", "floats in runs of whole words", FLOATS, {"weights.floatBytes": [bytes(8), b"", bytes(16)]}
    ),
    good("TEN-9", "a bias in no use", FLOATS, {"hasBias": False, "bias": linear(b"\1", 77, [])}),
    good("TEN-9", "bias vectors in no use", LSTM, {"params.hasBiasVectors": False, **VECTORS}),
    good("TEN-9", "no peepholes", LSTM, {"params.hasPeepholeVectors": False, **PEEPHOLES}),
    good("TEN-9", "weights from a second input", TWO_INPUTS, {}),
    good(
        "TEN-9",
        "a convolution of two inputs",
        row("convolution"),
        {"/neuralNetwork.layers.0.input": ["input"] * 2, "weights": None, "bias": None},
    ),
    good(
        "TEN-9",
        "a batchnorm that computes its mean",
        NORM,
        {"computeMeanVar": True, "mean": None, "variance": None},
    ),
    good("TEN-9", "a PReLU without weights", PRELU, {"PReLU.alpha": None}),
    good("TEN-10", "the greatest numbers", FLOATS, {"weights": floats(*[GREATEST, -GREATEST, 2.0**127] * 2)}),
    good("TEN-10", "the greatest halves", HALVES, {"weights": halves(*[GREATEST_HALF, -GREATEST_HALF] * 3)}),
    good("PACK-2", "one bit a code", LINEAR, {"weights": linear(b"\xfc", 1)}),
    good("PACK-2", "seven bits a code", LINEAR, {"weights": linear(bytes(6), 7)}),
    good("PACK-3", "codes that end with a byte", LINEAR, {"weights": linear(b"\xff" * 3, 4)}),
    good("DEQ-2", "one scale for two rows", LINEAR, {SCALE: [0.5], BIAS: [1.0]}),
    good("DEQ-2", "scales without biases", LINEAR, {BIAS: []}),
    good("DEQ-4", "no code reaches past binary32", LINEAR, {SCALE: [1.0, 6e37]}),
    good("DEQ-4", "a scale of zero, one below", LINEAR, {SCALE: [0.0, -1.0]}),
    good("HALF-4", "a half bias beside codes", LINEAR, {"bias": halves(1.0, 2.0)}),
    good("HALF-4", "a bias of codes beside halves", HALVES, {"bias": linear(bytes(2))}),
    good(
        "HALF-4",
        "a gru in half precision",
        GRU,
        {
            **{
                path: ones(GRU, path)
                for gate in ("update", "reset", "output")
                for path in (f"{gate}GateWeightMatrix", f"{gate}GateRecursionMatrix")
            },
            **{path: None for gate in ("update", "reset", "output") for path in (f"{gate}GateBiasVector",)},
            "hasBiasVectors": False,
        },
    ),
    good(
        "LAY-9",
        "a convolution3d in half precision",
        CONVOLUTION_3D,
        {"weights": halves(*ONES[:72]), "bias": halves(*ONES[:4])},
    ),
    good(
        "LAY-9",
        "a deconvolution in three dimensions",
        CONVOLUTION_3D,
        {"isDeconvolution": True, "weights.quantization": NOTHING},
    ),
    good("LAY-9", "a layerNormalization", LAYER_NORMALIZATION, {}),
    good(
        "LAY-10",
        "a softplus of codes",
        SOFTPLUS,
        {
            "parametricSoftplus.alpha": linear(bytes(3), 8, [1.0] * 3),
            "parametricSoftplus.beta": table(bytes(1), 2, EIGHT[:4]),
        },
    ),
    good(
        "LAY-11",
        "a custom layer's bytes",
        CUSTOM,
        {VERSION: 1, "weights": [linear(b"\1", 99, []), signed(b"\1"), floats(math.nan)]},
    ),
    good(
        "INT8-6",
        "dynamic int8 behind an image",
        SIGNED,
        {"/neuralNetwork.arrayInputShapeMapping": 0, "/description.input": []},
    ),
    good(
        "FILE-7",
        "codes beside a layer that learns",
        LEARNING,
        {"/neuralNetwork.layers.1.innerProduct.weights": linear(bytes(4))},
    ),
    good(
        "FILE-7",
        "half precision in a layer that learns",
        LEARNING,
        {"weights": halves(*ONES[:6]), "bias": halves(1.0, 2.0)},
    ),
    good(
        "FILE-7",
        "a model that is not updatable",
        LEARNING,
        {"/isUpdatable": False, "weights": linear(bytes(6))},
    ),
    good("FILE-1", "codes at version 3", LINEAR, {VERSION: 3}),
    good("FILE-1", "halves at version 2", HALVES, {VERSION: 2}),
    good("FILE-1", "floats at version 1", FLOATS, {VERSION: 1}),
    good("FILE-1", "dynamic int8 at version 5", SIGNED, {}),
    Case("a pipeline whose own version is lower", "FILE-1 FILE-2", pipeline(HALVES, LINEAR)),
    Case("a table", "LUT-1", TABLE),
]

CHANNELS = list(of_channels())
CASES = [*TENSORS, *LAYER, *CHANNELS, *MODELS, *GOOD]
