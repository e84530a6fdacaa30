"""Line charts as SVG: panels with logarithmic axes, side by side, under one legend."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Callable, NamedTuple

#: Size of the inside of a panel, and the space around it for labels, in SVG's units.
WIDTH, HEIGHT = 360, 240
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 44, 60
#: Space above the panels for title and legend.
HEAD = 84
PANELS_ABREAST = 2

#: A little room between the outermost points and the frame, as a factor of the value.
MARGIN = 1.25

Points = Sequence[tuple[float, float]]


def _circle(x: float, y: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6"/>'


def _square(x: float, y: float) -> str:
    return f'<rect x="{x - 3.3:.1f}" y="{y - 3.3:.1f}" width="6.6" height="6.6"/>'


def _triangle(x: float, y: float) -> str:
    return f'<path d="M{x:.1f} {y - 4.4:.1f}l4.4 7.6h-8.8z"/>'


#: Colour and marker of each line in turn: told apart with every kind of eyesight, and in print.
STYLES: tuple[tuple[str, Callable[[float, float], str]], ...] = (
    ("#0072b2", _circle),
    ("#d55e00", _square),
    ("#009e73", _triangle),
)


class Panel(NamedTuple):
    """One chart: lines of points (value, seconds) over a named axis."""

    title: str
    axis: str
    #: The values that are named on the axis.
    ticks: Sequence[float]
    lines: Mapping[str, Points]


class Scale(NamedTuple):
    """A logarithmic scale: values from `least` to `most` on `start` to `end` of the picture."""

    least: float
    most: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = math.log(value / self.least) / math.log(self.most / self.least)
        return self.start + share * (self.end - self.start)


def chart(title: str, panels: Sequence[Panel]) -> str:
    """Draw panels, two abreast, with the legend of the first one's lines above them."""
    rows = math.ceil(len(panels) / PANELS_ABREAST)
    across, down = LEFT + WIDTH + RIGHT, TOP + HEIGHT + BOTTOM
    width, height = PANELS_ABREAST * across, HEAD + rows * down
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="Helvetica, Arial, sans-serif" font-size="13" fill="#222">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        _text(LEFT, 30, title, size=18, weight="bold"),
        *_legend(list(panels[0].lines), LEFT, 58),
    ]
    for index, panel in enumerate(panels):
        row, column = divmod(index, PANELS_ABREAST)
        parts += [f'<g transform="translate({column * across} {HEAD + row * down})">', *_panel(panel), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel) -> list[str]:
    """Draw one panel: frame, ticks, labels, lines."""
    points = [point for line in panel.lines.values() for point in line]
    across = _around([x for x, _ in points], LEFT, LEFT + WIDTH)
    upwards = _around([y for _, y in points], TOP + HEIGHT, TOP)
    parts = [_text(LEFT, TOP - 14, panel.title, size=15, weight="bold")]
    parts += [_tick_across(across(value), f"{value:,}") for value in panel.ticks]
    parts += [
        _tick_upwards(upwards(value), duration(value)) for value in decades(upwards.least, upwards.most)
    ]
    parts.append(
        f'<rect x="{LEFT}" y="{TOP}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#888"/>',
    )
    parts.append(_text(LEFT + WIDTH / 2, TOP + HEIGHT + 42, panel.axis, anchor="middle"))
    for (colour, marker), line in zip(STYLES, panel.lines.values()):
        parts += _line([(across(x), upwards(y)) for x, y in line], colour, marker)
    return parts


def _around(values: Sequence[float], start: float, end: float) -> Scale:
    return Scale(min(values) / MARGIN, max(values) * MARGIN, start, end)


def decades(least: float, most: float) -> list[float]:
    """Give the powers of ten within a range; where there are fewer than two, their doubles and fives too."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    for steps in ((1,), (1, 2, 5)):
        found = [step * 10.0**power for power in powers for step in steps]
        inside = [value for value in found if least <= value <= most]
        if len(inside) > 1:
            break
    return inside


def duration(seconds: float) -> str:
    """Write a round time in the greatest unit that it fills."""
    units = {1.0: "s", 1e-3: "ms", 1e-6: "µs"}
    size = next((size for size in units if seconds >= size * 0.999), 1e-6)
    return f"{seconds / size:g} {units[size]}"


def _line(points: Points, colour: str, marker: Callable[[float, float], str]) -> list[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        f'<g fill="{colour}">{"".join(marker(x, y) for x, y in points)}</g>',
    ]


def _legend(names: Sequence[str], x: float, y: float) -> list[str]:
    parts = []
    for index, (name, (colour, marker)) in enumerate(zip(names, STYLES)):
        left = x + index * 130
        parts += _line([(left, y), (left + 14, y), (left + 28, y)], colour, marker)[:1]
        parts.append(f'<g fill="{colour}">{marker(left + 14, y)}</g>')
        parts.append(_text(left + 36, y + 4.5, name))
    return parts


def _tick_across(x: float, label: str) -> str:
    bottom = TOP + HEIGHT
    line = (
        f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#e4e4e4"/><path d="M{x:.1f} {bottom}v5" stroke="#888"/>'
    )
    return line + _text(x, bottom + 20, label, anchor="middle")


def _tick_upwards(y: float, label: str) -> str:
    line = f'<path d="M{LEFT} {y:.1f}h{WIDTH}" stroke="#e4e4e4"/><path d="M{LEFT} {y:.1f}h-5" stroke="#888"/>'
    return line + _text(LEFT - 9, y + 4.5, label, anchor="end")


def _text(
    x: float, y: float, text: str, size: int = 13, weight: str = "normal", anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )
