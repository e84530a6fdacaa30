"""Fusion: the rewriting of a network before it is quantized.

A layer that only scales or shifts the channels of the layer before it (batchnorm, scale, bias) is worked
into that layer's weights. There is then one tensor to quantize where there were several, and no error of
one is amplified by the next. The network computes the same function.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Callable, NamedTuple, Optional

from refquant.codec.channels import Channels, join, split
from refquant.codec.weights import check_finite
from refquant.errors import RefquantError
from refquant.model import tensor
from refquant.model.layers import MOST_DIMENSIONS, inner_networks, sites, takes_weights
from refquant.model.layout import Layout
from refquant.model.walk import all_layers
from refquant.schema.coreml import Model, NeuralNetwork, NeuralNetworkLayer, WeightParams

#: Most consumers that a producer takes up: each goes over all of its weights. Rule: FUS-18.
MOST_CONSUMERS = 100

#: The parameters of a layer; their type differs from layer to layer.
Parameters = Any

#: A number for each output channel.
Vector = list[float]


class Counts(NamedTuple):
    """How many layers read, and how many write, a blob of a name."""

    reads: Counter[str]
    writes: Counter[str]


class Names:
    """How many layers of a model read and write each blob, inner networks and the model's own included.

    They are counted when the first is asked for, which is before the first fusion. Rule: FUS-2, FUS-14.
    """

    def __init__(self, model: Model, network: NeuralNetwork) -> None:
        self.model, self.network = model, network

    @cached_property
    def counts(self) -> Counts:
        """The counts, inputs and outputs of the model among them."""
        model, network = self.model, self.network
        reads = [feature.name for feature in model.description.output]
        reads += [*_training_reads(network), getattr(network, "labelProbabilityLayerName", "")]
        writes = [feature.name for feature in (*model.description.input, *model.description.trainingInput)]
        for layer in all_layers(network):
            reads += set(layer.input)
            writes += set(layer.output)
            if layer.WhichOneof("layer") == "loop":
                reads.append(layer.loop.conditionVar)
        return Counts(Counter(reads), Counter(writes))

    def private(self, name: str) -> bool:
        """Whether one layer alone writes the blob and one alone reads it. Rule: FUS-2, FUS-3."""
        return self.counts.reads[name] == 1 and self.counts.writes[name] == 1


def fuse(network: NeuralNetwork, names: Names, frozen: Callable[[NeuralNetworkLayer], bool]) -> int:
    """Fuse every pair that can be, in place; return how many layers were removed.

    Takes time linear in the number of layers: each producer is taken once, and its only candidate is the one
    reader of its output. `names` is counted over the whole model before the first fusion, and stays good: a
    blob that is fused away was that of the pair alone. `frozen` tells which layers may not be touched
    (updatable ones). Inner networks are left for a call of their own. Rule: FUS-1 to FUS-18, FILE-4.
    """
    producers: dict[str, list[int]] = {producer_type: [] for producer_type in TARGETS}
    for position, layer in enumerate(network.layers):
        layer_type = layer.WhichOneof("layer")
        if layer_type in producers:
            producers[layer_type].append(position)
    chain = _Chain(network.layers, names, frozen)
    for positions in producers.values():
        for position in positions:
            if position not in chain.removed:
                chain.collapse(position)
    for position in sorted(chain.removed, reverse=True):
        del network.layers[position]
    return len(chain.removed)


class _Chain:
    """The layers of one network while its pairs are fused."""

    def __init__(
        self, layers: Sequence[NeuralNetworkLayer], names: Names, frozen: Callable[[NeuralNetworkLayer], bool]
    ) -> None:
        self.layers = layers
        self.names = names
        self.frozen = frozen
        self.removed: set[int] = set()

    def collapse(self, position: int) -> None:
        """Fuse a producer with its consumer, then with the one after that, for as long as it goes.

        Rule: FUS-11, FUS-18.
        """
        producer, last = self.layers[position], position
        for _ in range(0 if self.frozen(producer) else MOST_CONSUMERS):
            consumer_at = self.consumer(position, last)
            if consumer_at is None or not _fuse_pair(producer, self.layers[consumer_at]):
                return
            (name,) = self.layers[consumer_at].output
            producer.output[:] = [name]
            self.removed.add(consumer_at)
            # The producer takes the consumer's place in the list: no layer between the two is in it.
            positions = self.touching[name]
            positions[bisect_left(positions, consumer_at)] = position
            last = consumer_at

    def consumer(self, position: int, last: int) -> int | None:
        """Find the one layer of this network that alone reads the producer's one output. Rule: FUS-2."""
        name = _only(self.layers[position].output)
        if name is None or not self.names.private(name):
            return None
        found = self.reader.get(name)
        if found is None or found <= last or self.frozen(self.layers[found]):
            return None
        consumer = self.layers[found]
        written = _only(consumer.output)
        if written is None or len(consumer.input) != 1:
            return None
        return None if self.overtakes(position, found, written) else found

    def overtakes(self, position: int, found: int, name: str) -> bool:
        """Whether a layer between the two meets the blob that the producer will write. Rule: FUS-12."""
        return bisect_right(self.touching[name], position) < bisect_left(self.touching[name], found)

    @cached_property
    def reader(self) -> dict[str, int]:
        """Position of the last layer that reads a blob of a name; no fusion changes it."""
        return {name: position for position, layer in enumerate(self.layers) for name in layer.input}

    @cached_property
    def touching(self) -> dict[str, list[int]]:
        """Positions of the layers that read or write a blob of a name, ascending; kept up to date."""
        positions: dict[str, list[int]] = {}
        for position, layer in enumerate(self.layers):
            for name in _touched(layer):
                positions.setdefault(name, []).append(position)
        return positions


