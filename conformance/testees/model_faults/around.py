"""Faults of the file and of tensors: mostly the model changed before the work, or after it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from conformance.testees.model_faults.base import FAULTS, Both, Patch, fault, rows
from refquant import quantize
from refquant.codec import half
from refquant.conformance import models
from refquant.model import fusion, layers, selectors, tensor, walk
from refquant.model.layers import Row
from refquant.schema.coreml import Model

Change = Callable[[Model, dict[str, Any]], object]


def around(before: Change | None = None, after: Change | None = None) -> Patch:
    """Change the model that is asked about, or the one that comes out."""
    original = models.quantize

    def changed(data: bytes, settings: dict[str, Any]) -> bytes:
        if before:
            given = Model.FromString(data)
            before(given, settings)
            data = given.SerializeToString()
        made = Model.FromString(original(data, settings))
        if after:
            after(made, settings)
        return made.SerializeToString()

    return mock.patch.object(models, "quantize", changed)


def every_layer(model: Model) -> Iterator[Any]:
    for _, network in walk.networks(model):
        yield from walk.all_layers(network)


def every_tensor(model: Model) -> Iterator[Any]:
    return (site.params for layer in every_layer(model) for site in layers.sites(layer))


@fault("file.version-lowered")
def _() -> Patch:
    def lower(model: Model, settings: dict[str, Any]) -> None:
        least = {"int8": 5}.get(settings["mode"], 2 if settings.get("nbits") == 16 else 3)
        for owned in walk.networks(model):
            owned.model.specificationVersion = min(owned.model.specificationVersion, least)

    return around(after=lower)


@fault("file.version-not-raised")
def _() -> Patch:
    return mock.patch.object(quantize, "_raise_version")


@fault("file.version-of-the-pipeline-raised")
def _() -> Patch:
    def highest(model: Model, settings: dict[str, Any]) -> None:
        versions = [owned.model.specificationVersion for owned in walk.networks(model)]
        model.specificationVersion = max(versions)

    return around(after=highest)


@fault("file.unknown-fields-dropped")
def _() -> Patch:
    return around(after=lambda model, settings: model.DiscardUnknownFields())


@fault("file.metadata-dropped")
def _() -> Patch:
    return around(after=lambda model, settings: model.description.ClearField("metadata"))


@fault("file.preprocessing-dropped")
def _() -> Patch:
    def drop(model: Model, settings: dict[str, Any]) -> None:
        for _, network in walk.networks(model):
            network.ClearField("preprocessing")

    return around(after=drop)


for _kind in walk.PIPELINES:
    FAULTS[f"file.{_kind}-not-entered"] = lambda kind=_kind: mock.patch.object(  # type: ignore[misc]
        walk, "PIPELINES", {name: path for name, path in walk.PIPELINES.items() if name != kind}
    )
for _kind in walk.NETWORKS:
    FAULTS[f"file.{_kind}-not-taken"] = lambda kind=_kind: mock.patch.object(  # type: ignore[misc]
        walk, "NETWORKS", tuple(name for name in walk.NETWORKS if name != kind)
    )


@fault("file.learning-layers-quantized")
def _() -> Patch:
    marked: list[int] = []

    def unmark(model: Model, settings: dict[str, Any]) -> None:
        marked[:] = [bool(owned.model.isUpdatable) for owned in walk.networks(model)]
        for owned in walk.networks(model) if settings.get("nbits") != 16 else ():
            owned.model.isUpdatable = False

    def mark(model: Model, settings: dict[str, Any]) -> None:
        for owned, value in zip(walk.networks(model), marked):
            owned.model.isUpdatable = bool(value)

    return around(unmark, mark)


@fault("file.learning-layers-fused")
def _() -> Patch:
    original = fusion.fuse

    def fuse(network: Any, names: Any, frozen: Any) -> int:
        return original(network, names, lambda layer: False)

    return mock.patch.object(quantize, "fuse_network", fuse)


@fault("file.marked-layers-of-any-model-left")
def _() -> Patch:
    def mark(model: Model, settings: dict[str, Any]) -> None:
        if any(layer.isUpdatable for layer in every_layer(model)):
            model.isUpdatable = True

    return around(before=mark)


@fault("int8_models.flag-left-on-the-way-back")
def _() -> Patch:
    flagged: list[bool] = []

    def remember(model: Model, settings: dict[str, Any]) -> None:
        flagged[:] = [_dynamic(layer) for layer in every_layer(model)]

    def restore(model: Model, settings: dict[str, Any]) -> None:
        for layer, flag in zip(every_layer(model), flagged):
            if flag:
                getattr(layer, layer.WhichOneof("layer")).int8DynamicQuantize = True

    return around(remember, restore)


def _dynamic(layer: Any) -> bool:
    stated = getattr(layer, layer.WhichOneof("layer") or "", None)
    return bool(getattr(stated, "int8DynamicQuantize", False))


@fault("dequantization_models.scales-of-rows-refused")
def _() -> Patch:
    def one_channel(row: Row) -> Row:
        return row._replace(layout=lambda given: row.layout(given)._replace(read_axis=None))

    return Both(*(rows(kind, one_channel) for kind in ("bias", "loadConstant", "scale")))


@fault("dequantization_models.empty-message-left")
def _() -> Patch:
    def touch(model: Model, settings: dict[str, Any]) -> None:
        if settings["mode"] == "dequantization":
            for params in every_tensor(model):
                params.quantization.SetInParent()

    return around(after=touch)


@fault("dequantization_models.halves-left")
def _() -> Patch:
    kept: list[Model] = []

    def remember(model: Model, settings: dict[str, Any]) -> None:
        kept[:] = [model]

    def restore(model: Model, settings: dict[str, Any]) -> None:
        if settings["mode"] == "dequantization":
            for old, new in zip(every_tensor(kept[0]), every_tensor(model)):
                if old.float16Value:
                    new.CopyFrom(old)

    return around(remember, restore)


@fault("int8_models.layers-with-a-bias-activated")
def _() -> Patch:
    biased: list[bool] = []

    def hide(model: Model, settings: dict[str, Any]) -> None:
        biased[:] = [_set_bias(layer, False) for layer in every_layer(model)]

    def show(model: Model, settings: dict[str, Any]) -> None:
        for layer, flag in zip(every_layer(model), biased):
            if flag:
                _set_bias(layer, True)

    return only_int8(around(hide, show))


def only_int8(patch: Any) -> Patch:
    """Keep a patch to dynamic int8."""
    faulty, original = patch.new, models.quantize

    def changed(data: bytes, settings: dict[str, Any]) -> bytes:
        made: bytes = (faulty if settings["mode"] == "int8" else original)(data, settings)
        return made

    return mock.patch.object(models, "quantize", changed)


def _set_bias(layer: Any, value: bool) -> bool:
    """Set the flag of a matrix product, and tell what it was."""
    kind = layer.WhichOneof("layer")
    if kind not in selectors.MATRIX_MULTIPLIES:
        return False
    stated = getattr(layer, kind)
    old, stated.hasBias = bool(stated.hasBias), value
    return old


@fault("int8_models.array-mapping-ignored")
def _() -> Patch:
    old: list[int] = []

    def exact(model: Model, settings: dict[str, Any]) -> None:
        old[:] = [int(network.arrayInputShapeMapping) for _, network in walk.networks(model)]
        for _, network in walk.networks(model):
            network.arrayInputShapeMapping = 1  # type: ignore[assignment] # EXACT_ARRAY_MAPPING

    def restore(model: Model, settings: dict[str, Any]) -> None:
        for (_, network), mapping in zip(walk.networks(model), old):
            network.arrayInputShapeMapping = mapping  # type: ignore[assignment]

    return only_int8(around(exact, restore))


@fault("int8_models.array-mapping-asked-of-images")
def _() -> Patch:
    def arrays(model: Model, settings: dict[str, Any]) -> None:
        types[:] = [feature.type.WhichOneof("Type") for feature in model.description.input]
        for feature in model.description.input:
            feature.type.multiArrayType.SetInParent()

    def images(model: Model, settings: dict[str, Any]) -> None:
        for feature, kept in zip(model.description.input, types):
            if kept == "imageType":
                feature.type.imageType.width = feature.type.imageType.height = 8

    types: list[Any] = []
    return only_int8(around(arrays, images))


@fault("int8_models.version-3")
def _() -> Patch:
    def lower(model: Model, settings: dict[str, Any]) -> None:
        for owned in walk.networks(model):
            if owned.model.specificationVersion == 5:
                owned.model.specificationVersion = 3

    return only_int8(around(after=lower))


@fault("half_models.bias-does-not-follow")
def _() -> Patch:
    original = quantize._step

    def step(layer: Any, selector: Any, forms: Any, follows: Any) -> Any:
        return original(layer, selector, forms, follows=None)

    return mock.patch.object(quantize, "_step", step)


@fault("tensor.unpacked-floats-overlooked")
def _() -> Patch:
    def drop(model: Model, settings: dict[str, Any]) -> None:
        for params in every_tensor(model):
            params.DiscardUnknownFields()

    return around(before=drop)


@fault("tensor.first-run-only")
def _() -> Patch:
    def first(model: Model, settings: dict[str, Any]) -> None:
        for params in every_tensor(model):
            del params.floatBytes[1:]

    return around(before=first)


@fault("tensor.two-kinds-of-values-taken")
def _() -> Patch:
    def floats(model: Model, settings: dict[str, Any]) -> None:
        for params in every_tensor(model):
            if any(params.floatBytes):
                for field in ("float16Value", "rawValue", "int8RawValue"):
                    params.ClearField(field)

    return around(before=floats)


@fault("tensor.message-beside-floats-kept")
def _() -> Patch:
    kept: list[Model] = []

    def remember(model: Model, settings: dict[str, Any]) -> None:
        kept[:] = [model]

    def restore(model: Model, settings: dict[str, Any]) -> None:
        for old, new in zip(every_tensor(kept[0]), every_tensor(model)):
            if any(old.floatBytes) and old.HasField("quantization") and new.float16Value:
                new.quantization.CopyFrom(old.quantization)

    return around(remember, restore)


@fault("tensor.padded-to-its-shape")
def _() -> Patch:
    def pad(model: Model, settings: dict[str, Any]) -> None:
        for layer in every_layer(model):
            for site in layers.sites(layer):
                if any(site.params.floatBytes):
                    values = tensor.float32_weights(site.params)
                    size = site.layout.size
                    tensor.store_float32(site.params, (values + array("f", [0.0] * size))[:size])

    return around(before=pad)


@fault("half_models.kept-tensor-by-tensor")
def _() -> Patch:
    given: list[Model] = []

    def remember(model: Model, settings: dict[str, Any]) -> None:
        given[:] = [model]

    def halve(model: Model, settings: dict[str, Any]) -> None:
        for old, new in zip(every_tensor(given[0]), every_tensor(model)):
            if settings.get("nbits") == 16 and any(new.floatBytes):
                weights = tensor.float32_weights(old)
                if max(map(abs, weights)) < 65504:
                    new.Clear()
                    new.float16Value = half.encode(weights)

    return around(remember, halve)
