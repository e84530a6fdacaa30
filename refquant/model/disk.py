"""Models on disk: files and packages, read and written."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

from refquant.errors import ArgumentError, FileError
from refquant.model.whole import HIDDEN, neighbour, staged, sync, write_whole

#: Most bytes that a protobuf message can have. Source: protobuf's encoding, whose lengths are signed 32-bit.
LARGEST = (1 << 31) - 1

#: Bytes that are read of a stream at a time.
PART = 1 << 24

#: Ending of the name of a package: a folder with a manifest and a model file.
PACKAGE = ".mlpackage"
#: What comes of a manifest that is no JSON, is nested too deeply or has other contents.
UNCLEAR = (ValueError, KeyError, TypeError, RecursionError)
#: What comes of a file that cannot be removed; a ValueError where no file can have its name.
STAYS = (OSError, ValueError)
#: Name of a package's list of contents.
MANIFEST = "Manifest.json"
#: Most bytes of it: it names a few files, in packages that are meant.
LARGEST_MANIFEST = 1 << 24
#: Author and path within a package's data of the model file. Source: packages that Core ML tools write.
AUTHOR = "com.apple.CoreML"
PACKAGE_FILE = f"{AUTHOR}/model.mlmodel"

#: A file that every compiled model (.mlmodelc) has. Source: what Core ML's compiler writes.
COMPILED_FILE = "coremldata.bin"


def read(path: Path) -> bytes:
    """Read the bytes of a model from a file, or from a package by its manifest. Raises FileError."""
    try:
        file = _package_file(path) if path.is_dir() else path
        if not file.is_file():
            if file is not path and file.exists():
                raise FileError(f"{file} is not a file")
            with file.open("rb") as stream:
                return read_stream(stream, path)
        check_size(file.stat().st_size, path)
        return file.read_bytes()
    except FileError:
        raise
    except (OSError, ValueError) as error:
        file = getattr(error, "filename", None) or path  # in a package, that which is missing
        raise FileError(f"cannot read {file}: {_why(error)}") from error


def read_stream(stream: IO[bytes], what: object = "the input") -> bytes:
    """Read a stream to its end, but no further than a model can be long.

    Raises FileError, and ArgumentError where it is open as text.
    """
    parts, size = [], 0
    while part := _read_part(stream, what):
        parts.append(part)
        size += len(part)
        check_size(size, what)
    return b"".join(parts)


def _read_part(stream: Any, what: object) -> bytes:
    """Read the next bytes of a stream, whatever it is; none at its end."""
    try:
        part = stream.read(PART)
    except UnicodeDecodeError as error:
        raise _as_text(what) from error
    except OSError as error:
        raise FileError(f"cannot read {what}: {_why(error)}") from error
    except Exception as error:  # it may unpack, decrypt or fetch, and fail in ways of its own
        raise FileError(f"cannot read {what}: {type(error).__name__}: {error}") from error
    if isinstance(part, str):
        raise _as_text(what)
    if not isinstance(part, (bytes, bytearray)):
        raise FileError(f"cannot read {what}: it gave {type(part).__name__} in place of bytes")
    return bytes(part)


def _as_text(what: object) -> ArgumentError:
    return ArgumentError(f"{what} is open as text; a model is read from a binary file")


def write(path: str | os.PathLike[str], data: bytes, *, overwrite: bool = True) -> None:
    """Write the bytes of a model to a file, or to a package where the path ends in .mlpackage.

    A file that was there keeps its permissions, and a symbolic link still points to it; another hard link to
    it keeps what it held. Raises FileError; a failure leaves the target as it was and nothing beside it. With
    `overwrite=False`, of several processes that write one file exactly one does. What cannot be replaced, as
    a pipe, is written into. Raises ArgumentError for what is no path. Rule: FILE-6.
    """
    name = _name(path)
    try:
        if _cannot_be_replaced(name):
            if not overwrite:
                raise FileExistsError
            Path(name).write_bytes(data)
            return
        target = Path(os.path.realpath(path))
        if target.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if not overwrite and target.exists():
            raise FileExistsError
        if not target.parent.is_dir():
            raise FileError(f"there is no folder {target.parent} to write to")
        if target.suffix == PACKAGE:
            _write_package(target, data, overwrite)
        elif target.is_dir():
            raise FileError(f"{path} is a folder")
        else:
            write_whole(target, data, overwrite=overwrite)
    except FileError:
        raise
    except FileExistsError as error:
        raise FileError(f"{path} exists already") from error
    except (OSError, ValueError) as error:
        raise FileError(f"cannot write {path}: {_why(error)}") from error


def _name(path: object) -> str:
    """Give the text of a path. Raises ArgumentError for what is none."""
    name = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(name, str):
        raise ArgumentError(f"cannot write to {type(name).__name__}: pass a path")
    check_names(name)
    return name


def check_names(*names: str) -> None:
    """Refuse a name that was left out, as by a variable of a shell that is not set. Raises ArgumentError."""
    if "" in names:
        raise ArgumentError("an empty name names no file")


def _cannot_be_replaced(name: str) -> bool:
    """Tell whether a path leads to what has no name to give away: a device, a pipe, a file that was removed.

    Those that are open have paths in /dev/fd, which are links to names that nobody can open.
    """
    try:
        found = os.stat(name)
    except OSError:
        return False
    if stat.S_ISREG(found.st_mode):
        return not os.path.exists(os.path.realpath(name))
    return not stat.S_ISDIR(found.st_mode)


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
    try:
        content = _content(manifest)
        inner = _inside(content["itemInfoEntries"][content["rootModelIdentifier"]]["path"])
    except UNCLEAR as error:
        raise FileError(f"{manifest} does not name a model file") from error
    if inner is None:
        raise FileError(f"{manifest} names a file outside the package")
    return folder / "Data" / inner


def _content(manifest: Path) -> Any:
    """Read a manifest. Raises OSError; FileError where it is too long; and others of UNCLEAR."""
    import json  # takes longer to import than a file to read, and packages are rare

    if manifest.stat().st_size > LARGEST_MANIFEST:
        raise FileError(f"{manifest} has more than {LARGEST_MANIFEST:,} bytes, too many to name a few files")
    return json.loads(manifest.read_text(encoding="utf-8"))


def _inside(name: str) -> Path | None:
    """Give the place in a package's data that a manifest names; None where that is outside.

    By name only: a link within the package may lead out of it, as in caches of downloads.
    """
    inner = Path(os.path.normpath(name))
    return None if inner.is_absolute() or inner.parts[:1] in ((), ("..",)) else inner


def _write_package(target: Path, data: bytes, overwrite: bool) -> None:
    """Write a package: a new one takes its name when it is whole, in an old one files take others' places."""
    if target.exists() and not target.is_dir():
        raise FileError(f"{target} is a file, and a package a folder")
    if not (overwrite and _is_package(target)):
        if _made(target, data):
            return
        if not overwrite:
            raise FileExistsError
    if (target / MANIFEST).is_dir():
        raise FileError(f"{target / MANIFEST} is a folder")
    before = _named(target)
    _put(target, data)
    _sweep(target, before)


