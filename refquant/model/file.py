"""Load and save: paths, bytes, files, packages, and the objects that hold a model elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any, Callable, Union

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from refquant.errors import ArgumentError, FileError
from refquant.schema.coreml import Model, WeightParams, standard_model

#: Anything that names or holds the bytes of a model.
Source = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, IO[bytes], "MLModel", Model]

#: Most bytes that a protobuf message can have. Source: protobuf's encoding, whose lengths are signed 32-bit.
LARGEST = (1 << 31) - 1

#: First bytes of files that people take for a Core ML model -> what they are.
OTHER_FORMATS = {
    b"PK\x03\x04": "a zip archive",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"{": "a JSON text",
    b"\x1f\x8b": "a gzip archive",
}

#: Ending of the name of a package: a folder with a manifest and a model file.
PACKAGE = ".mlpackage"
#: Name of a package's list of contents.
MANIFEST = "Manifest.json"
#: Author and path within a package's data of the model file. Source: packages that Core ML tools write.
AUTHOR = "com.apple.CoreML"
PACKAGE_FILE = f"{AUTHOR}/model.mlmodel"


class MLModel:
    """A Core ML model in memory.

    `MLModel(source)` reads a path (an .mlmodel file or an .mlpackage folder), bytes, a binary file, another
    MLModel or a model message; it has its own copy. Raises FileError.
    """

    def __init__(self, source: Source) -> None:
        self._spec = load(source)

    def get_spec(self) -> Model:
        """Give a copy of the model message."""
        return _copy(self._spec)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a file, or to a package where the path ends in .mlpackage; see `save`."""
        save(self._spec, path)

    def __repr__(self) -> str:
        return f"<refquant.MLModel {self._spec.WhichOneof('Type')}, {self._spec.ByteSize():,} bytes>"


def load(source: Source) -> Model:
    """Read a model into a message of its own. Raises FileError, saying what the source is instead."""
    return opened(source)[0]


def opened(source: Any) -> tuple[Model, Callable[[Model], Any]]:
    """Read any source into a message of its own, and give the way back to the kind that was passed.

    A path or a binary file goes back as an `MLModel`, bytes as bytes, a message as a message of its class,
    and any object with `get_spec()` as an object of its class.
    """
    if isinstance(source, MLModel):
        return source.get_spec(), MLModel
    if isinstance(source, (str, os.PathLike)):
        return _read_path(Path(source)), MLModel
    if isinstance(source, (bytes, bytearray, memoryview)):
        return parse(bytes(source)), lambda model: model.SerializeToString()
    if isinstance(source, Model):
        return _copy(source), lambda model: model
    if isinstance(source, Message):
        return parse(source.SerializeToString()), lambda model: _foreign(type(source), model)
    if callable(getattr(source, "get_spec", None)):
        return _open_object(source)
    if callable(getattr(source, "read", None)):
        return _read_file(source), MLModel
    raise ArgumentError(f"cannot read a model from {type(source).__name__}: pass a path, bytes or a model")


