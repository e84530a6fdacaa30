"""Results as Markdown: tables for the terminal, and the page README.md."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Callable, NamedTuple

from tests.benchmarks.growth import FIXED_WEIGHTS
from tests.benchmarks.measuring import Result
from tests.benchmarks.rows import FIGURES, ROWS, SAME_MEMORY, Duel, Row
from tests.benchmarks.saved import Saved

PAGE = Path(__file__).with_name("README.md")

#: What stands in the cells of a row that was not measured.
NOTHING = "–"

MEGABYTE = 1_000_000


def verdict(figure: str, value: float, target: float) -> str:
    """Give `ok` or `short`."""
    return "ok" if FIGURES[figure].meets(value, target) else "short"


def number(value: float) -> str:
    """Write a number with three significant digits, or all of its whole part."""
    digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def seconds(value: float) -> str:
    """Write a time."""
    return f"{number(value)} s"


def megabytes(value: float) -> str:
    """Write an amount of memory that is given in bytes."""
    return f"{value / MEGABYTE:,.0f} MB"


def _speed(row: Row, duels: list[Duel]) -> list[str]:
    """Give times, their ratio and its verdict, then the same of memory: of the model where it is worst."""
    time, memory = FIGURES["faster"].worst(duels), FIGURES["memory"].worst(duels)
    ratio, share = FIGURES["faster"].value(time), FIGURES["memory"].value(memory)
    return [
        seconds(time.ours.time),
        seconds(time.other.time),
        number(ratio),
        f"{row.target:g}",
        verdict("faster", ratio, row.target),
        megabytes(memory.ours.peak),
        megabytes(memory.other.peak),
        verdict("memory", share, SAME_MEMORY),
    ]


def _growth(row: Row, duels: list[Duel]) -> list[str]:
    duel = FIGURES["growth"].worst(duels)
    value = FIGURES["growth"].value(duel)
    times = [seconds(duel.other.time), seconds(duel.ours.time)]
    return [*times, number(value), f"{row.target:g}", verdict("growth", value, row.target)]


def _beyond(row: Row, duels: list[Duel]) -> list[str]:
    duel = FIGURES["beyond"].worst(duels)
    value = FIGURES["beyond"].value(duel)
    peaks = [megabytes(duel.other.peak), megabytes(duel.ours.peak)]
    return [*peaks, number(value), f"{row.target:g}", verdict("beyond", value, row.target)]


class Table(NamedTuple):
    """How the rows of one figure are shown."""

    title: str
    about: str
    heads: tuple[str, ...]
    cells: Callable[[Row, list[Duel]], list[str]]


#: Figure of a row -> the table that it stands in. `memory` is shown beside `faster`.
TABLES = {
    "faster": Table(
        "Against coremltools",
        "The peer is coremltools 9.0 unless a note says otherwise. A row is `ok` where refquant is at least "
        "*target* times faster; memory is `ok` where refquant's peak is at most the peer's.",
        ("refquant", "peer", "times faster", "target", "", "refquant's peak", "peer's peak", ""),
        _speed,
    ),
    "growth": Table(
        "Ten times the layers",
        "refquant alone. A row is `ok` where the second process takes at most *target* times as long.",
        ("200 blocks", "2,000 blocks", "times", "target", ""),
        _growth,
    ),
    "beyond": Table(
        "Memory beyond the file",
        "refquant alone: its peak memory less that of a process which imports refquant and reads the file's "
        "bytes, by the number of weights. A row is `ok` where that is at most *target* bytes.",
        ("reading", "quantizing", "bytes a weight", "target", ""),
        _beyond,
    ),
}


def table(rows: Iterable[Row], results: dict[str, Result], figure: str) -> list[str]:
    """Make the lines of one figure's table; none where it has no rows."""
    own = [row for row in rows if row.figure == figure]
    if not own:
        return []
    heads = ("row", "what", *TABLES[figure].heads)
    rules = ["---", "---", *("---:" for _ in TABLES[figure].heads)]
    return [_line(heads), _line(rules), *(_line(_cells(row, results.get(row.name))) for row in own)]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _cells(row: Row, result: Result | None) -> list[str]:
    shown = TABLES[row.figure]
    if result is None or not result.duels:
        cells = [NOTHING] * len(shown.heads)
    else:
        cells = shown.cells(row, result.duels)
    return [f"`{row.name}`", row.title, *cells]


def notes(rows: Iterable[Row], results: dict[str, Result]) -> list[str]:
    """List what has to be said of rows: what is special, which model was worst, what was left out."""
    usual = usual_runs(results)
    said = [(row, [row.note, *_remarks(row, results.get(row.name), usual)]) for row in rows]
    return [f"* `{row.name}`: {' '.join(filter(None, remarks))}" for row, remarks in said if any(remarks)]


def _remarks(row: Row, result: Result | None, usual: int) -> list[str]:
    if result is None:
        return ["Not measured."]
    if not result.duels:
        return [f"Not measured: {skip.reason}." for skip in result.skipped]
    return [*_fewer(row, result, usual), *_worst(row, result), *_differing(result), *_left_out(result)]


def usual_runs(results: dict[str, Result]) -> int:
    """Give the number of runs of the process that ran most often."""
    return max((len(duel.ours.seconds) for result in results.values() for duel in result.duels), default=0)


