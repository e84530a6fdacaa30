"""Quantize, dequantize, activate int8: walk a model, ask the selector, change the tensors."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

from refquant import arguments, timing
from refquant.errors import ArgumentError, NotYetError, UpdatableError, warn
from refquant.model import layer_checks, tensor
from refquant.model.fusion import Names
from refquant.model.fusion import fuse as fuse_network
from refquant.model.layers import Site, sites
from refquant.model.selectors import (
    MATRIX_MULTIPLIES,
    MatrixMultiplyLayerSelector,
    QuantizedLayerSelector,
)
from refquant.model.stored import LutFunction, Request
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
from refquant.steps import CertificateCallback, ProgressCallback, Step, logger, run

if TYPE_CHECKING:
    from concurrent.futures import Executor


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
    jobs: int = 1,
    executor: Executor | None = None,
    exact: bool = False,
    certify: CertificateCallback | None = None,
) -> Any:
    """Store the float32 weights of a model's neural networks in fewer bits.

    Args:
        full_precision_model: a path, bytes, a binary file, an `MLModel` or a model message, refquant's or
            coremltools'. It is never changed.
        nbits: 1 to 8; or 16 for half precision, whichever mode is given of those that take any nbits.
        quantization_mode: `linear`, `linear_symmetric` (8 bits only), `linear_lut`, `kmeans_lut` (also
            `kmeans`), `custom_lut`, or `dequantization`, for which nbits is ignored.
        sample_data: not used yet; anything but None raises NotYetError.
        selector: which layers to quantize; None: all that have weights.
        lut_function: for `custom_lut`: takes (nbits, weights), gives (table, codes).
        fuse: whether to work batchnorm, scale and bias layers into the layers before them first (not for
            16 bits).
        half_overflow: for 16 bits: `error` refuses a model with a weight outside half precision, `keep`
            leaves the layer that has it in float32 and warns.
        progress: called with a `Progress` after each layer: in the order of the model or, where the work is
            spread, in the order in which layers are done.
        jobs: how many processes to spread the work over. Results, warnings and errors do not depend on it.
            In WebAssembly there are no processes, and 1 is all it can be.
            Where the platform spawns processes, a script needs the usual `if __name__ == "__main__":`.
        executor: a `concurrent.futures.Executor` to spread the work over instead, such as a cluster's. It is
            not shut down.
        exact: for `kmeans_lut`: find the table of the least inertia, in about ten times the time, in place of
            one some 0.01 % above it.
        certify: for `kmeans_lut`: called with a `TensorCertificate` for each tensor, which says how much
            better any other table can be at most.

    With jobs or an executor of processes, a lut_function has to pickle; what it prints or warns of comes
    from there.

    Returns the kind of thing that was passed (an `MLModel` for a path or a file). Tensors without float32
    weights stay as they are. Warns (RefquantWarning) where something is left out or loses its values,
    and of faults in what stays as it is.

    Raises ArgumentError, FileError, ModelKindError, UpdatableError, ShapeError, TensorError,
    NonFiniteError (NaN or infinity), HalfRangeError or LutFunctionError, with layer, tensor and index where
    there is one, or WorkerError where a worker process dies. Rule: FILE-1 to FILE-5, FILE-9, and those of
    each mode.
    """
    mode = arguments.checked_mode(quantization_mode)
    if sample_data is not None:
        raise NotYetError("sample_data is not supported yet: leave it out")
    if half_overflow not in arguments.HALF_OVERFLOW:
        raise ArgumentError(f"half_overflow must be 'error' or 'keep', not {half_overflow!r}", rule="HALF-3")
    if (exact or certify is not None) and (mode != "kmeans_lut" or nbits == 16):
        raise ArgumentError("exact and certify are about kmeans_lut, with 8 bits and fewer")
    arguments.check_callbacks(progress=progress, certify=certify)
    if mode == "dequantization":
        return dequantize_weights(
            full_precision_model, selector=selector, progress=progress, jobs=jobs, executor=executor
        )
    nbits = arguments.checked_nbits(nbits, mode)
    workers = arguments.checked_workers(jobs, executor)
    halving = nbits == 16
    if halving:
        request = Request("half", nbits, keep=half_overflow == "keep")
    else:
        function = arguments.checked_lut_function(lut_function, mode, workers)
        request = Request(mode, nbits, function, exact=bool(exact), certify=certify is not None)
    selector = arguments.checked_selector(selector, QuantizedLayerSelector)
    model, give_back = guarded(full_precision_model)
    steps: list[Step] = []
    for owned in networks(model):
        if halving and owned.model.isUpdatable:
            raise UpdatableError("an updatable model cannot be stored in half precision", rule="FILE-4")
        _raise_version(owned.model, HALF_VERSION if halving else QUANTIZED_VERSION)
        steps += _plan(owned, selector, halving, fuse)
    if not steps and not any(site.there and any(site.params.floatBytes) for site in all_sites(model)):
        warn("the model has no float32 weights to quantize: they are as they were")
    run(steps, request, workers, progress, certify)
    return give_back(model)


def dequantize_weights(
    model: Any,
    *,
    selector: Selector | None = None,
    progress: ProgressCallback | None = None,
    jobs: int = 1,
    executor: Executor | None = None,
) -> Any:
    """Turn the weights of a model's neural networks back into float32.

    Half precision, 1 to 8 bits and dynamic int8 are all read; float32 stays as it is. Arguments and result
    are as for `quantize_weights`.

    Raises ArgumentError, FileError, ModelKindError, WorkerError, or ShapeError, TensorError or NonFiniteError
    where a stored tensor breaks a rule of the format. Rule: DEQ-1 to DEQ-5.
    """
    workers = arguments.checked_workers(jobs, executor)
    arguments.check_callbacks(progress=progress)
    selector = arguments.checked_selector(selector, QuantizedLayerSelector)
    own, give_back = guarded(model)
    steps: list[Step] = []
    for owned in networks(own):
        _raise_version(owned.model, QUANTIZED_VERSION)
        for layer in selected_layers(owned.network, selector):
            steps += _step(layer, selector, ("float16", "linear", "lut", "int8"), follows="float16")
    for site in (site for step in steps for site in step.sites):
        if tensor.form(site.params) == "int8" and hasattr(site.parameters, "int8DynamicQuantize"):
            site.parameters.int8DynamicQuantize = False
    run(steps, Request("dequantization", 32), workers, progress)
    return give_back(own)


def activate_int8_int8_matrix_multiplications(
    spec: Any,
    selector: Selector | None = None,
    *,
    progress: ProgressCallback | None = None,
    jobs: int = 1,
    executor: Executor | None = None,
) -> Any:
    """Store constant matrices as signed bytes, for products whose other factor is quantized as it comes.

    Takes innerProduct and batchedMatmul layers that the selector accepts (None: all), dequantizing them
    first. `spec` is anything that `quantize_weights` takes; the result is of the same kind, and the
    argument is not changed; the other arguments are as there. A layer that the format refuses in this form
    is left alone with a warning: one with a bias, with two inputs or without weights of its own, one that
    learns, any in a network whose array inputs lack the exact mapping.

    Raises ArgumentError, FileError, ModelKindError, WorkerError, or ShapeError, TensorError or NonFiniteError
    where a tensor cannot be read, or its codes not be stored. Rule: INT8-1 to INT8-4, INT8-7.
    """
    workers = arguments.checked_workers(jobs, executor)
    arguments.check_callbacks(progress=progress)
    selector = arguments.checked_selector(selector, MatrixMultiplyLayerSelector)
    model, give_back = guarded(spec)
    steps: list[Step] = []
    for owned in networks(model):
        for layer in selected_layers(owned.network, selector):
            found = _int8_step(layer, owned)
            if found:
                _raise_version(owned.model, INT8_VERSION)
            steps += found
    run(steps, Request("int8", 8), workers, progress)
    return give_back(model)


def _plan(owned: OwnedNetwork, selector: Selector, halving: bool, fuse: bool) -> Iterator[Step]:
    """Fuse a network where asked for, and list its layers with float32 tensors to quantize. Rule: FILE-4."""
    updatable: dict[str, None] = {}

    def frozen(layer: NeuralNetworkLayer) -> bool:
        return owned.model.isUpdatable and layer.isUpdatable

    names = Names(owned.model, owned.network)

    def enter(network: NeuralNetwork) -> None:
        with timing.phase("fuse"):
            removed = fuse_network(network, names, frozen) if fuse and not halving else 0
        logger.debug("fused away %d layers", removed)

    for layer in selected_layers(owned.network, selector, enter):
        if frozen(layer):
            updatable[layer.name] = None
        else:
            yield from _step(layer, selector, ("float32",), follows="float32" if halving else None)
    if updatable:
        layers = ", ".join(f"'{name}'" for name in updatable)
        warn(f"left updatable layers in float32, as the format demands: {layers} (FILE-4)")


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
            warn("follows its weights, though the selector leaves it out (HALF-4)", **site.where)
    return [Step(layer, chosen)]


def _int8_step(layer: NeuralNetworkLayer, owned: OwnedNetwork) -> list[Step]:
    """Make a step of a layer's matrix, if it has one, or warn where the format refuses it.

    Rule: INT8-3, INT8-4.
    """
    if layer.WhichOneof("layer") not in MATRIX_MULTIPLIES:
        return []
    site = next(sites(layer))
    reason = _why_not_int8(site, owned)
    if reason:
        warn(f"not activated for int8: {reason} (INT8-3)", layer=layer.name, layer_type=site.layer_type)
        return []
    if tensor.located_form(site) == "int8":
        return []
    site.parameters.int8DynamicQuantize = True
    return [Step(layer, [site])]


def _why_not_int8(site: Site, owned: OwnedNetwork) -> str | None:
    """Why the format refuses a layer in dynamic int8; None: it does not. Rule: INT8-3."""
    if tensor.located_form(site) == "empty":
        return "it has no weights of its own"
    if owned.model.isUpdatable and site.layer.isUpdatable:
        return "it is updatable"
    return next(iter(layer_checks.hindrances(site.layer, owned)), None)


def _raise_version(model: Model, least: int) -> None:
    """Raise specificationVersion, never lower it. Rule: FILE-1, FILE-10."""
    model.specificationVersion = max(model.specificationVersion, least)
