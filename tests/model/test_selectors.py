"""Chapter 9: selectors, row by row, and the user guide's examples."""

from __future__ import annotations

from typing import Any

import pytest

import refquant
from refquant import (
    AdvancedQuantizedLayerSelector,
    MatrixMultiplyLayerSelector,
    QuantizedLayerSelector,
    sample,
)
from refquant.model import tensor
from refquant.model.walk import all_sites, selected_sites
from refquant.schema.coreml import Model, NeuralNetworkLayer
from tests.networks import LAYERS, ROWS, network
from tests.spec.test_layers import written

#: The types that the format's tools quantize, written out once more.
QUANTIZABLE = {
    "convolution",
    "innerProduct",
    "embedding",
    "embeddingND",
    "batchnorm",
    "scale",
    "bias",
    "loadConstant",
    "loadConstantND",
    "simpleRecurrent",
    "gru",
    "uniDirectionalLSTM",
    "biDirectionalLSTM",
    "batchedMatmul",
    "depthwiseConv",
    "loop",
    "branch",
}


def convolution(outputs: int = 8, channels: int = 4, size: tuple[int, ...] = (3, 3), groups: int = 1) -> Any:
    layer = NeuralNetworkLayer(name="conv")
    layer.convolution.outputChannels, layer.convolution.kernelChannels = outputs, channels
    layer.convolution.kernelSize.extend(size)
    layer.convolution.nGroups = groups
    layer.convolution.hasBias = True
    return layer


def matmul(kind: str, inputs: int, outputs: int, name: str = "mm") -> Any:
    layer = NeuralNetworkLayer(name=name)
    if kind == "innerProduct":
        layer.innerProduct.inputChannels, layer.innerProduct.outputChannels = inputs, outputs
    else:
        layer.batchedMatmul.weightMatrixFirstDimension = inputs
        layer.batchedMatmul.weightMatrixSecondDimension = outputs
    return layer


def forms(model: Model) -> dict[str, str]:
    return {f"{site.layer.name}.{site.tensor}": tensor.form(site.params) for site in all_sites(model)}


class TestBase:
    """SEL-3: The base selector MUST accept a layer exactly when its type is in `quantizable_layer_types`."""

    def test_types(self) -> None:
        selector = QuantizedLayerSelector()
        assert selector.quantizable_layer_types == QUANTIZABLE
        for name, build in LAYERS.items():
            layer = network(build).neuralNetwork.layers[0]
            assert selector.do_quantize(layer) == (name != "custom")
            assert selector.do_quantize(layer, weight_param="bias") == (name != "custom")

    def test_the_set_at_first(self) -> None:
        """SEL-10: Before a caller changes it, `quantizable_layer_types` MUST hold the types of the table of
        layers, `branch`, `loop` and `depthwiseConv`.
        """
        table = {row.layer for row in written()}
        assert QuantizedLayerSelector().quantizable_layer_types == table | {"branch", "loop", "depthwiseConv"}

    def test_the_set_may_change(self) -> None:
        selector = QuantizedLayerSelector()
        selector.quantizable_layer_types.remove("gru")
        made = refquant.quantize_weights(network(ROWS["gru"]), 8, selector=selector)
        assert set(forms(made).values()) == {"float32"}


