"""Custom functions for other processes, which load this module to find them: it imports next to nothing."""

from __future__ import annotations

import os
import signal
import time
from array import array
from typing import Any

from refquant.errors import LutFunctionError


def ends(nbits: int, weights: array[float]) -> tuple[list[float], list[int]]:
    """The least weight, the greatest, and between them nothing."""
    middle = (min(weights) + max(weights)) / 2
    table = [min(weights), max(weights), *[0.0] * ((1 << nbits) - 2)]
    return table, [int(w > middle) for w in weights]


def dies(nbits: int, weights: array[float]) -> Any:
    os._exit(3)


def is_killed(nbits: int, weights: array[float]) -> Any:
    """One worker is killed at its 9 weights, and any other is slow."""
    if len(weights) == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


class OddError(Exception):
    """An exception that pickles, and cannot be made again from that."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def raises(kind: str, nbits: int, weights: array[float]) -> Any:
    raise OddError(1, 2) if kind == "odd" else ValueError("no table")


class ChoosyError(LutFunctionError):
    """A subclass whose errors pickle, and cannot be made again from that."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}", index=1, rule="LUT-5")


def is_choosy(nbits: int, weights: array[float]) -> Any:
    raise ChoosyError("not these weights", "too few") from ValueError("no table")


def refuses(nbits: int, weights: array[float]) -> Any:
    raise LutFunctionError("not these weights", index=1, rule="LUT-5")
