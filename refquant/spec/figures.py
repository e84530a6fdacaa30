"""The figures of spec/, drawn from what the code computes: `python -m refquant.spec figures [--check]`.

They are SVG written by hand rather than by a plotting library, whose releases would each draw them a little
differently: so that a test can compare them with the files byte for byte.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from refquant.codec import half, kmeans, linear, lut, symmetric
from refquant.codec.channels import Channels
from refquant.errors import FileError
from refquant.model import tensor
from refquant.model.file import parse
from refquant.model.walk import all_sites
from refquant.report import decibels
from refquant.sample import model_bytes
from refquant.spec.trace import ROOT

Point = tuple[float, float]

#: The size of a figure and the place of its axes in it: left, top, right, bottom.
WIDTH, HEIGHT = 720, 400
FRAME = (64.0, 24.0, 700.0, 348.0)

#: Readable on white and on black.
STYLE = """
text { font: 13px sans-serif; fill: #555 }
.axis { stroke: #888; stroke-width: 1; fill: none }
.grid { stroke: #8884; stroke-width: 1 }
.bar { fill: #8886 }
.a { stroke: #1f77b4; fill: none; stroke-width: 2.2 }
.b { stroke: #d9730d; fill: none; stroke-width: 2.2 }
.c { stroke: #2a8f4e; fill: none; stroke-width: 2.2 }
.dash { stroke-dasharray: 5 4; stroke-width: 1.2 }
text.a { fill: #1f77b4; stroke: none }
text.b { fill: #d9730d; stroke: none }
text.c { fill: #2a8f4e; stroke: none }
@media (prefers-color-scheme: dark) { text { fill: #bbb } }
"""


class Axes(NamedTuple):
    """A frame in which data are drawn: the ranges of both coordinates."""

    left: float
    right: float
    bottom: float
    top: float

    def at(self, x: float, y: float) -> Point:
        """Give the place of a point in the figure, in pixels."""
        across = (x - self.left) / (self.right - self.left)
        up = (y - self.bottom) / (self.top - self.bottom)
        return FRAME[0] + across * (FRAME[2] - FRAME[0]), FRAME[3] - up * (FRAME[3] - FRAME[1])

    def line(self, points: Iterable[Point], kind: str) -> str:
        """Draw a line through points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(*point) for point in points))
        return f'<polyline class="{kind}" points="{path}"/>'

    def text(self, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
        """Write at a point."""
        x, y = self.at(x, y)
        return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'

    def ruled(self, xs: Sequence[float], ys: Sequence[float], x_title: str, y_title: str) -> list[str]:
        """Draw the axes, with a number at each of these places."""
        left, top, right, bottom = FRAME
        parts = [f'<path class="axis" d="M{left:g} {top:g}V{bottom:g}H{right:g}"/>']
        for y in ys:
            _, down = self.at(self.left, y)
            parts.append(f'<path class="grid" d="M{left:g} {down:.1f}H{right:g}"/>')
            parts.append(f'<text x="{left - 8:g}" y="{down + 4:.1f}" text-anchor="end">{y:g}</text>')
        for x in xs:
            across, _ = self.at(x, self.bottom)
            parts.append(f'<text x="{across:.1f}" y="{bottom + 18:g}" text-anchor="middle">{x:g}</text>')
        parts.append(f'<text x="{right:g}" y="{bottom + 40:g}" text-anchor="end">{x_title}</text>')
        parts.append(f'<text x="{left + 8:g}" y="{top - 8:g}">{y_title}</text>')
        return parts


def picture(title: str, parts: Iterable[str]) -> str:
    """Write a figure; `title` is what someone is told who cannot see it."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
    return "\n".join([head, f"<title>{title}</title>", f"<style>{STYLE}</style>", *parts, "</svg>"]) + "\n"


def sample_weights() -> tuple[array[float], Channels]:
    """Give the weights of the sample's largest layer, and its channels."""
    largest = max(all_sites(parse(model_bytes())), key=lambda site: site.layout.size)
    return tensor.decode(largest), largest.layout.channels(largest.layout.axis)


def staircase() -> str:
    """Chapter 4: what weights become, in 2 bits over the range from -1 to 1.25."""
    axes = Axes(-1.3, 1.35, -1.2, 1.5)
    steps = 4 * 225
    weights = array("f", [-1 + 2.25 * i / steps for i in range(steps + 1)])
    channels = Channels(1, 1, len(weights))
    codes, scales, biases, *_ = linear.encode(weights, 2, channels)
    decoded = linear.decode(codes, scales, biases, channels)
    parts = axes.ruled(
        [-1, -0.5, 0, 0.5, 1, 1.25], [-1, -0.25, 0.5, 1.25], "weight", "what its code stands for"
    )
    parts.append(axes.line([(-1, -1), (1.25, 1.25)], "axis dash"))
    parts.append(axes.line(zip(weights, decoded), "a"))
    for code in sorted(set(codes)):
        value = code * scales[0] + biases[0]
        parts.append(axes.text(value, value + 0.1, f"code {code}", "a", "end"))
    first = next(weight for weight, code in zip(weights, codes) if code == 2)
    parts.append(axes.line([(first, 0.5), (first, first)], "b"))
    parts.append(axes.text(first - 0.03, 0.33, "half a step: the greatest error", "b", "end"))
    return picture("Linear quantization to 2 bits: a staircase of four steps around the diagonal", parts)


def histogram() -> str:
    """Chapter 7: 16 entries of an even table and of a k-means table, under the weights that they are for."""
    weights, _ = sample_weights()
    least, greatest, bins = min(weights), max(weights), 72
    width = (greatest - least) / bins
    counts = [0] * bins
    for weight in weights:
        counts[min(int((weight - least) / width), bins - 1)] += 1
    top = max(counts)
    axes = Axes(least - width, greatest + width, -0.42 * top, 1.05 * top)
    xs = [x / 10 for x in range(math.ceil(least * 10), math.floor(greatest * 10) + 1) if x % 2 == 0]
    parts = axes.ruled(xs, range(0, top, 500), "weight", "weights of a layer")
    for index, count in enumerate(counts):
        x, y = axes.at(least + index * width, count)
        right, bottom = axes.at(least + (index + 1) * width, 0)
        size = f'width="{right - x - 0.5:.1f}" height="{bottom - y:.1f}"'
        parts.append(f'<rect class="bar" x="{x:.1f}" y="{y:.1f}" {size}/>')
    tables = [
        ("a", "linear_lut", lut.encode_linear(weights, 4)),
        ("b", "kmeans_lut", kmeans.encode(weights, 4)),
    ]
    for row, (kind, name, found) in enumerate(tables):
        low, high = -(0.2 + 0.2 * row) * top, -(0.08 + 0.2 * row) * top
        parts += [axes.line([(entry, low), (entry, high)], kind) for entry in found.table]
        error = math.sqrt(kmeans.inertia(weights, found.codes, found.table) / len(weights))
        text = f"{name}: 16 entries, typical error {error:.4f}"
        parts.append(axes.text(greatest, (0.9 - 0.08 * row) * top, text, kind, "end"))
    return picture("Weights of a layer, and where the entries of two tables lie among them", parts)


#: A mode of quantization: (weights, channels, bits) -> the weights after it.
Mode = Callable[["array[float]", Channels, int], "array[float]"]


def _linear(weights: array[float], channels: Channels, nbits: int) -> array[float]:
    codes, scales, biases, *_ = linear.encode(weights, nbits, channels)
    return linear.decode(codes, scales, biases, channels)


def _linear_lut(weights: array[float], channels: Channels, nbits: int) -> array[float]:
    found = lut.encode_linear(weights, nbits)
    return lut.decode(found.codes, found.table)


def _kmeans_lut(weights: array[float], channels: Channels, nbits: int) -> array[float]:
    found = kmeans.encode(weights, nbits)
    return lut.decode(found.codes, found.table)


def _symmetric(weights: array[float], channels: Channels, nbits: int) -> array[float]:
    codes, scales, biases, *_ = symmetric.encode(weights, channels)
    return linear.decode(codes, scales, biases, channels)


def _half(weights: array[float], channels: Channels, nbits: int) -> array[float]:
    return half.decode(half.encode(weights))


#: Kind of line, name, and the mode.
MODES: list[tuple[str, str, Mode]] = [
    ("c", "kmeans_lut", _kmeans_lut),
    ("a", "linear", _linear),
    ("b", "linear_lut", _linear_lut),
]


def signal_to_noise(weights: array[float], after: array[float]) -> float:
    """Give the ratio of weights to errors in decibels."""
    noise = math.fsum((w - v) ** 2 for w, v in zip(weights, after))
    return decibels(math.fsum(w * w for w in weights), noise)


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move ascending heights apart until neighbours are at least `gap` apart, and no further than that.

    Those that are too near to each other stay around their mean.
    """
    groups: list[list[float]] = []
    for height in heights:
        groups.append([height])
        while len(groups) > 1 and _lowest(groups[-1], gap) < _lowest(groups[-2], gap) + gap * len(groups[-2]):
            last = groups.pop()
            groups[-1] += last
    return [_lowest(group, gap) + gap * row for group in groups for row in range(len(group))]


def _lowest(group: Sequence[float], gap: float) -> float:
    return sum(group) / len(group) - gap * (len(group) - 1) / 2


def errors() -> str:
    """Chapter 0: what each bit buys, in every mode, for a layer of the sample."""
    weights, channels = sample_weights()
    axes = Axes(0.7, 9.2, -16, 80)
    y_title = "weights to errors, in decibels"
    parts = axes.ruled(range(1, 9), range(0, 81, 20), "bits a weight", y_title)
    ends = []
    for kind, name, mode in MODES:
        points = [(n, signal_to_noise(weights, mode(weights, channels, n))) for n in range(1, 9)]
        parts.append(axes.line(points, kind))
        places = [axes.at(*point) for point in points]
        parts += [f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
        ends.append((points[-1][1], name, kind))
    ends.sort()
    for height, (_, name, kind) in zip(spread([end for end, *_ in ends], gap=5), ends):
        parts.append(axes.text(8.12, height - 1.2, name, kind))
    for name, bits, mode in (("half precision", 16, _half), ("linear_symmetric", 8, _symmetric)):
        level = signal_to_noise(weights, mode(weights, channels, bits))
        parts.append(axes.line([(0.7, level), (8, level)], "axis dash"))
        parts.append(axes.text(1.1, level + 1.5, f"{name}, {bits} bits"))
    title = (
        "Signal-to-noise ratio against bits: about 6 decibels for each bit, more or less where bits are few"
    )
    return picture(title, parts)


#: File in spec/figures -> what draws it.
FIGURES: dict[str, Callable[[], str]] = {
    "errors.svg": errors,
    "staircase.svg": staircase,
    "histogram.svg": histogram,
}


def stale(root: Path = ROOT) -> list[str]:
    """Name the figures of a checkout that are not what would be drawn."""
    folder = root / "spec" / "figures"
    found = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.svg")}
    drawn = {name: draw() for name, draw in FIGURES.items()}
    return sorted(name for name in {*found, *drawn} if found.get(name) != drawn.get(name))


def write(root: Path = ROOT) -> None:
    """Draw every figure into a checkout. Raises FileError where there is no spec/ beside the package."""
    folder = root / "spec" / "figures"
    if not folder.parent.is_dir():
        raise FileError("spec/ is not here: figures are drawn in a checkout only")
    folder.mkdir(exist_ok=True)
    for name, draw in FIGURES.items():
        (folder / name).write_text(draw(), encoding="utf-8")
