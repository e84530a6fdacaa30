"""The faults of whole models: each a patch of refquant, by name. A module for what is patched."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

from refquant.model import layers
from refquant.model.layers import Row

Patch = AbstractContextManager[Any]

#: Name -> what makes the patch, which is undone at the end of a `with`.
FAULTS: dict[str, Callable[[], Patch]] = {}


def fault(name: str) -> Callable[[Callable[[], Patch]], Callable[[], Patch]]:
    """Give a patch its name."""

    def add(make: Callable[[], Patch]) -> Callable[[], Patch]:
        FAULTS[name] = make
        return make

    return add


class Both(AbstractContextManager[None]):
    """Several patches as one."""

    def __init__(self, *patches: Patch) -> None:
        self.patches = patches

    def __enter__(self) -> None:
        for patch in self.patches:
            patch.__enter__()

    def __exit__(self, *error: object) -> None:
        for patch in reversed(self.patches):
            patch.__exit__(None, None, None)


def rows(layer_type: str, change: Callable[[Row], Row | None]) -> Patch:
    """Change the rows of one layer type; None leaves a row out."""
    changed = tuple(new for new in map(change, layers.LAYERS[layer_type]) if new)
    return mock.patch.dict(layers.LAYERS, {layer_type: changed})