class TestAskedOnce:
    """SEL-1: A selector is asked `do_quantize(layer)` once for each layer; a false answer MUST leave the
    layer, and every network inside it, as it is. SEL-2: For a selected convolution, innerProduct or
    batchedMatmul with a bias, the selector MUST be asked `do_quantize(layer, weight_param="bias")`.
    """

    class Recorder:
        """Not a subclass of anything: only the method counts."""

        def __init__(self, *refused: str) -> None:
            self.refused = refused
            self.asked: list[tuple[str, dict[str, Any]]] = []

        def do_quantize(self, layer: Any, **kwargs: Any) -> bool:
            self.asked.append((layer.name, kwargs))
            return layer.name not in self.refused

    def test_questions(self) -> None:
        selector = self.Recorder()
        refquant.quantize_weights(network(ROWS["loop"]), 8, selector=selector)
        bias = {"weight_param": "bias"}
        assert [name for name, more in selector.asked if not more] == [
            "loop",
            "layer_0",
            "layer_0",
            "layer_1",
        ]
        assert [more for _, more in selector.asked if more] == [bias, bias]

    @pytest.mark.parametrize("layer_type", sorted({row.layer for row in written()}))
    def test_biases_that_are_asked_about(self, layer_type: str) -> None:
        """Those of three types; "in all other layers the bias goes with the rest"."""
        layer = NeuralNetworkLayer(name="it")
        parameters: Any = getattr(layer, layer_type)
        parameters.SetInParent()
        for flag in ("hasBias", "hasBiasVector", "hasBiasVectors"):
            if flag in parameters.DESCRIPTOR.fields_by_name:
                setattr(parameters, flag, True)
        selector = self.Recorder()
        selected_sites(layer, selector)
        asked = layer_type in ("convolution", "innerProduct", "batchedMatmul")
        assert selector.asked == ([("it", {"weight_param": "bias"})] if asked else [])

    def test_refused_networks_stay_whole(self) -> None:
        model = network(ROWS["branch"])
        made = refquant.quantize_weights(model, 8, selector=self.Recorder("branch"))
        assert made.neuralNetwork == model.neuralNetwork

    def test_bias_refused(self) -> None:
        selector = AdvancedQuantizedLayerSelector(["bias"], 0, 0)
        made = refquant.quantize_weights(network(ROWS["grouped_convolution"], 1), 8, selector=selector)
        assert forms(made)["layer_0.weights"] == "linear"
        assert set(forms(made).values()) <= {"linear", "float32"}


class TestAdvanced:
    """SEL-4: The advanced selector MUST refuse an unknown layer type in `skip_layer_types` and an unknown
    `weight_param`.
    """

    def test_unknown_type(self) -> None:
        with pytest.raises(refquant.ArgumentError) as caught:
            AdvancedQuantizedLayerSelector(["bias", "dense", "lstm"])
        known = ", ".join(sorted(QUANTIZABLE))
        assert str(caught.value) == f"cannot skip 'dense', 'lstm': the types are {known}"
        with pytest.raises(
            refquant.ArgumentError, match=r"^skip_layer_types must be a list of names, not .bias.$"
        ):
            AdvancedQuantizedLayerSelector("bias")

    @pytest.mark.parametrize("types", [None, 5, [["bias"]], {"bias": 1}, b"bias"])
    def test_no_list_of_types(self, types: Any) -> None:
        with pytest.raises(refquant.ArgumentError, match="list of names"):
            AdvancedQuantizedLayerSelector(types)

    @pytest.mark.parametrize("selector", [AdvancedQuantizedLayerSelector(), MatrixMultiplyLayerSelector()])
    def test_unknown_parameter(self, selector: Any) -> None:
        with pytest.raises(refquant.ArgumentError, match="weight_param"):
            selector.do_quantize(convolution(), weight_param="gamma")

    def test_types(self) -> None:
        selector = AdvancedQuantizedLayerSelector(["gru", "convolution"])
        for name, expected in (("gru", False), ("bias", True), ("custom", False)):
            assert selector.do_quantize(network(ROWS[name]).neuralNetwork.layers[0]) is expected
        assert selector.do_quantize(convolution(64, 64)) is False

    @pytest.mark.parametrize(
        ("layer", "expected"),
        [
            (convolution(8, 4), True),
            (convolution(8, 3), False),
            (convolution(8, 4, (3, 2)), False),
            (convolution(7, 4), False),
            (convolution(288, 1, (1, 1)), False),
        ],
    )
    def test_minima(self, layer: Any, expected: bool) -> None:
        """SEL-5: ... MUST skip the weights of a convolution with fewer kernel channels than
        `minimum_conv_kernel_channels`, or fewer weights than `minimum_conv_weight_count`.
        """
        selector = AdvancedQuantizedLayerSelector([], 4, 8 * 4 * 3 * 3)
        assert selector.do_quantize(layer) is expected
        assert selector.do_quantize(layer, weight_param="weights") is expected
        assert selector.do_quantize(layer, weight_param="bias")

    def test_depthwise(self) -> None:
        """SEL-5: ... where `depthwiseConv` is skipped, with one kernel channel and more than one group."""
        depthwise = convolution(8, 1, groups=8)
        assert AdvancedQuantizedLayerSelector([], 0, 0).do_quantize(depthwise)
        selector = AdvancedQuantizedLayerSelector(["depthwiseConv"], 0, 0)
        assert selector.do_quantize(depthwise) is False
        assert selector.do_quantize(convolution(8, 1, groups=2)) is False
        assert selector.do_quantize(convolution(8, 1, groups=1))
        assert selector.do_quantize(convolution(8, 2, groups=4))

    def test_biases(self) -> None:
        """SEL-6: The advanced selector MUST skip the biases of convolutions, innerProducts and
        batchedMatmuls where `bias` is in `skip_layer_types`.
        """
        for layer in (convolution(), matmul("innerProduct", 2, 2), matmul("batchedMatmul", 2, 2)):
            for types, expected in ((["bias"], False), ([], True)):
                selector = AdvancedQuantizedLayerSelector(types, 0, 0)
                assert selector.do_quantize(layer, weight_param="bias") is expected

    def test_kernel_size(self) -> None:
        with pytest.raises(refquant.ShapeError, match=r"^layer 'conv' \(convolution\): kernelSize"):
            AdvancedQuantizedLayerSelector().do_quantize(convolution(size=(3,)))
        # One that is not set is 3 x 3: 8 * 4 * 9 = 288 weights.
        for least, expected in ((288, True), (289, False)):
            selector = AdvancedQuantizedLayerSelector([], 0, least)
            assert selector.do_quantize(convolution(8, 4, size=())) is expected


