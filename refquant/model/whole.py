"""A file that is written whole or not at all: what every `save` stands on. Rule: FILE-6."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Callable

#: Gives what has been written its name; told whether it may take the place of a file that has it already.
Publish = Callable[[bool], None]

#: Start of the names of what is not yet in its place.
HIDDEN = ".refquant-"

#: Opens a file without a name, which is gone as soon as no process has it open; 0 where Python cannot.
NAMELESS = getattr(os, "O_TMPFILE", 0)

#: What Linux says where that does not work: the file system has no such files, or no links; the kernel is
#: older than they are, and sees a folder; there is no /proc to link from.
UNKNOWN_HERE = {errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM, errno.EXDEV, errno.EISDIR, errno.ENOENT}


def write_whole(target: Path, data: bytes, *, overwrite: bool) -> None:
    """Make a file of these bytes, or put them in the place of one. Raises OSError."""
    with staged(target, data) as publish:
        publish(overwrite)


@contextmanager
def staged(target: Path, data: bytes) -> Iterator[Publish]:
    """Put bytes on the disk, and give the function that makes them the file, in one step. Raises OSError.

    If that is not called, or raises, the target is as it was and nothing is left beside it. On Linux that
    also holds where the process is killed, but for one moment: to take the place of an old file, the new one
    needs a name of its own first. Elsewhere it has one while it is being written.
    """
    with ExitStack() as stack:
        try:
            publish = stack.enter_context(_nameless(target, data))
        except OSError as error:
            if error.errno not in UNKNOWN_HERE:
                raise
            publish = stack.enter_context(_named(target, data))
        yield publish


@contextmanager
def _nameless(target: Path, data: bytes) -> Iterator[Publish]:
    if not NAMELESS:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    with open(os.open(target.parent, NAMELESS | os.O_WRONLY, 0o666), "wb") as file:
        _fill(file, file.fileno(), target, data)
        yield partial(_give_name, file.fileno(), target, data)


@contextmanager
def _named(target: Path, data: bytes) -> Iterator[Publish]:
    with neighbour(target) as beside:
        with beside.open("xb") as file:
            _fill(file, beside, target, data)
        yield partial(_rename, beside, target)


def _fill(file: IO[bytes], place: int | Path, target: Path, data: bytes) -> None:
    """Write all bytes to the disk; before the first, take over owner and permissions of the old file."""
    with suppress(FileNotFoundError):
        old = os.stat(target)
        if hasattr(os, "chown"):
            with suppress(OSError):  # only the superuser gives files away
                os.chown(place, old.st_uid, old.st_gid)
        os.chmod(place, stat.S_IMODE(old.st_mode))
    file.write(data)
    file.flush()
    os.fsync(file.fileno())  # a name that survives a power failure must not be that of an empty file


def _give_name(file: int, target: Path, data: bytes, overwrite: bool) -> None:
    """Give an open file without a name that of the target, be it by way of another."""
    try:
        _link_over(file, target, overwrite)
    except OSError as error:
        if error.errno not in UNKNOWN_HERE:
            raise
        with _named(target, data) as publish:
            publish(overwrite)
    sync(target.parent)


def _link_over(file: int, target: Path, overwrite: bool) -> None:
    try:
        _link(file, target)
    except FileExistsError:
        if not overwrite:
            raise
        with neighbour(target) as beside:
            _link(file, beside)
            os.replace(beside, target)


def _link(file: int, path: Path) -> None:
    # Given a folder, be it for a path that needs none, `link` follows the link that /proc has for the file.
    os.link(f"/proc/self/fd/{file}", path, src_dir_fd=file)


def _rename(beside: Path, target: Path, overwrite: bool) -> None:
    """Give a file with a name of its own that of the target; only `replace` takes that from another file."""
    move = os.replace if overwrite else os.rename if os.name == "nt" else os.link
    try:
        move(beside, target)
    except OSError as error:
        if overwrite or error.errno not in UNKNOWN_HERE or os.path.lexists(target):
            raise
        os.replace(beside, target)  # there are no links here, so nothing better than to have looked
    sync(target.parent)


def sync(folder: Path) -> None:
    """Bring the names in a folder to the disk. The files are whole without that, so it may fail."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextmanager
def neighbour(target: Path) -> Iterator[Path]:
    """Give an unused name beside the target; whatever is left there at the end is removed.

    The target's own name is no part of it: that may be as long as a name can be.
    """
    beside = target.with_name(f"{HIDDEN}{os.urandom(16).hex()}.tmp")
    try:
        yield beside
    finally:
        if beside.is_dir():
            import shutil

            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.unlink(missing_ok=True)
