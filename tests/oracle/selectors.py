"""Chapter 9: which layers, and which biases, a selector takes; as the kit's protocol names selectors."""

from __future__ import annotations

from typing import Any

from tests.oracle.layers import INNER, LISTED, TABLE, kind
from tests.oracle.refusal import Refused

Selector = dict[str, Any]

#: Every type that quantization covers, and the one that is no layer's.
TYPES = {row[0] for row in TABLE} | set(LISTED) | set(INNER) | {"depthwiseConv"}

#: What is asked where the case names no selector.
EVERYTHING: Selector = {"name": "base", "arguments": {"quantizable_layer_types": sorted(TYPES)}}

#: Arguments that may be left out, and what they are then.
DEFAULTS: dict[str, dict[str, Any]] = {
    "base": {},
    "reading": {},
    "advanced": {
        "skip_layer_types": [],
        "minimum_conv_kernel_channels": 4,
        "minimum_conv_weight_count": 4096,
    },
    "matrix_multiply": {
        "minimum_weight_count": 1,
        "minimum_input_channels": 1,
        "minimum_output_channels": 1,
        "maximum_input_channels": None,
        "maximum_output_channels": None,
        "include_layers_with_names": None,
    },
}


def arguments(selector: Selector) -> dict[str, Any]:
    """Give all arguments. SEL-4: a type that does not exist cannot be skipped."""
    found = {**DEFAULTS[selector["name"]], **selector["arguments"]}
    if not set(found.get("skip_layer_types", [])) <= TYPES:
        raise Refused("SEL-4")
    return found


def takes(selector: Selector, layer: Any) -> bool:
    """SEL-1: whether the layer is quantized, and the networks in it are entered."""
    given = arguments(selector)
    if selector["name"] == "base":
        return kind(layer) in given["quantizable_layer_types"]
    if selector["name"] == "reading":
        return bool(layer.innerProduct.weights.floatValue[0] > given["first_weight_above"])
    if selector["name"] == "advanced":
        return advanced(given, layer)
    return matrix_multiply(given, layer)


def takes_bias(selector: Selector, layer: Any) -> bool:
    """SEL-2, SEL-6, for a layer that is taken."""
    given = arguments(selector)
    return "bias" not in given.get("skip_layer_types", [])


def advanced(given: dict[str, Any], layer: Any) -> bool:
    """SEL-5."""
    skipped = given["skip_layer_types"]
    if kind(layer) not in TYPES or kind(layer) in skipped:
        return False
    if kind(layer) != "convolution":
        return True
    c = layer.convolution
    size = list(c.kernelSize) or [3, 3]
    if len(size) != 2:
        raise Refused("LAY-3")
    if "depthwiseConv" in skipped and c.kernelChannels == 1 and c.nGroups > 1:
        return False
    if c.kernelChannels < given["minimum_conv_kernel_channels"]:
        return False
    count = c.outputChannels * c.kernelChannels * size[0] * size[1]
    return bool(count >= given["minimum_conv_weight_count"])


def matrix_multiply(given: dict[str, Any], layer: Any) -> bool:
    """SEL-7; no maximum, and no names, is no limit."""
    if kind(layer) in INNER:
        return True
    if kind(layer) == "innerProduct":
        inputs, outputs = layer.innerProduct.inputChannels, layer.innerProduct.outputChannels
    elif kind(layer) == "batchedMatmul":
        product = layer.batchedMatmul
        inputs, outputs = product.weightMatrixFirstDimension, product.weightMatrixSecondDimension
    else:
        return False
    limits = [
        (inputs * outputs, given["minimum_weight_count"], None),
        (inputs, given["minimum_input_channels"], given["maximum_input_channels"]),
        (outputs, given["minimum_output_channels"], given["maximum_output_channels"]),
    ]
    if any(size < least or (most is not None and size > most) for size, least, most in limits):
        return False
    names = given["include_layers_with_names"] or []
    return not names or layer.name in names