def _only(names: Sequence[str]) -> str | None:
    """Give the one name in a list; None: there is none, or more than one."""
    return names[0] if len(names) == 1 else None


def _touched(layer: NeuralNetworkLayer) -> set[str]:
    """Every blob that a layer, or a network inside it, reads or writes."""
    inner = (_touched(each) for network in inner_networks(layer) for each in network.layers)
    return {*layer.input, *layer.output}.union(*inner)


def _training_reads(network: NeuralNetwork) -> Iterable[str]:
    """Give the blobs that the loss layers of an updatable network read."""
    for loss in network.updateParams.lossLayers:
        which = loss.WhichOneof("LossLayerType")
        if which is not None:
            yield getattr(loss, which).input


class Unfusable(Exception):  # noqa: N818 -- it is an answer, not a fault
    """Both layers stay: the pair cannot be fused."""


class Target(NamedTuple):
    """The two tensors of a producer that take up a consumer: one scales its channels, one shifts them."""

    weights: WeightParams
    bias: WeightParams
    channels: Channels
    old_weights: array[float]
    old_bias: array[float] | None


#: A factor and a bias for each channel; None: leave the weights, or the bias, as they are.
Fused = tuple[Optional[Vector], Optional[Vector]]

#: How a producer takes up a consumer: from its old bias, the consumer's parameters, the channels' number.
FusionRule = Callable[["array[float] | None", Parameters, int], Fused]


def _fuse_pair(producer: NeuralNetworkLayer, consumer: NeuralNetworkLayer) -> bool:
    """Work the consumer into the producer's tensors, or answer False and change nothing.

    Rule: FUS-10, FUS-16.
    """
    producer_type, consumer_type = producer.WhichOneof("layer") or "", consumer.WhichOneof("layer") or ""
    rule = PAIRS.get((producer_type, consumer_type))
    if rule is None:
        return False
    try:
        target = _target(producer, producer_type)
        factors, shifts = rule(target.old_bias, getattr(consumer, consumer_type), target.channels.count)
        weights = _finite(target.old_weights if factors is None else _scaled(target, factors))
        bias = None if shifts is None else _finite(array("f", shifts))
    except (Unfusable, RefquantError):
        # A tensor that breaks a rule is reported when it is its turn to be quantized.
        return False
    if factors is not None:
        tensor.store_float32(target.weights, weights)
    if bias is not None:
        tensor.store_float32(target.bias, bias)
        if producer_type != "batchnorm":
            getattr(producer, producer_type).hasBias = True
    return True


def _target(producer: NeuralNetworkLayer, producer_type: str) -> Target:
    """Find a producer's two tensors; both must be whole and in float32, the bias may be missing.

    Rule: FUS-10, FUS-13, FUS-17.
    """
    if takes_weights(producer):
        raise Unfusable
    weights_name, bias_name = TARGETS[producer_type]
    parameters = getattr(producer, producer_type)
    if producer_type == "batchnorm" and not _normalises_by_constants(parameters):
        raise Unfusable
    found = {site.tensor: site for site in sites(producer)}
    layout = found[weights_name].layout
    # The gamma of a batchnorm is one channel when quantized, and one number a channel here; so are the
    # weights of a deconvolution in groups.
    axis = 0 if len(layout.shape) == 1 else layout.channel_axis
    channels = layout.channels(axis)
    bias = found.get(bias_name)
    return Target(
        found[weights_name].params,
        getattr(parameters, bias_name),
        channels,
        _float32(found[weights_name].params, layout.size),
        None if bias is None else _float32(bias.params, channels.count),
    )


