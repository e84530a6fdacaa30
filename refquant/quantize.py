"""Quantize, dequantize, activate int8: walk a model, ask the selector, change the tensors."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Collection, Iterator
from typing import Any, Callable, NamedTuple

from refquant.errors import (
    ArgumentError,
    HalfRangeError,
    NotYetError,
    RefquantWarning,
    UpdatableError,
    place,
)
from refquant.model import layer_checks, tensor
from refquant.model.fusion import Names
from refquant.model.fusion import fuse as fuse_network
from refquant.model.layers import Site, sites
from refquant.model.selectors import (
    MATRIX_MULTIPLIES,
    MatrixMultiplyLayerSelector,
    QuantizedLayerSelector,
)
from refquant.model.tensor import ENCODERS, LutFunction, Request
from refquant.model.validate import HALF_VERSION, INT8_VERSION, QUANTIZED_VERSION, guarded
from refquant.model.walk import (
    OwnedNetwork,
    Selector,
    all_sites,
    networks,
    selected_layers,
    selected_sites,
)
from refquant.schema.coreml import Model, NeuralNetwork, NeuralNetworkLayer

logger = logging.getLogger("refquant")

#: Names by which a mode can be asked for -> the mode.
MODES = {**{mode: mode for mode in ENCODERS}, "kmeans": "kmeans_lut", "dequantization": "dequantization"}

#: Numbers of bits that a weight can be stored in.
NBITS = (1, 2, 3, 4, 5, 6, 7, 8, 16)

#: What `half_overflow` can be: refuse the model, or keep the layer in float32. Rule: HALF-2, HALF-3.
HALF_OVERFLOW = ("error", "keep")


class Progress(NamedTuple):
    """How far the work has come: given to the `progress` callback after each layer."""

    layer: str
    layer_type: str
    #: Weights done so far, and in all.
    done: int
    total: int


ProgressCallback = Callable[[Progress], object]


def quantize_weights(
    full_precision_model: Any,
    nbits: int,
    quantization_mode: str = "linear",
    sample_data: object = None,
    *,
    selector: Selector | None = None,
    lut_function: LutFunction | None = None,
    fuse: bool = True,
    half_overflow: str = "error",
    progress: ProgressCallback | None = None,
) -> Any:
    """Store the float32 weights of a model's neural networks in fewer bits.

    Args:
        full_precision_model: a path, bytes, a binary file, an `MLModel` or a model message, refquant's or
            coremltools'. It is never changed.
        nbits: 16 for half precision, whatever the mode, or 1 to 8.
        quantization_mode: `linear`, `linear_symmetric` (8 bits only), `linear_lut`, `kmeans_lut` (also
            `kmeans`), `custom_lut`, or `dequantization`, for which nbits is ignored.
        sample_data: not used yet; anything but None raises NotYetError.
        selector: which layers to quantize; None: all that have weights.
        lut_function: for `custom_lut`: takes (nbits, weights), gives (table, codes).
        fuse: whether to work batchnorm, scale and bias layers into the layers before them first (not for
            16 bits).
        half_overflow: for 16 bits: `error` refuses a model with a weight outside half precision, `keep`
            leaves the layer that has it in float32 and warns.
        progress: called with a `Progress` after each layer.

    Returns the kind of thing that was passed (an `MLModel` for a path or a file). Tensors without float32
    weights stay as they are. Warns (RefquantWarning) where something is left out or loses its values,
    and of faults in what stays as it is.

    Raises ArgumentError, FileError, ModelKindError, UpdatableError, ShapeError, TensorError,
    NonFiniteError (NaN or infinity), HalfRangeError or LutFunctionError, with layer, tensor and index where
    there is one. Rule: FILE-1 to FILE-5, FILE-9, and those of each mode.
    """
    mode = _checked_mode(quantization_mode)
    if sample_data is not None:
        raise NotYetError("sample_data is not supported yet: leave it out")
    if mode == "dequantization":
        return dequantize_weights(full_precision_model, selector=selector, progress=progress)
    nbits = _checked_nbits(nbits, mode)
    request = Request(mode, nbits, _checked_lut_function(lut_function, mode, nbits))
    halving = nbits == 16
    if half_overflow not in HALF_OVERFLOW:
        raise ArgumentError(f"half_overflow must be 'error' or 'keep', not {half_overflow!r}", rule="HALF-3")
    selector = _checked_selector(selector or QuantizedLayerSelector())
    model, give_back = guarded(full_precision_model)
    steps: list[Step] = []
    for owned in networks(model):
        if halving and owned.model.isUpdatable:
            raise UpdatableError("an updatable model cannot be stored in half precision", rule="FILE-4")
        _raise_version(owned.model, HALF_VERSION if halving else QUANTIZED_VERSION)
        steps += _plan(owned, selector, halving, fuse)
    if not any(tensor.form(site.params) == "float32" for site in all_sites(model)):
        _warn("the model has no float32 weights to quantize; this is a copy of it")
    if halving:
        _run(steps, lambda step: _halve(step, half_overflow == "keep"), progress)
    else:
        _run(steps, lambda step: _quantize(step, request), progress)
    return give_back(model)


def dequantize_weights(
    model: Any, *, selector: Selector | None = None, progress: ProgressCallback | None = None
) -> Any:
    """Turn the weights of a model's neural networks back into float32.

    Half precision, 1 to 8 bits and dynamic int8 are all read; float32 stays as it is. Arguments and result
    are as for `quantize_weights`. Raises FileError, ModelKindError, or ShapeError, TensorError or CodeError
    where a stored tensor breaks a rule of the format. Rule: DEQ-1 to DEQ-4.
    """
    selector = _checked_selector(selector or QuantizedLayerSelector())
    own, give_back = guarded(model)
    steps: list[Step] = []
    for owned in networks(own):
        _raise_version(owned.model, QUANTIZED_VERSION)
        for layer in selected_layers(owned.network, selector):
            steps += _step(layer, selector, ("float16", "linear", "lut", "int8"), follows="float16")
    _run(steps, _dequantize, progress)
    return give_back(own)


def activate_int8_int8_matrix_multiplications(spec: Any, selector: Selector | None = None) -> Any:
    """Store constant matrices as signed bytes, for products whose other factor is quantized as it comes.

    Takes innerProduct and batchedMatmul layers that the selector accepts (None: all), dequantizing them
    first. `spec` is anything that `quantize_weights` takes; the result is of the same kind, and the
    argument is not changed. A layer that the format refuses in this form is left alone with a warning: one
    with a bias, with two inputs or without weights of its own, one that learns, any in a network whose array
    inputs lack the exact mapping.

    Raises FileError, ModelKindError, or an error of the tensor that cannot be read. Rule: INT8-1 to INT8-4.
    """
    selector = _checked_selector(selector or MatrixMultiplyLayerSelector())
    model, give_back = guarded(spec)
    for owned in networks(model):
        for layer in selected_layers(owned.network, selector):
            if layer.WhichOneof("layer") in MATRIX_MULTIPLIES and _activate_int8(layer, owned):
                _raise_version(owned.model, INT8_VERSION)
    return give_back(model)


class Step(NamedTuple):
    """The tensors of one layer that are about to change, in the same way."""

    layer: NeuralNetworkLayer
    sites: list[Site]


def _plan(owned: OwnedNetwork, selector: Selector, halving: bool, fuse: bool) -> Iterator[Step]:
    """Fuse a network where asked for, and list its layers with float32 tensors to quantize. Rule: FILE-4."""
    updatable: dict[str, None] = {}

    def frozen(layer: NeuralNetworkLayer) -> bool:
        return owned.model.isUpdatable and layer.isUpdatable

    names = Names(owned.model, owned.network)

    def enter(network: NeuralNetwork) -> None:
        removed = fuse_network(network, names, frozen) if fuse and not halving else 0
        logger.debug("fused away %d layers", removed)

    for layer in selected_layers(owned.network, selector, enter):
        if frozen(layer):
            updatable[layer.name] = None
        else:
            yield from _step(layer, selector, ("float32",), follows="float32" if halving else None)
    if updatable:
        layers = ", ".join(f"'{name}'" for name in updatable)
        _warn(f"left updatable layers in float32, as the format demands: {layers} (FILE-4)")


def _step(
    layer: NeuralNetworkLayer, selector: Selector, forms: Collection[str], follows: str | None
) -> list[Step]:
    """Make a step of the tensors of a selected layer that are in one of these forms, if there are any.

    A bias that the selector leaves out comes along, with a warning, where it is in the form `follows`: it
    would be left in another float precision than its weights. Rule: SEL-2, TEN-8, HALF-4.
    """
    chosen = [site for site in selected_sites(layer, selector) if tensor.located_form(site) in forms]
    if not chosen:
        return []
    taken = {site.tensor for site in chosen}
    for site in sites(layer):
        if site.tensor not in taken and tensor.located_form(site) == follows:
            chosen.append(site)
            _warn("follows its weights, though the selector leaves it out (HALF-4)", **site.where)
    return [Step(layer, chosen)]


def _run(steps: list[Step], action: Callable[[Step], None], progress: ProgressCallback | None) -> None:
    """Take every step in order, and say so."""
    sizes = [sum(site.params.ByteSize() for site in step.sites) for step in steps]
    done, total = 0, sum(sizes)
    for step, size in zip(steps, sizes):
        layer_type = step.layer.WhichOneof("layer") or ""
        logger.info("layer '%s' (%s): %d tensors", step.layer.name, layer_type, len(step.sites))
        action(step)
        done += size
        if progress is not None:
            progress(Progress(step.layer.name, layer_type, done, total))


def _quantize(step: Step, request: Request) -> None:
    for site in step.sites:
        tensor.quantize(site, request)


def _dequantize(step: Step) -> None:
    for site in step.sites:
        if tensor.form(site.params) == "int8" and hasattr(site.parameters, "int8DynamicQuantize"):
            site.parameters.int8DynamicQuantize = False
        tensor.store_float32(site.params, tensor.decode(site))


def _halve(step: Step, keep: bool) -> None:
    """Store a step's tensors in half precision or, where one does not fit, none. Rule: HALF-2, HALF-3."""
    try:
        payloads = [tensor.encode_half(site) for site in step.sites]
    except HalfRangeError as error:
        if not keep:
            raise
        _warn(f"{error}; the layer stays in float32 (HALF-3)")
        return
    for site, payload in zip(step.sites, payloads):
        tensor.store_half(site.params, payload)