class TestMatrixMultiply:
    """SEL-7: The matrix-multiply selector MUST accept an innerProduct or batchedMatmul exactly when its
    sizes lie in the stated limits and, where names are given, its name is one of them; and every branch and
    loop.
    """

    @pytest.mark.parametrize("kind", ["innerProduct", "batchedMatmul"])
    @pytest.mark.parametrize(
        ("limits", "expected"),
        [
            ({}, True),
            ({"minimum_weight_count": 24}, True),
            ({"minimum_weight_count": 25}, False),
            ({"minimum_input_channels": 4, "minimum_output_channels": 6}, True),
            ({"minimum_input_channels": 5}, False),
            ({"minimum_output_channels": 7}, False),
            ({"maximum_input_channels": 4, "maximum_output_channels": 6}, True),
            ({"maximum_input_channels": 3}, False),
            ({"maximum_output_channels": 5}, False),
            ({"include_layers_with_names": ["mm"]}, True),
            ({"include_layers_with_names": ("other",)}, False),
            ({"include_layers_with_names": []}, True),
            ({"maximum_input_channels": 0, "maximum_output_channels": 0}, True),
        ],
    )
    def test_limits(self, kind: str, limits: dict[str, Any], expected: bool) -> None:
        selector = MatrixMultiplyLayerSelector(**limits)
        assert selector.do_quantize(matmul(kind, 4, 6)) is expected
        assert selector.do_quantize(matmul(kind, 4, 6), weight_param="bias")

    def test_other_layers(self) -> None:
        selector = MatrixMultiplyLayerSelector()
        for name in LAYERS:
            layer = network(LAYERS[name]).neuralNetwork.layers[0]
            expected = name in ("innerProduct", "batchedMatmul", "branch", "loop")
            assert selector.do_quantize(layer) == expected

    @pytest.mark.parametrize("names", ["mm", [1], {"mm": 1}])
    def test_names(self, names: Any) -> None:
        """SEL-7: ... It MUST refuse names that are not a list of strings."""
        with pytest.raises(refquant.ArgumentError, match=r"^include_layers_with_names must be a list"):
            MatrixMultiplyLayerSelector(include_layers_with_names=names)