def _fewer(row: Row, result: Result, usual: int) -> list[str]:
    """Say which process ran less often than usual."""
    sides = ((row.ours, result.duels[0].ours), (row.other, result.duels[0].other))
    fewer = {task.who: len(measured.seconds) for task, measured in sides if len(measured.seconds) < usual}
    return [f"{who}: {count} {'run' if count == 1 else 'runs'}." for who, count in fewer.items()]


def _differing(result: Result) -> list[str]:
    """Count the models of which the two processes wrote different files."""
    count = sum(duel.same is False for duel in result.duels)
    return [f"The files differ for {count} of {len(result.duels)}."] if count else []


def _worst(row: Row, result: Result) -> list[str]:
    """Name the models that the row shows, where it could have been others."""
    if len(result.duels) == 1:
        return []
    time, memory = FIGURES[row.figure].worst(result.duels), FIGURES["memory"].worst(result.duels)
    return [f"The worst of {len(result.duels)} models: `{time.model}`; for memory: `{memory.model}`."]


def _left_out(result: Result) -> list[str]:
    """Count the models that were skipped, by what stopped them."""
    counts = Counter(skip.reason.partition(":")[0] for skip in result.skipped)
    return [
        f"{count} more could not be measured: {who} stops with an error." for who, count in counts.items()
    ]


def summary(rows: Sequence[Row], results: dict[str, Result]) -> str:
    """Give every table, with its notes below it."""
    parts = []
    for figure in TABLES:
        own = [row for row in rows if row.figure == figure]
        parts += [table(own, results, figure), notes(own, results)]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def shorts(rows: Iterable[Row], results: dict[str, Result]) -> list[str]:
    """Name the measured rows that miss their target, in time or memory."""
    return [row.name for row in rows if "short" in _cells(row, results.get(row.name))]


#: The page up to its tables.
OPENING = """\
# Benchmarks

How fast refquant is and how much memory it takes, measured on one machine and written down by a program.
On another machine the numbers differ; the ratios differ less.

```sh
python -m tests.benchmarks                              # every row
python -m tests.benchmarks --list                       # the rows and their targets
python -m tests.benchmarks 'linear-*' import --runs 3   # some rows, with three runs instead of five
python -m tests.benchmarks --save results.json          # put the raw numbers into a file, or renew them there
python -m tests.benchmarks --page results.json          # write this page from them, measuring nothing
python -m tests.benchmarks.growth                       # draw the chart at the end
```

The command exits with 1 where a row misses its target. It makes virtualenvs with coremltools in the folder
that `REFQUANT_PEERS` names, as the parity tests do. `REFQUANT_MODELS` names a folder of real models, and
`REFQUANT_PYPY` (or `--pypy`) a PyPy with protobuf; rows that need what is not there are left out.

## How it is measured

* A row is two processes. refquant's loads a model file, quantizes it and saves the result; the peer's does
  the same with coremltools, without the `MLModel` around the result, which would compile it on a Mac. What
  is measured is the whole process, from its start to its end, imports and all.
* The two take turns: one, the other, one, the other. Times and peaks are medians of {runs} runs, unless a
  note says fewer.
* Time is wall time. Memory is the greatest resident size that the system reports of a process when it has
  ended; 1 MB is 1,000,000 bytes.
* Both read the same file from the system's cache, after an import that is not counted.
* Weights are normally distributed pseudo-random numbers from a fixed seed, except in real models.
* Where both quantize, the files that they write are the same, byte by byte, unless a note says that they
  differ.
"""

CLOSING = """\
## Growth

refquant alone, within one process: the time that `quantize_weights` takes, against the number of weights in
one convolution, the number of layers (blocks of convolution, scale and ReLU with 8 channels), the number of
channels that {weights:,} weights are divided into, and the number of bits.

![Time against weights, layers, channels and bits](growth.svg)
"""


def page(saved: Saved, rows: Sequence[Row] = ROWS) -> str:
    """Make README.md of a file of results."""
    parts = [OPENING.format(runs=usual_runs(saved.results)), _machine(saved)]
    for figure, shown in TABLES.items():
        own = [row for row in rows if row.figure == figure]
        lines = [f"## {shown.title}", "", shown.about, "", *table(own, saved.results, figure)]
        below = notes(own, saved.results)
        parts.append("\n".join([*lines, *([""] if below else []), *below]) + "\n")
    return "\n".join([*parts, CLOSING.format(weights=FIXED_WEIGHTS)])


def _machine(saved: Saved) -> str:
    machine = saved.machine
    days = sorted({result.day for result in saved.results.values()})
    lines = [
        "## Where and when",
        "",
        f"* {machine['processor']}, {machine['cores']} cores, {machine['memory']}, {machine['system']}",
        *(f"* {_whose(name)}: {version}" for name, version in sorted(saved.interpreters.items())),
        f"* {' to '.join(dict.fromkeys([days[0], days[-1]]))}" if days else "* nothing measured yet",
    ]
    return "\n".join(lines) + "\n"


def _whose(interpreter: str) -> str:
    names = {"python": "refquant", "pypy": "refquant on PyPy"}
    return names.get(interpreter, f"the peer, {interpreter}")
