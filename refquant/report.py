"""Look at the weights of a model, and at what quantization did to them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from refquant.model import tensor
from refquant.model.file import load, weights_within
from refquant.model.layers import Layout, Row, Site, inner_networks, sites
from refquant.model.walk import all_layers, networks
from refquant.schema.coreml import NeuralNetworkLayer, WeightParams

#: Bits of a weight in the forms that have a fixed number.
BITS = {"float32": 32, "float16": 16, "int8": 8}


class TensorInfo(NamedTuple):
    """One weight tensor of a model, as it is stored."""

    layer: str
    layer_type: str
    tensor: str
    #: Shape that the layer states; empty where quantization does not cover the tensor, or it is a scalar.
    shape: tuple[int, ...]
    #: One of `tensor.FORMS`.
    form: str
    #: Bits a weight.
    bits: int
    #: Number of scales, or of entries in the lookup table.
    entries: int
    #: Bytes of the values, without scales or table.
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
    #: Greatest and mean |w - w'|.
    max_error: float
    mean_error: float
    #: Signal-to-noise ratio in dB, 10 log10(sum w^2 / sum (w - w')^2); infinite where nothing differs.
    snr: float
    #: sum w^2 and sum (w - w')^2, from which the ratio over many tensors can be had.
    signal: float
    noise: float


class Comparison(NamedTuple):
    """Two models, tensor by tensor; tensors that only one has, or with another shape, are named."""

    tensors: list[TensorDifference]
    only_in_first: list[str]
    only_in_second: list[str]


def inspect_weights(model: Any) -> list[TensorInfo]:
    """List every weight tensor of a model's networks, in order, without decoding it.

    `model` is anything that `quantize_weights` takes. Tensors that quantization does not cover (of custom
    layers, activations, layerNormalization) are listed too. Raises FileError, ModelKindError, or ShapeError
    or TensorError where a tensor cannot be understood.
    """
    return [
        info
        for _, network in networks(load(model))
        for layer in all_layers(network)
        for info in _layer_info(layer)
        if info.form != "empty"
    ]


def compare_weights(first: Any, second: Any) -> Comparison:
    """Compare the weights of two models, each decoded to float32, tensor by tensor.

    Tensors are matched by layer and name. Layers that fusion removed are only in the first model, and
    tensors that it changed differ by more than quantization: compare with the fused model, or quantize
    without fusion, to see the error of quantization alone. Raises like `inspect_weights`.
    """
    mine, theirs = _named_sites(first), _named_sites(second)
    both = [name for name in mine if name in theirs and mine[name].layout.size == theirs[name].layout.size]
    return Comparison(
        [_error(mine[name], theirs[name]) for name in both],
        [_title(name) for name in mine if name not in both],
        [_title(name) for name in theirs if name not in both],
    )


def _layer_info(layer: NeuralNetworkLayer) -> Iterator[TensorInfo]:
    layer_type = layer.WhichOneof("layer") or ""
    covered = list(sites(layer))
    for site in covered:
        yield _info(site)
    if layer_type and not inner_networks(layer):
        for path, params in weights_within(getattr(layer, layer_type)):
            if not any(params is site.params for site in covered):
                yield _info(Site(layer, layer_type, path, UNCOVERED, params, None))


#: Stands in for the row of a tensor that the table of layers does not have.
UNCOVERED = Row("", lambda parameters: Layout(()))


def _info(site: Site) -> TensorInfo:
    params, form = site.params, tensor.located_form(site)
    stored = sum(map(len, (*params.floatBytes, params.float16Value, params.rawValue, params.int8RawValue)))
    bits = BITS.get(form, params.quantization.numberOfBits)
    shape = site.layout.shape
    return TensorInfo(
        layer=site.layer.name,
        layer_type=site.layer_type,
        tensor=site.tensor,
        shape=shape,
        form=form,
        bits=bits,
        entries=_entries(params, form),
        bytes=stored,
        weights=site.layout.size if shape else stored * 8 // max(1, bits),
        covered=site.row is not UNCOVERED,
    )


def _entries(params: WeightParams, form: str) -> int:
    """Count the scales of a tensor, or the entries of its lookup table."""
    if form == "lut":
        return len(params.quantization.lookupTableQuantization.floatValue)
    return len(params.quantization.linearQuantization.scale) if form in ("linear", "int8") else 0


#: Number of the network in the model, name of the layer, name of the tensor.
Name = tuple[int, str, str]


def _named_sites(model: Any) -> dict[Name, Site]:
    return {
        (number, site.layer.name, site.tensor): site
        for number, (_, network) in enumerate(networks(load(model)))
        for layer in all_layers(network)
        for site in sites(layer)
        if tensor.located_form(site) != "empty"
    }


def _title(name: Name) -> str:
    return f"{name[1]}.{name[2]}"


def _error(first: Site, second: Site) -> TensorDifference:
    """Measure the difference of two tensors of one shape, in binary64."""
    weights, others = tensor.decode(first), tensor.decode(second)
    errors = [abs(w - other) for w, other in zip(weights, others)]
    noise = math.fsum(error * error for error in errors)
    signal = math.fsum(w * w for w in weights)
    return TensorDifference(
        layer=first.layer.name,
        layer_type=first.layer_type,
        tensor=first.tensor,
        weights=len(weights),
        max_error=max(errors),
        mean_error=math.fsum(errors) / len(errors),
        snr=decibels(signal, noise),
        signal=signal,
        noise=noise,
    )


def decibels(signal: float, noise: float) -> float:
    """Give the signal-to-noise ratio in dB: infinite without noise, minus infinite without signal."""
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
