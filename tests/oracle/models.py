"""Chapters 11 to 13: a whole model, as bytes, quantized as the kit's protocol says it.

Messages are of the format's own definition, so that floats are floats. `quantize` is all of refquant's
`quantize_weights`, `dequantize_weights` and `activate_int8_int8_matrix_multiplications`, but for functions
of the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.message import DecodeError

from refquant.schema.coreml import standard_model
from tests.oracle import half, selectors
from tests.oracle.layers import ASKED, Tensor, inner_networks, kind, parameters, tensors
from tests.oracle.refusal import Refused
from tests.oracle.rewriting import fuse
from tests.oracle.selectors import EVERYTHING, Selector
from tests.oracle.stored import form, read, write_codes, write_floats, write_half, write_int8
from tests.oracle.tensor import check_filled

NETWORKS = ("neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor")

#: FILE-1: what is stored -> the least specificationVersion.
VERSIONS = {"half": 2, "codes": 3, "int8": 5}

#: INT8-3: the mapping of array inputs that dynamic int8 wants.
EXACT_ARRAY_MAPPING = 1

#: INT8-1: layers with a matrix to take products with.
PRODUCTS = ("innerProduct", "batchedMatmul")

#: A model that is a network, and the network.
Owned = tuple[Any, Any]


def quantize(data: bytes, settings: dict[str, Any]) -> bytes:
    """Do what the settings say: bytes of a model to bytes of a model, maps sorted."""
    try:
        model = standard_model().FromString(data)
    except DecodeError:
        # Of what the kit asks, only a run of floats that is not whole words is no message.
        raise Refused("TEN-2") from None
    mode, nbits = settings["mode"], settings.get("nbits", 8)
    selector = settings.get("selector", EVERYTHING)
    selectors.arguments(selector)
    owned = list(networks(model))
    if not owned:
        raise Refused("FILE-3")
    for each in owned:
        if mode == "dequantization":
            dequantize(each, selector)
        elif mode == "int8":
            activate(each, settings.get("selector", {"name": "matrix_multiply", "arguments": {}}))
        elif nbits == 16:
            halve(each, selector, settings.get("half_overflow") == "keep")
        else:
            encode(each, selector, mode, nbits)
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def networks(model: Any) -> Iterator[Owned]:
    """FILE-2, FILE-3: the networks of a model, those in pipelines too."""
    which = model.WhichOneof("Type")
    if which in NETWORKS:
        yield model, getattr(model, which)
    elif which == "pipeline":
        for inner in model.pipeline.models:
            yield from networks(inner)
    elif which in ("pipelineClassifier", "pipelineRegressor"):
        for inner in getattr(model, which).pipeline.models:
            yield from networks(inner)


def raise_version(model: Any, what: str) -> None:
    """FILE-1."""
    model.specificationVersion = max(model.specificationVersion, VERSIONS[what])


def taken_layers(
    network: Any, selector: Selector, enter: Callable[[Any], None] = lambda network: None
) -> Iterator[Any]:
    """SEL-1, LAY-4: the layers that a selector takes; each network is shown to `enter` first."""
    enter(network)
    for layer in network.layers:
        if selectors.takes(selector, layer):
            yield layer
            for inner in inner_networks(layer):
                yield from taken_layers(inner, selector, enter)


def taken(layer: Any, selector: Selector, forms: tuple[str, ...], together: str | None) -> list[Tensor]:
    """SEL-2, HALF-4: the tensors of a layer to change, and a bias in the same precision as they were."""
    every = [(tensor, form(tensor.params)) for tensor in tensors(layer)]
    asked = kind(layer) in ASKED and not selectors.takes_bias(selector, layer)
    chosen = [t for t, kept in every if kept in forms and not (asked and t.name == "bias")]
    if chosen and asked:
        chosen += [t for t, kept in every if kept == together and t.name == "bias"]
    return chosen


def encode(owned: Owned, selector: Selector, mode: str, nbits: int) -> None:
    """FUS-1, FILE-4, and the chapter of the mode, for each tensor of floats."""
    model, network = owned
    if mode == "linear_symmetric" and nbits != 8:
        raise Refused("SYM-1")

    def free(layer: Any) -> bool:
        return not (model.isUpdatable and layer.isUpdatable)

    raise_version(model, "codes")
    chosen: list[Tensor] = []
    for layer in taken_layers(network, selector, lambda each: fuse(each, model, network, free)):
        if free(layer):
            chosen += taken(layer, selector, ("float32",), None)
    for tensor in chosen:
        write_codes(tensor.params, mode, nbits, tensor.channels(tensor.axis))


def halve(owned: Owned, selector: Selector, keep: bool) -> None:
    """HALF-1 to HALF-4."""
    model, network = owned
    if model.isUpdatable:
        raise Refused("FILE-4")
    raise_version(model, "half")
    for layer in taken_layers(network, selector):
        chosen = taken(layer, selector, ("float32",), "float32")
        data = []
        try:
            for tensor in chosen:
                weights = list(tensor.params.floatValue)
                check_filled(len(weights), tensor.channels(None))
                data.append(half.encode(weights))
        except Refused as refused:
            if refused.rule == "HALF-2" and keep:
                continue
            raise
        for tensor, payload in zip(chosen, data):
            write_half(tensor.params, payload)


def dequantize(owned: Owned, selector: Selector) -> None:
    """DEQ-1 to DEQ-4. Version 3, as the format's tools have it, whatever there was."""
    model, network = owned
    raise_version(model, "codes")
    for layer in taken_layers(network, selector):
        for tensor in taken(layer, selector, ("float16", "linear", "lut", "int8"), "float16"):
            if form(tensor.params) == "int8":
                parameters(layer).int8DynamicQuantize = False
            write_floats(tensor.params, read(tensor.params, tensor.channels(tensor.read_axis)))


def activate(owned: Owned, selector: Selector) -> None:
    """INT8-1 to INT8-4."""
    model, network = owned
    arrays = any(feature.type.HasField("multiArrayType") for feature in model.description.input)
    exact = not arrays or network.arrayInputShapeMapping == EXACT_ARRAY_MAPPING
    for layer in taken_layers(network, selector):
        if kind(layer) not in PRODUCTS or parameters(layer).hasBias or not exact:
            continue
        matrix = next(tensor for tensor in tensors(layer) if tensor.name == "weights")
        if form(matrix.params) in ("empty", "int8"):
            continue
        write_int8(matrix.params, read(matrix.params, matrix.channels(matrix.axis)))
        parameters(layer).int8DynamicQuantize = True
        raise_version(model, "int8")
