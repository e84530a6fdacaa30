"""Where the time goes: seconds of each phase and each layer, counted while someone asks for them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter
from typing import NamedTuple

#: How many layers a summary lists one by one.
SLOWEST = 10


class Time(NamedTuple):
    """How long something took."""

    #: `read`, `fuse`, `convert` (the weights of a layer), `pack` (codes of all layers), `write`, `other`.
    phase: str
    seconds: float
    #: Number of weights; 0 where it does not matter.
    weights: int = 0
    layer: str = ""
    layer_type: str = ""


class Record:
    """Seconds, added up: of a phase that comes again, and of processes that work side by side."""

    def __init__(self) -> None:
        #: Seconds of each phase but `convert`.
        self.phases: dict[str, float] = defaultdict(float)
        #: Seconds and weights of each layer, by its name and type.
        self.layers: dict[tuple[str, str], tuple[float, int]] = {}

    def add_layer(self, layer: str, layer_type: str, weights: int, seconds: float) -> None:
        """Count the time of a tensor to its layer."""
        before, count = self.layers.get((layer, layer_type), (0.0, 0))
        self.layers[layer, layer_type] = before + seconds, count + weights

    def summary(self) -> list[Time]:
        """Give the time of each phase, and of the slowest layers: the others are one, without a type."""
        times = [Time("convert", *self.layers[key], *key) for key in self.layers]
        slowest = sorted(times, key=lambda time: -time.seconds)
        rest = slowest[SLOWEST:]
        if len(rest) > 1:
            seconds, weights = sum(time.seconds for time in rest), sum(time.weights for time in rest)
            slowest[SLOWEST:] = [Time("convert", seconds, weights, f"{len(rest)} other layers")]
        return [
            *(Time(phase, self.phases[phase]) for phase in ("read", "fuse")),
            *slowest,
            Time("pack", self.phases["pack"], sum(time.weights for time in times)),
            Time("write", self.phases["write"]),
        ]


#: The record that is being kept.
_record: ContextVar[Record | None] = ContextVar("record", default=None)


def record() -> Record | None:
    """Give the record that is being kept, if any."""
    return _record.get()


@contextmanager
def recording(wanted: bool = True) -> Iterator[Record | None]:
    """Keep a record for the time of a block, where that is wanted."""
    token = _record.set(Record() if wanted else None)
    try:
        yield _record.get()
    finally:
        _record.reset(token)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Count the time of a block to a phase, if a record is kept."""
    kept = _record.get()
    started = perf_counter()
    yield
    if kept is not None:
        kept.phases[name] += perf_counter() - started
