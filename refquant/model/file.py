"""Load and save: paths, bytes, files, packages, and the objects that hold a model elsewhere."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import IO, Any, Callable, NamedTuple, Union

from google.protobuf.message import DecodeError, EncodeError, Message

from refquant.errors import ArgumentError, FileError, TensorError
from refquant.model import disk
from refquant.model.impression import impression
from refquant.model.walk import check_nesting
from refquant.model.within import weights_within
from refquant.schema.coreml import (
    Model,
    NeuralNetworkLayer,
    has_unpacked_floats,
    standard_model,
)

#: Anything that names or holds the bytes of a model.
Source = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, IO[bytes], "MLModel", Model]

#: What protobuf raises at bytes that are no message: its plain-Python back end, at a name that is no UTF-8
#: and, in old versions, at messages nested too deeply, lets Python's own errors through.
UNREADABLE = (DecodeError, ValueError, RecursionError)

#: Whether names may be read that are no UTF-8, and cannot be written: PyPy's str() lets surrogates in.
LETS_SURROGATES_IN = sys.implementation.name == "pypy"


class MLModel:
    """A Core ML model in memory.

    `MLModel(source)` reads a path (an .mlmodel file or an .mlpackage folder), bytes, a binary file, another
    MLModel or a model message; it has its own copy. Raises FileError.
    """

    def __init__(self, source: Source) -> None:
        self._spec = load(source)

    @classmethod
    def holding(cls, model: Model) -> MLModel:
        """Wrap a message that nobody else has, without a copy."""
        made = cls.__new__(cls)
        made._spec = model
        return made

    def get_spec(self) -> Model:
        """Give a copy of the model message."""
        return _copy(self._spec)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file, or to a package where the path ends in .mlpackage; see `save`."""
        save(self._spec, path)

    @property
    def size(self) -> int:
        """Number of bytes that the model is saved in."""
        return self._spec.ByteSize()

    def __bytes__(self) -> bytes:
        return serialize(self._spec)

    def __repr__(self) -> str:
        return f"<refquant.MLModel {self._spec.WhichOneof('Type')}, {self.size:,} bytes>"


class Given(NamedTuple):
    """A message that whoever passes it gives away: it is worked on without a copy."""

    model: Model


def load(source: Source) -> Model:
    """Read a model into a message of its own. Raises FileError, saying what the source is instead."""
    return opened(source)[0]


def opened(source: Any, *, lenient: bool = False) -> tuple[Model, Callable[[Model], Any]]:
    """Read any source into a message of its own, and give the way back to the kind that was passed.

    A path or a binary file goes back as an `MLModel`, bytes as bytes, a message as a message of its class,
    and any object with `get_spec()` as an object of its class. `lenient`: see `parse`.
    """
    if isinstance(source, MLModel):
        return source.get_spec(), MLModel.holding
    if isinstance(source, Given):
        return source.model, MLModel.holding
    if isinstance(source, (str, os.PathLike)) and isinstance(os.fspath(source), str):
        disk.check_names(os.fspath(source))
        return _read_path(Path(source), lenient), MLModel.holding
    if isinstance(source, (bytes, bytearray, memoryview)):
        return parse(_bytes(source), lenient=lenient), serialize
    if isinstance(source, Message):
        return _read_message(source, lenient), lambda model: _foreign(type(source), model)
    if isinstance(source, type):
        raise ArgumentError(f"cannot read a model from the class {source.__name__}: pass one of its objects")
    if callable(getattr(source, "get_spec", None)):
        return _open_object(source, lenient)
    if callable(getattr(source, "read", None)):
        return _read_file(source, lenient), MLModel.holding
    raise ArgumentError(f"cannot read a model from {type(source).__name__}: pass a path, bytes or a model")