def _is_package(folder: Path) -> bool:
    return (folder / MANIFEST).exists()


def _made(target: Path, data: bytes) -> bool:
    """Make a package beside its place and move it there, in one step; False: by then there is one."""
    if target.is_dir() and any(target.iterdir()) and not _is_package(target):
        raise FileError(f"{target} is a folder with other content")
    with neighbour(target) as folder:
        _put(folder, data)
        with suppress(OSError):
            target.rmdir()  # an empty folder, which some systems do not replace
        try:
            os.rename(folder, target)
        except OSError:
            if _is_package(target):
                return False
            raise
    sync(target.parent)
    return True


def _put(folder: Path, data: bytes) -> None:
    """Put a model into the folder of a package, step by step whole: the manifest names either model.

    Its identifier comes from the content, so that the same model gives the same bytes.
    """
    import hashlib
    import json
    import uuid

    file = folder / "Data" / PACKAGE_FILE
    if Path(os.path.realpath(file.parent)) != file.parent:
        raise FileError(f"{file.parent} leads out of the package")
    file.parent.mkdir(parents=True, exist_ok=True)
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
    text = json.dumps(manifest, indent=4).encode()
    with staged(file, data) as model, staged(folder / MANIFEST, text) as contents:
        model(True)
        sync(folder / "Data")
        contents(True)


def _named(folder: Path) -> list[Path]:
    """List the files and folders that a package's manifest names; none where it cannot be understood."""
    if not (folder / MANIFEST).is_file():
        return []
    try:
        entries = _content(folder / MANIFEST)["itemInfoEntries"]
        inside = [_inside(entries[each]["path"]) for each in entries]
    except (OSError, *UNCLEAR):
        return []
    return [folder / "Data" / inner for inner in inside if inner is not None]


def _sweep(folder: Path, named: list[Path]) -> None:
    """Remove from a package's data, as far as that goes, what its manifest has ceased to name."""
    data = folder / "Data"
    for old in named:
        with suppress(*STAYS):
            # No link on the way, which may lead out of the package.
            if Path(os.path.realpath(old.parent)) == old.parent and not _holds(old, data / PACKAGE_FILE):
                _remove(old)
                while (old := old.parent) != data:
                    os.rmdir(old)  # unless it is not empty


def _holds(old: Path, file: Path) -> bool:
    """Tell whether a path is that of a file, or of a folder around it, be it in other letters."""
    if old in (file, *file.parents):  # which may be another file from one moment to the next
        return True
    same = partial(os.path.samestat, os.lstat(old))
    return any(map(same, map(os.lstat, (file, *file.parents))))


def _remove(path: Path) -> None:
    """Remove a file, or a folder with all in it but what is another's, at work."""
    if path.is_symlink() or not path.is_dir():
        os.unlink(path)
        return
    for inner, folders, files in os.walk(path, topdown=False):
        for name in files:
            if not name.startswith(HIDDEN):
                os.unlink(Path(inner, name))
        for name in folders:
            with suppress(OSError):  # one that is not empty stays
                os.rmdir(Path(inner, name))
    os.rmdir(path)