def save(model: Model, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Write a model to a file, or to a package where the path ends in .mlpackage: whole or not at all.

    The bytes go to a temporary neighbour, which then takes the target's name. A file that was there keeps
    its permissions, and a symbolic link still points to it. Raises FileError; a failure leaves the target
    as it was and nothing beside it. Rule: FILE-6.
    """
    target = Path(os.path.realpath(path))
    if not overwrite and target.exists():
        raise FileError(f"{path} exists already")
    if not target.parent.is_dir():
        raise FileError(f"there is no folder {target.parent} to write to")
    data = model.SerializeToString()
    try:
        if target.suffix == PACKAGE:
            _write_package(target, data)
        elif target.is_dir():
            raise FileError(f"{path} is a folder")
        elif target.exists() and not target.is_file():
            target.write_bytes(data)  # a device or a pipe cannot be replaced
        else:
            _write_file(target, data)
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot write {path}: {error.strerror or error}") from error


def parse(data: bytes) -> Model:
    """Read the bytes of a model into a message, however its floats are encoded.

    Raises FileError for bytes that are empty, cut short or no Core ML model. Rule: TEN-3.
    """
    if len(data) > LARGEST:
        raise FileError(f"{len(data):,} bytes are more than a protobuf message can have")
    try:
        model = Model.FromString(data)
        if any(_has_unpacked_floats(params) for _, params in weights_within(model)):
            packed = standard_model().FromString(data).SerializeToString()
            model = Model.FromString(packed)
    except DecodeError:
        raise FileError(f"not a Core ML model: {_impression(data)}") from None
    if model.WhichOneof("Type") is None:
        raise FileError(f"not a Core ML model: {_impression(data)}")
    return model


def weights_within(message: Message, path: str = "") -> Iterator[tuple[str, WeightParams]]:
    """Give every weight tensor in a message, covered by quantization or not, with its path of field names."""
    if isinstance(message, WeightParams):
        yield path, message
        return
    for field, value in message.ListFields():
        if field.message_type is not None and _may_hold_weights(field.message_type.full_name):
            here = f"{path}.{field.name}".lstrip(".")
            parts = [(here, value)] if isinstance(value, Message) else _numbered(here, value)
            for part_path, part in parts:
                yield from weights_within(part, part_path)


def _numbered(path: str, values: Iterable[Message]) -> list[tuple[str, Message]]:
    return [(f"{path}[{index}]", value) for index, value in enumerate(values)]


@cache
def _may_hold_weights(name: str) -> bool:
    """Whether messages of this type can have a weight tensor somewhere within."""
    return name in _holders_of_weights()


@cache
def _holders_of_weights() -> frozenset[str]:
    """List the types of all messages that can have a weight tensor somewhere within, by their fields."""
    file = Model.DESCRIPTOR.file
    waiting: list[Any] = list(file.message_types_by_name.values())
    parts: dict[str, set[str]] = {}
    for kind in waiting:
        waiting.extend(kind.nested_types)
        parts[kind.full_name] = {field.message_type.full_name for field in kind.fields if field.message_type}
    holders = {WeightParams.DESCRIPTOR.full_name}
    while True:
        more = {name for name, inner in parts.items() if inner & holders} | holders
        if more == holders:
            return frozenset(holders)
        holders = more


def _has_unpacked_floats(params: WeightParams) -> bool:
    """Whether a writer put the floats one by one, so that they are not where a packed run would be."""
    return any(field.field_number == 1 for field in _unknown_fields(params))


def _unknown_fields(message: Message) -> list[Any]:
    """List the fields that the definition does not know; protobuf's stubs do not say that they can be."""
    fields: Any = UnknownFieldSet(message)
    return list(fields)


def _impression(data: bytes) -> str:
    """Say what bytes that are no model look like."""
    if not data:
        return "it is empty"
    for start, what in OTHER_FORMATS.items():
        if data.startswith(start):
            return f"it looks like {what}"
    return "it is cut short, damaged or something else"


def _copy(model: Model) -> Model:
    copy = Model()
    copy.CopyFrom(model)
    return copy


def _foreign(kind: Any, model: Model) -> Any:
    """Give a model as a message of another definition of the format."""
    return kind.FromString(model.SerializeToString())


def _open_object(source: Any) -> tuple[Model, Callable[[Model], Any]]:
    """Read an object like coremltools' MLModel, and give the way back to one with the same compute unit."""
    spec = source.get_spec()
    if not isinstance(spec, Message):
        raise ArgumentError(f"{type(source).__name__}.get_spec() gave {type(spec).__name__}, not a message")
    settings = {"compute_units": source.compute_unit} if hasattr(source, "compute_unit") else {}
    kind, message = type(source), type(spec)
    return parse(spec.SerializeToString()), lambda model: kind(_foreign(message, model), **settings)


def _read_file(file: IO[bytes]) -> Model:
    data = file.read()
    if not isinstance(data, bytes):
        raise ArgumentError("the file is open as text; a model is read from a binary file")
    return parse(data)


def _read_path(path: Path) -> Model:
    try:
        data = (_package_file(path) if path.is_dir() else path).read_bytes()
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        return parse(data)
    except FileError as error:
        raise FileError(f"{path} is {error}") from None


def _package_file(folder: Path) -> Path:
    """Find the model file of a package by its manifest."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise FileError(f"{folder} is a folder without {MANIFEST}, so not a package with a model")
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        name = content["itemInfoEntries"][content["rootModelIdentifier"]]["path"]
        inner = Path(os.path.normpath(folder / "Data" / name))
    except (ValueError, KeyError, TypeError) as error:
        raise FileError(f"{manifest} does not name a model file") from error
    if folder / "Data" not in inner.parents:
        raise FileError(f"{manifest} names a file outside the package")
    return inner


def _write_file(target: Path, data: bytes) -> None:
    with _neighbour(target) as temporary:
        # 0o666 less the umask for a new file, as open() has it; what was there keeps its own.
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            os.chmod(temporary, target.stat().st_mode)
        os.replace(temporary, target)


def _write_package(target: Path, data: bytes) -> None:
    """Write a package; its identifier comes from the content, so that the same model gives the same bytes."""
    identifier = str(uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(data).hexdigest())).upper()
    entry = {
        "author": AUTHOR,
        "description": "CoreML Model Specification",
        "name": Path(PACKAGE_FILE).name,
        "path": PACKAGE_FILE,
    }
    manifest = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": {identifier: entry},
        "rootModelIdentifier": identifier,
    }
    with _neighbour(target) as temporary, _neighbour(target) as old:
        file = temporary / "Data" / PACKAGE_FILE
        file.parent.mkdir(parents=True)
        _write_file(file, data)
        _write_file(temporary / MANIFEST, json.dumps(manifest, indent=4).encode())
        if target.exists():
            os.replace(target, old)
        try:
            os.replace(temporary, target)
        except OSError:
            if old.exists():
                os.replace(old, target)
            raise


@contextmanager
def _neighbour(target: Path) -> Iterator[Path]:
    """Give an unused name beside the target; whatever is left there at the end is removed."""
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
