"""The figures: that the files are what would be drawn now, and what is in them."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pytest

from refquant.errors import FileError
from refquant.spec import figures
from refquant.spec.trace import ROOT

COMMAND = [sys.executable, "-m", "refquant.spec", "figures"]


def test_current() -> None:
    done = subprocess.run([*COMMAND, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_stale(tmp_path: Path) -> None:
    (tmp_path / "spec").mkdir()
    figures.write(tmp_path)
    assert figures.stale(tmp_path) == []
    (tmp_path / "spec" / "figures" / "errors.svg").write_text("<svg/>")
    (tmp_path / "spec" / "figures" / "old.svg").write_text("<svg/>")
    assert figures.stale(tmp_path) == ["errors.svg", "old.svg"]


def test_not_a_checkout(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="checkout"):
        figures.write(tmp_path)


def test_every_figure_is_in_a_chapter() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "spec").glob("*.md"))
    assert sorted(re.findall(r"\(figures/(\S+)\)", text)) == sorted(figures.FIGURES)


@pytest.mark.parametrize("name", figures.FIGURES)
def test_well_formed(name: str) -> None:
    root = ElementTree.parse(ROOT / "spec" / "figures" / name).getroot()
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    assert root.find("{http://www.w3.org/2000/svg}title") is not None
    for line in root.iter("{http://www.w3.org/2000/svg}polyline"):
        points = [point.split(",") for point in line.attrib["points"].split()]
        assert all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in points)


class Box(NamedTuple):
    """What a label covers, in pixels."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, left: float, top: float, right: float, bottom: float) -> bool:
        return self.left < right and left < self.right and self.top < bottom and top < self.bottom


def labels(svg: str) -> list[Box]:
    """Measure every label: letters are about 7 pixels wide, and reach 11 above their line and 3 below."""
    found = []
    for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        text, x, y = node.text or "", float(node.attrib["x"]), float(node.attrib["y"])
        width = 7 * len(text)
        left = x - {"start": 0, "middle": width / 2, "end": width}[node.attrib.get("text-anchor", "start")]
        found.append(Box(text, left, y - 11, left + width, y + 3))
    return found


@pytest.mark.parametrize("name", figures.FIGURES)
def test_labels_keep_clear(name: str) -> None:
    """No label lies on another, on a line of data, or beyond the figure."""
    svg = (ROOT / "spec" / "figures" / name).read_text(encoding="utf-8")
    boxes = labels(svg)
    for box, other in combinations(boxes, 2):
        assert not box.meets(*other[1:]), f"{box.text!r} lies on {other.text!r}"
    for box in boxes:
        assert 0 <= box.left <= box.right <= figures.WIDTH
        assert 0 <= box.top <= box.bottom <= figures.HEIGHT
    for line in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}polyline"):
        points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        for (x1, y1), (x2, y2) in zip(points, points[1:]):
            for step in range(101):
                x, y = x1 + (x2 - x1) * step / 100, y1 + (y2 - y1) * step / 100
                assert not any(box.meets(x, y, x, y) for box in boxes), f"{name}: a line crosses a label"


def test_spread() -> None:
    assert figures.spread([], 2) == []
    assert figures.spread([1, 5, 9], 2) == [1, 5, 9]
    assert figures.spread([4, 5], 2) == [3.5, 5.5]
    # The first two move apart, and so the second comes too near to the third.
    assert figures.spread([4, 5, 7], 2) == pytest.approx([10 / 3, 16 / 3, 22 / 3])


def test_decibels() -> None:
    """Chapter 0: about 6 decibels a bit from 4 bits on; from 2 bits to 1, even grids lose 9.5 and more, a
    table that follows the weights about 5.
    """
    weights, channels = figures.sample_weights()
    for _, name, mode in figures.MODES:
        level = {n: figures.signal_to_noise(weights, mode(weights, channels, n)) for n in (1, 2, 4, 6, 8)}
        assert level[8] - level[6] == pytest.approx(12, abs=0.7)
        assert level[6] - level[4] == pytest.approx(12, abs=0.7)
        loss = level[2] - level[1]
        assert loss == pytest.approx(5, abs=0.5) if name == "kmeans_lut" else loss > 9.5


def test_the_staircase_has_four_steps() -> None:
    """LIN-2, seen: 2 bits over -1 to 1.25 are steps of 0.75, and a tie goes to the even code."""
    root = ElementTree.fromstring(figures.staircase())
    (line,) = (
        node for node in root.iter("{http://www.w3.org/2000/svg}polyline") if node.attrib["class"] == "a"
    )
    heights = [point.split(",")[1] for point in line.attrib["points"].split()]
    # 901 weights, 0.0025 apart: half a step is 150 of them. Codes 0 and 2 take both their ties.
    assert [heights.count(height) for height in dict.fromkeys(heights)] == [151, 299, 301, 150]
