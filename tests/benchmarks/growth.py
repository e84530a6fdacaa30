"""`python -m tests.benchmarks.growth`: what refquant's time grows with, as a table and as a chart."""

from __future__ import annotations

import argparse
import gc
import math
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Callable, NamedTuple

import refquant
from refquant.schema.coreml import Model
from tests.benchmarks.chart import Panel, chart
from tests.benchmarks.models import blocks, built
from tests.networks import Net

CHART = Path(__file__).with_name("growth.svg")

#: How often each point is measured unless told otherwise.
RUNS = 3

MODES = ("linear", "linear_lut", "kmeans_lut")

#: How many weights the models have where their number does not vary, and in how many channels.
FIXED_WEIGHTS, FIXED_CHANNELS = 1 << 18, 64

FIXED_BITS = 8


def one_convolution(net: Net, weights: int, channels: int) -> None:
    """Add a convolution of 1 by 1 with this many weights in this many channels, without bias."""
    net.convolution(channels, weights // channels, bias=False, size=(1, 1))


class Sweep(NamedTuple):
    """Something that varies while the rest is fixed."""

    title: str
    #: What varies, with its unit.
    axis: str
    values: Sequence[int]
    model: Callable[[int], Model]
    nbits: Callable[[int], int]
    #: The values that the chart names.
    ticks: Sequence[int]


def _convolution(weights: int = FIXED_WEIGHTS, channels: int = FIXED_CHANNELS) -> Model:
    return built(partial(one_convolution, weights=weights, channels=channels))


SWEEPS = (
    Sweep(
        "Weights",
        "weights in one convolution, 8 bits",
        [1 << power for power in range(12, 23)],
        lambda weights: _convolution(weights=weights),
        lambda _: FIXED_BITS,
        (10_000, 100_000, 1_000_000),
    ),
    Sweep(
        "Layers",
        "blocks of convolution, scale, ReLU, 8 bits",
        (50, 100, 200, 500, 1000, 2000),
        lambda count: built(partial(blocks, count=count)),
        lambda _: FIXED_BITS,
        (50, 100, 200, 500, 1000, 2000),
    ),
    Sweep(
        "Channels",
        f"channels of {FIXED_WEIGHTS:,} weights, 8 bits",
        [1 << power for power in range(0, 15, 2)],
        lambda channels: _convolution(channels=channels),
        lambda _: FIXED_BITS,
        (1, 10, 100, 1000, 10_000),
    ),
    Sweep(
        "Bits",
        f"bits of {FIXED_WEIGHTS:,} weights",
        range(1, 9),
        lambda _: _convolution(),
        lambda bits: bits,
        range(1, 9),
    ),
)

#: A measured point: what varied, and the median time in seconds.
Point = tuple[int, float]


def measure(sweep: Sweep, mode: str, runs: int) -> list[Point]:
    """Time `quantize_weights` at every value of a sweep, from bytes to bytes."""
    return [(value, _timed(sweep.model(value), sweep.nbits(value), mode, runs)) for value in sweep.values]


def _timed(model: Model, nbits: int, mode: str, runs: int) -> float:
    """Give the median wall time in seconds of quantizing the bytes of a model."""
    data = model.SerializeToString()
    refquant.quantize_weights(data, nbits, mode)  # the first call of all is slower
    times = []
    for _ in range(runs):
        gc.collect()
        start = time.perf_counter()
        refquant.quantize_weights(data, nbits, mode)
        times.append(time.perf_counter() - start)
    return median(times)


def exponent(points: Sequence[Point]) -> float:
    """Give the power of the value that the time grows with, by least squares.

    Only the upper half of the points counts: below, costs that do not grow hide it.
    """
    upper = points[len(points) // 2 :]
    x = [math.log(value) for value, _ in upper]
    y = [math.log(seconds) for _, seconds in upper]
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    rise = sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y))
    return rise / sum((a - middle_x) ** 2 for a in x)


def table(sweep: Sweep, lines: dict[str, list[Point]]) -> str:
    """Show a sweep as Markdown: times in milliseconds, and the power that each mode grows with."""
    rows = [
        f"| {sweep.axis} | {' | '.join(f'`{mode}`, ms' for mode in lines)} |",
        f"| ---: | {' | '.join('---:' for _ in lines)} |",
    ]
    for index, value in enumerate(sweep.values):
        times = (f"{points[index][1] * 1000:,.2f}" for points in lines.values())
        rows.append(f"| {value:,} | {' | '.join(times)} |")
    powers = (f"{exponent(points):.2f}" for points in lines.values())
    rows.append(f"| grows with the power | {' | '.join(powers)} |")
    return "\n".join([f"## {sweep.title}", "", *rows]) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every sweep, print its table, and draw the chart."""
    options = _parser().parse_args(arguments)
    panels = []
    for sweep in SWEEPS:
        lines = {mode: measure(sweep, mode, options.runs) for mode in MODES}
        sys.stdout.write(f"{table(sweep, lines)}\n")
        sys.stdout.flush()
        panels.append(Panel(sweep.title, sweep.axis, sweep.ticks, lines))
    options.svg.write_text(chart("Time of refquant.quantize_weights", panels), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of each point (default: %(default)s)")
    parser.add_argument("--svg", type=Path, default=CHART, metavar="FILE", help="where the chart goes")
    return parser


if __name__ == "__main__":
    main()
