"""quantize_weights, dequantize_weights and int8 as a caller sees them: modes, layers, and what is refused.

Bits of the codec are tested in tests/codec, whole models beside coremltools in tests/parity. The classes
named `TestDeparture...` show the right behaviour where coremltools 9.0 crashes or misleads.
"""

from __future__ import annotations

import logging
import math
from array import array
from operator import attrgetter
from typing import Any, Callable

import pytest

import refquant
from refquant import timing
from refquant.arguments import MODES
from refquant.model import tensor
from refquant.model.layers import sites
from refquant.model.stored import Stored
from refquant.model.walk import PIPELINES, all_layers, all_sites, networks
from refquant.model.within import weights_within
from refquant.schema.coreml import Model, NeuralNetworkLayer, WeightParams
from tests.codec.runs import normal
from tests.networks import (
    BATCHNORMS,
    LAYERS,
    ROWS,
    Net,
    all_networks,
    described,
    inner_product,
    network,
    pipeline,
    void,
)
from tests.oracle import codec as oracle
from tests.quantized import ALL_SETTINGS, quiet


def only_layer(model: Model) -> NeuralNetworkLayer:
    (layer,) = model.neuralNetwork.layers
    return layer


def weights_of(params: WeightParams) -> list[float]:
    return tensor.float32_weights(params).tolist()


class TestEveryRow:
    """LAY-1: The tensors that quantization covers, their shapes and their channel axis MUST be those of the
    table of layers.
    """

    @pytest.mark.parametrize("name", [*ROWS, *BATCHNORMS])
    def test_every_mode_and_back(self, name: str) -> None:
        model = network({**ROWS, **BATCHNORMS}[name], 1)
        before = model.SerializeToString()
        for nbits, mode in ALL_SETTINGS:
            made = quiet(model, nbits, mode, fuse=False)
            forms = {tensor.form(site.params) for site in all_sites(made)} - {"empty"}
            assert forms == {"float16" if nbits == 16 else "linear" if "lut" not in mode else "lut"}
            back = refquant.dequantize_weights(made)
            for site, old in zip(all_sites(back), all_sites(model)):
                assert len(tensor.float32_weights(site.params)) == len(tensor.float32_weights(old.params))
        assert model.SerializeToString() == before

    def test_channels_of_a_convolution_by_the_oracle(self) -> None:
        model = network(lambda net: void(net.convolution(4, 3)))
        values = weights_of(only_layer(model).convolution.weights)
        found = only_layer(quiet(model, 5)).convolution.weights
        expected = oracle.linear(values, 5, 1, 4, 18)
        assert found.rawValue == oracle.pack(expected.codes, 5)
        assert list(found.quantization.linearQuantization.scale) == expected.scales
        assert list(found.quantization.linearQuantization.bias) == expected.biases

    def test_channels_of_a_deconvolution_by_the_oracle(self) -> None:
        """LAY-3: ... those of a deconvolution (kernelChannels, outputChannels / nGroups, ...), axis 1."""
        model = network(lambda net: void(net.convolution(4, 3, deconvolution=True)))
        values = weights_of(only_layer(model).convolution.weights)
        found = only_layer(quiet(model, 5)).convolution.weights
        expected = oracle.linear(values, 5, 3, 4, 6)
        assert found.rawValue == oracle.pack(expected.codes, 5)
        assert list(found.quantization.linearQuantization.scale) == expected.scales

    def test_flags(self) -> None:
        """LAY-2: A bias ... MUST be covered only where the layer's flag says that it has one."""
        model = inner_product([1.0, 2.0], [3.0])
        only_layer(model).innerProduct.hasBias = False
        assert weights_of(only_layer(quiet(model, 8)).innerProduct.bias) == [3.0]

    def test_inner_networks(self) -> None:
        """LAY-4: Branch and loop layers MUST be entered."""
        for name in ("branch", "loop"):
            made = quiet(network(LAYERS[name]), 8, fuse=False)
            inner = [site for site in all_sites(made) if site.layer.name not in ("branch", "loop")]
            assert {tensor.form(site.params) for site in inner} == {"linear"}

    def test_others_are_not_changed(self) -> None:
        """LAY-5: Custom layers, activations, layerNormalization and convolution3d MUST NOT be changed."""
        model = described()
        net = Net(model.neuralNetwork.layers, 1)
        net.fill(net.add().custom.weights.add(), 4)
        net.fill(net.add().activation.PReLU.alpha, 4)
        net.fill(net.add().layerNormalization.gamma, 4)
        net.fill(net.add().convolution3d.weights, 4)
        net.inner_product(name="last")
        made = quiet(model, 4)
        assert list(made.neuralNetwork.layers)[:4] == list(model.neuralNetwork.layers)[:4]
        assert tensor.form(made.neuralNetwork.layers[4].innerProduct.weights) == "linear"


class TestLeftAsItIs:
    """TEN-8: A writer that quantizes to 16 bits, or to 1 to 8 bits, MUST leave as it is a tensor without
    float32 weights: absent, half precision already, or quantized already.
    """

    @pytest.mark.parametrize("first", [(16, "linear"), (4, "linear"), (4, "linear_lut")])
    def test_quantizing_again_changes_nothing(self, first: tuple[int, str]) -> None:
        once = quiet(network(ROWS["gru"]), *first)
        with pytest.warns(refquant.RefquantWarning, match="no float32 weights"):
            again = refquant.quantize_weights(once, 8)
        assert networks(again)[0].network == networks(once)[0].network


