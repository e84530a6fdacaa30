"""`python -m tests.benchmarks.memory`: how peak memory grows with the file, as a table.

Each model has ten tensors of the same size. A figure is the most memory that a process held which loads,
converts and saves a model, or validates it; less what it takes to import refquant.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tests.benchmarks.measuring import Workshop, environment_of, launch
from tests.benchmarks.models import NO_MODEL
from tests.benchmarks.rows import Task
from tests.networks import Net, described

#: Millions of weights in the models.
SIZES = (1, 10, 100)

MILLION = 1_000_000

#: How many tensors a model has, and how many outputs each: a channel for 1,000 weights or more.
TENSORS, OUTPUTS = 10, 100

#: First bytes of weights in binary32, which are from 2^-7 to 2 and of both signs; the other bytes are random.
FIRST_BYTES = (bytes([0x3C, 0x3D, 0x3E, 0x3F, 0xBC, 0xBD, 0xBE, 0xBF]) * 32)[:256]


class Job(NamedTuple):
    """What a process does."""

    title: str
    task: Task
    #: The job whose result is the input; empty: the model in float32.
    after: str = ""


#: Title -> job, in the order of the table.
JOBS = {
    job.title: job
    for job in (
        Job("16 bits", Task("python", "quantize", "", 16)),
        Job("8 bits `linear`", Task("python", "quantize", "")),
        Job("4 bits `linear_lut`", Task("python", "quantize", "", 4, "linear_lut")),
        Job("4 bits `kmeans_lut`", Task("python", "quantize", "", 4, "kmeans_lut")),
        Job(
            "back from 8 bits `linear`",
            Task("python", "quantize", "", 8, "dequantization"),
            "8 bits `linear`",
        ),
        Job("validate", Task("python", "validate", "")),
    )
}


def build(path: Path, millions: int) -> None:
    """Write a model of weights that are nearly all distinct, as those of real networks are."""
    model = described()
    net = Net(model.neuralNetwork.layers, 0)
    random = Random(0)
    for _ in range(TENSORS):
        layer = net.convolution(OUTPUTS, 1, bias=False, size=(1, 1)).convolution
        layer.kernelChannels = millions * MILLION // (TENSORS * OUTPUTS)
        payload = bytearray(random.randbytes(4 * OUTPUTS * layer.kernelChannels))
        payload[3::4] = payload[3::4].translate(FIRST_BYTES)
        layer.weights.floatBytes[:] = [bytes(payload)]
    net.layers[-1].output[0] = "output"
    path.write_bytes(model.SerializeToString())


def measured(folder: Path, millions: int, jobs: Sequence[Job]) -> Iterator[tuple[Job, int, int]]:
    """Give each job, the bytes of its input or result, whichever is more, and its peak memory in bytes."""
    workshop = Workshop(folder, None, _tell)
    start = folder / "float32.mlmodel"
    build(start, millions)
    for job in jobs:
        source = folder / f"{job.after}.mlmodel" if job.after else start
        launch(workshop.command(job.task._replace(job="load"), Path(NO_MODEL)), environment_of(job.task))
        _, least = launch(workshop.command(job.task._replace(job="load"), source), environment_of(job.task))
        seconds, peak = launch(workshop.command(job.task, source), environment_of(job.task))
        made = workshop.output(job.task)
        size = max(source.stat().st_size, made.stat().st_size if made.exists() else 0)
        if made.exists():
            made.replace(folder / f"{job.title}.mlmodel")
        _tell(f"{millions} M weights, {job.title}: {seconds:.1f} s")
        yield job, size, peak - least


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.memory", description=__doc__)
    parser.add_argument(
        "--millions", type=int, nargs="+", default=SIZES, help="millions of weights (1 10 100)"
    )
    sizes = parser.parse_args(arguments).millions
    cells: dict[str, list[str]] = {title: [] for title in JOBS}
    for millions in sizes:
        with TemporaryDirectory() as folder:
            for job, size, peak in measured(Path(folder), millions, list(JOBS.values())):
                cells[job.title].append(f"{peak / 1e6:,.0f} MB, {peak / size:.1f}")
    rows = [["", *(f"{millions} M weights" for millions in sizes)], ["---"] * (len(sizes) + 1)]
    rows += [[title, *found] for title, found in cells.items()]
    sys.stdout.write("".join(f"| {' | '.join(row)} |\n" for row in rows))
    return 0


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
