"""The oracle of whole models against numbers worked out by hand; the format's tools agree elsewhere."""

from __future__ import annotations

from array import array
from typing import Any

import pytest

from refquant.model.tensor import store_float32
from refquant.schema.coreml import Model
from tests.networks import Net, described, network, pipeline
from tests.oracle import models, selectors
from tests.oracle.layers import tensors
from tests.oracle.refusal import Refused

LINEAR = {"nbits": 8, "mode": "linear"}


def quantize(model: Model, **settings: Any) -> Model:
    return Model.FromString(models.quantize(model.SerializeToString(), {**LINEAR, **settings}))


def matrix(*values: float, outputs: int = 1) -> Model:
    def build(net: Net) -> None:
        net.inner_product(outputs, len(values) // outputs, bias=False)

    model = network(build)
    store_float32(model.neuralNetwork.layers[0].innerProduct.weights, array("f", values))
    return model


def convolution_and(step: Any, weights: list[float], **fields: Any) -> Model:
    """A convolution of two channels with one weight each, and one layer behind it."""

    def build(net: Net) -> None:
        net.convolution(2, 1, bias=False, size=(1, 1), **fields)
        step(net)

    model = network(build)
    store_float32(model.neuralNetwork.layers[0].convolution.weights, array("f", weights))
    return model


def test_a_matrix() -> None:
    made = quantize(matrix(0.0, 127.5, 255.0, 1.0, 1.5, 256.0, outputs=2))
    params = made.neuralNetwork.layers[0].innerProduct.weights
    # The middle of the first row is a tie between 127 and 128, of which 128 is even.
    assert params.rawValue == bytes([0, 128, 255, 0, 0, 255])
    assert list(params.quantization.linearQuantization.scale) == [1.0, 1.0]
    assert list(params.quantization.linearQuantization.bias) == [0.0, 1.0]
    assert made.specificationVersion == 3


def test_there_and_back() -> None:
    back = quantize(quantize(matrix(0.0, 3.0, 255.0)), mode="dequantization")
    assert list(back.neuralNetwork.layers[0].innerProduct.weights.floatValue) == [0.0, 3.0, 255.0]
    half = quantize(matrix(0.0, 1.0), nbits=16)
    assert half.neuralNetwork.layers[0].innerProduct.weights.float16Value == b"\0\0\0\x3c"
    assert half.specificationVersion == 2


def test_a_scale_is_taken_up() -> None:
    def scale(net: Net) -> None:
        given = net.scale((2,), (1,)).scale
        store_float32(given.scale, array("f", [2.0, -1.0]))
        store_float32(given.bias, array("f", [0.5]))

    made = quantize(convolution_and(scale, [3.0, 4.0]))
    (layer,) = made.neuralNetwork.layers
    # One weight a channel: each is its channel's bias, 3 * 2 and 4 * -1.
    assert list(layer.convolution.weights.quantization.linearQuantization.bias) == [6.0, -4.0]
    assert list(layer.convolution.bias.quantization.linearQuantization.bias) == [0.5]
    assert layer.output[0] == "output"
    assert layer.convolution.hasBias


def test_a_batchnorm_is_taken_up() -> None:
    def batchnorm(net: Net) -> None:
        given = net.batchnorm(2).batchnorm
        given.epsilon = 0.0
        for params, values in (
            (given.gamma, [2.0, 3.0]),
            (given.beta, [1.0, 1.0]),
            (given.mean, [5.0, -1.0]),
            (given.variance, [4.0, 9.0]),
        ):
            store_float32(params, array("f", values))

    made = quantize(convolution_and(batchnorm, [7.0, 7.0]))
    (layer,) = made.neuralNetwork.layers
    # Factors 2 / 2 and 3 / 3; biases 1 - 5 and 1 + 1, of which the first is the least.
    assert list(layer.convolution.weights.quantization.linearQuantization.bias) == [7.0, 7.0]
    assert list(layer.convolution.bias.quantization.linearQuantization.bias) == [-4.0]


@pytest.mark.parametrize(("shape", "left"), [((2,), 1), ((1,), 1), ((2, 1, 1), 1), ((1, 2, 1), 2), ((3,), 2)])
def test_what_fuses(shape: tuple[int, ...], left: int) -> None:
    model = convolution_and(lambda net: net.scale(shape, None), [1.0, 2.0])
    assert len(quantize(model).neuralNetwork.layers) == left


def test_shapes() -> None:
    def build(net: Net) -> None:
        net.convolution(6, 4, groups=2, deconvolution=True, size=(3, 5))
        net.convolution(6, 4, groups=2, size=(3, 5))

    deconvolution, convolution = network(build).neuralNetwork.layers
    assert [(t.shape, t.axis) for t in tensors(deconvolution)] == [((4, 3, 3, 5), None), ((6,), None)]
    assert [(t.shape, t.axis) for t in tensors(convolution)] == [((6, 2, 3, 5), 0), ((6,), None)]


@pytest.mark.parametrize(
    ("name", "arguments", "taken"),
    [
        ("base", {"quantizable_layer_types": ["innerProduct"]}, True),
        ("base", {"quantizable_layer_types": ["bias"]}, False),
        ("matrix_multiply", {"minimum_weight_count": 6}, True),
        ("matrix_multiply", {"minimum_weight_count": 7}, False),
        ("matrix_multiply", {"maximum_input_channels": 2}, False),
        ("matrix_multiply", {"include_layers_with_names": ["layer_0"]}, True),
        ("matrix_multiply", {"include_layers_with_names": ["layer"]}, False),
        ("advanced", {"skip_layer_types": ["innerProduct"]}, False),
        ("advanced", {}, True),
    ],
)
def test_selectors(name: str, arguments: dict[str, Any], taken: bool) -> None:
    (layer,) = matrix(*range(6), outputs=2).neuralNetwork.layers
    assert selectors.takes({"name": name, "arguments": arguments}, layer) is taken


def test_dynamic_int8() -> None:
    model = matrix(127.0, -1.75, 0.0)
    assert quantize(model, mode="int8") == model
    model.neuralNetwork.arrayInputShapeMapping = 1  # type: ignore[assignment] # EXACT_ARRAY_MAPPING
    made = quantize(model, mode="int8")
    layer = made.neuralNetwork.layers[0].innerProduct
    assert layer.weights.int8RawValue == bytes([127, 255, 0])
    assert layer.int8DynamicQuantize
    assert made.specificationVersion == 5
    back = quantize(made, mode="dequantization").neuralNetwork.layers[0].innerProduct
    assert list(back.weights.floatValue) == [127.0, -1.0, 0.0]
    assert not back.int8DynamicQuantize


@pytest.mark.parametrize(
    ("rule", "model", "settings"),
    [
        ("FILE-3", described("mlProgram"), {}),
        ("FILE-3", pipeline(described("scaler")), {}),
        ("TEN-7", matrix(1.0, float("nan")), {}),
        ("HALF-2", matrix(65504.0), {"nbits": 16}),
        ("SYM-1", matrix(1.0), {"nbits": 7, "mode": "linear_symmetric"}),
    ],
)
def test_refused(rule: str, model: Model, settings: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=rule):
        quantize(model, **settings)


def test_no_bytes_of_a_model() -> None:
    with pytest.raises(Refused, match="TEN-2"):
        models.quantize(b"\xff", LINEAR)


def test_clusters_that_are_a_matter_of_choice() -> None:
    with pytest.raises(NotImplementedError, match="KM-1"):
        quantize(matrix(1.0, 2.0, 3.0), nbits=1, mode="kmeans_lut")
