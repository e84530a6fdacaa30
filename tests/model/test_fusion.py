"""Chapter 10: fusion. Values against the exact oracle; which pairs fuse; and what a network computes."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Callable
from fractions import Fraction
from typing import Any, ClassVar

import pytest

import refquant
from refquant.model import tensor
from refquant.model.fusion import Names, fuse
from refquant.model.stored import Stored
from refquant.model.walk import networks
from refquant.schema.coreml import Model, NeuralNetworkLayer
from tests.networks import Net, described, network
from tests.oracle import fusion as oracle
from tests.oracle import models


def fused(model: Model) -> list[NeuralNetworkLayer]:
    """Fuse a copy of a model's network and give its layers."""
    copy = Model()
    copy.CopyFrom(model)
    ((owner, net),) = networks(copy)
    before = len(net.layers)
    removed = fuse(net, Names(owner, net), lambda layer: False)
    assert len(net.layers) == before - removed
    return list(net.layers)


def chain(*steps: Callable[[Net], object]) -> Model:
    """Make a network of these layers, one after the other."""

    def build(net: Net) -> None:
        for step in steps:
            step(net)

    return network(build, 3)


def values(params: Any) -> list[float]:
    return tensor.float32_weights(params).tolist()


def types(layers: list[NeuralNetworkLayer]) -> list[str | None]:
    return [layer.WhichOneof("layer") for layer in layers]


def conv(**options: Any) -> Callable[[Net], object]:
    return lambda net: net.convolution(**options)


def scale(shape: tuple[int, ...] = (6,), bias: tuple[int, ...] | None = (6,)) -> Callable[[Net], object]:
    return lambda net: net.scale(shape, bias)


def norm(instance: bool = False) -> Callable[[Net], object]:
    return lambda net: net.batchnorm(instance=instance)


