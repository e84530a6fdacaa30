"""Weights as every encoder takes them: float32 numbers, of which none may be a NaN or an infinity.

They come as an array('f'), or as a memoryview of bytes cast to 'f', which saves a copy. Encoders use what the
two have in common: length, index, slice, iteration, `tolist`, `tobytes`. Types name the array.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator

from refquant.errors import NonFiniteError

#: Weights that are Python numbers at a time, so that these take little memory, and stay in the cache.
CHUNK = 1 << 12

#: Position in memory of the byte of a float32 number that has the sign and most of the exponent.
HIGH_BYTE = array("f", [-0.0]).tobytes().index(0x80)

#: That byte of every NaN, every infinity and every number of at least 2^127, positive or negative.
GREATEST_BYTES = (0x7F, 0xFF)


def pieces(weights: array[float]) -> Iterator[array[float]]:
    """Give weights in pieces of at most CHUNK."""
    return (weights[at : at + CHUNK] for at in range(0, len(weights), CHUNK))


def in_lists(weights: array[float]) -> Iterable[list[float]]:
    """Give weights as lists of Python numbers, that can be gone through more than once."""
    return [weights.tolist()] if len(weights) <= CHUNK else _Lists(weights)


def ends(lists: Iterable[list[float]]) -> tuple[float, float]:
    """Give the least and the greatest of weights in lists, of which none may be empty."""
    pairs = [(min(numbers), max(numbers)) for numbers in lists]
    return min(least for least, _ in pairs), max(greatest for _, greatest in pairs)


class _Lists:
    """Many weights, made into lists anew each time, a piece at a time."""

    def __init__(self, weights: array[float]) -> None:
        self.weights = weights

    def __iter__(self) -> Iterator[list[float]]:
        return (piece.tolist() for piece in pieces(self.weights))


def check_finite(weights: array[float], what: str = "weight", rule: str = "TEN-7") -> None:
    """Refuse a NaN or an infinity among float32 weights, naming the first. Empty input passes.

    Raises NonFiniteError with the index and the rule that is broken. Rule: TEN-7.
    """
    for piece in pieces(weights):
        high = piece.tobytes()[HIGH_BYTE::4]
        if any(byte in high for byte in GREATEST_BYTES):
            _check_each(weights, what, rule)
            return


def _check_each(weights: array[float], what: str, rule: str) -> None:
    for index, weight in enumerate(weights):
        if not math.isfinite(weight):
            raise NonFiniteError(f"{what} is {weight}, not a finite number", index=index, rule=rule)
