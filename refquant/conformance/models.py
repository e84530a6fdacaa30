"""Whole models in the kit: quantize one as a case's settings say, and tell where two differ."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import refquant
from refquant.model import tensor
from refquant.model.file import parse
from refquant.model.layers import Site
from refquant.model.walk import all_sites
from refquant.schema.coreml import Model


class Base(refquant.QuantizedLayerSelector):
    """The base selector with another set of types. Rule: SEL-3."""

    def __init__(self, quantizable_layer_types: list[str]) -> None:
        super().__init__()
        self.quantizable_layer_types = set(quantizable_layer_types)


class Reading(refquant.QuantizedLayerSelector):
    """A caller's selector that looks at weights: it takes an innerProduct by its first one. Rule: SEL-8."""

    def __init__(self, first_weight_above: float) -> None:
        super().__init__()
        self.first_weight_above = first_weight_above

    def do_quantize(self, layer: Any, **kwargs: Any) -> bool:
        """Tell whether the first weight is above the limit."""
        return bool(layer.innerProduct.weights.floatValue[0] > self.first_weight_above)


def quantize(data: bytes, settings: dict[str, Any]) -> bytes:
    """Run the operation `model.quantize`: see the protocol for the settings."""
    settings = dict(settings)
    mode = settings.pop("mode")
    selector = settings.pop("selector", None)
    made = SELECTORS[selector["name"]](**selector["arguments"]) if selector else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", refquant.RefquantWarning)
        if mode == "int8":
            result: bytes = refquant.activate_int8_int8_matrix_multiplications(data, made)
        else:
            result = refquant.quantize_weights(
                data, settings.pop("nbits", 8), mode, selector=made, **settings
            )
    return result


def faults(data: bytes) -> list[dict[str, Any]]:
    """Run the operation `model.validate`. Rule: FILE-8."""
    found = refquant.validate_model(data)
    return [{"rule": f.rule, "layer": f.layer, "tensor": f.tensor, "index": f.index} for f in found]


#: Selector in a case's settings -> the class that it stands for.
SELECTORS: dict[str, Callable[..., refquant.QuantizedLayerSelector]] = {
    "base": Base,
    "advanced": refquant.AdvancedQuantizedLayerSelector,
    "matrix_multiply": refquant.MatrixMultiplyLayerSelector,
    "reading": Reading,
}


def difference(expected: bytes, got: bytes) -> str | None:
    """Say where two models differ; None where they do not, but for the order of maps."""
    try:
        return _first_difference(parse(expected), parse(got))
    except refquant.RefquantError as error:
        return f"model: {error}"


def _first_difference(right: Model, given: Model) -> str | None:
    if right.SerializeToString(deterministic=True) == given.SerializeToString(deterministic=True):
        return None
    if right.specificationVersion != given.specificationVersion:
        return (
            f"model: specificationVersion is {given.specificationVersion}, not {right.specificationVersion}"
        )
    for a, b in zip(all_sites(right), all_sites(given)):
        if a.layer.name != b.layer.name:
            return f"model: layer '{b.layer.name}' stands where '{a.layer.name}' is due"
        if a.params != b.params:
            return f"model: layer '{a.layer.name}', tensor {a.tensor}: {_difference_of_tensors(a, b)}"
    return "model: differs outside of the weights"


def _difference_of_tensors(right: Site, given: Site) -> str:
    """Say what is different first: the form, a count, or a number."""
    due, got = tensor.located_form(right), tensor.located_form(given)
    if due != got:
        return f"{got} where {due} is due"
    for (name, wanted), (_, found) in zip(_parts(right), _parts(given)):
        if len(wanted) != len(found):
            return f"{len(found)} {name} where {len(wanted)} are due"
        for index, (x, y) in enumerate(zip(wanted, found)):
            if x != y:
                return f"{name}[{index}]: expected {x!r}, got {y!r}"
    return "written otherwise"


def _parts(site: Site) -> Iterator[tuple[str, Sequence[float]]]:
    """List the numbers of a stored tensor, those that explain others first."""
    quantization = site.params.quantization
    yield "bits", [quantization.numberOfBits]
    yield "scales", quantization.linearQuantization.scale
    yield "biases", quantization.linearQuantization.bias
    yield "table", quantization.lookupTableQuantization.floatValue
    yield "weights", tensor.decode(site)
