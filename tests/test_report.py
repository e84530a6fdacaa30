"""inspect and compare as functions: figures worked out by hand."""

from __future__ import annotations

import math
from array import array

import pytest

import refquant
from refquant import compare_weights, inspect_weights
from refquant.model import tensor
from refquant.report import TensorDifference, TensorInfo, decibels
from tests.networks import BATCHNORMS, ROWS, described, inner_product, network, pipeline


class TestInspect:
    def test_forms(self) -> None:
        model = inner_product([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0])
        halved = refquant.quantize_weights(model, 16)
        linear = refquant.quantize_weights(model, 3)
        table = refquant.quantize_weights(model, 2, "kmeans")
        for each, form, bits, entries, size in (
            (model, "float32", 32, 0, 24),
            (halved, "float16", 16, 0, 12),
            (linear, "linear", 3, 2, 3 + 2 * (4 + 4)),  # 18 bits; two rows with a scale and a bias each
            (table, "lut", 2, 4, 2 + 4 * 4),  # 12 bits; four entries
        ):
            found = inspect_weights(each)
            assert found[0] == TensorInfo(
                "fc", "innerProduct", "weights", (2, 3), form, bits, entries, size, weights=6, covered=True
            )
            assert [info.tensor for info in found] == ["weights", "bias"]

    def test_no_values_of_any_shape(self) -> None:
        """A convolution that takes its weights from a second input has none, whatever its kernelSize says."""
        model = network(ROWS["convolution"])
        layer = model.neuralNetwork.layers[0]
        layer.input.append("weights")
        layer.convolution.hasBias = False
        for params in (layer.convolution.weights, layer.convolution.bias):
            params.Clear()
        layer.convolution.kernelSize.append(3)
        assert refquant.validate_model(model) == []
        assert inspect_weights(model) == []

    def test_what_quantization_does_not_cover(self) -> None:
        model = network(ROWS["custom"])
        model.neuralNetwork.layers[0].activation.PReLU.alpha.floatBytes.append(bytes(12))
        model.neuralNetwork.layers[1].innerProduct.hasBias = False
        found = {(info.layer, info.tensor): info for info in inspect_weights(model)}
        assert not found["layer_0", "PReLU.alpha"].covered
        assert found["layer_0", "PReLU.alpha"].weights == 3
        assert found["layer_1", "weights"].covered
        assert not found["layer_1", "bias"].covered

    def test_layers_that_take_no_codes(self) -> None:
        model = network(lambda net: [net.relu(), net.relu()].clear())
        norm, convolution = model.neuralNetwork.layers
        norm.layerNormalization.gamma.floatBytes.append(bytes(8))
        norm.layerNormalization.beta.float16Value = bytes(4)
        convolution.convolution3d.weights.floatBytes.append(bytes(20))
        found = [(info.tensor, info.form, info.bits, info.weights) for info in inspect_weights(model)]
        assert found == [
            ("gamma", "float32", 32, 2),
            ("beta", "float16", 16, 2),
            ("weights", "float32", 32, 5),
        ]
        assert not any(info.covered for info in inspect_weights(model))

    def test_codes_that_only_a_custom_layer_can_read(self) -> None:
        """A future kind of quantization, say. Validation has nothing against them."""
        model = network(ROWS["custom"])
        params = model.neuralNetwork.layers[0].custom.weights[0]
        params.Clear()
        params.rawValue, params.quantization.numberOfBits = bytes(6), 4
        assert not refquant.validate_model(model)
        found = inspect_weights(model)[0]
        assert (found.form, found.bits, found.entries, found.bytes, found.weights) == ("codes", 4, 0, 6, 12)

    def test_codes_that_no_layer_can_read(self) -> None:
        model = inner_product([1.0])
        params = model.neuralNetwork.layers[0].innerProduct.weights
        params.Clear()
        params.rawValue, params.quantization.numberOfBits = bytes(6), 4
        with pytest.raises(refquant.TensorError, match=r"layer 'fc' .*neither scales nor"):
            inspect_weights(model)

    def test_dynamic_int8(self) -> None:
        model = inner_product([1.0, 2.0, 3.0, 4.0])
        model.neuralNetwork.arrayInputShapeMapping = 1  # type: ignore[assignment] # EXACT_ARRAY_MAPPING
        (found,) = inspect_weights(refquant.activate_int8_int8_matrix_multiplications(model))
        assert (found.form, found.bits, found.entries, found.bytes) == ("int8", 8, 1, 4 + 4)

    def test_the_payload_is_not_read(self) -> None:
        model = inner_product([1.0, 2.0])
        model.neuralNetwork.layers[0].innerProduct.weights.floatBytes[0] = bytes(4)  # one of two
        (found,) = inspect_weights(model)
        assert (found.shape, found.bytes) == ((1, 2), 4)

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
    def test_memory(self) -> None:
        """Two arrays of float32 and the bytes that they are made from, but no list of all differences."""
        tracemalloc = pytest.importorskip("tracemalloc")
        model = inner_product([float(n % 1000) for n in range(100_000)])
        tracemalloc.start()
        try:
            compare_weights(model, model)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 20 * 100_000

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
        assert decibels(1.0, math.inf) == -math.inf
        assert math.isnan(decibels(math.nan, 1.0))
        assert math.isnan(decibels(math.inf, math.inf))

    def test_fused_models(self) -> None:
        model = network(BATCHNORMS["conv_bn"])
        found = compare_weights(model, refquant.quantize_weights(model, 8))
        assert [difference.tensor for difference in found.tensors] == ["weights"]
        assert found.only_in_first == [("layer_1", name) for name in ("gamma", "beta", "mean", "variance")]
        assert found.only_in_second == [("layer_0", "bias")]
        assert [difference.fused for difference in found.tensors] == [True]
        unfused = compare_weights(model, refquant.quantize_weights(model, 8, fuse=False))
        assert not any(difference.fused for difference in unfused.tensors)
        assert (unfused.only_in_first, unfused.only_in_second) == ([], [])

    def test_one_name_twice(self) -> None:
        # Both networks of a branch have a layer_1, and nothing stops one network from having two.
        branches = network(ROWS["branch"])
        names = [difference.layer for difference in compare_weights(branches, branches).tensors]
        assert names == ["inner_1", "layer_1", "inner_2", "layer_1"]
        pair, other = (network(lambda net: [net.bias((1,)), net.bias((1,))].clear()) for _ in range(2))
        for model, second in ((pair, 2.0), (other, 5.0)):
            for layer, value in zip(model.neuralNetwork.layers, (1.0, second)):
                layer.name = "same"
                tensor.store_float32(layer.bias.bias, array("f", [value]))
        assert [difference.max_error for difference in compare_weights(pair, other).tensors] == [0.0, 3.0]

    @pytest.mark.parametrize("weights", [[1.0, math.nan], [math.nan, 1.0]])
    def test_nan(self, weights: list[float]) -> None:
        (found,) = compare_weights(inner_product([1.0, 1.0]), inner_product(weights)).tensors
        assert all(map(math.isnan, (found.max_error, found.mean_error, found.snr, found.noise)))

    def test_infinity(self) -> None:
        (found,) = compare_weights(inner_product([1.0, 1.0]), inner_product([1.0, math.inf])).tensors
        assert (found.max_error, found.snr) == (math.inf, -math.inf)

    def test_other_shapes_are_not_compared(self) -> None:
        found = compare_weights(inner_product([1.0]), inner_product([1.0, 2.0]))
        assert found == ([], [("fc", "weights")], [("fc", "weights")])

    def test_damaged(self) -> None:
        model = inner_product([1.0, 2.0])
        tensor.store_float32(model.neuralNetwork.layers[0].innerProduct.weights, array("f", [1.0]))
        with pytest.raises(refquant.ShapeError):
            compare_weights(model, model)