def _scaled(target: Target, factors: Vector) -> array[float]:
    """Multiply a producer's weights by the factors of their channels."""
    parts = split(target.old_weights, target.channels)
    scaled = (array("f", [factor * w for w in part]) for factor, part in zip(factors, parts))
    return join(scaled, target.channels)


def _finite(numbers: array[float]) -> array[float]:
    """Give numbers back, where all are finite in binary32. Rule: FUS-16."""
    check_finite(numbers)
    return numbers


def _float32(params: WeightParams, count: int) -> array[float]:
    """Read a tensor of the producer, which must be in float32 and whole."""
    weights = tensor.float32_weights(params)
    if tensor.form(params) != "float32" or len(weights) != count:
        raise Unfusable
    return weights


def _vector(params: WeightParams, shape: Sequence[int], count: int) -> Vector:
    """Read a tensor of the consumer as one number for each channel: float32 or half, or one for all.

    A shape that runs over space and not over channels does not fuse. Rule: FUS-10, FUS-15, FUS-16.
    """
    if tensor.form(params) not in ("float32", "float16") or len(shape) > MOST_DIMENSIONS:
        raise Unfusable
    values = list(_finite(tensor.decode_params(params, Layout(tuple(shape)))))
    if len(values) == 1:
        return values * count
    if len(values) != count or shape[0] != count:
        raise Unfusable
    return values


def _normalises_by_constants(batchnorm: Parameters) -> bool:
    return not (batchnorm.instanceNormalization or batchnorm.computeMeanVar)


def _batchnorm(bias: array[float] | None, batchnorm: Parameters, count: int) -> Fused:
    """Factors and bias of a convolution that takes up a batchnorm. Rule: FUS-5, FUS-13, FUS-16."""
    if not _normalises_by_constants(batchnorm):
        raise Unfusable
    gamma, beta, mean, variance = (
        _vector(params, (batchnorm.channels,), count)
        for params in (batchnorm.gamma, batchnorm.beta, batchnorm.mean, batchnorm.variance)
    )
    if not all(0 < v + batchnorm.epsilon < math.inf for v in variance):  # which no NaN is
        raise Unfusable
    roots = [math.sqrt(v + batchnorm.epsilon) for v in variance]
    old = bias or [0.0] * count
    shifted = [g * b / r - g * m / r + t for g, b, r, m, t in zip(gamma, old, roots, mean, beta)]
    return [g / r for g, r in zip(gamma, roots)], shifted


def _scale(bias: array[float] | None, scale: Parameters, count: int) -> Fused:
    """Factors and bias of a producer that takes up a scale. Rule: FUS-6, FUS-8."""
    factors = _vector(scale.scale, scale.shapeScale, count)
    scaled = None if bias is None else [s * b for s, b in zip(factors, bias)]
    return factors, _shift(scaled, scale.bias, scale.shapeBias, count) if scale.hasBias else scaled


def _bias(bias: array[float] | None, layer: Parameters, count: int) -> Fused:
    """Bias of a producer that takes up a bias layer. Rule: FUS-7."""
    return None, _shift(bias, layer.bias, layer.shape, count)


def _shift(bias: Sequence[float] | None, params: WeightParams, shape: Sequence[int], count: int) -> Vector:
    """Add the consumer's bias to the producer's, where it has one."""
    shift = _vector(params, shape, count)
    return shift if bias is None else [b + t for b, t in zip(bias, shift)]


#: Producer type, in the order in which producers are taken -> its tensors that are scaled and shifted.
#: Rule: FUS-5 to FUS-8, FUS-11.
TARGETS = {
    "convolution": ("weights", "bias"),
    "innerProduct": ("weights", "bias"),
    "batchnorm": ("gamma", "beta"),
}

#: The pairs that fuse, and how. Rule: FUS-1.
PAIRS: dict[tuple[str, str], FusionRule] = {
    ("convolution", "batchnorm"): _batchnorm,
    ("convolution", "scale"): _scale,
    ("convolution", "bias"): _bias,
    ("innerProduct", "scale"): _scale,
    ("innerProduct", "bias"): _bias,
    ("batchnorm", "scale"): _scale,
}
