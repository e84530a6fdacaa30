"""What a person sees: tables, lines, a progress bar."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from refquant.errors import RefquantWarning
from refquant.quantize import Progress, ProgressCallback, logger

#: Widest a name may be in a table before its middle is left out.
NAME_WIDTH = 36


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Show refquant's warnings as one line each on stderr."""
    show = warnings.showwarning

    def one_line(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if issubclass(category, RefquantWarning):
            say(f"warning: {message}")
        else:
            show(message, category, *rest, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", RefquantWarning)
        warnings.showwarning = one_line
        yield


@contextmanager
def log_as_lines(verbose: bool) -> Iterator[None]:
    """Show what refquant logs as one line each on stderr, where that is wanted."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    if verbose:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


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
            bar.set_description(progress.layer)
            bar.update(progress.done - bar.n)

        yield moved


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> None:
    """Print a table whose first `left` columns are words and whose others are numbers."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        cells = (
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        )
        write_line("  ".join(cells).rstrip())


def shorten(name: str) -> str:
    """Leave out the middle of a long name."""
    half = (NAME_WIDTH - 1) // 2
    return name if len(name) <= NAME_WIDTH else f"{name[:half]}…{name[-half:]}"


def write_line(text: str) -> None:
    """Write a line of output."""
    sys.stdout.write(f"{text}\n")


def say(text: str) -> None:
    """Write a line about the work, apart from the output."""
    sys.stderr.write(f"refquant: {text}\n")