class TestVersion:
    """FILE-1: `specificationVersion` MUST be at least 2 where a tensor is in half precision, 3 where one is
    quantized, 5 where one is quantized dynamically. A quantizer MUST raise it so for the tensors that it
    writes (FILE-10), and MUST NOT lower it.
    """

    def test_raised_never_lowered(self) -> None:
        model = network(ROWS["bias"])
        for nbits, expected in ((16, 2), (8, 3)):
            assert quiet(model, nbits).specificationVersion == expected
        model.specificationVersion = 7
        assert quiet(model, 8).specificationVersion == 7

    @pytest.mark.parametrize("kind", ["neuralNetwork", "pipeline", "pipelineClassifier"])
    def test_raised_where_nothing_changes(self, kind: str) -> None:
        """FILE-10: A writer MUST raise the version of every network's model to at least 2 for 16 bits, and 3
        for 1 to 8 bits and for dequantization, also where no tensor has changed. For dynamic int8 it MUST
        raise it to 5 exactly where a layer has been activated. In every mode it MUST leave the version of a
        pipeline as it is.
        """
        model = network(lambda net: void(net.relu()))
        if kind != "neuralNetwork":
            model = pipeline(model, described("treeEnsembleClassifier"), kind=kind)

        def versions(made: Model) -> list[int]:
            inner = attrgetter(PIPELINES[kind])(made) if kind in PIPELINES else []
            return [each.specificationVersion for each in (made, *inner)]

        def expected(version: int) -> list[int]:
            return [version] if kind == "neuralNetwork" else [1, version, 1]

        assert versions(quiet(model, 16)) == expected(2)
        assert versions(quiet(model, 8)) == expected(3)
        assert versions(refquant.dequantize_weights(model)) == expected(3)
        assert versions(refquant.activate_int8_int8_matrix_multiplications(model)) == expected(1)

    def test_int8_raises_where_a_layer_is_activated(self) -> None:
        model = pipeline(inner_product([1.0]), inner_product([1.0], [2.0]))
        for inner in model.pipeline.models:
            inner.neuralNetwork.arrayInputShapeMapping = 1  # type: ignore[assignment] # EXACT_ARRAY_MAPPING
            inner.specificationVersion = 1
        with pytest.warns(refquant.RefquantWarning, match="it has a bias"):
            made = refquant.activate_int8_int8_matrix_multiplications(model)
        assert [each.specificationVersion for each in (made, *made.pipeline.models)] == [1, 5, 1]


class TestSurvival:
    """FILE-5: Everything that is not a weight, a fused layer or `specificationVersion` MUST survive
    unchanged, unknown fields too.
    """

    def test_unknown_fields_metadata_and_preprocessing(self) -> None:
        model = network(ROWS["innerProduct"])
        model.description.metadata.userDefined["key"] = "value"
        model.neuralNetwork.preprocessing.add().scaler.channelScale = 2.0
        only_layer(model).innerProduct.weights.isUpdatable = True
        data = model.SerializeToString() + b"\xfa\x3f\x05hello"  # field 1023, length 5
        made = refquant.quantize_weights(data, 8)
        assert made.endswith(b"\xfa\x3f\x05hello")
        found = Model.FromString(made)
        assert only_layer(found).innerProduct.weights.isUpdatable
        for each in (model, found):
            each.specificationVersion = 3
            for _, params in weights_within(each):
                params.Clear()
        assert found.SerializeToString() == model.SerializeToString() + b"\xfa\x3f\x05hello"

    def test_other_models_of_a_pipeline(self) -> None:
        """FILE-3: ... inside a pipeline it MUST be left as it is."""
        tree = described("treeEnsembleClassifier")
        tree.treeEnsembleClassifier.MergeFromString(b"\x0a\x03abc")
        made = quiet(pipeline(tree, network(ROWS["innerProduct"])), 8)
        assert made.pipeline.models[0] == tree
        assert made.pipeline.models[1].specificationVersion == 3


