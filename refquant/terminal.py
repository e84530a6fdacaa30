"""What a person sees: tables, lines, a progress bar."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import IO, Any, Callable, TextIO, cast

from refquant.errors import LONGEST_NAME, RefquantWarning, plain, shorten
from refquant.steps import Progress, ProgressCallback, logger

#: How a column of a table is set: words to the left, names too but losing their middle where there is no
#: room, numbers to the right.
NAME, WORD, NUMBER = "name", "word", "number"

#: Least characters of a name in a table that is too wide for the screen.
LEAST_NAME = 12


class _Remarks:
    """A stream for remarks about the work: where it takes no more, they are lost, and the work goes on."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        self._attempt(self.stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._attempt(self.stream.flush)

    def _attempt(self, function: Callable[..., object], *arguments: str) -> None:
        try:
            function(*arguments)
        except (OSError, ValueError):  # a ValueError: it is closed
            abandon(self.stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def remarks_may_be_lost() -> Iterator[None]:
    """Let nothing fail because stderr cannot be written."""
    stream = sys.stderr
    sys.stderr = cast(TextIO, _Remarks(stream))
    try:
        yield
    finally:
        sys.stderr = stream


@contextmanager
def printing_to_stderr(wanted: bool) -> Iterator[None]:
    """Send to stderr what is printed meanwhile, here and in processes that are started, if that is wanted."""
    if not wanted:
        yield
        return
    with _same_file(sys.stdout, sys.stderr), redirect_stdout(sys.stderr):
        yield


@contextmanager
def _same_file(stream: TextIO, other: TextIO) -> Iterator[None]:
    """Let the number of a stream be that of another, where both have one."""
    try:
        number, there = stream.fileno(), other.fileno()
        kept = os.dup(number)
    except (OSError, ValueError):  # streams that are no files, as in a test
        yield
        return
    try:
        os.dup2(there, number)
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)


@contextmanager
def warnings_as_lines(subject: str = "") -> Iterator[None]:
    """Show refquant's warnings as one line each on stderr, with what they are about first."""
    show = warnings.showwarning

    def one_line(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, RefquantWarning):
            say(f"warning: {subject}{message}")
        else:
            show(message, category, *rest, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", RefquantWarning)
        warnings.showwarning = one_line
        yield


class _Line(logging.Formatter):
    """Keeps a record, whatever names are in it, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


@contextmanager
def log_as_lines(verbose: bool) -> Iterator[None]:
    """Show what refquant logs as one line each on stderr, where that is wanted."""
    if not verbose:
        yield
        return
    level = logger.level
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line("%(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextmanager
def progress_bar(quiet: bool) -> Iterator[ProgressCallback | None]:
    """Give a callback that moves a bar on a terminal, where tqdm is there to draw one."""
    try:
        if quiet or not sys.stderr.isatty():
            raise ImportError
        from tqdm import tqdm
    except ImportError:
        yield None
        return
    with tqdm(unit="B", unit_scale=True, leave=False, delay=0.5) as bar:

        def moved(progress: Progress) -> None:
            bar.total = progress.total
            bar.set_description(plain(shorten(progress.layer, 24)), refresh=False)  # not before the delay
            bar.update(progress.done - bar.n)

        yield moved


def print_table(
    columns: Mapping[str, str], rows: Iterable[Sequence[str]], stream: TextIO | None = None
) -> None:
    """Print a table, on stdout by default; `columns` maps each heading to NAME, WORD or NUMBER.

    On a terminal, names give up their middle until a line fits; anywhere else, what is past LONGEST_NAME.
    """
    stream = sys.stdout if stream is None else stream
    kinds = list(columns.values())
    lines = [list(columns), *(list(map(_shown, row, kinds)) for row in rows)]
    widths = _fitted([max(map(len, column)) for column in zip(*lines)], kinds, stream)
    for line in lines:
        cells = (
            cell.rjust(width) if kind == NUMBER else shorten(cell, width).ljust(width)
            for cell, width, kind in zip(line, widths, kinds)
        )
        write_line("  ".join(cells).rstrip(), stream)


def _shown(cell: str, kind: str) -> str:
    """Give a cell in plain characters; a name may be as long as a file, and in any number of rows."""
    return plain(shorten(cell, LONGEST_NAME) if kind == NAME else cell)


def _fitted(widths: list[int], kinds: Sequence[str], stream: TextIO) -> list[int]:
    """Narrow the names, always the widest, until the line fits the screen or none can give more."""
    widths = [min(width, LONGEST_NAME) if kind == NAME else width for width, kind in zip(widths, kinds)]
    if not stream.isatty():
        return widths
    room = shutil.get_terminal_size().columns - 2 * (len(widths) - 1)
    names = [column for column, kind in enumerate(kinds) if kind == NAME]
    while names and sum(widths) > room:
        widest = max(names, key=lambda column: widths[column])
        if widths[widest] <= LEAST_NAME:
            break
        widths[widest] -= 1
    return widths


def write_line(text: str, stream: TextIO | None = None) -> None:
    """Write a line, on stdout by default; a character that the encoding lacks is spelled out."""
    stream = sys.stdout if stream is None else stream
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def say(text: str) -> None:
    """Write one line about the work, apart from the output and clear of a progress bar."""
    line = f"refquant: {plain(text)}"
    bars = sys.modules.get("tqdm")
    if bars is not None and sys.stderr.isatty():
        bars.tqdm.write(line, file=sys.stderr)
    else:
        sys.stderr.write(f"{line}\n")


def say_why() -> None:
    """Write the traceback of the error that is being handled, as plain text, on stderr."""
    for part in traceback.format_exception(*sys.exc_info()):
        # What starts at the margin is an error with its text, which begins no line of its own.
        for line in part.splitlines() if part[0].isspace() else [part.rstrip("\n")]:
            write_line(plain(line), sys.stderr)


def abandon(stream: IO[str]) -> None:
    """Send what is still to come on a stream that cannot be written to nowhere, also at exit."""
    with suppress(OSError, ValueError):  # ValueError: a stream that is no file, as in a test
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
