"""The walk over a model: into pipelines, networks, branches and loops, asking the selector on the way."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from operator import attrgetter
from typing import Any, Callable, NamedTuple, Protocol

from refquant.errors import FileError, ModelKindError
from refquant.model.layers import Site, inner_networks, sites
from refquant.schema.coreml import Model, NeuralNetwork, NeuralNetworkLayer

#: Model types that are a neural network; the three messages share the fields that matter here.
NETWORKS = ("neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor")

#: Model types that hold models -> the field with their list. Rule: FILE-2.
PIPELINES = {
    "pipeline": "pipeline.models",
    "pipelineClassifier": "pipelineClassifier.pipeline.models",
    "pipelineRegressor": "pipelineRegressor.pipeline.models",
}

#: Model types without network weights -> what to use instead. Rule: FILE-3.
INSTEAD = {
    "mlProgram": "an ML program keeps its weights elsewhere; compress it with coremltools.optimize.coreml",
    "treeEnsembleClassifier": "a tree ensemble has no layers; train it anew with fewer or smaller trees",
    "treeEnsembleRegressor": "a tree ensemble has no layers; train it anew with fewer or smaller trees",
}


#: How deep a model may lie in pipelines, and a network in branches and loops, counted together. Each takes
#: three messages at most, and what is innermost eight: with the model itself 99, and every protobuf reads 100
#: within each other. Old ones in plain Python read more, until Python ends it.
DEEPEST = 30


class Selector(Protocol):
    """Anything with the method of `QuantizedLayerSelector`."""

    def do_quantize(self, layer: Any, **kwargs: Any) -> Any:
        """Tell whether to quantize the layer or, with `weight_param="bias"`, its bias."""


class _Owned(NamedTuple):
    model: Model
    network: NeuralNetwork


class OwnedNetwork(_Owned):
    """A neural network and the model message that it is the content of: `model` and `network`."""

    @cached_property
    def takes_arrays(self) -> bool:
        """Whether the model has an input that is an array; looked up once, however many layers ask."""
        return any(feature.type.HasField("multiArrayType") for feature in self.model.description.input)


def networks(model: Model) -> list[OwnedNetwork]:
    """List the networks of a model, in pipelines too; the outermost of each, without inner networks.

    Raises ModelKindError where there is none, saying what to use instead. Rule: FILE-2, FILE-3.
    """
    found = list(_networks(model))
    if not found:
        kind = model.WhichOneof("Type") or "nothing"
        if kind in PIPELINES:
            raise ModelKindError("the pipeline holds no neural network", rule="FILE-3")
        hint = INSTEAD.get(kind, "only neural networks have weights to quantize")
        raise ModelKindError(f"the model is of type {kind}, not a neural network: {hint}", rule="FILE-3")
    return found


def _networks(model: Model) -> Iterator[OwnedNetwork]:
    for part in _parts(model):
        if isinstance(part, Model):
            yield from _networks(part)
        else:
            yield OwnedNetwork(model, part)


def _parts(model: Model) -> Iterator[Model | NeuralNetwork]:
    """Give what a model consists of: its network, or the models of a pipeline; nothing for other types."""
    kind = model.WhichOneof("Type") or ""
    if kind in NETWORKS:
        yield getattr(model, kind)
    elif kind in PIPELINES:
        yield from attrgetter(PIPELINES[kind])(model)


def check_nesting(model: Model) -> None:
    """Refuse models and networks that lie deeper within each other than DEEPEST. Raises FileError."""
    around = [_within(model)]  # recursion would be at its own limit first
    while around:
        part = next(around[-1], None)
        if part is None:
            around.pop()
        elif len(around) > DEEPEST:
            what = "pipelines, branches and loops lie"
            raise FileError(f"nested too deeply: {what} more than {DEEPEST} deep in each other")
        else:
            around.append(_within(part))


def _within(part: Model | NeuralNetwork) -> Iterator[Model | NeuralNetwork]:
    """Give the models of a pipeline, or the networks in the branches and loops of a network or its model."""
    if isinstance(part, Model):
        for inner in _parts(part):
            yield from [inner] if isinstance(inner, Model) else _within(inner)
    else:
        for layer in part.layers:
            yield from inner_networks(layer)


def all_layers(network: NeuralNetwork) -> Iterator[NeuralNetworkLayer]:
    """Give every layer of a network, those of inner networks right after the layer that holds them."""
    for layer in network.layers:
        yield layer
        for inner in inner_networks(layer):
            yield from all_layers(inner)


def all_sites(model: Model) -> Iterator[Site]:
    """Give every covered tensor of a model, whether it holds values or not."""
    for _, network in networks(model):
        for layer in all_layers(network):
            yield from sites(layer)


def selected_layers(
    network: NeuralNetwork,
    selector: Selector,
    enter: Callable[[NeuralNetwork], object] = lambda network: None,
) -> Iterator[NeuralNetworkLayer]:
    """Give the layers that a selector takes, asking once for each; `enter` sees each network first.

    The networks inside a branch or loop are entered where the selector takes that layer. Rule: SEL-1, LAY-4.
    """
    enter(network)
    for layer in network.layers:
        if selector.do_quantize(layer):
            yield layer
            for inner in inner_networks(layer):
                yield from selected_layers(inner, selector, enter)


def selected_sites(layer: NeuralNetworkLayer, selector: Selector) -> list[Site]:
    """List the tensors of a selected layer; the selector is asked about each bias. Rule: SEL-2."""
    return [
        site
        for site in sites(layer)
        if not site.row.asked or selector.do_quantize(layer, weight_param="bias")
    ]
