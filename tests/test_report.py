"""inspect and compare as functions: figures worked out by hand."""

from __future__ import annotations

import math
from array import array

import pytest

import refquant
from refquant import compare_weights, inspect_weights
from refquant.model import tensor
from refquant.report import TensorDifference, TensorInfo, decibels
from tests.networks import BATCHNORMS, ROWS, described, network, pipeline
from tests.test_quantize import inner_product


class TestInspect:
    def test_forms(self) -> None:
        model = inner_product([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0])
        halved = refquant.quantize_weights(model, 16)
        linear = refquant.quantize_weights(model, 3)
        table = refquant.quantize_weights(model, 2, "kmeans")
        for each, form, bits, entries, size in (
            (model, "float32", 32, 0, 24),
            (halved, "float16", 16, 0, 12),
            (linear, "linear", 3, 2, 3),
            (table, "lut", 2, 4, 2),
        ):
            found = inspect_weights(each)
            assert found[0] == TensorInfo(
                "fc", "innerProduct", "weights", (2, 3), form, bits, entries, size, weights=6, covered=True
            )
            assert [info.tensor for info in found] == ["weights", "bias"]

    def test_what_quantization_does_not_cover(self) -> None:
        model = network(ROWS["custom"])
        model.neuralNetwork.layers[0].activation.PReLU.alpha.floatBytes.append(bytes(12))
        model.neuralNetwork.layers[1].innerProduct.hasBias = False
        found = {(info.layer, info.tensor): info for info in inspect_weights(model)}
        assert not found["layer_0", "PReLU.alpha"].covered
        assert found["layer_0", "PReLU.alpha"].weights == 3
        assert found["layer_1", "weights"].covered
        assert not found["layer_1", "bias"].covered

    def test_inner_networks_and_pipelines(self) -> None:
        model = pipeline(network(ROWS["branch"]), network(ROWS["biDirectionalLSTM"]))
        names = [f"{info.layer}.{info.tensor}" for info in inspect_weights(model)]
        assert names[:2] == ["inner_1.weights", "layer_1.scale"]
        assert "layer_0.backward.outputGateBiasVector" in names
        assert len(names) == len(set(names)) + 1  # both scales of the branch are layer_1

    def test_nothing_to_inspect(self) -> None:
        with pytest.raises(refquant.ModelKindError):
            inspect_weights(described("mlProgram"))
        assert inspect_weights(network(lambda net: [net.relu()].clear())) == []


class TestCompare:
    def test_by_hand(self) -> None:
        found = compare_weights(inner_product([1.0, 2.0, 2.0]), inner_product([1.0, 1.5, 2.25]))
        (difference,) = found.tensors
        assert difference == TensorDifference(
            layer="fc",
            layer_type="innerProduct",
            tensor="weights",
            weights=3,
            max_error=0.5,
            mean_error=0.25,
            snr=10 * math.log10(9 / 0.3125),
            signal=9.0,
            noise=0.3125,
        )
        assert (found.only_in_first, found.only_in_second) == ([], [])

    def test_decibels(self) -> None:
        assert decibels(1.0, 0.0) == math.inf
        assert decibels(0.0, 1.0) == -math.inf
        assert decibels(100.0, 1.0) == 20

    def test_fused_models(self) -> None:
        model = network(BATCHNORMS["conv_bn"])
        found = compare_weights(model, refquant.quantize_weights(model, 8))
        assert [difference.tensor for difference in found.tensors] == ["weights"]
        assert found.only_in_first == [f"layer_1.{name}" for name in ("gamma", "beta", "mean", "variance")]
        assert found.only_in_second == ["layer_0.bias"]

    def test_other_shapes_are_not_compared(self) -> None:
        found = compare_weights(inner_product([1.0]), inner_product([1.0, 2.0]))
        assert found == ([], ["fc.weights"], ["fc.weights"])

    def test_damaged(self) -> None:
        model = inner_product([1.0, 2.0])
        tensor.store_float32(model.neuralNetwork.layers[0].innerProduct.weights, array("f", [1.0]))
        with pytest.raises(refquant.ShapeError):
            compare_weights(model, model)
