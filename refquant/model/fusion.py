"""Fusion: the rewriting of a network before it is quantized.

A layer that only scales or shifts the channels of the layer before it (batchnorm, scale, bias) is worked
into that layer's weights. There is then one tensor to quantize where there were several, and no error of
one is amplified by the next. The network computes the same function.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Callable, NamedTuple

from refquant.model.layers import inner_networks
from refquant.model.pairs import TARGETS, fuse_pair
from refquant.model.walk import all_layers
from refquant.schema.coreml import Model, NeuralNetwork, NeuralNetworkLayer

#: Most consumers that a producer takes up: each goes over all of its weights. Rule: FUS-18.
MOST_CONSUMERS = 100


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
        if self.frozen(producer):
            return
        for _ in range(MOST_CONSUMERS):
            consumer_at = self.consumer(position, last)
            if consumer_at is None or not fuse_pair(producer, self.layers[consumer_at]):
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
