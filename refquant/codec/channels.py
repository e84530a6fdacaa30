"""A tensor seen by its output channels."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from refquant.errors import ShapeError

T = TypeVar("T", "array[float]", bytes)


class Channels(NamedTuple):
    """The shape (outer, count, inner) of a tensor about its channel axis, which is the middle one.

    Weights (channels, ...) have outer = 1; weights (K, channels, H, W) have outer = K and inner = H * W. A
    tensor that is one channel has count = 1.
    """

    outer: int
    count: int  # type: ignore[assignment] # hides tuple.count, which nobody needs here
    inner: int


def split(values: T, channels: Channels) -> Iterator[T]:
    """Give the values of each channel in turn, in tensor order.

    Raises ShapeError unless there are outer * count * inner values, and at least one. Rule: LIN-6.
    """
    outer, count, inner = channels
    row = count * inner
    if not values or len(values) != outer * row:
        raise ShapeError(f"{len(values)} values do not fill {outer} x {count} x {inner}", rule="TEN-6")
    for start in range(0, row, inner):
        runs = [values[at : at + inner] for at in range(start, outer * row, row)]
        yield runs[0] if outer == 1 else _concatenated(runs)


def join(parts: Iterable[T], channels: Channels) -> T:
    """Put the values of all channels, of which there is one at least, back into tensor order."""
    outer, _, inner = channels
    whole = list(parts)
    if outer == 1:
        return _concatenated(whole)
    return _concatenated([part[at : at + inner] for at in range(0, outer * inner, inner) for part in whole])


def _concatenated(runs: list[T]) -> T:
    first, data = runs[0], b"".join(runs)
    return data if isinstance(first, bytes) else array("f", data)
