"""Weights as every encoder takes them: float32 numbers, of which none may be a NaN or an infinity.

They come as an array('f'), or as a memoryview of bytes cast to 'f', which saves a copy. Encoders use what the
two have in common: length, index, slice, iteration, `tolist`, `tobytes`. Types name the array.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import compress, repeat

from refquant.errors import NonFiniteError

#: Weights that are Python numbers at a time, so that these take little memory, and stay in the cache.
CHUNK = 1 << 12

#: Least length of a piece of weights where it is worth a look which of them can be an end.
LONG = 512

#: Whether to leave weights out by their bytes; PyPy compares numbers as fast as it looks.
SKIPS = sys.implementation.name == "cpython"

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


def ends(weights: array[float], lists: Iterable[list[float]]) -> tuple[float, float]:
    """Give the least and the greatest of weights, of which there is one at least; `lists` has them too.

    They are the ends of all pieces, and of most pieces those of a few weights that their high bytes tell: to
    leave a number out takes a third of the time that comparing it twice does.
    """
    found = []
    for numbers, piece in zip(lists if len(weights) <= CHUNK else repeat(None), pieces(weights)):
        marks = _marks(piece) if SKIPS and len(piece) >= LONG else None
        far = list(compress(numbers or piece, marks)) if marks else numbers or piece.tolist()
        found += [min(far), max(far)]
    return min(found), max(found)


def _marks(weights: array[float]) -> bytes | None:
    """Give 1 for each weight that may be the least or the greatest, else 0; None: they are too many.

    Of two positive numbers, one with a greater high byte is the greater, and of two negative ones the less.
    Zeros, and numbers as small as make no greater byte, tell nothing.
    """
    high = _high_bytes(weights)
    positive, negative = _greatest(high, 0x7F), _greatest(high, 0xFF)
    if not positive or not negative or 2 * (high.count(positive) + high.count(negative)) > len(high):
        return None
    return high.translate(_two_bytes(positive, negative))


def _high_bytes(weights: array[float]) -> bytes:
    """Give the byte of each weight that has the sign and most of the exponent."""
    return weights.tobytes()[HIGH_BYTE::4]


def _greatest(high: bytes, top: int) -> int:
    """Find the greatest of the bytes up to `top` that have its sign, as far as there is one above zero's."""
    return next((byte for byte in range(top, top & 0x80, -1) if byte in high), 0)


@cache
def _two_bytes(first: int, second: int) -> bytes:
    """Give a table that makes 1 of two bytes, and 0 of all others."""
    return bytes(byte in (first, second) for byte in range(256))


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
    if any(may_not_be_finite(_high_bytes(piece)) for piece in pieces(weights)):
        _check_each(weights, what, rule)


def may_not_be_finite(high: bytes) -> bool:
    """Tell whether float32 numbers must be looked at to know that all are finite, by their high bytes.

    These are the bytes that have the sign and most of the exponent, one a number.
    """
    return any(byte in high for byte in GREATEST_BYTES)


def _check_each(weights: array[float], what: str, rule: str) -> None:
    for index, weight in enumerate(weights):
        if not math.isfinite(weight):
            raise NonFiniteError(f"{what} is {weight}, not a finite number", index=index, rule=rule)
