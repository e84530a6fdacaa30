"""What models cost that are made to cost much: time and memory grow with the size, never with its square."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import refquant
from refquant.errors import FileError, ModelKindError, ShapeError
from refquant.schema.coreml import LSTMWeightParams, Model
from tests.bending import floats
from tests.fuzz import limits
from tests.networks import described


def add(model: Model, name: str, blob: str, result: str) -> Any:
    return model.neuralNetwork.layers.add(name=name, input=[blob], output=[result])


def add_product(model: Model, name: str, blob: str, result: str) -> None:
    """Add an innerProduct of one weight."""
    layer = add(model, name, blob, result)
    layer.innerProduct.outputChannels = layer.innerProduct.inputChannels = 1
    layer.innerProduct.weights.CopyFrom(floats(1.0))


def add_bias(model: Model, name: str, blob: str, result: str) -> None:
    layer = add(model, name, blob, result)
    layer.bias.shape.append(1)
    layer.bias.bias.CopyFrom(floats(1.0))


def one_name(count: int) -> Model:
    """Layers that all have the same name, and tensors that are told apart by their order alone."""
    model = described()
    for _ in range(count):
        add_product(model, "same", "input", "output")
    return model


def late_readers(count: int) -> Model:
    """Producers and, far behind them, their consumers, which write one blob: each asks what is in between."""
    model = described()
    for number in range(count):
        add_product(model, f"a{number}", "input", f"x{number}")
    for number in range(count):
        add_bias(model, f"b{number}", f"x{count - 1 - number}", "y")
    return model


def chain(count: int) -> Model:
    """A product and biases that it takes up, one after the other."""
    model = described()
    add_product(model, "product", "input", "x0")
    for number in range(count):
        add_bias(model, f"b{number}", f"x{number}", f"x{number + 1}")
    return model


def loops(count: int) -> Model:
    """A loop in a loop in a loop, as deep as can be, with as many layers in each."""
    model = described()
    network = model.neuralNetwork
    for level in range(30):
        for number in range(count):
            network.layers.add(name=f"{level} {number}", input=["x"], output=["x"])
        network = network.layers.add().loop.bodyNetwork
    network.layers.add()
    return model


def many_inputs(count: int) -> Model:
    """Products in integers, each of which asks what the inputs are, and inputs that are nothing."""
    model = described()
    del model.description.input[:]
    for _ in range(10 * count):
        model.description.input.add()
    for _ in range(count):
        add_product(model, "product", "input", "output")
        model.neuralNetwork.layers[-1].innerProduct.int8DynamicQuantize = True
    return model


def long_name(count: int) -> Model:
    """A layer of a long name and many tensors, each of which is told of by it."""
    model = described()
    layer = add(model, "name" * 10 * count, "input", "output")
    for number in range(count):
        layer.custom.weights.add(rawValue=b"x" if number % 2 else b"", float16Value=b"xx")
    return model


def large_chain(count: int) -> Model:
    """A product of many weights and as many scales behind it: each that is taken up goes over all weights."""
    model = described()
    add_product(model, "product", "input", "x0")
    product = model.neuralNetwork.layers[0].innerProduct
    product.inputChannels = 10 * count
    product.weights.CopyFrom(floats(*[1.0] * 10 * count))
    for number in range(count):
        layer = add(model, "", f"x{number}", f"x{number + 1}")
        layer.scale.shapeScale.append(1)
        layer.scale.scale.CopyFrom(floats(0.5))
    return model


def endless_shape(count: int) -> Model:
    """A scale whose shape has a great many dimensions, each of them as large as can be."""
    model = described()
    add_product(model, "product", "input", "between")
    layer = add(model, "times", "between", "output")
    layer.scale.shapeScale.extend([(1 << 64) - 1] * 10 * count)
    layer.scale.scale.CopyFrom(floats(0.5))
    return model


def pipelines(count: int) -> Model:
    """A pipeline of pipelines of nothing."""
    model = described("pipeline")
    for _ in range(count):
        model.pipeline.models.add().pipeline.SetInParent()
    return model


def nothing(count: int) -> Model:
    """Layers of nothing, of which a megabyte holds half a million."""
    model = described()
    for _ in range(100 * count):
        model.neuralNetwork.layers.add()
    return model


def branches(count: int) -> Model:
    """Layers with two networks in each, of which none has a layer."""
    model = described()
    for _ in range(10 * count):
        model.neuralNetwork.layers.add().branch.ifBranch.SetInParent()
    return model


def directions(count: int) -> Model:
    """Layers of thirty tensors that are not there: so many faults that the file is small beside them."""
    model = described()
    for _ in range(count):
        both = model.neuralNetwork.layers.add().biDirectionalLSTM.weightParams
        both.extend([LSTMWeightParams(), LSTMWeightParams()])
    return model


#: What is done with a model, by name.
OPERATIONS: dict[str, Callable[[bytes], object]] = {
    "quantize": partial(refquant.quantize_weights, nbits=8),
    "inspect": refquant.inspect_weights,
    "validate": refquant.validate_model,
    "compare": lambda data: refquant.compare_weights(data, data),
    "int8": refquant.activate_int8_int8_matrix_multiplications,
    "dequantize": refquant.dequantize_weights,
}


@pytest.mark.skipif(limits.PLAIN_PYTHON, reason="the same squares, and ten times the time for each model")
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("make", "count"),
    [
        (one_name, 4000),
        (late_readers, 2500),
        (chain, 3000),
        (loops, 100),
        (many_inputs, 1500),
        (long_name, 4000),
        (large_chain, 2500),
        (endless_shape, 10000),
        (pipelines, 5000),
        (nothing, 1500),
        (branches, 1500),
        (directions, 5000),
    ],
)
@pytest.mark.filterwarnings("ignore::refquant.RefquantWarning")
def test_time(make: Callable[[int], Model], count: int, operation: str) -> None:
    """The square of these counts takes five times as long as is allowed, or more."""
    data = make(count).SerializeToString()
    meter = limits.Meter(len(data))
    with contextlib.suppress(ModelKindError, FileError, ShapeError):
        OPERATIONS[operation](data)
    assert meter.excess(lambda: 2 * count) is None