class TestConvolutionAndBatchnorm:
    """FUS-5: convolution + batchnorm MUST give `w' = (gamma / sqrt(variance + epsilon)) * w` for each output
    channel, and `b' = gamma*b/sqrt(variance + epsilon) - gamma*mean/sqrt(variance + epsilon) + beta` in that
    order, `b = 0` where there was none.
    """

    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize("deconvolution", [True, False])
    def test_by_the_oracle(self, bias: bool, deconvolution: bool) -> None:
        model = chain(conv(bias=bias, deconvolution=deconvolution), norm())
        first, second = (layer for layer in model.neuralNetwork.layers)
        c, b = first.convolution, second.batchnorm
        (found,) = fused(model)
        # (6, 3, 3, 2) with the channel first; a deconvolution has (3, 6, 3, 2).
        owners = [(i // 6) % 6 if deconvolution else i // 18 for i in range(108)]
        expected = oracle.convolution_batchnorm(
            values(c.weights),
            owners,
            values(c.bias) if bias else None,
            values(b.gamma),
            values(b.beta),
            values(b.mean),
            values(b.variance),
            b.epsilon,
        )
        assert values(found.convolution.weights) == expected.weights
        assert values(found.convolution.bias) == expected.bias
        assert found.convolution.hasBias


class TestScale:
    """FUS-6: convolution or innerProduct + scale MUST give `w' = w * s`, `b' = s * b + sb`, leaving out what
    is not there; a scale of one element is broadcast.

    FUS-8: batchnorm + scale MUST give `gamma' = gamma * s`, `beta' = beta * s + sb`, leaving out what is not
    there.
    """

    @pytest.mark.parametrize("shift", [(6,), (1,), (6, 1, 1), None])
    @pytest.mark.parametrize("factor", [(6,), (1,), (6, 1, 1)])
    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize("kind", ["convolution", "innerProduct", "batchnorm"])
    def test_by_the_oracle(
        self, kind: str, bias: bool, factor: tuple[int, ...], shift: tuple[int, ...] | None
    ) -> None:
        producers: dict[str, Callable[[Net], object]] = {
            "convolution": conv(bias=bias),
            "innerProduct": lambda net: net.inner_product(6, 4, bias),
            "batchnorm": norm(),
        }
        model = chain(producers[kind], scale(factor, shift))
        names = ("gamma", "beta") if kind == "batchnorm" else ("weights", "bias")
        before = getattr(model.neuralNetwork.layers[0], kind)
        consumer = model.neuralNetwork.layers[1].scale
        (found,) = fused(model)
        after = getattr(found, kind)
        old, old_bias = values(getattr(before, names[0])), values(getattr(before, names[1])) or None
        owners = [i * 6 // len(old) for i in range(len(old))]
        shifts = values(consumer.bias) or None
        expected = oracle.scaled(old, owners, old_bias, values(consumer.scale), shifts, 6)
        assert values(getattr(after, names[0])) == expected.weights
        assert (values(getattr(after, names[1])) or None) == expected.bias


class TestGroups:
    """FUS-1: a deconvolution in several groups takes up its consumer like any convolution."""

    # Weights (4, 3, 1, 2): inputs 0 and 1 go to outputs 0 to 2, inputs 2 and 3 to outputs 3 to 5.
    owners: ClassVar = [i // 12 * 3 + i // 2 % 3 for i in range(24)]

    def test_scale(self) -> None:
        model = chain(conv(outputs=6, inputs=4, groups=2, deconvolution=True, size=(1, 2)), scale())
        before, consumer = (layer for layer in model.neuralNetwork.layers)
        (found,) = fused(model)
        expected = oracle.scaled(
            values(before.convolution.weights),
            self.owners,
            values(before.convolution.bias),
            values(consumer.scale.scale),
            values(consumer.scale.bias),
            6,
        )
        assert values(found.convolution.weights) == expected.weights
        assert values(found.convolution.bias) == expected.bias

    def test_bias(self) -> None:
        model = chain(
            conv(outputs=6, inputs=4, groups=2, bias=False, deconvolution=True), lambda net: net.bias()
        )
        shift = values(model.neuralNetwork.layers[1].bias.bias)
        (found,) = fused(model)
        assert values(found.convolution.bias) == shift


class TestBias:
    """FUS-7: convolution or innerProduct + bias MUST give `b' = b + bb`, or `bb` where there was none."""

    @pytest.mark.parametrize("bias", [True, False])
    def test_sum(self, bias: bool) -> None:
        model = chain(conv(bias=bias), lambda net: net.bias((6, 1, 1)))
        old = values(model.neuralNetwork.layers[0].convolution.bias) or [0.0] * 6
        (found,) = fused(model)
        shift = values(model.neuralNetwork.layers[1].bias.bias)
        assert values(found.convolution.bias) == oracle.shifted(old if bias else None, shift, 6)
        assert values(found.convolution.weights) == values(model.neuralNetwork.layers[0].convolution.weights)


class TestChains:
    """FUS-1: ... a producer MUST be fused with its consumer for these pairs, in the order of FUS-11 ...
    FUS-9: The producer MUST take over the consumer's outputs, and the consumer MUST be removed.
    """

    def test_all_the_way(self) -> None:
        model = chain(
            conv(), norm(), scale(), lambda net: net.bias(), lambda net: net.relu(), norm(), scale()
        )
        found = fused(model)
        assert types(found) == ["convolution", "activation", "batchnorm"]
        assert [list(layer.input) for layer in found] == [["input"], ["layer_3_out"], ["layer_4_out"]]
        assert found[-1].output[0] == "output"

    @pytest.mark.parametrize(
        "steps",
        [
            [norm(instance=True), scale()],
            [conv(), norm(instance=True)],
            [conv(), lambda net: net.relu(), scale()],
            [lambda net: net.inner_product(6), norm()],
            [norm(), lambda net: net.bias()],
            [scale(), scale()],
            [lambda net: net.relu(), scale()],
        ],
    )
    def test_other_pairs_stay(self, steps: list[Callable[[Net], object]]) -> None:
        model = chain(*steps)
        assert fused(model) == list(model.neuralNetwork.layers)

    def test_linear_in_the_number_of_layers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = 0
        private = Names.private

        def counted(self: Names, name: str) -> bool:
            nonlocal calls
            calls += 1
            return private(self, name)

        monkeypatch.setattr(Names, "private", counted)
        found = fused(chain(*[conv(outputs=6, inputs=6), scale(), lambda net: net.relu()] * 300))
        assert types(found) == ["convolution", "activation"] * 300
        assert calls <= 3 * 300


class TestLongChains:
    """FUS-18: A producer MUST take up 100 consumers at most; those behind them stay."""

    @pytest.mark.parametrize(("count", "left"), [(99, 1), (100, 1), (101, 2), (103, 4)])
    def test_left(self, count: int, left: int) -> None:
        model = chain(lambda net: net.inner_product(1, 2), *[lambda net: net.bias((1,))] * count)
        layers = fused(model)
        assert types(layers) == ["innerProduct", *["bias"] * (left - 1)]
        assert layers[1:] == list(model.neuralNetwork.layers[1 + count - (left - 1) :])
        # Each sum is rounded to binary32, so it is not the sum of all that is looked for.
        (bias,) = values(model.neuralNetwork.layers[0].innerProduct.bias)
        for layer in model.neuralNetwork.layers[1 : 1 + count - (left - 1)]:
            (shift,) = values(layer.bias.bias)
            (bias,) = array("f", [bias + shift])
        assert values(layers[0].innerProduct.bias) == [bias]

    def test_a_shape_without_an_end(self) -> None:
        """No array has more than five dimensions: what has more is no vector of channels."""
        for ones, left in ((4, 1), (5, 2)):
            model = chain(conv(bias=False), scale((6, *[1] * ones), None))
            assert len(fused(model)) == left
        model = chain(lambda net: net.inner_product(1, 2), lambda net: net.scale((1,), None))
        model.neuralNetwork.layers[1].scale.shapeScale.extend([(1 << 64) - 1] * 300)
        assert len(fused(model)) == 2
        with pytest.raises(refquant.ShapeError, match="301 dimensions"):
            refquant.quantize_weights(model, 8)


class TestOrder:
    """FUS-11: Producers MUST be taken by type: all convolutions of a network in the order of its layers, then
    all innerProducts, then all batchnorms. Each MUST be fused with its consumer, then with the consumer
    after that, for as long as there is one, before the next producer is taken. None is taken twice.
    """

    def test_a_pair_whose_way_is_free_too_late(self) -> None:
        """The convolution's turn is before the innerProduct's, whose scale then leaves the way."""
        model = described()
        net = Net(model.neuralNetwork.layers, 1)
        net.inner_product(6, 4, name="product")
        net.blob = "input"
        net.convolution(name="conv")
        for name in ("product_out", "conv_out"):
            net.blob = name
            net.scale().output[0] = "output"
        assert [layer.name for layer in fused(model)] == ["product", "conv", "layer_3"]

    def test_the_convolution_before_the_batchnorm_behind_it(self) -> None:
        model = chain(conv(), norm(), scale())
        first, second, third = model.neuralNetwork.layers
        c, b, s = first.convolution, second.batchnorm, third.scale
        owners = [i // 18 for i in range(108)]
        old = values(c.weights), owners, values(c.bias)
        gamma, beta, mean, variance = map(values, (b.gamma, b.beta, b.mean, b.variance))
        factors, shifts = values(s.scale), values(s.bias)
        once = oracle.convolution_batchnorm(*old, gamma, beta, mean, variance, b.epsilon)
        due = oracle.scaled(once.weights, owners, once.bias, factors, shifts, 6)
        (found,) = fused(model)
        assert (values(found.convolution.weights), values(found.convolution.bias)) == (due.weights, due.bias)
        # The other order, batchnorm and scale first, is seen in the last bits.
        other = oracle.batchnorm_scale(gamma, beta, factors, shifts)
        assert oracle.convolution_batchnorm(*old, *other, mean, variance, b.epsilon).weights != due.weights


class TestOneReaderOneWriter:
    """FUS-2: A pair MUST be fused only if the consumer is the only reader of the producer's outputs in the
    whole model, the producer is the only writer of what the consumer reads, and the consumer stands after
    the producer in the same network. FUS-3: A producer whose output is an output of the model MUST NOT be
    fused.

    FUS-14: As readers (FUS-2) MUST count every layer of every network inside the outermost, the
    `conditionVar` of a loop, every loss layer of a training, and `labelProbabilityLayerName`; as writers also
    the inputs of the model and of its training.
    """

    def pair(self, outputs: tuple[str, ...] = ("output",)) -> Model:
        model = described(outputs=outputs)
        net = Net(model.neuralNetwork.layers, 1)
        net.convolution(name="conv")
        net.scale()
        net.layers[1].output[0] = "output"
        return model

    def stays(self, model: Model) -> None:
        assert fused(model) == list(model.neuralNetwork.layers)

    def test_fuses_as_it_is(self) -> None:
        assert types(fused(self.pair())) == ["convolution"]

    @pytest.mark.parametrize("name", ["X", "0", "größe:0"])
    def test_any_name(self, name: str) -> None:
        model = self.pair()
        producer, consumer = model.neuralNetwork.layers
        producer.output[0] = consumer.input[0] = name
        assert types(fused(model)) == ["convolution"]

    def test_second_reader(self) -> None:
        model = self.pair()
        model.neuralNetwork.layers.add(
            name="r", input=["conv_out"], output=["other"]
        ).activation.ReLU.SetInParent()
        self.stays(model)

    def test_reader_inside_a_branch(self) -> None:
        model = self.pair()
        branch = model.neuralNetwork.layers.add(name="b", input=["input"]).branch
        inner = branch.elseBranch.layers.add(name="r", input=["conv_out"], output=["other"])
        inner.activation.ReLU.SetInParent()
        self.stays(model)

    def test_condition_of_a_loop(self) -> None:
        model = self.pair()
        model.neuralNetwork.layers.add(name="l").loop.conditionVar = "conv_out"
        self.stays(model)

    def test_loss_of_an_updatable_model(self) -> None:
        model = self.pair()
        loss = model.neuralNetwork.updateParams.lossLayers.add(name="loss")
        loss.meanSquaredErrorLossLayer.input = "conv_out"
        model.neuralNetwork.updateParams.lossLayers.add(name="empty")
        self.stays(model)

    def test_probabilities_of_a_classifier(self) -> None:
        model = described("neuralNetworkClassifier")
        net = Net(model.neuralNetworkClassifier.layers, 1)
        net.convolution(name="conv")
        net.scale().output[0] = "output"
        assert types(fused(model)) == ["convolution"]
        model.neuralNetworkClassifier.labelProbabilityLayerName = "conv_out"
        assert types(fused(model)) == ["convolution", "scale"]

    @pytest.mark.parametrize("third", ["loop", "classifier"])
    def test_three_readers(self, third: str) -> None:
        model = described("neuralNetworkClassifier")
        network = model.neuralNetworkClassifier
        net = Net(network.layers, 1)
        net.convolution(name="conv")
        net.relu()
        net.blob = "conv_out"
        net.scale().output[0] = "output"
        if third == "loop":
            network.layers.add(name="l").loop.conditionVar = "conv_out"
        else:
            network.labelProbabilityLayerName = "conv_out"
        assert fused(model) == list(network.layers)

    def test_second_writer(self) -> None:
        model = self.pair()
        model.neuralNetwork.layers.add(
            name="w", input=["input"], output=["conv_out"]
        ).activation.ReLU.SetInParent()
        self.stays(model)

    def test_output_of_the_model(self) -> None:
        self.stays(self.pair(("output", "conv_out")))

    def test_input_of_the_model(self) -> None:
        model = self.pair()
        model.description.input.add(name="conv_out")
        self.stays(model)
        model = self.pair()
        model.description.trainingInput.add(name="conv_out")
        self.stays(model)

    def test_consumer_before_the_producer(self) -> None:
        model = self.pair()
        first, second = NeuralNetworkLayer(), NeuralNetworkLayer()
        first.CopyFrom(model.neuralNetwork.layers[0])
        second.CopyFrom(model.neuralNetwork.layers[1])
        del model.neuralNetwork.layers[:]
        model.neuralNetwork.layers.extend([second, first])
        self.stays(model)

    def test_two_inputs_or_outputs(self) -> None:
        for name in ("input", "output"):
            for position in (0, 1):
                model = self.pair()
                getattr(model.neuralNetwork.layers[position], name).append("more")
                assert len(fused(model)) == 2

    @pytest.mark.parametrize("consumer", [norm(), scale(), Net.bias])
    def test_weights_from_an_input(self, consumer: Callable[[Net], object]) -> None:
        """FUS-17: A convolution with more than one input MUST NOT be fused with its consumer."""
        model = chain(conv(), consumer)
        assert len(fused(model)) == 1
        model.neuralNetwork.layers[0].input.append("weights")
        assert fused(model) == list(model.neuralNetwork.layers)
        model = chain(lambda net: net.inner_product(6, 4), scale())
        model.neuralNetwork.layers[0].input.append("more")
        assert len(fused(model)) == 1, "only convolutions take weights from an input"

    @pytest.mark.parametrize("place", ["read", "written", "read in a branch"])
    def test_older_value_in_between(self, place: str) -> None:
        """FUS-12: A pair MUST NOT be fused where a layer between the two, or a network inside one, reads or
        writes a blob of the name that the consumer writes.
        """
        # "output" is written once, looked at, and written anew by the scale.
        model = described()
        net = Net(model.neuralNetwork.layers, 1)
        net.relu().output[0] = "output"
        net.blob = "input"
        net.convolution(name="conv")
        middle = net.layers.add(name="middle")
        if place == "read in a branch":
            middle.branch.elseBranch.layers.add(name="in", input=["output"], output=["old"])
        else:
            middle.activation.ReLU.SetInParent()
            middle.input.append("output" if place == "read" else "input")
            middle.output.append("output" if place == "written" else "old")
        net.scale().output[0] = "output"
        self.stays(model)
        del net.layers[2]
        assert types(fused(model)) == ["activation", "convolution"]

    def test_no_older_value_in_between(self) -> None:
        """FUS-12: ... whether or not there is one: a layer that finds none would find the new one."""
        model = self.pair()
        producer, consumer = model.neuralNetwork.layers
        reads = NeuralNetworkLayer(name="reads", input=["output"], output=["other"])
        reads.activation.ReLU.SetInParent()
        for place, count in ((1, 3), (2, 2)):
            layers = [producer, consumer]
            layers.insert(place, reads)
            made = Model()
            made.CopyFrom(model)
            del made.neuralNetwork.layers[:]
            made.neuralNetwork.layers.extend(layers)
            assert len(fused(made)) == count

    def test_older_value_before_the_first_of_two(self) -> None:
        """FUS-12: ... the producer writes at its own place, in front of all that have been between."""
        model = described()
        net = Net(model.neuralNetwork.layers, 1)
        net.relu().output[0] = "output"
        net.blob = "input"
        net.convolution(name="conv")
        net.add(name="looks", inputs=["output"]).activation.ReLU.SetInParent()
        net.blob = "conv_out"
        net.scale()
        net.bias().output[0] = "output"
        assert types(fused(model)) == ["activation", "convolution", "activation", "bias"]
        del net.layers[2]
        assert types(fused(model)) == ["activation", "convolution"]

    def test_older_value_that_the_producer_reads(self) -> None:
        """FUS-12: ... between the two, and it is there until the producer has read it."""
        model = described()
        net = Net(model.neuralNetwork.layers, 1)
        net.relu().output[0] = net.blob = "output"
        net.convolution(name="conv")
        net.scale().output[0] = "output"
        assert types(fused(model)) == ["activation", "convolution"]

    def test_value_that_is_written_elsewhere_by_now(self) -> None:
        """FUS-12: A consumer that is fused away is not between any two layers."""
        model = described()
        net = Net(model.neuralNetwork.layers, 1)
        for name in ("first", "second"):
            net.blob = "input"
            net.convolution(name=name)
        for name in ("first_out", "second_out"):
            net.blob = name
            net.scale().output[0] = "output"
        assert [layer.name for layer in fused(model)] == ["first", "second"]

    def test_inner_networks_have_calls_of_their_own(self) -> None:
        model = described()
        branch = model.neuralNetwork.layers.add(name="b", input=["input"]).branch
        net = Net(branch.ifBranch.layers, 1)
        net.convolution()
        net.scale()
        names = Names(model, model.neuralNetwork)
        assert fuse(model.neuralNetwork, names, lambda layer: False) == 0
        assert fuse(branch.ifBranch, names, lambda layer: False) == 1


class TestNamesWrittenAgain:
    """Which pairs are fused, and in which order, where few names are read and written by many layers."""

    STEPS: ClassVar[tuple[Callable[[Net], object], ...]] = (
        *(conv(), conv(bias=False), norm(), scale(), scale((1,), None)),
        *(lambda net: net.inner_product(6, 4), Net.bias, Net.relu),
    )

    @pytest.mark.parametrize("seed", range(60))
    def test_as_the_oracle_has_it(self, seed: int) -> None:
        model = described()
        net = Net(model.neuralNetwork.layers, seed)
        chance = random.Random(seed)
        for _ in range(chance.randint(3, 9)):
            net.blob = chance.choice(("input", "a", "b", "c"))
            chance.choice(self.STEPS)(net)
            net.layers[-1].output[0] = chance.choice(("a", "b", "c", "output"))
        made = refquant.quantize_weights(model, 8).SerializeToString()
        assert made == models.quantize(model.SerializeToString(), {"nbits": 8, "mode": "linear"})


class TestNotFusable:
    """FUS-10: A pair MUST NOT be fused where weights or bias of the producer (gamma or beta of a batchnorm)
    are not in float32, where a vector of the consumer is in codes or has neither one element nor one an
    output channel, or where one of these tensors does not fill its shape.
    """

    def stays(self, model: Model) -> None:
        assert fused(model) == list(model.neuralNetwork.layers)

    @pytest.mark.parametrize("shape", [(1, 6, 1), (1, 2, 3), (6, 2, 2), (3,), (5,)])
    def test_scale_and_bias_over_space(self, shape: tuple[int, ...]) -> None:
        self.stays(chain(conv(), scale(shape, None)))
        self.stays(chain(conv(), scale((6,), shape)))
        self.stays(chain(conv(), lambda net: net.bias(shape)))

    @pytest.mark.parametrize("name", ["weights", "bias"])
    def test_half_precision_producer(self, name: str) -> None:
        model = chain(conv(), scale())
        tensor.store(
            getattr(model.neuralNetwork.layers[0].convolution, name),
            Stored("float16", b"\0\0" * (108 if name == "weights" else 6)),
        )
        self.stays(model)

    def test_half_precision_consumer_fuses(self) -> None:
        """FUS-15: A consumer's vectors in half precision MUST be fused like those in float32, with their
        exact values.
        """
        model = chain(conv(bias=False), scale((6,), None))
        tensor.store(model.neuralNetwork.layers[1].scale.scale, Stored("float16", b"\x00\x40" * 6))  # 2.0
        old = values(model.neuralNetwork.layers[0].convolution.weights)
        (found,) = fused(model)
        assert values(found.convolution.weights) == [2 * w for w in old]

    def test_quantized_consumer(self) -> None:
        model = chain(conv(), scale())
        params = model.neuralNetwork.layers[1].scale.scale
        tensor.store(params, Stored("int8", bytes(6), 8, array("f", [1.0])))
        self.stays(model)

    @pytest.mark.parametrize("variance", [0.0, -1.0])
    def test_variance_without_a_root(self, variance: float) -> None:
        """FUS-13: ... One with a channel whose `variance + epsilon` is not above zero MUST NOT be fused into
        a convolution.
        """
        model = chain(conv(), norm())
        b = model.neuralNetwork.layers[1].batchnorm
        b.epsilon = 0
        tensor.store_float32(b.variance, array("f", [1.0] * 5 + [variance]))
        self.stays(model)

    def test_epsilon_alone(self) -> None:
        """FUS-13: ... where the sum is above zero, though the variance is not."""
        model = chain(conv(bias=False), norm())
        b = model.neuralNetwork.layers[1].batchnorm
        b.epsilon = 0.25
        tensor.store_float32(b.variance, array("f", [0.0] * 6))
        tensor.store_float32(b.gamma, array("f", [1.5] * 6))
        old = values(model.neuralNetwork.layers[0].convolution.weights)
        (found,) = fused(model)
        assert values(found.convolution.weights) == array("f", [3 * w for w in old]).tolist()

    @pytest.mark.parametrize("flag", ["instanceNormalization", "computeMeanVar"])
    @pytest.mark.parametrize("position", [0, 1])
    def test_factors_that_depend_on_the_input(self, position: int, flag: str) -> None:
        """FUS-13: A batchnorm with `computeMeanVar` or `instanceNormalization` MUST NOT be fused, neither as
        producer nor as consumer.
        """
        model = chain(norm(), scale()) if position == 0 else chain(conv(), norm())
        setattr(model.neuralNetwork.layers[position].batchnorm, flag, True)
        self.stays(model)

    def test_missing_or_short_vectors(self) -> None:
        for name in ("gamma", "variance"):
            for content in ([], [1.0] * 5):
                model = chain(conv(), norm())
                params = getattr(model.neuralNetwork.layers[1].batchnorm, name)
                tensor.store_float32(params, array("f", content))
                self.stays(model)

    def test_producer_that_does_not_fill_its_shape(self) -> None:
        for name in ("weights", "bias"):
            model = chain(conv(), scale())
            tensor.store_float32(
                getattr(model.neuralNetwork.layers[0].convolution, name), array("f", [1.0] * 5)
            )
            self.stays(model)
        model = chain(conv(), scale())
        model.neuralNetwork.layers[0].convolution.kernelSize.append(1)
        self.stays(model)


class TestNotFinite:
    """FUS-16: A pair MUST NOT be fused where a weight or bias of the fused layer, or a number that enters
    them, is not finite in binary32.
    """

    #: Steps, and what their last numbers are to be: layer, tensor, number.
    CASES: ClassVar[list[tuple[list[Callable[[Net], object]], list[tuple[int, str, float]]]]] = [
        # A product, a sum and a quotient past binary32, of numbers that are in it.
        ([conv(), scale()], [(0, "weights", 2.0), (1, "scale", 2.0**127)]),
        ([conv(), scale()], [(0, "bias", -(2.0**127)), (1, "bias", -(2.0**127)), (1, "scale", 1.0)]),
        ([conv(), lambda net: net.bias((6,))], [(0, "bias", 2.0**127), (1, "bias", 2.0**127)]),
        ([conv(), norm()], [(1, "gamma", 2.0**127), (1, "variance", 0.0)]),
        ([conv(bias=False), norm()], [(1, "gamma", 1.0), (1, "mean", 2.0**127), (1, "variance", 0.0)]),
        ([norm(), scale()], [(0, "gamma", 2.0**100), (1, "scale", 2.0**100)]),
        ([norm(), scale()], [(0, "beta", 2.0**100), (1, "scale", 2.0**100)]),
        # What is not finite already, even where no sign of it would be left.
        ([conv(), lambda net: net.bias((6,))], [(0, "weights", math.inf)]),
        ([conv(), scale()], [(0, "weights", math.inf), (1, "scale", 0.0)]),
        ([conv(), scale()], [(1, "scale", math.nan)]),
        ([conv(bias=False), scale()], [(1, "bias", math.inf)]),
        ([conv(), norm()], [(1, "variance", math.inf)]),
        ([conv(), norm()], [(1, "variance", math.nan)]),
        ([conv(), norm()], [(1, "mean", -math.inf)]),
    ]

    @pytest.mark.parametrize(("steps", "changes"), CASES)
    def test_both_stay(
        self, steps: list[Callable[[Net], object]], changes: list[tuple[int, str, float]]
    ) -> None:
        model = chain(*steps)
        for at, name, number in changes:
            layer = model.neuralNetwork.layers[at]
            params = getattr(getattr(layer, layer.WhichOneof("layer") or ""), name)
            tensor.store_float32(params, array("f", [*values(params)[:-1], number]))
        assert fused(model) == list(model.neuralNetwork.layers)

    @pytest.mark.parametrize("variance", [-5.0, 1.0])
    def test_a_number_that_is_no_number_comes_first(self, variance: float) -> None:
        """No other channel is asked for a root that it does not have."""
        model = chain(conv(), norm())
        numbers = array("f", [math.nan, variance, *[1.0] * 4])
        tensor.store_float32(model.neuralNetwork.layers[1].batchnorm.variance, numbers)
        assert fused(model) == list(model.neuralNetwork.layers)

    def test_epsilon(self) -> None:
        model = chain(conv(), norm())
        model.neuralNetwork.layers[1].batchnorm.epsilon = math.inf
        assert fused(model) == list(model.neuralNetwork.layers)

    def test_greatest_numbers(self) -> None:
        """(2 - 2^-23) * 2^127, the greatest of binary32, may be a product."""
        greatest = (2 - 2.0**-23) * 2.0**127
        model = chain(conv(outputs=1, bias=False), scale((1,), None))
        count = len(values(model.neuralNetwork.layers[0].convolution.weights))
        tensor.store_float32(
            model.neuralNetwork.layers[0].convolution.weights, array("f", [greatest / 2] * count)
        )
        tensor.store_float32(model.neuralNetwork.layers[1].scale.scale, array("f", [-2.0]))
        (found,) = fused(model)
        assert values(found.convolution.weights) == [-greatest] * count

    def test_a_layer_that_is_not_quantized_holds_what_it_held(self) -> None:
        model = chain(conv(bias=False), scale((6,), None))
        layers = model.neuralNetwork.layers
        tensor.store_float32(layers[1].scale.scale, array("f", [3e38] * 6))
        tensor.store_float32(layers[0].convolution.weights, array("f", [4.0] * 108))
        selector = refquant.AdvancedQuantizedLayerSelector(skip_layer_types=["convolution"])
        made = refquant.quantize_weights(model, 8, selector=selector)
        assert made.neuralNetwork.layers[0] == layers[0]
        assert made.neuralNetwork.layers[1].scale.scale.HasField("quantization")

    def test_what_is_not_finite_is_reported_where_it_stands(self) -> None:
        model = chain(conv(bias=False), scale((6,), None))
        numbers = array("f", [1.0, 2.0, math.inf, 1.0, 1.0, 1.0])
        tensor.store_float32(model.neuralNetwork.layers[1].scale.scale, numbers)
        with pytest.raises(refquant.NonFiniteError) as caught:
            refquant.quantize_weights(model, 8)
        assert (caught.value.layer, caught.value.tensor, caught.value.index) == ("layer_1", "scale", 2)


class TestFunction:
    """FUS-4: All fused values MUST be computed in binary64 from the stored values and stored as binary32.

    So fusion keeps the function of the network, but for one rounding of each stored value.
    """

    def run(self, layers: list[NeuralNetworkLayer], x: list[Fraction]) -> list[Fraction]:
        """Compute innerProduct, batchnorm, scale and bias layers exactly, on a vector of channels."""
        for layer in layers:
            kind = layer.WhichOneof("layer")
            assert kind is not None
            p = getattr(layer, kind)
            if kind == "innerProduct":
                w = [Fraction(v) for v in values(p.weights)]
                rows = [w[i : i + len(x)] for i in range(0, len(w), len(x))]
                biases = [Fraction(v) for v in values(p.bias)] or [Fraction(0)] * len(rows)
                x = [sum((a * b for a, b in zip(row, x)), bias) for row, bias in zip(rows, biases)]
            elif kind == "scale":
                factors, shifts = values(p.scale) * len(x), values(p.bias) * len(x) or [0.0] * len(x)
                x = [Fraction(f) * v + Fraction(s) for f, v, s in zip(factors, x, shifts)]
            else:
                x = [v + Fraction(s) for v, s in zip(x, values(p.bias) * len(x))]
        return x

    @pytest.mark.parametrize("seed", range(10))
    def test_same_outputs(self, seed: int) -> None:
        def build(net: Net) -> None:
            net.inner_product(6, 4, bias=seed % 2 == 0)
            for _ in range(net.pick(1, 4)):
                if net.pick(0, 1):
                    net.scale(((6,), (1,))[net.pick(0, 1)], ((6,), (1,), None)[net.pick(0, 2)])
                else:
                    net.bias(((6,), (1,))[net.pick(0, 1)])

        model = network(build, seed)
        x = [Fraction(i, 3) - 1 for i in range(4)]
        before, after = self.run(list(model.neuralNetwork.layers), x), self.run(fused(model), x)
        assert len(fused(model)) == 1
        assert all(abs(a - b) < Fraction(1, 10**5) for a, b in zip(before, after))
