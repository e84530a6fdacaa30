"""Whole models with dynamic int8: what is activated, what is left, and the way back."""

from __future__ import annotations

import math
from array import array

from conformance.cases.family import Family
from conformance.whole import (
    DEQUANTIZATION,
    LINEAR,
    SETTINGS,
    Step,
    ask,
    chain,
    convolution,
    copied,
    exact_arrays,
    layer,
    params,
    product,
    quantized,
)
from refquant.model.tensor import store_float32
from refquant.schema.coreml import Model
from tests.networks import LAYERS, Net, network, pipeline

INT8 = {"mode": "int8"}


def matmul(net: Net) -> None:
    """Add a batchedMatmul of 5 inputs and 4 outputs."""
    m = net.add().batchedMatmul
    m.weightMatrixFirstDimension, m.weightMatrixSecondDimension = 5, 4
    net.fill(m.weights, 20)


def activated(*steps: Step, seed: int = 4) -> Model:
    """Make a network in dynamic int8, by the oracle."""
    return quantized(exact_arrays(chain(*steps, seed=seed)), **INT8)


def int8(family: Family) -> None:
    """Fill the family."""
    for seed in range(4):
        model = exact_arrays(
            chain(lambda net: net.inner_product(net.pick(1, 5), net.pick(2, 9), False), seed=seed)
        )
        ask(family, "an innerProduct", "INT8-1 INT8-2 FILE-1", "layer", model, INT8)
        for settings in SETTINGS:
            half = settings["nbits"] == 16
            title = f"an innerProduct in {settings['nbits']} bits {settings['mode']}"
            flags = "layer DEP-8" if half else "layer"
            ask(family, title, "INT8-4", flags, quantized(model, **settings), INT8)
    model = exact_arrays(chain(matmul))
    ask(family, "a batchedMatmul", "INT8-1 INT8-2 FILE-1", "layer", model, INT8)
    ask(family, "a batchedMatmul in codes", "INT8-4", "layer", quantized(model), INT8)
    zeros = exact_arrays(chain(product(2, 3)))
    store_float32(params(zeros), array("f", [0.0, -0.0, 0.0, 0.0, -0.0, 0.0]))
    ask(family, "a matrix of zeros", "INT8-1", "constant", zeros, INT8)
    left(family)
    back(family)
    refused(family)


def left(family: Family) -> None:
    """Layers that the format refuses in this form stay as they are, beside others that do not."""
    with_bias = exact_arrays(chain(product(3, 4, bias=True)))
    inexact = chain(product(3, 4))
    empty = exact_arrays(chain(Net.relu))
    found = empty.neuralNetwork.layers.add(name="two inputs", input=["a", "b"], output=["c"])
    found.batchedMatmul.SetInParent()
    biased = exact_arrays(chain(matmul))
    layer(biased).batchedMatmul.hasBias = True
    layer(biased).batchedMatmul.bias.floatBytes.append(b"\0\0\x80\x3f" * 4)
    codes = quantized(exact_arrays(chain(product(3, 4, bias=True))))
    for title, model, flags in (
        ("a layer with a bias", with_bias, "layer DEP-21"),
        ("a batchedMatmul with a bias", biased, "layer DEP-21"),
        ("a layer with a bias, in codes", codes, "layer DEP-21"),
        ("no exact mapping of arrays", inexact, "layer DEP-21"),
        ("a product of two inputs", empty, "layer DEP-29"),
        ("no matrices", exact_arrays(chain(Net.relu, convolution())), "layer DEP-29"),
    ):
        ask(family, f"no dynamic int8 for {title}", "INT8-3 FILE-1", flags, model, INT8)
    title = "no dynamic int8 for a matrix activated already"
    ask(family, title, "INT8-4 FILE-1", "layer DEP-47", activated(product(3, 4)), INT8)
    model = exact_arrays(chain(product(3, 4), product(2, 3, bias=True), matmul, convolution()))
    ask(family, "some layers of several", "INT8-3 INT8-1", "layer DEP-21", model, INT8)
    for mapping in (0, 1):
        model = chain(product(3, 4))
        model.neuralNetwork.arrayInputShapeMapping = mapping  # type: ignore[assignment]
        image = model.description.input[0].type.imageType
        image.width = image.height = 8
        title = f"image inputs, array mapping {mapping}"
        ask(family, title, "INT8-3 INT8-1", "layer", model, INT8)
    for version in (4, 5, 6):
        model = exact_arrays(chain(product(3, 4)))
        model.specificationVersion = version
        ask(family, f"dynamic int8 of version {version}", "FILE-1", "layer", model, INT8)
    loop = exact_arrays(network(LAYERS["loop"], 4))
    for network_field in ("conditionNetwork", "bodyNetwork"):
        inner = getattr(layer(loop).loop, network_field).layers[0].innerProduct
        inner.hasBias = False
        inner.ClearField("bias")
    ask(family, "matrices inside a loop", "LAY-4 INT8-1", "layer", loop, INT8)
    both = pipeline(exact_arrays(chain(product(3, 4))), chain(product(3, 4)), exact_arrays(chain(Net.relu)))
    title = "a pipeline whose models differ"
    ask(family, title, "FILE-2 FILE-1 INT8-3", "layer DEP-21", both, INT8)


def back(family: Family) -> None:
    """Go back to floats: the flag goes with the codes."""
    for title, steps in (
        ("an innerProduct", (product(3, 4),)),
        ("a batchedMatmul", (matmul,)),
        ("two layers", (product(3, 4), matmul)),
    ):
        made = activated(*steps)
        ask(family, f"{title}, back", "DEQ-3 DEQ-1", "layer DEP-9", made, DEQUANTIZATION)
        for settings in (LINEAR, SETTINGS[-1]):
            full_title = f"{title} in dynamic int8 is left as it is, {settings['nbits']} bits"
            ask(family, full_title, "TEN-8", "layer", made, settings)
    made = activated(product(1, 3))
    params(made).int8RawValue = bytes([128, 127, 255])
    ask(family, "code -128, back", "DEQ-3", "layer DEP-9", made, DEQUANTIZATION)


def refused(family: Family) -> None:
    """Matrices that cannot be read or scaled."""
    for title, bad in (("NaN", math.nan), ("infinity", math.inf)):
        model = exact_arrays(chain(product(1, 3)))
        store_float32(params(model), array("f", [1.0, 2.0, bad]))
        ask(family, title, "TEN-7", "invalid DEP-7", model, INT8)
    model = exact_arrays(chain(product(2, 3)))
    store_float32(params(model), array("f", [1.0] * 5))
    ask(family, "a weight too few", "TEN-6", "invalid DEP-48", model, INT8)
    made = copied(quantized(exact_arrays(chain(product(2, 3)))))
    params(made).rawValue += b"\0"
    ask(family, "surplus bytes", "PACK-5", "invalid", made, INT8)
