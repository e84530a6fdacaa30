"""Faults of selectors: limits, names, biases, inner networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from conformance.testees.model_faults.base import FAULTS, Both, Patch, fault, rows
from refquant import quantize
from refquant.model import layers, selectors


def advanced(large: Callable[[Any, Any], bool]) -> Patch:
    """Tell otherwise which convolutions are large enough."""

    def is_large(self: Any, layer: Any) -> bool:
        return large(self, layer.convolution)

    return mock.patch.object(selectors.AdvancedQuantizedLayerSelector, "_is_large", is_large)


def _count(c: Any) -> int:
    return int(c.outputChannels * c.kernelChannels * c.kernelSize[0] * c.kernelSize[1])


def _depthwise(self: Any, c: Any) -> bool:
    return "depthwiseConv" in self.skip_layer_types and c.kernelChannels == 1 and c.nGroups > 1


def _enough(self: Any, c: Any) -> bool:
    return bool(
        c.kernelChannels >= self.minimum_conv_kernel_channels and _count(c) >= self.minimum_conv_weight_count
    )


#: Fault -> which convolutions the advanced selector takes.
LARGE: dict[str, Callable[[Any, Any], bool]] = {
    "channels-strict": lambda self, c: (
        not _depthwise(self, c) and _enough(self, c) and c.kernelChannels > self.minimum_conv_kernel_channels
    ),
    "count-strict": lambda self, c: (
        not _depthwise(self, c) and _enough(self, c) and _count(c) > self.minimum_conv_weight_count
    ),
    "depthwise-unchecked": _enough,
    "depthwise-of-one-group": lambda self, c: (
        _enough(self, c) and not ("depthwiseConv" in self.skip_layer_types and c.kernelChannels == 1)
    ),
    "depthwise-of-any-group": lambda self, c: (
        _enough(self, c) and not ("depthwiseConv" in self.skip_layer_types and c.nGroups > 1)
    ),
    "count-or-channels": lambda self, c: (
        not _depthwise(self, c)
        and bool(
            c.kernelChannels >= self.minimum_conv_kernel_channels
            or _count(c) >= self.minimum_conv_weight_count
        )
    ),
    "count-of-one-output": lambda self, c: (
        not _depthwise(self, c)
        and bool(
            c.kernelChannels >= self.minimum_conv_kernel_channels
            and _count(c) >= self.minimum_conv_weight_count * c.outputChannels
        )
    ),
}
for _name, _large in LARGE.items():
    FAULTS[f"selectors.{_name}"] = lambda large=_large: advanced(large)  # type: ignore[misc]


def product(takes: Callable[[Any, Any, int, int], bool]) -> Patch:
    """Tell otherwise which matrix products are taken: by selector, layer, inputs and outputs."""
    original = selectors.MatrixMultiplyLayerSelector.do_quantize

    def do_quantize(self: Any, layer: Any, weight_param: str | None = None, **more: Any) -> bool:
        layer_type = layer.WhichOneof("layer")
        if layer_type not in selectors.MATRIX_MULTIPLIES or weight_param == "bias":
            return original(self, layer, weight_param, **more)
        sizes = selectors.MATRIX_MULTIPLIES[layer_type]
        inputs, outputs = (getattr(getattr(layer, layer_type), size) for size in sizes)
        return takes(self, layer, inputs, outputs)

    return mock.patch.object(selectors.MatrixMultiplyLayerSelector, "do_quantize", do_quantize)


def _limits(changed: str, strict: bool) -> Callable[[Any, Any, int, int], bool]:
    """Give the limits with one of them compared strictly, or left out."""

    def takes(self: Any, layer: Any, inputs: int, outputs: int) -> bool:
        sizes = {
            "minimum_weight_count": inputs * outputs,
            "minimum_input_channels": inputs,
            "minimum_output_channels": outputs,
            "maximum_input_channels": -inputs,
            "maximum_output_channels": -outputs,
        }
        for name, size in sizes.items():
            stated = getattr(self, name)
            limit = stated if name.startswith("min") else -(stated or math.inf)
            if size < limit and name != changed:
                return False
            if name == changed and strict and size <= limit:
                return False
        listed = self.include_layers_with_names
        return changed == "names" or not listed or layer.name in listed

    return takes


for _limit in (
    "minimum_weight_count",
    "minimum_input_channels",
    "minimum_output_channels",
    "maximum_input_channels",
    "maximum_output_channels",
):
    FAULTS[f"selectors.{_limit}-strict"] = lambda limit=_limit: product(_limits(limit, True))  # type: ignore[misc]
    FAULTS[f"selectors.{_limit}-ignored"] = lambda limit=_limit: product(_limits(limit, False))  # type: ignore[misc]
FAULTS["selectors.names-ignored"] = lambda: product(_limits("names", False))


@fault("selectors.names-by-their-beginning")
def _() -> Patch:
    def takes(self: Any, layer: Any, inputs: int, outputs: int) -> bool:
        listed = self.include_layers_with_names
        found = not listed or any(layer.name.startswith(name) for name in listed)
        return found and _limits("names", False)(self, layer, inputs, outputs)

    return product(takes)


def asked(layer_types: tuple[str, ...], value: bool) -> Patch:
    """Ask about the biases of these layers, or do not."""
    return Both(
        *(
            rows(kind, lambda row: row._replace(asked=value) if row.tensor == "bias" else row)
            for kind in layer_types
        )
    )


FAULTS["selectors.bias-not-asked-about"] = lambda: asked(
    ("convolution", "innerProduct", "batchedMatmul"), value=False
)
FAULTS["selectors.biases-of-matmuls-not-asked-about"] = lambda: asked(("batchedMatmul",), value=False)
FAULTS["selectors.biases-of-embeddings-asked-about"] = lambda: asked(("embedding", "embeddingND"), value=True)


@fault("selectors.inner-networks-of-refused-layers-entered")
def _() -> Patch:
    def layers_taken(network: Any, selector: Any, enter: Any = lambda network: None) -> Iterator[Any]:
        enter(network)
        for layer in network.layers:
            if selector.do_quantize(layer):
                yield layer
            for inner in layers.inner_networks(layer):
                yield from layers_taken(inner, selector, enter)

    return mock.patch.object(quantize, "selected_layers", layers_taken)


@fault("selectors.unknown-types-taken")
def _() -> Patch:
    original = selectors.AdvancedQuantizedLayerSelector.__init__

    def init(self: Any, skip_layer_types: Any = (), *limits: Any, **more: Any) -> None:
        known = {*layers.LAYERS, *layers.INNER_NETWORKS, selectors.DEPTHWISE}
        original(self, [name for name in skip_layer_types if name in known], *limits, **more)

    return mock.patch.object(selectors.AdvancedQuantizedLayerSelector, "__init__", init)
