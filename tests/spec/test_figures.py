"""The figures: that the files are what would be drawn now, and what is in them."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

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


def test_the_staircase_has_four_steps() -> None:
    """LIN-2, seen: 2 bits over -1 to 1.25 are steps of 0.75, and a tie goes to the even code."""
    root = ElementTree.fromstring(figures.staircase())
    (line,) = (
        node for node in root.iter("{http://www.w3.org/2000/svg}polyline") if node.attrib["class"] == "a"
    )
    heights = [point.split(",")[1] for point in line.attrib["points"].split()]
    # 901 weights, 0.0025 apart: half a step is 150 of them. Codes 0 and 2 take both their ties.
    assert [heights.count(height) for height in dict.fromkeys(heights)] == [151, 299, 301, 150]
