"""Look at the weights of a model, and at what quantization did to them."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from refquant.errors import TensorError
from refquant.model import tensor
from refquant.model.file import load
from refquant.model.held import SHAPELESS
from refquant.model.layer_checks import all_tensors
from refquant.model.layers import LAYERS, Site, inner_networks, sites
from refquant.model.walk import all_layers, networks
from refquant.schema.coreml import NeuralNetwork, NeuralNetworkLayer, WeightParams

#: Bits of a weight in the forms that have a fixed number.
BITS = {"float32": 32, "float16": 16, "int8": 8}

#: Bytes of a scale, a bias or an entry of a table: each is stored in float32. Rule: LIN-5, LUT-1.
ENTRY_BYTES = 4


#: Weights whose differences are Python numbers at a time.
PIECE = 1 << 12


class TensorInfo(NamedTuple):
    """One weight tensor of a model, as it is stored."""

    layer: str
    layer_type: str
    tensor: str
    #: Shape that the layer states; empty where quantization does not cover the tensor, or it is a scalar.
    shape: tuple[int, ...]
    #: One of `stored.FORMS`, or `codes` where nothing says how to read them, which a custom layer may know.
    form: str
    #: Bits a weight.
    bits: int
    #: Number of scales, or of entries in the lookup table.
    entries: int
    #: Bytes of the values together with their scales and biases, or their table.
    bytes: int
    #: Number of weights.
    weights: int
    #: Whether quantization covers tensors of this place.
    covered: bool


class TensorDifference(NamedTuple):
    """How far the weights of a tensor in one model are from those in another."""

    layer: str
    layer_type: str
    tensor: str
    weights: int
    #: Greatest and mean |w - w'|; NaN where a difference is one, as for a NaN among the weights.
    max_error: float
    mean_error: float
    #: Signal-to-noise ratio in dB, 10 log10(sum w^2 / sum (w - w')^2); infinite where nothing differs.
    snr: float
    #: sum w^2 and sum (w - w')^2, from which the ratio over many tensors can be had.
    signal: float
    noise: float
    #: Whether one model has other layers worked into this one by fusion, so that the difference is not of
    #: quantization alone. Rule: FUS-9.
    fused: bool = False


class Comparison(NamedTuple):
    """Two models, tensor by tensor; tensors that only one has, or with another shape, are named."""

    tensors: list[TensorDifference]
    #: Layer and tensor.
    only_in_first: list[tuple[str, str]]
    only_in_second: list[tuple[str, str]]


def inspect_weights(model: Any) -> list[TensorInfo]:
    """List every weight tensor of a model's networks, in order, without decoding it.

    `model` is anything that `quantize_weights` takes. Tensors that quantization does not cover (of custom
    layers, activations, layerNormalization, convolution3d) are listed too. Raises FileError,
    ModelKindError, or ShapeError or TensorError where a tensor cannot be understood.
    """
    return [
        info
        for _, network in networks(load(model))
        for layer in all_layers(network)
        for info in _layer_info(layer)
    ]


def compare_weights(first: Any, second: Any) -> Comparison:
    """Compare the weights of two models, each decoded to float32, tensor by tensor.

    Tensors are matched by network, layer and name, and measured in binary64. Layers that fusion removed are
    only in the first model; the layers that took them in are marked as `fused`: compare with the fused
    model, or quantize without fusion, to see the error of quantization alone. Raises like `inspect_weights`.
    """
    places: Places = {}
    mine, theirs = _named_sites(first, places), _named_sites(second, places)
    both = [name for name in mine if name in theirs and mine[name].layout.size == theirs[name].layout.size]
    matched = set(both)
    return Comparison(
        [_difference(mine[name], theirs[name]) for name in both],
        [(name.layer, name.tensor) for name in mine if name not in matched],
        [(name.layer, name.tensor) for name in theirs if name not in matched],
    )


def decibels(signal: float, noise: float) -> float:
    """Give the signal-to-noise ratio in dB: infinite without noise, minus infinite without signal."""
    if noise == 0:
        return math.inf
    ratio = signal / noise
    return 10 * math.log10(ratio) if ratio else -math.inf


def _layer_info(layer: NeuralNetworkLayer) -> Iterator[TensorInfo]:
    """Look at the tensors of a layer that have values."""
    name, found = layer.name, all_tensors(layer, LAYERS)
    # The name is read once: it may be long, and a custom layer have any number of tensors.
    forms = ((site, _form(site)) for site in found)
    return (_info(site, name, form) for site, form in forms if form != "empty")


def _form(site: Site) -> str:
    """Tell a tensor's form, or that its codes are for its custom layer to read."""
    try:
        return tensor.form(site.params) if site.there else "empty"
    except TensorError as error:
        if error.rule == "TEN-5" and site.layer_type == "custom":
            return "codes"
        raise error.located(**site.where) from None


