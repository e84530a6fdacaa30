"""Worked examples of models: a small network in words, what is done to it, and what it has become."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import refquant
from refquant.codec import half, packing
from refquant.conformance.operations import BYTES, CODES, FLOATS, NUMBER
from refquant.model import tensor
from refquant.model.layers import Site
from refquant.model.walk import all_sites
from refquant.schema.coreml import Model, NeuralNetworkLayer, WeightParams
from tests.networks import described
from tests.spec.reading import READ, Answer, Line, answered, pairs, written


def _value(text: str) -> Any:
    """Read the value of a layer's field: a flag, a number, or numbers with commas between them."""
    if text in ("true", "false"):
        return text == "true"
    values = [float(part) if "." in part else int(part) for part in text.split(",")]
    return values if len(values) > 1 else values[0]


def _argument(text: str) -> Any:
    """Read an argument of a selector: a number, or a list of names with commas between them."""
    return int(text) if text.isdigit() else text.split(",")


SELECTORS: dict[str, Callable[..., refquant.QuantizedLayerSelector]] = {
    "base": refquant.QuantizedLayerSelector,
    "advanced": refquant.AdvancedQuantizedLayerSelector,
    "matrix_multiply": refquant.MatrixMultiplyLayerSelector,
}


def answer(lines: list[Line]) -> Answer:
    """Run an example of a model."""
    model = described()
    layers = model.neuralNetwork.layers
    selector: dict[str, Any] = {}
    done: list[str] = []
    for line in lines:
        word, *rest = line.words
        if word == "version":
            model.specificationVersion = int(rest[0])
        elif word == "updatable":
            model.isUpdatable = _value(rest[0])
        elif word == "layer":
            _add_layer(layers.add(), *rest, default=layers[-2].name if len(layers) > 1 else "input")
        elif word == "selector":
            selector = {"name": rest[0], "arguments": dict(pairs(rest[1:], _argument))}
        elif word in ("quantize", "dequantize"):
            done = rest or ["dequantization"]
        elif layers:
            _store(layers[-1], word, rest)
        else:
            raise ValueError(f"{word} is no operation, and no layer comes before it")
    model.description.output[0].name = layers[-1].name

    def ask() -> Model:
        made = SELECTORS[selector["name"]](**selector["arguments"]) if selector else None
        mode, settings = done[0], dict(pairs(done[1:], int))
        if mode == "int8":
            return refquant.activate_int8_int8_matrix_multiplications(model, made)  # type: ignore[no-any-return]
        settings.setdefault("nbits", 8)
        return refquant.quantize_weights(  # type: ignore[no-any-return]
            model, quantization_mode=mode, selector=made, **settings
        )

    return answered(ask, _found_in_model)


def _add_layer(layer: NeuralNetworkLayer, name: str, layer_type: str, *words: str, default: str) -> None:
    """Fill a new layer, whose one output has its name; `from` is the input, all other names are fields."""
    fields = dict(pairs(list(words), str))
    layer.name = name
    layer.input.append(fields.pop("from", default))
    layer.output.append(name)
    parameters = getattr(layer, layer_type)
    parameters.SetInParent()
    for field, text in fields.items():
        value = _value(text)
        holder: Any = parameters if field in parameters.DESCRIPTOR.fields_by_name else layer
        if holder.DESCRIPTOR.fields_by_name[field].is_repeated:
            getattr(holder, field).extend(value if isinstance(value, list) else [value])
        else:
            setattr(holder, field, value)


def _params(layer: NeuralNetworkLayer, name: str) -> WeightParams:
    found = attrgetter(name)(getattr(layer, layer.WhichOneof("layer") or ""))
    assert isinstance(found, WeightParams)
    return found


def _store(layer: NeuralNetworkLayer, name: str, words: list[str]) -> None:
    """Put numbers into one field of a tensor; codes have 8 bits."""
    kind, values = (words[0], words[1:]) if words[0] in FORMS else ("floats", words)
    params = _params(layer, name)
    numbers = array("f", map(float, values))
    quantization = params.quantization if kind in ("codes", "scales", "biases", "table") else None
    if kind == "floats":
        params.floatBytes.append(numbers.tobytes())
    elif kind == "halves":
        params.float16Value = half.encode(numbers)
    elif kind == "codes" and quantization is not None:
        params.rawValue, quantization.numberOfBits = bytes(map(int, values)), 8
    elif kind == "scales" and quantization is not None:
        quantization.linearQuantization.scale.extend(numbers)
    elif kind == "biases" and quantization is not None:
        quantization.linearQuantization.bias.extend(numbers)
    else:
        raise ValueError(f"{kind} cannot be given")


def _codes(params: WeightParams, site: Site) -> bytes:
    return packing.unpack(params.rawValue, params.quantization.numberOfBits, site.layout.size)


#: What a line can say of a tensor -> how the line is read, and how it is found in the tensor.
FORMS: dict[str, tuple[str, Callable[[WeightParams, Site], Any]]] = {
    "floats": (FLOATS.name, lambda params, site: tensor.float32_weights(params)),
    "halves": (FLOATS.name, lambda params, site: half.decode(params.float16Value)),
    "reads": (FLOATS.name, lambda params, site: tensor.decode(site)),
    "codes": (CODES.name, _codes),
    "scales": (FLOATS.name, lambda params, site: array("f", params.quantization.linearQuantization.scale)),
    "biases": (FLOATS.name, lambda params, site: array("f", params.quantization.linearQuantization.bias)),
    "table": (
        FLOATS.name,
        lambda params, site: array("f", params.quantization.lookupTableQuantization.floatValue),
    ),
    "rawValue": (BYTES.name, lambda params, site: params.rawValue),
    "numberOfBits": (NUMBER.name, lambda params, site: params.quantization.numberOfBits),
}


def _found_in_model(model: Model, line: Line) -> tuple[str, str]:
    """Find what a line is about in a model: its version, its layers, or a tensor in a form."""
    first, *rest = line.words
    if first == "version":
        return rest[0], str(model.specificationVersion)
    layers = model.neuralNetwork.layers
    if first == "layers":
        return " ".join(rest), " ".join(layer.name for layer in layers)
    layer_name, _, tensor_name = first.partition(".")
    layer = next(layer for layer in layers if layer.name == layer_name)
    sites = {(site.layer.name, site.tensor): site for site in all_sites(model)}
    kind, find = FORMS[rest[0]]
    value = READ[kind](" ".join(rest[1:]))
    # A tensor that does not count, such as a bias without its flag, has no site; its floats can be looked at.
    site: Any = sites.get((layer_name, tensor_name))
    return written(value), written(find(_params(layer, tensor_name), site))