class TestDefaults:
    """SEL-9: Arguments that are left out MUST mean: no `skip_layer_types`, 4 `minimum_conv_kernel_channels`,
    4096 `minimum_conv_weight_count`; 1 for each minimum of the matrix-multiply selector, no maximum, any
    name. A maximum of 0 MUST mean no limit, and an empty list of names any name.
    """

    @pytest.mark.parametrize(
        ("layer", "expected"),
        [
            (convolution(128, 4, (8, 1)), True),  # 4096 weights
            (convolution(819, 5, (1, 1)), False),  # 4095
            (convolution(1024, 3, (2, 2)), False),
        ],
    )
    def test_advanced(self, layer: Any, expected: bool) -> None:
        selector = AdvancedQuantizedLayerSelector()
        assert selector.do_quantize(layer) is expected
        assert selector.do_quantize(layer, weight_param="bias")

    @pytest.mark.parametrize("kind", ["innerProduct", "batchedMatmul"])
    def test_matrix_multiply(self, kind: str) -> None:
        selector = MatrixMultiplyLayerSelector()
        assert selector.do_quantize(matmul(kind, 1, 1))
        assert selector.do_quantize(matmul(kind, 1 << 40, 1 << 20))
        assert not selector.do_quantize(matmul(kind, 0, 1))
        assert not selector.do_quantize(matmul(kind, 1, 0))
        # Each of the three minima forbids an empty matrix by itself.
        alone = MatrixMultiplyLayerSelector(minimum_input_channels=0, minimum_output_channels=0)
        assert not alone.do_quantize(matmul(kind, 0, 1))
        both = MatrixMultiplyLayerSelector(minimum_weight_count=0)
        assert not both.do_quantize(matmul(kind, 0, 1))
        assert not both.do_quantize(matmul(kind, 1, 0))


class TestFloats:
    """SEL-8: The layer passed to a selector MUST let it read the weights as floats through `floatValue`, and
    MUST NOT let it change the input model.
    """

    def test_read_and_cannot_change(self) -> None:
        model = network(ROWS["innerProduct"], 4)
        before = model.SerializeToString()
        seen: list[list[float]] = []

        class Nosy(QuantizedLayerSelector):
            def do_quantize(self, layer: Any, **kwargs: Any) -> bool:
                seen.append(list(layer.innerProduct.weights.floatValue))
                layer.name = "changed"
                return super().do_quantize(layer)

        refquant.quantize_weights(model, 8, selector=Nosy())
        assert seen[0] == tensor.float32_weights(model.neuralNetwork.layers[0].innerProduct.weights).tolist()
        assert model.SerializeToString() == before


class TestGuide:
    """The three examples of the user guide, on the embedded sample."""

    def test_symmetric_without_small_layers(self) -> None:
        selector = AdvancedQuantizedLayerSelector(
            skip_layer_types=["batchnorm", "bias", "depthwiseConv"],
            minimum_conv_kernel_channels=4,
            minimum_conv_weight_count=4096,
        )
        made = refquant.quantize_weights(
            refquant.MLModel(sample.model_path()),
            nbits=8,
            quantization_mode="linear_symmetric",
            selector=selector,
        )
        quantized = [name for name, form in forms(made.get_spec()).items() if form == "linear"]
        assert quantized == ["conv_2.weights", "dense_1.weights", "dense_2.weights"]

    def test_layer_by_name(self) -> None:
        class MyLayerSelector(QuantizedLayerSelector):
            def __init__(self) -> None:
                super().__init__()

            def do_quantize(self, layer: Any, **kwargs: Any) -> bool:
                ret = super().do_quantize(layer)
                return bool(ret and layer.name != "dense_2")

        made = refquant.quantize_weights(
            refquant.MLModel(sample.model_path()),
            nbits=8,
            quantization_mode="linear",
            selector=MyLayerSelector(),
        )
        left = [name for name, form in forms(made.get_spec()).items() if form == "float32"]
        assert left == ["dense_2.weights", "dense_2.bias"]

    def test_kmeans(self) -> None:
        made = refquant.quantize_weights(
            refquant.MLModel(sample.model_path()), nbits=8, quantization_mode="kmeans"
        )
        assert set(forms(made.get_spec()).values()) == {"lut"}