def _activate_int8(layer: NeuralNetworkLayer, owned: OwnedNetwork) -> bool:
    """Quantize one matrix dynamically, or warn and answer False where the format refuses it."""
    site = next(sites(layer))
    reason = _why_not_int8(site, owned)
    if reason:
        _warn(f"not activated for int8: {reason} (INT8-3)", layer=layer.name, layer_type=site.layer_type)
        return False
    if tensor.located_form(site) == "int8":
        return False
    tensor.store_int8(site.params, *tensor.encode_int8(site))
    site.parameters.int8DynamicQuantize = True
    return True


def _why_not_int8(site: Site, owned: OwnedNetwork) -> str | None:
    """Why the format refuses a layer in dynamic int8; None: it does not. Rule: INT8-3."""
    if tensor.located_form(site) == "empty":
        return "it has no weights of its own"
    if owned.model.isUpdatable and site.layer.isUpdatable:
        return "it is updatable"
    return next(iter(layer_checks.hindrances(site.layer, owned)), None)


def _checked_mode(mode: object) -> str:
    if not isinstance(mode, str) or mode not in MODES:
        raise ArgumentError(f"unknown quantization mode {mode!r}: the modes are {', '.join(MODES)}")
    return MODES[mode]


def _checked_nbits(nbits: object, mode: str) -> int:
    # True is an int, and 8.0 == 8: neither is a number of bits that someone meant.
    if type(nbits) is not int or nbits not in NBITS:
        raise ArgumentError(f"nbits must be 16 or 1 to 8, not {nbits!r}")
    if mode == "linear_symmetric" and nbits != 8:
        raise ArgumentError(f"linear_symmetric takes 8 bits only, not {nbits}", rule="SYM-1")
    return nbits


def _checked_lut_function(lut_function: LutFunction | None, mode: str, nbits: int) -> LutFunction | None:
    if mode == "custom_lut" and nbits != 16 and not callable(lut_function):
        raise ArgumentError(f"custom_lut needs a lut_function to call, not {lut_function!r}", rule="LUT-4")
    return lut_function


def _checked_selector(selector: Selector) -> Selector:
    if isinstance(selector, type) or not callable(getattr(selector, "do_quantize", None)):
        raise ArgumentError(f"a selector needs a do_quantize method; {selector!r} is none", rule="SEL-1")
    return selector


def _raise_version(model: Model, least: int) -> None:
    """Raise specificationVersion, never lower it. Rule: FILE-1, FILE-10."""
    model.specificationVersion = max(model.specificationVersion, least)


def _warn(
    message: str, layer: str | None = None, layer_type: str | None = None, tensor: str | None = None
) -> None:
    warnings.warn(place(layer, layer_type, tensor) + message, RefquantWarning, stacklevel=4)