def save(model: Model, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Write a model to a file, or to a package where the path ends in .mlpackage: whole or not at all.

    The bytes go to a temporary neighbour, which then takes the target's name. A file that was there keeps
    its permissions, and a symbolic link still points to it. Raises FileError; a failure leaves the target
    as it was and nothing beside it. Rule: FILE-6.
    """
    disk.write(path, serialize(model), overwrite=overwrite)


def serialize(model: Message) -> bytes:
    """Write a model into bytes: the same ones for the same model, though maps in it have no order.

    Raises FileError where there are too many.
    """
    try:
        data: bytes = model.SerializeToString(deterministic=True)
    except (EncodeError, RecursionError) as error:
        raise FileError(f"the model cannot be written as one message: {error}") from error
    disk.check_size(len(data))
    return data


def parse(data: bytes, *, lenient: bool = False) -> Model:
    """Read the bytes of a model into a message, however its floats are encoded.

    Raises FileError for bytes that are empty, cut short or no Core ML model, and TensorError for a tensor
    whose floats do not come in whole words; `lenient` lets those pass where they can be told apart all the
    same, for somebody who looks for faults. Rule: TEN-2, TEN-3.
    """
    model = _parsed(data)
    if not lenient:
        _check_runs(model)
    return model


def _parsed(data: bytes) -> Model:
    """Read bytes into a message, with all floats where they are looked for. Raises FileError."""
    disk.check_size(len(data))
    try:
        model = Model.FromString(data)
        check_nesting(model)
        if LETS_SURROGATES_IN:
            model.ByteSize()  # which goes through all names, and raises a UnicodeError there
        if _has_unpacked_floats(model):
            _check_runs(model)
            model = Model.FromString(standard_model().FromString(data).SerializeToString())
    except UNREADABLE:
        raise FileError(f"not a Core ML model: {impression(data)}") from None
    if model.WhichOneof("Type") is None:
        raise FileError(f"not a Core ML model: {impression(data)}")
    return model


def _has_unpacked_floats(model: Model) -> bool:
    """Tell whether a tensor has floats written one by one, which are not where the packed runs are."""
    return any(has_unpacked_floats(params) for _, params in weights_within(model))


def _check_runs(model: Model) -> None:
    """Refuse a run of packed floats that does not consist of whole words.

    Put together with the next, it would give other numbers than were written. Raises TensorError.
    """
    for path, params in weights_within(model):
        for run in params.floatBytes:
            if len(run) % 4:
                reason = f"a run of floatValue has {len(run)} bytes, which is no multiple of 4"
                raise _tensor_error(model, path, reason, "TEN-2")


def _tensor_error(model: Model, path: str, reason: str, rule: str) -> TensorError:
    """Make the error of the tensor at a path of field names, with the innermost layer that it belongs to."""
    error = TensorError(reason, rule=rule)
    part: Any = model
    for step in re.finditer(r"(\w+)(?:\[(\d+)\])?", path):
        name, index = step.groups()
        part = getattr(part, name)[int(index)] if index else getattr(part, name)
        if isinstance(part, NeuralNetworkLayer):
            error.layer, error.layer_type = part.name, part.WhichOneof("layer")
            error.tensor = path[step.end() :].removeprefix(f".{error.layer_type}.")
    return error


def _read_message(message: Message, lenient: bool) -> Model:
    """Copy a message of any definition of the format, with all its floats where they are looked for.

    Raises TensorError where packed and unpacked floats meet in one tensor: a message, other than the bytes
    that it was read from, does not keep their order.
    """
    if not isinstance(message, Model):
        return parse(serialize(message))  # which has floats, and so no broken runs of them
    check_nesting(message)
    if not lenient:
        _check_runs(message)
    if not _has_unpacked_floats(message):
        return _copy(message)
    for path, params in weights_within(message):
        if any(params.floatBytes) and has_unpacked_floats(params):
            reason = "has packed and unpacked floats, whose order a message does not keep; pass its bytes"
            raise _tensor_error(message, path, reason, "TEN-3")
    return parse(message.SerializeToString())


def _copy(model: Model) -> Model:
    copy = Model()
    copy.CopyFrom(model)
    return copy


def _foreign(kind: Any, model: Model) -> Any:
    """Give a model as a message of the class that was passed, ours or of another definition."""
    return model if kind is Model else kind.FromString(model.SerializeToString())


def _open_object(source: Any, lenient: bool) -> tuple[Model, Callable[[Model], Any]]:
    """Read an object like coremltools' MLModel, and give the way back to one with the same compute unit."""
    spec = source.get_spec()
    if not isinstance(spec, Message):
        raise ArgumentError(f"{type(source).__name__}.get_spec() gave {type(spec).__name__}, not a message")
    settings = {"compute_units": source.compute_unit} if hasattr(source, "compute_unit") else {}
    kind, message = type(source), type(spec)
    return _read_message(spec, lenient), lambda model: kind(_foreign(message, model), **settings)


def _bytes(source: bytes | bytearray | memoryview) -> bytes:
    try:
        return bytes(source)
    except ValueError as error:  # a view whose bytes have been given back
        raise ArgumentError(f"cannot read a model from {type(source).__name__}: {error}") from error


def _read_file(file: IO[bytes], lenient: bool) -> Model:
    return parse(disk.read_stream(file, "the file"), lenient=lenient)


def _read_path(path: Path, lenient: bool) -> Model:
    data = disk.read(path)
    try:
        model = _parsed(data)
    except FileError as error:
        raise FileError(f"{path} is {error}") from None
    del data  # what follows looks at copies of floats: one copy less is held
    if not lenient:
        _check_runs(model)
    return model
