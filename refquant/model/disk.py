"""Files and packages on disk: read, and written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refquant.errors import FileError

#: Most bytes that a protobuf message can have. Source: protobuf's encoding, whose lengths are signed 32-bit.
LARGEST = (1 << 31) - 1

#: Ending of the name of a package: a folder with a manifest and a model file.
PACKAGE = ".mlpackage"
#: Name of a package's list of contents.
MANIFEST = "Manifest.json"
#: Author and path within a package's data of the model file. Source: packages that Core ML tools write.
AUTHOR = "com.apple.CoreML"
PACKAGE_FILE = f"{AUTHOR}/model.mlmodel"

#: A file that every compiled model (.mlmodelc) has. Source: what Core ML's compiler writes.
COMPILED_FILE = "coremldata.bin"


def read(path: Path) -> bytes:
    """Read the bytes of a model from a file, or from a package by its manifest. Raises FileError."""
    try:
        file = _package_file(path) if path.is_dir() else path
        check_size(file.stat().st_size, path)
        return file.read_bytes()
    except FileError:
        raise
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read {path}: {_why(error)}") from error


def write(path: str | os.PathLike[str], data: bytes, *, overwrite: bool = True) -> None:
    """Write the bytes of a model to a file, or to a package where the path ends in .mlpackage.

    The bytes go to a temporary neighbour, which then takes the target's name. A file that was there keeps
    its permissions, and a symbolic link still points to it. Raises FileError; a failure leaves the target
    as it was and nothing beside it. Rule: FILE-6.
    """
    try:
        target = Path(os.path.realpath(path))
        if not overwrite and target.exists():
            raise FileError(f"{path} exists already")
        if not target.parent.is_dir():
            raise FileError(f"there is no folder {target.parent} to write to")
        if target.suffix == PACKAGE:
            _write_package(target, data)
        elif target.is_dir():
            raise FileError(f"{path} is a folder")
        elif target.exists() and not target.is_file():
            target.write_bytes(data)  # a device or a pipe cannot be replaced
        else:
            _write_file(target, data)
    except FileError:
        raise
    except (OSError, ValueError) as error:
        raise FileError(f"cannot write {path}: {_why(error)}") from error


def check_size(size: int, what: object = "the model") -> None:
    """Refuse more bytes than a protobuf message can have."""
    if size > LARGEST:
        raise FileError(f"{what} has {size:,} bytes, more than a protobuf message can have")


def _why(error: OSError | ValueError) -> str:
    """Say what went wrong; a ValueError is a path that no file can have, such as one with a NUL within."""
    return getattr(error, "strerror", None) or str(error)


def _package_file(folder: Path) -> Path:
    """Find the model file of a package by its manifest."""
    if (folder / COMPILED_FILE).exists():
        raise FileError(
            f"{folder} is a compiled model; its weights are in the .mlmodel that it was made from"
        )
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise FileError(f"{folder} is a folder without {MANIFEST}, so not a package with a model")
    import json  # takes longer to import than a file to read, and packages are rare

    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        name = content["itemInfoEntries"][content["rootModelIdentifier"]]["path"]
        inner = Path(os.path.normpath(name))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileError(f"{manifest} does not name a model file") from error
    # By name only: a link within the package may lead out of it, as in caches of downloads.
    if inner.is_absolute() or inner.parts[:1] in ((), ("..",)):
        raise FileError(f"{manifest} names a file outside the package")
    return folder / "Data" / inner


def _write_file(target: Path, data: bytes) -> None:
    with _neighbour(target) as temporary:
        with temporary.open("xb") as file:
            if target.exists():  # before there is something to read
                temporary.chmod(target.stat().st_mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)


def _write_package(target: Path, data: bytes) -> None:
    """Write a package; its identifier comes from the content, so that the same model gives the same bytes."""
    if target.is_dir() and any(target.iterdir()) and not (target / MANIFEST).exists():
        raise FileError(f"{target} is a folder with other content, which a package would replace")
    import hashlib
    import json
    import uuid

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
        except BaseException:
            if old.exists():
                os.replace(old, target)
            raise


@contextmanager
def _neighbour(target: Path) -> Iterator[Path]:
    """Give an unused name beside the target; whatever is left there at the end is removed.

    The target's own name is no part of it: that may be as long as a name can be.
    """
    temporary = target.with_name(f".refquant-{os.urandom(16).hex()}.tmp")
    try:
        yield temporary
    finally:
        if temporary.is_dir():
            import shutil

            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
