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
    tensor that is one channel has count = 1. With several groups, as a deconvolution may have, the tensor is
    so many parts one behind the other, each with its share of the channels; outer is that of a part.
    """

    outer: int
    count: int  # type: ignore[assignment] # hides tuple.count, which nobody needs here
    inner: int
    groups: int = 1


def split(values: T, channels: Channels) -> Iterator[T]:
    """Give the values of each channel in turn, in tensor order.

    Raises ShapeError unless there are outer * count * inner values, and at least one, and groups divide the
    channels. Rule: LIN-6, DEQ-5.
    """
    outer, count, inner, groups = channels
    if not values or len(values) != outer * count * inner or count % groups:
        raise ShapeError(f"{len(values)} values do not fill {outer} x {count} x {inner}", rule="TEN-6")
    row = count // groups * inner
    for group in range(0, len(values), outer * row):
        for start in range(group, group + row, inner):
            runs = [values[at : at + inner] for at in range(start, group + outer * row, row)]
            yield runs[0] if outer == 1 else _concatenated(runs)


def join(parts: Iterable[T], channels: Channels) -> T:
    """Put the values of all channels, of which there is one at least, back into tensor order."""
    outer, count, inner, groups = channels
    whole, share = list(parts), count // groups
    if outer == 1:
        return _concatenated(whole)
    return _concatenated(
        [
            part[at : at + inner]
            for first in range(0, count, share)
            for at in range(0, outer * inner, inner)
            for part in whole[first : first + share]
        ]
    )


def _concatenated(runs: list[T]) -> T:
    first, data = runs[0], b"".join(runs)
    return data if isinstance(first, bytes) else array("f", data)
