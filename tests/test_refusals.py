"""Every refusal names the rule that its input breaks, wherever in refquant it comes from."""

from __future__ import annotations

from typing import Any, Callable

import pytest

import refquant
from refquant.codec import half, int8, linear, lut, packing, symmetric
from refquant.codec.channels import Channels, split
from refquant.errors import (
    ArgumentError,
    CodeError,
    HalfRangeError,
    LutFunctionError,
    ModelKindError,
    NonFiniteError,
    RefquantError,
    ShapeError,
    TensorError,
    UpdatableError,
)
from refquant.model import stored, tensor
from refquant.model.file import parse
from refquant.model.layers import sites
from refquant.model.layout import Layout
from refquant.model.stored import Stored
from refquant.schema.coreml import Model, NeuralNetworkLayer, WeightParams
from tests.hard import GREATEST, weights
from tests.networks import ROWS, network

NAN = float("nan")
ONE = Channels(1, 1, 1)
W = weights([1.0])
NONE = weights([])


def layer(**fields: Any) -> NeuralNetworkLayer:
    return NeuralNetworkLayer(name="it", **fields)


def shape_of(made: NeuralNetworkLayer) -> Layout:
    return next(sites(made)).layout


def decoded(values: Stored, *shape: int) -> object:
    return stored.decode(values, Layout(shape))


def both() -> WeightParams:
    return WeightParams(floatBytes=[bytes(4)], float16Value=bytes(2))


def codes_alone() -> WeightParams:
    params = WeightParams(rawValue=bytes(1))
    params.quantization.numberOfBits = 8
    return params


def of_type(kind: str) -> Model:
    model = Model()
    getattr(model, kind).SetInParent()
    return model


def quantized(nbits: int = 8, mode: str = "linear", **settings: Any) -> object:
    return refquant.quantize_weights(network(ROWS["innerProduct"]), nbits, mode, **settings)


def updatable() -> Model:
    model = network(ROWS["innerProduct"])
    model.isUpdatable = True
    return model


def broken_run() -> bytes:
    model = network(ROWS["innerProduct"])
    model.neuralNetwork.layers[0].innerProduct.weights.floatBytes[:] = [bytes(3)]
    return model.SerializeToString()


def custom(table: object, codes: object) -> Callable[[], object]:
    return lambda: lut.encode_custom(W, 1, lambda nbits, values: (table, codes))