def _info(site: Site, name: str, form: str) -> TensorInfo:
    params = site.params
    values = sum(map(len, (*params.floatBytes, params.float16Value, params.rawValue, params.int8RawValue)))
    bits = BITS.get(form, params.quantization.numberOfBits)
    shape = site.layout.shape
    scales, biases, table = _entries(params, form)
    return TensorInfo(
        layer=name,
        layer_type=site.layer_type,
        tensor=site.tensor,
        shape=shape,
        form=form,
        bits=bits,
        entries=scales or table,
        bytes=values + ENTRY_BYTES * (scales + biases + table),
        weights=site.layout.size if shape else values * 8 // max(1, bits),
        covered=site.row is not SHAPELESS,
    )


def _entries(params: WeightParams, form: str) -> tuple[int, int, int]:
    """Count the scales, the biases and the table entries by which a tensor's codes are read."""
    if form == "lut":
        return 0, 0, len(params.quantization.lookupTableQuantization.floatValue)
    if form not in ("linear", "int8"):
        return 0, 0, 0
    linear = params.quantization.linearQuantization
    return len(linear.scale), len(linear.bias), 0


#: A network as it is found from the one around it: the number of that one, a layer, and which of its two. The
#: networks that are in no other are in -1. It stands for a number, since names may be long.
Places = dict[tuple[int, str, int], int]


class Name(NamedTuple):
    """What a tensor is matched by."""

    #: Number of its network, the same in both models.
    network: int
    layer: str
    tensor: str
    #: How many tensors before it have the same name: layers may share one.
    before: int = 0


def _named_sites(model: Any, places: Places) -> dict[Name, Site]:
    found: dict[Name, Site] = {}
    alike: Counter[Name] = Counter()
    for number, (_, network) in enumerate(networks(load(model))):
        for place, layer in _placed_layers(network, (-1, "", number), places):
            layer_name = layer.name
            for site in sites(layer):
                if tensor.located_form(site) != "empty":
                    name = Name(place, layer_name, site.tensor)
                    found[name._replace(before=alike[name])] = site
                    alike[name] += 1
    return found


def _placed_layers(
    network: NeuralNetwork, found_at: tuple[int, str, int], places: Places
) -> Iterator[tuple[int, NeuralNetworkLayer]]:
    """Give every layer of a network and of its inner networks, with the number of the network it is in."""
    place = places.setdefault(found_at, len(places))
    for layer in network.layers:
        yield place, layer
        for number, inner in enumerate(inner_networks(layer)):
            yield from _placed_layers(inner, (place, layer.name, number), places)


def _difference(first: Site, second: Site) -> TensorDifference:
    """Measure the difference of two tensors of one size, in binary64."""
    weights, others = tensor.decode(first), tensor.decode(second)
    noise = math.fsum(error * error for error in _errors(weights, others))
    signal = math.fsum(w * w for w in weights)
    return TensorDifference(
        layer=first.layer.name,
        layer_type=first.layer_type,
        tensor=first.tensor,
        weights=len(weights),
        max_error=noise if math.isnan(noise) else max(_errors(weights, others)),  # max() may pass over a NaN
        mean_error=math.fsum(_errors(weights, others)) / len(weights),
        snr=decibels(signal, noise),
        signal=signal,
        noise=noise,
        fused=list(first.layer.output) != list(second.layer.output),
    )


def _errors(weights: array[float], others: array[float]) -> Iterable[float]:
    """Give |w - w'| for each weight, made in pieces: a list of them all would take 32 bytes for each."""
    pieces = (slice(at, at + PIECE) for at in range(0, len(weights), PIECE))
    return chain.from_iterable(
        [abs(w - other) for w, other in zip(weights[piece], others[piece])] for piece in pieces
    )
