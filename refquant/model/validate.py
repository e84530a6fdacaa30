"""Validate a file: list all that the format and this specification demand of it and it does not meet."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Callable, NamedTuple

from refquant.errors import FileError, InternalError, RefquantError, TensorError, place, warn
from refquant.model import layer_checks
from refquant.model.file import Given, Source, opened
from refquant.model.held import Held
from refquant.model.layer_checks import CALLED
from refquant.model.walk import all_layers, networks
from refquant.schema.coreml import Model

#: Least specificationVersion of a model with tensors in half precision. Rule: FILE-1.
HALF_VERSION = 2
#: Least specificationVersion of a model with quantized tensors. Rule: FILE-1.
QUANTIZED_VERSION = 3
#: Least specificationVersion of a model with dynamic int8 layers. Rule: FILE-1.
INT8_VERSION = 5

#: Most faults in a model that is worked on: a warning of each would be of no use to anybody.
MOST_FAULTS = 10_000

#: Form -> least specificationVersion of a model with a tensor in it; 0 for others. Rule: FILE-1.
VERSIONS = {
    "float16": HALF_VERSION,
    "codes": QUANTIZED_VERSION,
    "linear": QUANTIZED_VERSION,
    "lut": QUANTIZED_VERSION,
    "int8": INT8_VERSION,
}


class Fault(NamedTuple):
    """One demand that a file does not meet; None where it is not about a layer, a tensor or a number.

    As a string it is a sentence: `layer 'fc6' (innerProduct), tensor weights: 3 scales for 4 channels
    (DEQ-4)`.
    """

    #: Id of the rule in the specification, such as `DEQ-4`.
    rule: str
    layer: str | None
    layer_type: str | None
    #: Name of the tensor within its layer, `weights` or `forward.inputGateBiasVector`.
    tensor: str | None
    #: Position of the first weight, scale, bias or table entry that is no good, from 0.
    index: int | None  # type: ignore[assignment] # hides tuple.index, which nobody needs here
    #: What is wrong, as a clause without the place.
    message: str

    def __str__(self) -> str:
        return place(self.layer, self.layer_type, self.tensor, self.index) + f"{self.message} ({self.rule})"


class Validation(NamedTuple):
    """What came of validating a model."""

    faults: list[Fault]
    #: Number of tensors with values that the format looks at, and of their weights.
    tensors: int
    weights: int


def validate_model(source: Source) -> list[Fault]:
    """List every fault of a model's networks, in the order of the file; no fault: an empty list.

    `source` is anything that `quantize_weights` takes. All rules of the specification's table in chapter 13
    are looked at, every number of every tensor included; what lies outside of the weights, such as whether
    layers fit together, is not. Raises FileError for what is no model, ModelKindError where there is no
    network. Rule: FILE-8.
    """
    return validation(source).faults


def validation(source: Source) -> Validation:
    """Like `validate_model`, with the number of tensors and weights.

    A model that has floats written one by one, and runs that are not whole words besides, cannot be read: its
    first such run is all that is told.
    """
    try:
        model, _ = opened(source, lenient=True)
    except TensorError as error:
        return Validation([_fault(error)], 0, 0)
    return examine(model)


def examine(model: Model, *, numbers: bool = True, most: float = math.inf) -> Validation:
    """Validate a model in memory; without `numbers`, whether numbers are finite is not looked at.

    Raises FileError for a network with more faults than `most`.
    """
    faults: list[Fault] = []
    tensors = weights = 0
    for owned in networks(model):
        newest: Held | None = None
        for layer in all_layers(owned.network):
            read = layer_checks.read(layer, owned)
            if read is not None:
                faults += map(_fault, layer_checks.faults(read, numbers=numbers))
                if len(faults) > most:
                    raise FileError(f"the model has more than {most:,} faults; validate lists them")
                newest = max([newest, *read.used, *read.unused], key=_version)
                counts = [held.weights for held in read.used if held.form != "empty"]
                tensors, weights = tensors + len(counts), weights + sum(counts)
        if newest is not None and owned.model.specificationVersion < _version(newest):
            faults.append(_fault(_too_old(owned.model, newest)))
    return Validation(faults, tensors, weights)


def _version(held: Held | None) -> int:
    """Give the least specificationVersion for a tensor, in use or not; 0: any will do.

    Bytes of custom layers are what these make of them. Rule: FILE-1.
    """
    if held is None:
        return 0
    custom = held.site.layer_type == "custom" and held.form != "float16"
    return 0 if custom else VERSIONS.get(held.form, 0)


def _too_old(model: Model, held: Held) -> RefquantError:
    have, need = model.specificationVersion, _version(held)
    reason = f"specificationVersion {have} has no {CALLED[held.form]}; {need} has"
    return TensorError(reason, rule="FILE-1").located(**held.site.where)


def _fault(error: RefquantError) -> Fault:
    return Fault(error.rule or "", error.layer, error.layer_type, error.tensor, error.index, error.reason)


def guarded(source: Any) -> tuple[Model, Callable[[Model], Any]]:
    """Open a source like `file.opened`, with a way back that looks for faults that were not there before.

    A fault in a layer that had one gets a warning: it lies where the work did not reach, or came to light
    when another was mended. Numbers are not looked at, since those that are written have been checked one by
    one; and the source is asked for its faults only where there is one after. Of a file that is another by
    then nobody knows what it had.

    Raises InternalError for a fault where there was none, and FileError for more than MOST_FAULTS.
    Rule: FILE-9.
    """
    model, give_back = opened(source)
    before = _faulty(model) if _only_once(source) else None
    stamp = _stamp(source)

    def checked(made: Model) -> Any:
        faults, known = _structural(made), before
        if faults and known is None and _stamp(source) == stamp:
            known = _faulty(opened(source)[0])
        for fault in faults:
            if known is None:
                warn(f"{fault}; the file has changed since it was read")
            elif _place(fault) in known:
                warn(f"{fault}; it was not right before")
            else:
                raise InternalError(f"{fault}: refquant was about to write this; please report it")
        return give_back(made)

    return model, checked


def _only_once(source: Any) -> bool:
    """Tell whether a source cannot be read again: a binary file, the path of a pipe, a model given away."""
    if isinstance(source, (str, os.PathLike)):
        path = Path(source)
        return not path.is_file() and not path.is_dir()
    return isinstance(source, Given) or callable(getattr(source, "read", None))


def _stamp(source: Any) -> tuple[int, ...]:
    """Tell the state of a file from others that it has had or will have; nothing of what is no file."""
    if not isinstance(source, (str, os.PathLike)):
        return ()
    try:
        state = os.stat(source)
    except OSError:
        return ()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def _structural(model: Model) -> list[Fault]:
    """List the faults of a model that is worked on, other than those of its numbers."""
    return examine(model, numbers=False, most=MOST_FAULTS).faults


def _faulty(model: Model) -> set[tuple[str | None, ...]]:
    """List the places in a model where there are faults."""
    return {_place(fault) for fault in _structural(model)}


def _place(fault: Fault) -> tuple[str | None, ...]:
    """Give the layer of a fault; that of a version too low is only the first of many, and may change."""
    return (fault.rule,) if fault.rule == "FILE-1" else (fault.layer, fault.layer_type)