class TestArguments:
    """What a caller may ask for, and the errors of everything else."""

    @pytest.mark.parametrize("nbits", [0, 9, 10, 15, 17, 32, -8, "8", 8.0, True, None])
    def test_nbits(self, nbits: Any) -> None:
        with pytest.raises(refquant.ArgumentError, match="nbits must be 16 or 1 to 8"):
            refquant.quantize_weights(network(ROWS["bias"]), nbits)

    def test_nbits_that_are_good(self) -> None:
        for nbits in (1, 2, 3, 4, 5, 6, 7, 8):
            params = only_layer(quiet(network(ROWS["bias"]), nbits)).bias.bias
            assert params.quantization.numberOfBits == nbits
        assert tensor.form(only_layer(quiet(network(ROWS["bias"]), 16)).bias.bias) == "float16"

    @pytest.mark.parametrize("mode", ["cubic", "", None, 8, ["linear"]])
    def test_mode_lists_the_modes(self, mode: Any) -> None:
        with pytest.raises(refquant.ArgumentError, match="unknown quantization mode") as caught:
            refquant.quantize_weights(network(ROWS["bias"]), 8, mode)
        assert all(known in str(caught.value) for known in MODES)

    @pytest.mark.parametrize("nbits", [1, 7, 16])
    def test_symmetric(self, nbits: int) -> None:
        """SYM-1: Symmetric quantization MUST be refused for any number of bits but 8."""
        with pytest.raises(refquant.ArgumentError, match="8 bits only"):
            refquant.quantize_weights(network(ROWS["bias"]), nbits, "linear_symmetric")

    @pytest.mark.parametrize("callback", [True, 1, "print"])
    def test_callbacks(self, callback: Any) -> None:
        for name in ("progress", "certify"):
            with pytest.raises(refquant.ArgumentError, match=f"{name} must be a function"):
                refquant.quantize_weights("no file", 4, "kmeans", **{name: callback})
        with pytest.raises(refquant.ArgumentError, match="progress"):
            refquant.dequantize_weights("no file", progress=callback)
        with pytest.raises(refquant.ArgumentError, match="progress"):
            refquant.activate_int8_int8_matrix_multiplications("no file", progress=callback)

    def test_sample_data(self) -> None:
        with pytest.raises(refquant.NotYetError, match="sample_data"):
            refquant.quantize_weights(network(ROWS["bias"]), 8, sample_data=[])

    def test_dequantization_ignores_nbits(self) -> None:
        model = inner_product([0.0, 1.0])
        made = quiet(model, 8)
        assert only_layer(refquant.quantize_weights(made, None, "dequantization")).innerProduct == (  # type: ignore[arg-type]
            only_layer(model).innerProduct
        )

    def test_dequantization_takes_what_goes_with_it(self) -> None:
        """The mode is the function of that name: arguments of both mean the same."""
        model, seen = quiet(inner_product([0.0, 1.0], [2.0]), 8), list[refquant.Progress]()
        only_weights = refquant.AdvancedQuantizedLayerSelector(["bias"], 0, 0)
        more: dict[str, Any] = {"selector": only_weights, "progress": seen.append}
        made = refquant.quantize_weights(model, 8, "dequantization", **more)
        assert [tensor.form(site.params) for site in all_sites(made)] == ["float32", "linear"]
        assert [step.layer for step in seen] == ["fc"]
        with pytest.raises(refquant.ArgumentError, match="jobs must be a whole number"):
            refquant.quantize_weights(model, 8, "dequantization", jobs=0)
        with pytest.raises(refquant.ArgumentError, match="executor must be"):
            refquant.quantize_weights(model, 8, "dequantization", executor="dask")  # type: ignore[arg-type]

    def test_kmeans_alias(self) -> None:
        model = network(ROWS["gru"])
        assert quiet(model, 3, "kmeans") == quiet(model, 3, "kmeans_lut")

    def test_half_overflow(self) -> None:
        with pytest.raises(refquant.ArgumentError, match="half_overflow"):
            refquant.quantize_weights(network(ROWS["bias"]), 16, half_overflow="ignore")

    @pytest.mark.parametrize("selector", [42, refquant.QuantizedLayerSelector])
    def test_selector(self, selector: Any) -> None:
        model = network(ROWS["bias"])
        with pytest.raises(refquant.ArgumentError, match="do_quantize"):
            refquant.quantize_weights(model, 8, selector=selector)
        with pytest.raises(refquant.ArgumentError, match="do_quantize"):
            refquant.dequantize_weights(model, selector=selector)
        with pytest.raises(refquant.ArgumentError, match="do_quantize"):
            refquant.activate_int8_int8_matrix_multiplications(model, selector)

    def test_a_selector_that_is_false(self) -> None:
        """A selector may have a length, and be empty: it is asked all the same."""

        class Empty(list[str]):
            def do_quantize(self, layer: Any, **kwargs: Any) -> bool:
                return layer.name in self

        model = inner_product([1.0, 2.0])
        assert refquant.quantize_weights(model, 8, selector=Empty()).neuralNetwork == model.neuralNetwork
        half = refquant.quantize_weights(model, 16)
        assert refquant.dequantize_weights(half, selector=Empty()).neuralNetwork == half.neuralNetwork
        made = refquant.activate_int8_int8_matrix_multiplications(model, Empty())
        assert made.neuralNetwork == model.neuralNetwork

    @pytest.mark.parametrize("function", [None, "module:function"])
    def test_lut_function(self, function: Any) -> None:
        with pytest.raises(refquant.ArgumentError) as caught:
            refquant.quantize_weights("no file", 4, "custom_lut", lut_function=function)
        assert str(caught.value) == f"custom_lut needs a lut_function to call, not {function!r}"
        assert refquant.quantize_weights(network(ROWS["bias"]), 16, "custom_lut") is not None


