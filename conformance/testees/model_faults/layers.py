"""Faults of the table of layers: a row left out, a flag not looked at, dimensions the wrong way round."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

from conformance.testees.model_faults.base import FAULTS, Both, Patch, fault, rows
from refquant.model import layers, selectors
from refquant.model.layers import Row
from refquant.model.layout import Layout


def without(layer_type: str, name: str) -> Callable[[], Patch]:
    return lambda: rows(layer_type, lambda row: None if row.tensor == name else row)


def unflagged(layer_type: str, flag: str) -> Callable[[], Patch]:
    return lambda: rows(layer_type, lambda row: row._replace(flag=None) if row.flag == flag else row)


def transposed(layer_type: str, name: str) -> Callable[[], Patch]:
    def turned(row: Row) -> Row:
        def layout(parameters: Any) -> Layout:
            stated = row.layout(parameters)
            return stated._replace(shape=stated.shape[::-1])

        return row._replace(layout=layout) if row.tensor == name else row

    return lambda: rows(layer_type, turned)


for _type, _rows in layers.LAYERS.items():
    for _row in _rows:
        FAULTS[f"layers.{_type}-{_row.tensor}-dropped"] = without(_type, _row.tensor)
        if _row.flag:
            FAULTS[f"layers.{_type}-{_row.flag}-ignored"] = unflagged(_type, _row.flag)
for _type, _tensor in (
    ("innerProduct", "weights"),
    ("batchedMatmul", "weights"),
    ("embedding", "weights"),
    ("embeddingND", "weights"),
    ("simpleRecurrent", "weightMatrix"),
    ("gru", "resetGateWeightMatrix"),
    ("uniDirectionalLSTM", "blockInputWeightMatrix"),
    ("biDirectionalLSTM", "outputGateWeightMatrix"),
):
    FAULTS[f"layers.{_type}-{_tensor}-transposed"] = transposed(_type, _tensor)


def kernel(change: Callable[[Any, Layout], Layout]) -> Patch:
    """Read the weights of convolutions by another layout."""

    def changed(row: Row) -> Row:
        def layout(parameters: Any) -> Layout:
            return change(parameters, row.layout(parameters))

        return row._replace(layout=layout) if row.tensor == "weights" else row

    return rows("convolution", changed)


@fault("layers.deconvolution-axis-0")
def _() -> Patch:
    return kernel(lambda c, layout: layout._replace(axis=0) if c.isDeconvolution and layout.axis else layout)


@fault("layers.deconvolution-scales-in-groups")
def _() -> Patch:
    return kernel(lambda c, layout: layout._replace(axis=1) if c.isDeconvolution else layout)


@fault("layers.deconvolution-groups-forgotten")
def _() -> Patch:
    def change(c: Any, layout: Layout) -> Layout:
        shape = (c.kernelChannels, c.outputChannels, *c.kernelSize)
        return layout._replace(shape=shape) if c.isDeconvolution else layout

    return kernel(change)


@fault("layers.convolution-kernel-channels-of-all-groups")
def _() -> Patch:
    def change(c: Any, layout: Layout) -> Layout:
        shape = (c.outputChannels, c.kernelChannels * max(1, c.nGroups), *c.kernelSize)
        return layout if c.isDeconvolution else layout._replace(shape=shape)

    return kernel(change)


@fault("layers.convolution-one-scale")
def _() -> Patch:
    return kernel(lambda c, layout: layout._replace(axis=None))


def not_entered(layer_type: str, field: str) -> Callable[[], Patch]:
    kept = tuple(f for f in layers.INNER_NETWORKS[layer_type] if f != field)
    return lambda: mock.patch.dict(layers.INNER_NETWORKS, {layer_type: kept})


for _type, _fields in layers.INNER_NETWORKS.items():
    for _field in _fields:
        FAULTS[f"layers.{_field}-not-entered"] = not_entered(_type, _field)


@fault("layers.custom-quantized")
def _() -> Patch:
    row = Row("weights", lambda parameters: Layout((5,)))
    original = layers._holders

    def holders(parameters: Any) -> Any:
        if parameters.DESCRIPTOR.name != "CustomLayerParams":
            return original(parameters)
        held = mock.Mock()
        held.weights = parameters.weights[0]
        return [("", held)]

    patches = mock.patch.dict(layers.LAYERS, {"custom": (row,)})
    return Both(patches, mock.patch.object(layers, "_holders", holders), taking("custom"))


def taking(layer_type: str) -> Patch:
    """Let the base selector take one more type."""
    original = selectors.QuantizedLayerSelector.do_quantize

    def do_quantize(self: Any, layer: Any, **more: Any) -> bool:
        return layer.WhichOneof("layer") == layer_type or original(self, layer, **more)

    return mock.patch.object(selectors.QuantizedLayerSelector, "do_quantize", do_quantize)
