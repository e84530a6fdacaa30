"""A tensor seen by its output channels."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

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

    `values` holds outer * count * inner weights or codes. Rule: LIN-6.
    """
    outer, count, inner = channels
    row = count * inner
    for start in range(0, row, inner) if inner else ():
        part = values[start : start + inner]
        for block in range(1, outer):
            part += values[block * row + start : block * row + start + inner]
        yield part


def join(parts: Iterable[T], channels: Channels) -> T:
    """Put the values of all channels back into tensor order: the inverse of `split`.

    Raises ValueError where there are no channels, for want of a type to return.
    """
    outer, _, inner = channels
    whole = list(parts)
    if not whole:
        raise ValueError("no channels to join")
    runs = [part[block * inner : (block + 1) * inner] for block in range(outer) for part in whole]
    if isinstance(runs[0], bytes):
        return b"".join(runs)
    joined = array("f")
    for run in runs:
        joined.extend(run)
    return joined
