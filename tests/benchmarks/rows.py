"""The rows: what is measured against what, by which figure, and what the figure should be."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Callable, NamedTuple

from tests.benchmarks.models import NO_MODEL, REAL, WEIGHTS

#: More runs than anyone asks for.
UNLIMITED = 1_000_000


class Task(NamedTuple):
    """A process to measure: a job of one of the programs, in an interpreter, on a model."""

    #: `python` (this one), `pypy`, or the version of coremltools whose interpreter it is.
    interpreter: str
    #: A job of `programs/ours.py` or, in an interpreter of coremltools, of `programs/theirs.py`.
    job: str
    #: NO_MODEL, the name of a built model, or a pattern of real ones.
    model: str
    nbits: int = 8
    mode: str = "linear"
    #: Added to the environment of the process.
    environment: Mapping[str, str] = {}
    #: The number of runs is cut to this where one run takes minutes.
    most_runs: int = UNLIMITED

    @property
    def who(self) -> str:
        """Name who does it."""
        names = {"python": "refquant", "pypy": "refquant on PyPy"}
        return names.get(self.interpreter, f"coremltools {self.interpreter}")


class Measured(NamedTuple):
    """What the runs of one process came to."""

    #: Wall time of each run, in seconds, from its start to its end.
    seconds: list[float]
    #: Peak resident memory of each run, in bytes.
    peaks: list[int]

    @property
    def time(self) -> float:
        """Median wall time in seconds."""
        return median(self.seconds)

    @property
    def peak(self) -> float:
        """Median peak memory in bytes."""
        return median(self.peaks)


class Duel(NamedTuple):
    """The two processes of a row on one model."""

    model: str
    ours: Measured
    other: Measured
    #: Whether both wrote the same bytes; None: they did not do the same.
    same: bool | None = None


class Row(NamedTuple):
    """Two processes, and what should come of comparing them."""

    name: str
    title: str
    #: A key of FIGURES.
    figure: str
    target: float
    ours: Task
    other: Task
    note: str = ""


class Figure(NamedTuple):
    """A number that compares two processes."""

    #: Computes it; its unit is in the heading of its column.
    value: Callable[[Duel], float]
    #: Whether more is better: the target is then the least that will do, otherwise the most.
    more_is_better: bool

    def meets(self, value: float, target: float) -> bool:
        """Tell whether a value will do."""
        return value >= target if self.more_is_better else value <= target

    def worst(self, duels: list[Duel]) -> Duel:
        """Give the duel with the worst value."""
        return min(duels, key=self.value) if self.more_is_better else max(duels, key=self.value)


def _bytes_a_weight(duel: Duel) -> float:
    return (duel.ours.peak - duel.other.peak) / WEIGHTS[duel.model]


#: Name -> figure. `memory` belongs to every row of `faster`, with the target SAME_MEMORY.
FIGURES = {
    "faster": Figure(lambda duel: duel.other.time / duel.ours.time, more_is_better=True),
    "growth": Figure(lambda duel: duel.ours.time / duel.other.time, more_is_better=False),
    "beyond": Figure(_bytes_a_weight, more_is_better=False),
    "memory": Figure(lambda duel: duel.ours.peak / duel.other.peak, more_is_better=False),
}

#: refquant's peak memory by the peer's, at most.
SAME_MEMORY = 1.0

#: What the peer's interpreter is where no row says another.
PEER = "9.0"

MILLIONS = "4,128,768 weights in 7 convolutions"

POSE = f"{REAL}edvardHua__PoseEstimationForMobile__*"


def _duel(
    name: str, title: str, target: float, model: str, nbits: int = 8, mode: str = "linear", peer: str = PEER
) -> Row:
    """Make a row of quantizing a model with refquant and coremltools."""
    ours = Task("python", "quantize", model, nbits, mode)
    return Row(name, title, "faster", target, ours, ours._replace(interpreter=peer))


def _millions(name: str, target: float, nbits: int, mode: str) -> Row:
    return _duel(name, f"{MILLIONS}: {_setting(nbits, mode)}", target, "convolutions", nbits, mode)


def _real(name: str, target: float, nbits: int, mode: str) -> Row:
    return _duel(name, f"real models: {_setting(nbits, mode)}", target, f"{REAL}*", nbits, mode)


def _against_scikit_learn(row: Row, note: str = "") -> Row:
    """Let the peer of a row do its k-means by another way: coremltools 9.0 crashes there with numpy 2."""
    return row._replace(other=row.other._replace(job="kmeans"), note=note)


def _beyond(name: str, target: float, nbits: int, mode: str) -> Row:
    """Make a row of the memory that quantizing takes beyond what it takes to hold the file."""
    ours = Task("python", "quantize", "tensor", nbits, mode)
    title = f"one tensor of {WEIGHTS['tensor']:,} weights: {_setting(nbits, mode)}"
    return Row(name, title, "beyond", target, ours, ours._replace(job="read"))


def _once(row: Row, note: str = "") -> Row:
    """Run the peer of a row once only: it takes minutes."""
    return row._replace(other=row.other._replace(most_runs=1), note=note)


def _setting(nbits: int, mode: str) -> str:
    return "16 bits" if nbits == 16 else f"{nbits} bit{'s' * (nbits > 1)} `{mode}`"


GROWTH = Task("python", "quantize", "blocks-2000")

KMEANS = _against_scikit_learn(
    _once(_millions("kmeans_lut-8", 25, 8, "kmeans_lut")),
    "coremltools 9.0 crashes in this mode with numpy 2, so the peer is scikit-learn's `KMeans` with the "
    "arguments that coremltools gives it, on each whole tensor, between reading the model with coremltools' "
    "definition of the format and writing it. scikit-learn uses all cores, refquant one, half of whose time "
    "goes to sorting, and a third to codes.",
)

#: What is measured, in the order of the page.
ROWS = (
    Row(
        "import",
        "import alone",
        "faster",
        20,
        Task("python", "load", NO_MODEL),
        Task(PEER, "load", NO_MODEL),
        note="`import refquant` and a mention of `refquant.quantize_weights`, against "
        "`import coremltools.models.neural_network.quantization_utils`.",
    ),
    _millions("half", 2.5, 16, "linear"),
    _millions("linear-8", 2.5, 8, "linear"),
    _millions("linear_symmetric-8", 2.5, 8, "linear_symmetric"),
    _millions("linear_lut-8", 2.5, 8, "linear_lut"),
    *(
        _millions(f"{mode}-{nbits}", 15 if nbits == 6 else 8, nbits, mode)
        for mode in ("linear", "linear_lut")
        for nbits in range(1, 8)
    ),
    KMEANS,
    KMEANS._replace(
        name="kmeans_lut-8-jobs",
        title=f"{KMEANS.title}, a process for each processor",
        ours=KMEANS.ours._replace(job="share"),
        note="Here both use all cores. Memory is that of the largest process.",
    ),
    _once(
        _duel("blocks-200", "200 blocks of convolution, scale and ReLU: 8 bits `linear`", 400, "blocks-200"),
        "Nearly half of refquant's time goes to starting Python and importing.",
    ),
    Row(
        "blocks-2000",
        "2,000 blocks by 200 blocks: 8 bits `linear`",
        "growth",
        12,
        GROWTH,
        GROWTH._replace(model="blocks-200"),
    ),
    _once(
        _duel("pose", "a pose network of 844 layers: 8 bits `linear`", 70, POSE, peer="8.1"),
        note="Against coremltools 8.1: 105 convolutions are followed by batchnorm, which 9.0 does "
        "not survive.",
    ),
    _real("real-linear-8", 3, 8, "linear"),
    _real("real-linear_lut-4", 3, 4, "linear_lut"),
    _real("real-half", 3, 16, "linear"),
    _real("real-linear_symmetric-8", 3, 8, "linear_symmetric"),
    _against_scikit_learn(_real("real-kmeans_lut-8", 3, 8, "kmeans_lut"), "Against the same as above."),
    _against_scikit_learn(_real("real-kmeans_lut-4", 3, 4, "kmeans_lut")),
    Row(
        "plain-protobuf",
        f"{MILLIONS}: 8 bits `linear`, refquant with protobuf in plain Python",
        "faster",
        1.5,
        Task(
            "python",
            "quantize",
            "convolutions",
            environment={"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"},
        ),
        Task(PEER, "quantize", "convolutions"),
        note="coremltools has its protobuf in C.",
    ),
    Row(
        "pypy",
        f"{WEIGHTS['convolutions-25M']:,} weights in 42 convolutions: 8 bits `linear`, refquant on PyPy",
        "faster",
        1,
        Task("pypy", "quantize", "convolutions-25M", environment={"PYPY_GC_NURSERY": "4MB"}),
        Task(PEER, "quantize", "convolutions-25M"),
        note="coremltools runs on CPython, with numpy. PyPy's young objects have `PYPY_GC_NURSERY=4MB`, as "
        "where it knows of no cache. Otherwise they take half of the processor's last cache, of which some "
        "servers have 266 MB, and refquant's peak grows by as much.",
    ),
    _beyond("beyond-half", 8, 16, "linear"),
    _beyond("beyond-linear-8", 8, 8, "linear"),
    _beyond("beyond-linear_symmetric-8", 8, 8, "linear_symmetric"),
    _beyond("beyond-linear_lut-8", 8, 8, "linear_lut"),
    _beyond("beyond-kmeans_lut-8", 64, 8, "kmeans_lut"),
)