class TestProgress:
    """Progress is reported by callback and logging, never by print."""

    def test_callback_and_log(
        self, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
    ) -> None:
        seen: list[refquant.Progress] = []
        with caplog.at_level(logging.INFO, "refquant"):
            refquant.quantize_weights(network(ROWS["conv_relu_scale"]), 8, progress=seen.append)
        assert [step.layer_type for step in seen] == ["convolution", "scale"]
        assert seen[0].done < seen[1].done == seen[1].total == seen[0].total
        assert "layer 'layer_0' (convolution): 2 tensors" in caplog.text
        assert capsys.readouterr() == ("", "")

    @pytest.mark.parametrize(("nbits", "more", "removed"), [(8, {}, 1), (8, {"fuse": False}, 0), (16, {}, 0)])
    def test_fusion(
        self, nbits: int, more: dict[str, Any], removed: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        model = network(lambda net: [net.convolution(), net.scale()].clear())
        with caplog.at_level(logging.DEBUG, "refquant"), timing.recording() as record:
            refquant.quantize_weights(model, nbits, **more)
        assert caplog.messages[0] == f"fused away {removed} layers"
        assert record is not None
        assert record.phases.keys() == {"fuse", "pack"}


class TestBadTensors:
    """Each error names layer, tensor and index; the input stays as it was."""

    def refused(
        self, model: Model, error: type[refquant.RefquantError], nbits: int = 8
    ) -> refquant.RefquantError:
        before = model.SerializeToString()
        with pytest.raises(error) as caught:
            refquant.quantize_weights(model, nbits)
        assert model.SerializeToString() == before
        return caught.value

    def test_weights_that_do_not_fill_their_shape(self) -> None:
        """TEN-6: ... a writer MUST refuse a tensor that does not fill its shape."""
        model = inner_product([1.0, 2.0, 3.0])
        only_layer(model).innerProduct.inputChannels = 4
        for nbits in (8, 16):
            error = self.refused(model, refquant.ShapeError, nbits)
            assert str(error) == (
                "layer 'fc' (innerProduct), tensor weights: 3 values do not fill shape 1 x 4 (4)"
            )

    @pytest.mark.parametrize("sizes", [[3], [3, 3, 3]])
    def test_kernel_size_of_other_than_two(self, sizes: list[int]) -> None:
        model = network(ROWS["convolution"])
        del only_layer(model).convolution.kernelSize[:]
        only_layer(model).convolution.kernelSize.extend(sizes)
        error = self.refused(model, refquant.ShapeError)
        assert (error.layer, error.tensor, error.rule) == ("layer_0", "weights", "LAY-3")
        assert "kernelSize must be 2 numbers" in str(error)

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize(
        ("nbits", "mode"), [(8, "linear"), (8, "linear_symmetric"), (3, "kmeans"), (16, "linear")]
    )
    def test_not_finite(self, nbits: int, mode: str, bad: float) -> None:
        """TEN-7: ... MUST name its first such weight by index."""
        with pytest.raises(refquant.NonFiniteError) as caught:
            refquant.quantize_weights(inner_product([1.0, 2.0, bad, 4.0]), nbits, mode)
        error = caught.value
        assert (error.layer, error.layer_type, error.tensor, error.index) == (
            "fc",
            "innerProduct",
            "weights",
            2,
        )
        assert str(error).startswith("layer 'fc' (innerProduct), tensor weights[2]: ")

    def test_two_kinds_of_values(self) -> None:
        """TEN-1: At most one of ... MUST be non-empty."""
        model = inner_product([1.0, 2.0])
        only_layer(model).innerProduct.weights.float16Value = b"\0\0\0\0"
        error = self.refused(model, refquant.TensorError)
        assert "float32 and float16 values at once" in str(error)

    def test_float_bytes_that_are_no_floats(self) -> None:
        model = inner_product([1.0])
        only_layer(model).innerProduct.weights.floatBytes[0] += b"\0"
        error = self.refused(model, refquant.TensorError)
        assert (error.layer, error.rule) == ("fc", "TEN-2")


class TestWhereWarningsAre:
    """A warning is of the line that called refquant, so that filters and reports find it there."""

    @pytest.mark.parametrize(
        "work",
        [
            lambda: refquant.quantize_weights(network(lambda net: void(net.relu())), 8),
            lambda: refquant.quantize_weights(inner_product([0.0, 1e-5]), 8),
            lambda: refquant.quantize_weights(inner_product([1.0, 1e5]), 16, half_overflow="keep"),
            lambda: refquant.quantize_weights(inner_product([1.0], [1.0]), 16, selector=WithoutBias()),
            lambda: refquant.quantize_weights(
                refquant.quantize_weights(inner_product([1.0], [1.0]), 16),
                8,
                "dequantization",
                selector=WithoutBias(),
            ),
            lambda: refquant.activate_int8_int8_matrix_multiplications(inner_product([1.0], [1.0])),
        ],
    )
    def test_in_this_file(self, work: Callable[[], object]) -> None:
        with pytest.warns(refquant.RefquantWarning) as caught:
            work()
        assert {warning.filename for warning in caught} == {__file__}


class WithoutBias(refquant.QuantizedLayerSelector):
    """Takes weights, and no bias."""

    def do_quantize(self, layer: Any, **kwargs: Any) -> bool:
        return kwargs.get("weight_param") != "bias"


class TestTinyRange:
    """LIN-4, SYM-4: ... every code of the channel MUST be 0; a writer MUST then warn, naming the tensor."""

    def test_warns_and_writes_the_same_bits(self) -> None:
        model = inner_product([0.0, 1e-5, 0.0, 1.0], [1.0, 1.0])
        with pytest.warns(
            refquant.RefquantWarning, match="'fc'.*tensor weights: the range of 1 of 2 channels.*LIN-4"
        ):
            made = refquant.quantize_weights(model, 8)
        assert only_layer(made).innerProduct.weights.rawValue == bytes([0, 0, 0, 255])
        with pytest.warns(refquant.RefquantWarning, match="its range is too small.*SYM-4"):
            made = refquant.quantize_weights(inner_product([-1e-5, 1e-5]), 8, "linear_symmetric")
        # The wrong sign for one of the two: -128/127 of the greatest magnitude for both.
        found = weights_of(only_layer(refquant.dequantize_weights(made)).innerProduct.weights)
        assert found == pytest.approx([-1e-5 * 128 / 127] * 2, rel=1e-6)

    def test_constants_do_not_warn(self) -> None:
        made = refquant.quantize_weights(inner_product([3.0, 3.0]), 8)
        assert weights_of(only_layer(refquant.dequantize_weights(made)).innerProduct.weights) == [3.0, 3.0]


class TestHalfOverflow:
    """HALF-2: A tensor with a weight >= 65504 or <= -65504 MUST be refused, naming the first such weight.
    HALF-3: On request a writer MAY leave a whole layer in float32 ...; it MUST then warn.
    """

    def model(self) -> Model:
        model = described()
        net = Net(model.neuralNetwork.layers, 1)
        net.batchnorm(3)
        tensor.store_float32(net.layers[0].batchnorm.variance, array("f", [1.0, 70000.0, 2.0]))
        net.inner_product(name="fc")
        return model

    def test_refused(self) -> None:
        with pytest.raises(refquant.HalfRangeError) as caught:
            refquant.quantize_weights(self.model(), 16)
        error = caught.value
        assert (error.layer, error.tensor, error.index) == ("layer_0", "variance", 1)
        assert "70000.0 is outside half precision" in str(error)

    def test_kept(self) -> None:
        with pytest.warns(refquant.RefquantWarning, match=r"variance\[1\].*stays in float32"):
            made = refquant.quantize_weights(self.model(), 16, half_overflow="keep")
        assert {tensor.form(site.params) for site in sites(made.neuralNetwork.layers[0])} == {"float32"}
        assert {tensor.form(site.params) for site in sites(made.neuralNetwork.layers[1])} == {"float16"}


class TestHalfBias:
    """HALF-4: ... Where a selector takes the weights and leaves the bias, a writer MUST convert the bias too
    and warn.
    """

    selector = refquant.AdvancedQuantizedLayerSelector(["bias"], 0, 0)

    def test_bias_follows(self) -> None:
        with pytest.warns(refquant.RefquantWarning, match="tensor bias: follows its weights"):
            made = refquant.quantize_weights(inner_product([1.0], [2.0]), 16, selector=self.selector)
        assert {tensor.form(site.params) for site in all_sites(made)} == {"float16"}

    def test_bias_stays_beside_codes(self) -> None:
        made = refquant.quantize_weights(inner_product([1.0], [2.0]), 8, selector=self.selector)
        assert [tensor.form(site.params) for site in all_sites(made)] == ["linear", "float32"]

    def test_bias_follows_on_the_way_back(self) -> None:
        halved = refquant.quantize_weights(inner_product([1.0], [2.0]), 16)
        with pytest.warns(refquant.RefquantWarning, match="follows"):
            made = refquant.dequantize_weights(halved, selector=self.selector)
        assert {tensor.form(site.params) for site in all_sites(made)} == {"float32"}


class TestGroupedDeconvolution:
    """LIN-7: For a grouped deconvolution a writer MUST use one scale and one bias for the whole tensor."""

    def test_one_scale(self) -> None:
        model = network(lambda net: void(net.convolution(6, 4, groups=2, deconvolution=True)))
        values = weights_of(only_layer(model).convolution.weights)
        made = only_layer(quiet(model, 8)).convolution.weights
        assert list(made.quantization.linearQuantization.scale) == oracle.linear(values, 8, 1, 1, 72).scales
        assert len(tensor.decode(next(sites(only_layer(quiet(model, 8)))))) == 72

    def stored(self, scales: list[float], biases: list[float], inputs: int = 4, outputs: int = 6) -> Model:
        """Make a deconvolution of 2 groups whose codes are all 1: weights (inputs, outputs / 2, 1, 1)."""
        model = network(
            lambda net: void(net.convolution(outputs, inputs, groups=2, deconvolution=True, size=(1, 1)))
        )
        params = only_layer(model).convolution.weights
        tensor.store_float32(params, array("f"))
        params.rawValue = b"\1" * (inputs * (outputs // 2))
        params.quantization.numberOfBits = 8
        params.quantization.linearQuantization.scale.extend(scales)
        params.quantization.linearQuantization.bias.extend(biases)
        return model

    def test_reading_a_scale_for_each_output_channel(self) -> None:
        """DEQ-5: ... the weights of a deconvolution in several groups, where channel `j` of group `g` has
        number `g * outputChannels / nGroups + j`.
        """
        scales, biases = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0.0, 0.0, 0.0, 0.0, 0.0, 100.0]
        made = refquant.dequantize_weights(self.stored(scales, biases))
        # Inputs 0 and 1 are the first group, with outputs 0 to 2; inputs 2 and 3 go to outputs 3 to 5.
        expected = [1.0, 2.0, 3.0] * 2 + [4.0, 5.0, 106.0] * 2
        assert weights_of(only_layer(made).convolution.weights) == expected
        assert (
            weights_of(only_layer(refquant.dequantize_weights(self.stored([2.0], []))).convolution.weights)
            == [2.0] * 12
        )

    def test_as_many_scales_as_a_group_has_channels(self) -> None:
        with pytest.raises(refquant.TensorError, match="3 scales for 6 channels"):
            refquant.dequantize_weights(self.stored([1.0, 2.0, 3.0], []))

    @pytest.mark.parametrize(("inputs", "outputs"), [(5, 6), (4, 7)])
    def test_groups_that_do_not_divide(self, inputs: int, outputs: int) -> None:
        """LAY-3: ... a deconvolution's groups that do not divide its channels, MUST be refused."""
        with pytest.raises(refquant.ShapeError, match="2 groups do not divide"):
            refquant.dequantize_weights(self.stored([1.0], [], inputs, outputs))

    def test_no_groups_are_one(self) -> None:
        """LAY-3: ... `nGroups` 0 counts as 1."""
        model = network(lambda net: void(net.convolution(3, 2, deconvolution=True)))
        one = only_layer(quiet(model, 8)).convolution.weights
        only_layer(model).convolution.nGroups = 0
        assert only_layer(quiet(model, 8)).convolution.weights == one
        assert len(one.quantization.linearQuantization.scale) == 3


class TestOneTable:
    """LUT-2: A table MUST be shared by the whole tensor, whatever its channels."""

    @pytest.mark.parametrize("mode", ["linear_lut", "kmeans_lut"])
    def test_channels_do_not_matter(self, mode: str) -> None:
        values = [0.0, 1.0, 8.0, 9.0]
        tall, flat = inner_product(values), inner_product(values)
        only_layer(tall).innerProduct.outputChannels, only_layer(tall).innerProduct.inputChannels = 4, 1
        made = [only_layer(quiet(model, 1, mode)).innerProduct.weights for model in (tall, flat)]
        assert made[0] == made[1]
        assert len(made[0].quantization.lookupTableQuantization.floatValue) == 2


class TestNearTheBestTable:
    """KM-4: The inertia (the sum of squared errors over the tensor) SHOULD be within 0.1 % of the least that
    any table of binary32 numbers allows.
    """

    #: More distinct weights than get a cell each at 1 bit, and nowhere near evenly spread.
    VALUES = tuple((i % 211 - 100.0) ** 3 / 1e6 + i / 1e5 for i in range(422))

    def certified(self, **more: Any) -> list[refquant.TensorCertificate]:
        found: list[refquant.TensorCertificate] = []
        model = inner_product(list(self.VALUES), [1.0, 2.0], name="fc")
        refquant.quantize_weights(model, 1, "kmeans", certify=found.append, **more)
        return found

    def test_certificates(self) -> None:
        weights, bias = self.certified()
        assert weights[:3] == ("fc", "innerProduct", "weights")
        assert bias == ("fc", "innerProduct", "bias", 0.0, 0.0, 0.0)
        assert 0 <= weights.gap < 0.001
        # By hand: of two clusters, one is a run from the start of the sorted weights.
        values = sorted(array("f", self.VALUES))
        least = min(
            sum((w - sum(part) / len(part)) ** 2 for part in (values[:cut], values[cut:]) for w in part)
            for cut in range(1, len(values))
        )
        assert weights.bound <= least * (1 + 1e-12) <= weights.inertia * (1 + 1e-9)
        assert weights.bound == pytest.approx(least, rel=1e-3)

    def test_exact(self) -> None:
        weights, _ = self.certified(exact=True)
        assert 0 <= weights.gap < 1e-9
        found: list[refquant.TensorCertificate] = []
        model = inner_product(normal(600, 1).tolist())
        for exact in (False, True):
            refquant.quantize_weights(model, 2, "kmeans", exact=exact, certify=found.append)
        near, best = found
        assert best.inertia < near.inertia

    def test_jobs_do_not_matter(self) -> None:
        assert sorted(self.certified(exact=True, jobs=2)) == sorted(self.certified(exact=True))

    @pytest.mark.parametrize("wanted", [{"exact": True}, {"certify": print}])
    @pytest.mark.parametrize(("nbits", "mode"), [(8, "linear"), (16, "kmeans"), (8, "dequantization")])
    def test_only_for_k_means(self, nbits: int, mode: str, wanted: dict[str, Any]) -> None:
        with pytest.raises(refquant.ArgumentError, match="about kmeans_lut"):
            refquant.quantize_weights(inner_product([1.0, 2.0]), nbits, mode, **wanted)


class TestUpdatable:
    """FILE-4: An updatable model MUST be refused for 16 bits. For 8 bits and fewer its updatable layers MUST
    be left in float32 and unfused, with a warning, and the others quantized.
    """

    def model(self) -> Model:
        model = described()
        model.isUpdatable = True
        net = Net(model.neuralNetwork.layers, 1)
        net.convolution(name="frozen")
        net.convolution(6, 6, name="learns").isUpdatable = True
        net.scale()
        return model

    def test_16_bits(self) -> None:
        with pytest.raises(refquant.UpdatableError, match="updatable"):
            refquant.quantize_weights(self.model(), 16)
        with pytest.raises(refquant.UpdatableError):
            refquant.quantize_weights(pipeline(self.model()), 16)

    def test_8_bits(self) -> None:
        with pytest.warns(refquant.RefquantWarning, match="updatable layers in float32.*'learns'"):
            made = refquant.quantize_weights(self.model(), 8)
        layers = made.neuralNetwork.layers
        assert [layer.name for layer in layers] == ["frozen", "learns", "layer_2"]
        assert [tensor.form(next(sites(layer)).params) for layer in layers] == ["linear", "float32", "linear"]
        assert not layers[1].convolution.weights.HasField("quantization")

    def test_one_warning_for_all(self) -> None:
        model = self.model()
        for layer in model.neuralNetwork.layers:
            layer.isUpdatable = True
        with pytest.warns(refquant.RefquantWarning) as seen:
            made = refquant.quantize_weights(model, 8)
        assert made.neuralNetwork == model.neuralNetwork
        assert str(seen[0].message) == (
            "left updatable layers in float32, as the format demands: 'frozen', 'learns', 'layer_2' (FILE-4)"
        )


class TestModelKinds:
    """FILE-3: A model that is not a neural network and holds none MUST be refused at the top level, naming
    what to use instead.
    """

    @pytest.mark.parametrize(
        ("kind", "hint"),
        [
            ("mlProgram", "coremltools.optimize"),
            ("treeEnsembleClassifier", "fewer or smaller trees"),
            ("treeEnsembleRegressor", "fewer or smaller trees"),
            ("glmRegressor", "only neural networks"),
            ("pipeline", "holds no neural network"),
        ],
    )
    def test_refused(self, kind: str, hint: str) -> None:
        model = described(kind)
        with pytest.raises(refquant.ModelKindError, match=hint):
            refquant.quantize_weights(model, 8)
        with pytest.raises(refquant.ModelKindError, match=hint):
            refquant.dequantize_weights(model)
        with pytest.raises(refquant.ModelKindError, match=hint):
            refquant.activate_int8_int8_matrix_multiplications(model)

    @pytest.mark.parametrize("kind", ["pipeline", "pipelineClassifier", "pipelineRegressor"])
    def test_pipelines(self, kind: str) -> None:
        """FILE-2: A pipeline MUST be entered, also one inside a pipeline classifier or regressor."""
        inner = network(ROWS["innerProduct"], 1, "neuralNetworkClassifier")
        model = pipeline(inner, pipeline(network(ROWS["gru"], 2, "neuralNetworkRegressor")), kind=kind)
        made = quiet(model, 8)
        assert {tensor.form(site.params) for site in all_sites(made)} == {"linear"}
        assert [owned.model.specificationVersion for owned in networks(made)] == [3, 3]

    def test_without_weights(self) -> None:
        model = network(lambda net: void(net.relu()))
        with pytest.warns(refquant.RefquantWarning, match="no float32 weights"):
            made = refquant.quantize_weights(model, 8)
        assert made.neuralNetwork == model.neuralNetwork


class TestDequantization:
    """DEQ-1: Dequantization MUST turn every selected tensor in half precision or quantized form back into
    float32 by HALF-5, LIN-8 or LUT-6, and remove its `quantization` message.
    """

    def linear(self, codes: bytes, scales: list[float], biases: list[float], rows: int = 1) -> Model:
        model = described()
        layer = model.neuralNetwork.layers.add(name="fc", input=["input"], output=["output"])
        layer.innerProduct.outputChannels, layer.innerProduct.inputChannels = rows, len(codes) // rows
        params = layer.innerProduct.weights
        params.rawValue = codes
        params.quantization.numberOfBits = 8
        params.quantization.linearQuantization.scale.extend(scales)
        params.quantization.linearQuantization.bias.extend(biases)
        return model

    def back(self, model: Model) -> list[float]:
        params = only_layer(refquant.dequantize_weights(model)).innerProduct.weights
        assert not params.HasField("quantization")
        return weights_of(params)

    def test_half(self) -> None:
        values = [1.0, -0.5, 65472.0, 2.0**-24]
        assert self.back(refquant.quantize_weights(inner_product(values), 16)) == values

    def test_one_scale_for_many_channels_and_no_bias(self) -> None:
        """DEQ-2: One scale MUST serve all channels; a missing bias MUST be read as zero."""
        assert self.back(self.linear(bytes([0, 1, 2, 3]), [0.5], [], rows=2)) == [0.0, 0.5, 1.0, 1.5]
        assert self.back(self.linear(bytes([0, 1, 2, 3]), [0.5], [1.0], rows=2)) == [1.0, 1.5, 2.0, 2.5]
        assert self.back(self.linear(bytes([0, 1, 2, 3]), [1.0, 2.0], [], rows=2)) == [0.0, 1.0, 4.0, 6.0]

    def test_scales_for_rows_of_a_constant(self) -> None:
        """DEQ-5: A reader MUST accept one scale for each index of the first dimension of a loadConstant,
        scale or bias layer whose shape has three dimensions.
        """
        model = described()
        layer = model.neuralNetwork.layers.add(name="c", output=["output"]).loadConstant
        layer.shape.extend([2, 1, 2])
        layer.data.rawValue = bytes([1, 2, 3, 4])
        layer.data.quantization.numberOfBits = 8
        layer.data.quantization.linearQuantization.scale.extend([1.0, 10.0])
        made = refquant.dequantize_weights(model)
        assert weights_of(made.neuralNetwork.layers[0].loadConstant.data) == [1.0, 2.0, 30.0, 40.0]

    @pytest.mark.parametrize(
        ("scales", "biases", "message"),
        [
            ([1.0, 2.0, 3.0], [], "3 scales for 2 channels"),
            ([], [], "0 scales"),
            ([1.0, 2.0], [1.0], "1 biases beside 2 scales"),
            ([math.nan, 1.0], [], "nan"),
        ],
    )
    def test_bad_scales(self, scales: list[float], biases: list[float], message: str) -> None:
        """DEQ-4: Dequantization MUST refuse a tensor ... whose scales are neither one nor one a channel."""
        with pytest.raises(refquant.RefquantError, match=message) as caught:
            refquant.dequantize_weights(self.linear(bytes(4), scales, biases, rows=2))
        assert (caught.value.layer, caught.value.tensor) == ("fc", "weights")

    def test_bad_raw_values(self) -> None:
        """TEN-5: ... `numberOfBits` from 1 to 8 and exactly one of `linearQuantization` and
        `lookupTableQuantization`. LUT-1: A table MUST have exactly 2^n entries.
        """
        short = self.linear(bytes(4), [1.0], [])
        only_layer(short).innerProduct.inputChannels = 5
        wide = self.linear(bytes(4), [1.0], [])
        only_layer(wide).innerProduct.weights.quantization.numberOfBits = 9
        neither = self.linear(bytes(4), [1.0], [])
        only_layer(neither).innerProduct.weights.quantization.ClearField("linearQuantization")
        table = self.linear(bytes(4), [1.0], [])
        only_layer(table).innerProduct.weights.quantization.lookupTableQuantization.floatValue.extend([1.0])
        for model, message in (
            (short, "5 codes of 8 bits take 5 bytes, not 4"),
            (wide, "numberOfBits is 9"),
            (neither, "neither scales nor a lookup table"),
            (table, "1 entries, not 256"),
        ):
            with pytest.raises(refquant.TensorError, match=message) as caught:
                refquant.dequantize_weights(model)
            assert caught.value.layer == "fc"

    def test_raw_values_without_quantization_count_as_empty(self) -> None:
        """TEN-1: ... Raw bytes without a `quantization` message count as empty."""
        model = self.linear(bytes(4), [1.0], [])
        only_layer(model).innerProduct.weights.ClearField("quantization")
        assert tensor.form(only_layer(model).innerProduct.weights) == "empty"

    def test_signed_codes_where_none_should_be(self) -> None:
        """DEQ-3: A tensor quantized dynamically (int8) MUST be read as signed codes with its one scale."""
        model = network(lambda net: void(net.bias((3,))))
        params = only_layer(model).bias.bias
        params.Clear()
        params.int8RawValue = bytes([1, 255, 0])
        params.quantization.numberOfBits = 8
        params.quantization.linearQuantization.scale.append(0.5)
        assert weights_of(only_layer(refquant.dequantize_weights(model)).bias.bias) == [0.5, -0.5, 0.0]

    def test_idempotent(self) -> None:
        for name, model in all_networks(4).items():
            for nbits, mode in ((8, "linear"), (3, "kmeans"), (16, "linear")):
                once = refquant.dequantize_weights(quiet(model, nbits, mode))
                assert refquant.dequantize_weights(once) == once, name


class TestInt8:
    """INT8-2: There MUST be one scale, `m / 127` ..., no bias, `numberOfBits` 8 and `int8DynamicQuantize`
    true. INT8-3: A layer that the format refuses in this form MUST be skipped with a warning.
    """

    def exact(self, model: Model) -> Model:
        model.neuralNetwork.arrayInputShapeMapping = 1  # type: ignore[assignment] # EXACT_ARRAY_MAPPING
        return model

    def test_activated_and_back(self) -> None:
        model = self.exact(inner_product([127.0, -63.75, 0.0]))
        made = refquant.activate_int8_int8_matrix_multiplications(model)
        layer = only_layer(made).innerProduct
        assert made.specificationVersion == 5
        assert layer.int8DynamicQuantize
        assert layer.weights.int8RawValue == bytes([127, 256 - 63, 0])
        assert layer.weights.quantization.numberOfBits == 8
        assert list(layer.weights.quantization.linearQuantization.scale) == [1.0]
        assert not layer.weights.quantization.linearQuantization.bias
        back = refquant.dequantize_weights(made)
        assert weights_of(only_layer(back).innerProduct.weights) == [127.0, -63.0, 0.0]
        # DEQ-3: ... afterwards the layer's `int8DynamicQuantize` MUST be false.
        assert not only_layer(back).innerProduct.int8DynamicQuantize
        assert refquant.activate_int8_int8_matrix_multiplications(made) == made

    def test_quantized_layers_are_dequantized_first(self) -> None:
        """INT8-4: Weights in half precision or in codes of 1 to 8 bits MUST be dequantized first; a layer
        that is dynamic int8 already MUST be left as it is.
        """
        halved = refquant.quantize_weights(self.exact(inner_product([127.0, 1.75])), 16)
        made = refquant.activate_int8_int8_matrix_multiplications(halved)
        assert only_layer(made).innerProduct.weights.int8RawValue == bytes([127, 1])

    def test_skipped(self) -> None:
        two_inputs = self.exact(described())
        two_inputs.neuralNetwork.layers.add(name="mm", input=["input", "input"], output=["output"])
        two_inputs.neuralNetwork.layers[0].batchedMatmul.weightMatrixFirstDimension = 4
        two_inputs.neuralNetwork.layers[0].batchedMatmul.weightMatrixSecondDimension = 4
        learns = self.exact(inner_product([1.0]))
        learns.isUpdatable = only_layer(learns).isUpdatable = True
        mapping = "the network's array inputs do not have the exact mapping"
        for model, place, reason in (
            (self.exact(inner_product([1.0], [2.0])), "'fc' (innerProduct)", "it has a bias"),
            (inner_product([1.0]), "'fc' (innerProduct)", mapping),
            (two_inputs, "'mm' (batchedMatmul)", "it has no weights of its own"),
            (learns, "'fc' (innerProduct)", "it is updatable"),
        ):
            with pytest.warns(refquant.RefquantWarning) as seen:
                made = refquant.activate_int8_int8_matrix_multiplications(model)
            assert made == model
            expected = f"layer {place}: not activated for int8: {reason} (INT8-3)"
            assert [str(warning.message) for warning in seen] == [expected]

    def test_one_flag_alone(self) -> None:
        """A layer that learns is one whose flag is set in a model whose own is set."""
        for learns in (lambda model: model, only_layer):
            model = self.exact(inner_product([1.0]))
            learns(model).isUpdatable = True
            made = refquant.activate_int8_int8_matrix_multiplications(model)
            assert only_layer(made).innerProduct.int8DynamicQuantize

    def test_active_already(self) -> None:
        """What another tool has activated stays as it is, with a scale of its own and too low a version."""
        model = self.exact(inner_product([1.0, 1.0]))
        layer = only_layer(model).innerProduct
        layer.int8DynamicQuantize = True
        stored = Stored("int8", bytes([100, 1]), 8, scales=array("f", [0.5]))
        tensor.store(layer.weights, stored)
        model.specificationVersion = 4
        with pytest.warns(refquant.RefquantWarning, match="specificationVersion 4 has no"):
            assert refquant.activate_int8_int8_matrix_multiplications(model) == model

    def test_images_need_no_mapping(self) -> None:
        model = inner_product([1.0])
        model.description.input[0].type.imageType.width = 8
        made = refquant.activate_int8_int8_matrix_multiplications(model)
        assert only_layer(made).innerProduct.int8DynamicQuantize

    def test_selector_and_inner_networks(self) -> None:
        model = self.exact(network(ROWS["loop"]))
        for inner in (
            model.neuralNetwork.layers[0].loop.conditionNetwork,
            model.neuralNetwork.layers[0].loop.bodyNetwork,
        ):
            inner.layers[0].innerProduct.hasBias = False
        large = refquant.MatrixMultiplyLayerSelector(minimum_output_channels=2)
        made = refquant.activate_int8_int8_matrix_multiplications(model, large)
        active = [layer.innerProduct.int8DynamicQuantize for layer in all_layers(made.neuralNetwork)]
        assert sum(active) == 1

    def test_not_finite(self) -> None:
        with pytest.raises(refquant.NonFiniteError) as caught:
            refquant.activate_int8_int8_matrix_multiplications(self.exact(inner_product([1.0, math.nan])))
        assert (caught.value.layer, caught.value.index) == ("fc", 1)


class TestSizes:
    """Networks of real size shrink as the number of bits says."""

    def test_ratios(self) -> None:
        model = network(lambda net: void(net.convolution(64, 64, size=(3, 3))))
        whole = model.ByteSize()
        assert 1.95 < whole / quiet(model, 16).ByteSize() < 2
        assert 3.8 < whole / quiet(model, 8).ByteSize() < 4
        assert 7.4 < whole / quiet(model, 4, "kmeans").ByteSize() < 8
