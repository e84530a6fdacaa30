"""The table of chapter 8 is the table of the code, row by row."""

from __future__ import annotations

import re
from pathlib import Path

from refquant.model.layers import FLOAT_LAYERS, LAYERS

CHAPTER = Path(__file__).parents[2] / "spec" / "08-layers.md"


def test_same_rows() -> None:
    rows = re.findall(r"^\| (\w+) \| ([\w, ]+) \| [^|]+ \| ?([\w.]*) ?\|$", CHAPTER.read_text(), re.MULTILINE)
    written: dict[str, list[tuple[str, str | None]]] = {}
    for layer, tensors, flag in rows:
        if layer != "layer":
            written.setdefault(layer, []).extend((tensor, flag or None) for tensor in tensors.split(", "))
    both = written.pop("LSTM")
    written |= {"uniDirectionalLSTM": both, "biDirectionalLSTM": both}
    known = {layer: [(row.tensor, row.flag) for row in rows] for layer, rows in LAYERS.items()}
    assert {layer: sorted(rows, key=str) for layer, rows in written.items()} == {
        layer: sorted(rows, key=str) for layer, rows in known.items()
    }


def test_layers_of_floats() -> None:
    _, _, rest = CHAPTER.read_text().partition("Layers that quantization leaves alone")
    rows = re.findall(r"^\| (\w+) \| ([\w, ]+?)(?:, with (\w+))? \| [^|]+ \|$", rest, re.MULTILINE)
    written: dict[str, list[tuple[str, str | None]]] = {}
    for layer, tensors, flag in rows[1:]:
        written.setdefault(layer, []).extend((tensor, flag or None) for tensor in tensors.split(", "))
    assert written == {
        layer: [(row.tensor, row.flag) for row in rows] for layer, rows in FLOAT_LAYERS.items()
    }
