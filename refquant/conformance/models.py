"""Whole models in the kit: quantize one as a case's settings say, and tell where two differ."""

from __future__ import annotations

import warnings
from typing import Any

import refquant
from refquant.model import tensor
from refquant.model.file import parse
from refquant.model.walk import all_sites


def quantize(data: bytes, settings: dict[str, Any]) -> bytes:
    """Run the operation `model.quantize`: see the protocol for the settings."""
    settings = dict(settings)
    mode = settings.pop("mode")
    selector = settings.pop("selector", None)
    made = None
    if selector is not None:
        made = getattr(refquant, SELECTORS[selector["name"]])(**selector["arguments"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", refquant.RefquantWarning)
        if mode == "int8":
            result: bytes = refquant.activate_int8_int8_matrix_multiplications(data, made)
        else:
            result = refquant.quantize_weights(data, settings.get("nbits", 8), mode, selector=made)
    return result


#: Selector in a case's settings -> the class that it stands for.
SELECTORS = {"advanced": "AdvancedQuantizedLayerSelector", "matrix_multiply": "MatrixMultiplyLayerSelector"}


def difference(expected: bytes, got: bytes) -> str | None:
    """Say where two models differ; None where they do not, but for the order of maps."""
    try:
        right, given = parse(expected), parse(got)
    except refquant.FileError as error:
        return f"model: {error}"
    if right.SerializeToString(deterministic=True) == given.SerializeToString(deterministic=True):
        return None
    if right.specificationVersion != given.specificationVersion:
        return (
            f"model: specificationVersion is {given.specificationVersion}, not {right.specificationVersion}"
        )
    try:
        pairs = list(zip(all_sites(right), all_sites(given)))
    except refquant.RefquantError as error:
        return f"model: {error}"
    for a, b in pairs:
        if a.layer.name != b.layer.name:
            return f"model: layer '{b.layer.name}' stands where '{a.layer.name}' is due"
        if a.params != b.params:
            due, given_form = tensor.located_form(a), tensor.form(b.params)
            place = f"layer '{a.layer.name}', tensor {a.tensor}"
            return f"model: {place}: {given_form} where {due} is due, or other values"
    return "model: differs outside of the weights"