#: Rule, class of the error, and what is refused: once for each place that refuses.
REFUSALS: list[tuple[str, type[RefquantError], Callable[[], object]]] = [
    ("TEN-7", NonFiniteError, lambda: linear.encode(weights([NAN]), 8, ONE)),
    ("TEN-7", NonFiniteError, lambda: half.encode(weights([NAN]))),
    ("TEN-6", ShapeError, lambda: list(split(W, Channels(1, 2, 1)))),
    ("TEN-5", ArgumentError, lambda: packing.pack(b"", 9)),
    ("TEN-5", ArgumentError, lambda: packing.unpack(b"", 9, 0)),
    ("TEN-5", ArgumentError, lambda: linear.encode(W, 9, ONE)),
    ("TEN-5", ArgumentError, lambda: lut.encode_linear(W, 0)),
    ("PACK-4", CodeError, lambda: packing.pack(b"\2", 1)),
    ("PACK-5", TensorError, lambda: packing.unpack(b"", 8, 1)),
    ("HALF-2", HalfRangeError, lambda: half.encode(weights([65504.0]))),
    ("TEN-4", TensorError, lambda: half.decode(b"\0")),
    ("DEQ-4", NonFiniteError, lambda: half.decode(b"\0\x7c")),
    ("LIN-9", NonFiniteError, lambda: linear.encode(weights([GREATEST, -GREATEST]), 1, Channels(1, 1, 2))),
    ("LIN-9", NonFiniteError, lambda: symmetric.encode(weights([GREATEST]), ONE)),
    ("DEQ-4", TensorError, lambda: linear.decode(b"\0\0", weights([1.0] * 3), NONE, Channels(1, 2, 1))),
    ("DEQ-4", TensorError, lambda: linear.decode(b"\0", W, weights([1.0] * 2), ONE)),
    ("DEQ-4", NonFiniteError, lambda: linear.decode(b"\0", weights([NAN]), NONE, ONE)),
    ("DEQ-4", NonFiniteError, lambda: linear.decode(b"\0", W, weights([NAN]), ONE)),
    ("DEQ-4", NonFiniteError, lambda: linear.decode(b"\2", weights([GREATEST]), NONE, ONE)),
    ("INT8-7", NonFiniteError, lambda: int8.encode(weights([GREATEST]))),
    ("DEQ-4", NonFiniteError, lambda: int8.decode(b"\1", NAN)),
    ("DEQ-4", NonFiniteError, lambda: int8.decode(b"\2", GREATEST)),
    ("LIN-1", ShapeError, lambda: lut.encode_linear(NONE, 8)),
    ("LUT-4", ArgumentError, lambda: lut.encode_custom(W, 8, None)),
    ("LUT-4", LutFunctionError, lambda: lut.encode_custom(W, 8, lambda nbits, values: 1 / 0)),
    ("TEN-5", ArgumentError, lambda: lut.encode_custom(W, 9, lambda nbits, values: None)),
    ("LUT-5", LutFunctionError, lambda: lut.encode_custom(W, 8, lambda nbits, values: None)),
    ("LUT-5", LutFunctionError, custom([1.0], [0])),
    ("LUT-5", LutFunctionError, custom([1.0, NAN], [0])),
    ("LUT-5", LutFunctionError, custom([1.0, 2.0], [])),
    ("LUT-5", LutFunctionError, custom([1.0, 2.0], [2])),
    ("DEQ-4", NonFiniteError, lambda: lut.decode(b"\0", weights([NAN]))),
    ("PACK-4", CodeError, lambda: lut.decode(b"\1", W)),
    ("TEN-6", ShapeError, lambda: decoded(Stored("float32", bytes(4)), 2)),
    ("TEN-2", TensorError, lambda: decoded(Stored("float32", bytes(3)), 1)),
    ("TEN-5", TensorError, lambda: decoded(Stored("linear", bytes(1), 9, W), 1)),
    ("TEN-5", TensorError, lambda: decoded(Stored("lut", bytes(1), 0, table=W), 1)),
    ("LUT-1", TensorError, lambda: decoded(Stored("lut", bytes(1), 8, table=W), 1)),
    ("INT8-2", TensorError, lambda: decoded(Stored("int8", bytes(1), 8), 1)),
    ("INT8-2", TensorError, lambda: decoded(Stored("int8", bytes(1), 8, scales=W, biases=W), 1)),
    ("INT8-2", TensorError, lambda: decoded(Stored("int8", bytes(1), 7, scales=W), 1)),
    ("TEN-1", TensorError, lambda: tensor.form(both())),
    ("TEN-5", TensorError, lambda: tensor.form(codes_alone())),
    ("LAY-3", ShapeError, lambda: shape_of(layer(convolution={"kernelSize": [3]}))),
    (
        "LAY-3",
        ShapeError,
        lambda: shape_of(
            layer(
                convolution={"isDeconvolution": True, "nGroups": 2, "outputChannels": 3, "kernelChannels": 2}
            )
        ),
    ),
    ("LAY-6", ShapeError, lambda: shape_of(layer(loadConstantND={"shape": [1] * 6}))),
    ("TEN-2", TensorError, lambda: parse(broken_run())),
    ("FILE-3", ModelKindError, lambda: refquant.quantize_weights(of_type("pipeline"), 8)),
    ("FILE-3", ModelKindError, lambda: refquant.quantize_weights(of_type("glmRegressor"), 8)),
    ("FILE-4", UpdatableError, lambda: refquant.quantize_weights(updatable(), 16)),
    ("SYM-1", ArgumentError, lambda: quantized(7, "linear_symmetric")),
    ("HALF-3", ArgumentError, lambda: quantized(16, half_overflow="drop")),
    ("LUT-4", ArgumentError, lambda: quantized(8, "custom_lut")),
    ("SEL-1", ArgumentError, lambda: quantized(selector=refquant.QuantizedLayerSelector)),
    ("SEL-4", ArgumentError, lambda: refquant.AdvancedQuantizedLayerSelector("bias")),
    ("SEL-4", ArgumentError, lambda: refquant.AdvancedQuantizedLayerSelector(["dense"])),
    ("SEL-7", ArgumentError, lambda: refquant.MatrixMultiplyLayerSelector(include_layers_with_names="fc")),
    *(
        ("SEL-4", ArgumentError, lambda kind=kind: kind().do_quantize(layer(), weight_param="scale"))
        for kind in (refquant.AdvancedQuantizedLayerSelector, refquant.MatrixMultiplyLayerSelector)
    ),
]


@pytest.mark.parametrize(("rule", "error", "refused"), REFUSALS)
def test_names_its_rule(rule: str, error: type[RefquantError], refused: Callable[[], object]) -> None:
    with pytest.raises(error) as caught:
        refused()
    assert type(caught.value) is error
    assert caught.value.rule == rule


#: What is not finite, and a place that refuses it: a name that tells a reader where to look.
NOT_FINITE: list[tuple[str, Callable[[], object]]] = [
    ("weight is nan", lambda: linear.encode(weights([NAN]), 8, ONE)),
    ("scale is inf", lambda: linear.encode(weights([GREATEST, -GREATEST]), 1, Channels(1, 1, 2))),
    ("bias is -inf", lambda: symmetric.encode(weights([GREATEST]), ONE)),
    ("decoded weight is inf", lambda: linear.encode(weights([0.0, GREATEST]), 5, Channels(1, 1, 2))),
    ("scale is nan", lambda: linear.decode(b"\0", weights([NAN]), NONE, ONE)),
    ("bias is nan", lambda: linear.decode(b"\0", W, weights([NAN]), ONE)),
    ("decoded weight is inf", lambda: linear.decode(b"\2", weights([GREATEST]), NONE, ONE)),
    ("scale is nan", lambda: int8.decode(b"\1", NAN)),
    ("decoded weight is inf", lambda: int8.decode(b"\2", GREATEST)),
    ("table entry is nan", lambda: lut.decode(b"\0", weights([NAN]))),
]


@pytest.mark.parametrize(("what", "refused"), NOT_FINITE)
def test_names_what_is_not_finite(what: str, refused: Callable[[], object]) -> None:
    with pytest.raises(NonFiniteError) as caught:
        refused()
    assert caught.value.reason == f"{what}, not a finite number"
    assert caught.value.index == 0
