"""The table of chapter 8 is the table of the code: rows, flags, shapes and channels."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from refquant.errors import ShapeError
from refquant.model.layers import FLOAT_LAYERS, LAYERS, sites
from refquant.model.layout import Layout
from refquant.spec import trace
from tests.networks import ROWS, network

CHAPTER = Path(__file__).parents[2] / "spec" / "08-layers.md"
ROW = re.compile(r"^\| (\w+) \| ([\w, ]+) \| ([^|]+) \| ?([\w.]*) ?\|$", re.MULTILINE)

#: What the chapter calls LSTM.
LSTMS = ("uniDirectionalLSTM", "biDirectionalLSTM")


class Written(NamedTuple):
    """A tensor as the chapter has it."""

    layer: str
    tensor: str
    shape: str
    flag: str | None


def written() -> list[Written]:
    rows = ROW.findall(CHAPTER.read_text(encoding="utf-8"))
    return [
        Written(layer, tensor, shape.strip(), flag or None)
        for name, tensors, shape, flag in rows[1:]
        for layer in (LSTMS if name == "LSTM" else (name,))
        for tensor in tensors.split(", ")
    ]


TABLE = written()


def test_same_rows() -> None:
    known = [(layer, row.tensor, row.flag) for layer, rows in LAYERS.items() for row in rows]
    assert sorted(((row.layer, row.tensor, row.flag) for row in TABLE), key=str) == sorted(known, key=str)


class Sizes:
    """Parameters of a layer in which every size is another number, told by its name."""

    isDeconvolution = False  # noqa: N815 -- a field of the format
    nGroups = 0  # noqa: N815 -- likewise

    def __getattr__(self, name: str) -> Any:
        number = 2 + sum(map(ord, name))
        return [number, number + 1] if name == "kernelSize" or name.startswith("shape") else number


def of_names(text: str) -> tuple[int, ...]:
    """Give the shape that names of sizes stand for, such as `outputChannels, inputChannels`."""
    shape: list[int] = []
    for name in text.split(", "):
        field, _, index = name.strip("]").partition("[")
        size = getattr(Sizes(), field)
        part = size[int(index)] if index else size
        shape += part if isinstance(part, list) else [part]
    return tuple(shape)


def layout_of(layer: str, tensor: str, sizes: Any = None) -> Layout:
    (row,) = (row for row in {**LAYERS, **FLOAT_LAYERS}[layer] if row.tensor == tensor)
    return row.layout(sizes or Sizes())


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.layer}.{row.tensor}")
def test_same_shape_and_channels(row: Written) -> None:
    if row.shape == "see LAY-3":
        return
    found = layout_of(row.layer, row.tensor)
    assert found.shape == of_names(row.shape)
    # "The channels of a matrix are its rows, the first dimension ... A vector is one channel, and so is a
    # constant of any shape."
    assert found.axis == (0 if ", " in row.shape else None)


def test_convolutions() -> None:
    """LAY-3, whose two shapes are the row of the table that says so."""
    straight, back = re.findall(r"\(([^)]+)\) and channel axis (\d)", trace.read().rules["LAY-3"].sentence)
    assert [row.tensor for row in TABLE if row.shape == "see LAY-3"] == ["weights"]
    found = layout_of("convolution", "weights")
    assert (found.shape, str(found.axis)) == (of_names(straight[0]), straight[1])

    sizes = Sizes()
    sizes.isDeconvolution = True
    found = layout_of("convolution", "weights", sizes)
    assert (found.shape, str(found.axis)) == (of_names(back[0].replace(" / nGroups", "")), back[1])


def test_both_directions() -> None:
    """A biDirectionalLSTM "has all of these tensors twice, forward and backward"."""
    layer = network(ROWS["biDirectionalLSTM"]).neuralNetwork.layers[0]
    layer.biDirectionalLSTM.params.hasPeepholeVectors = True
    tensors = [row.tensor for row in TABLE if row.layer == "biDirectionalLSTM"]
    expected = [f"{direction}.{tensor}" for direction in ("forward", "backward") for tensor in tensors]
    assert sorted(site.tensor for site in sites(layer)) == sorted(expected)


#: A tensor of a listed shape, by its layer and the field with the list -> scales for 7 times 2 times 3.
LISTED = {
    ("scale", "scale", "shapeScale"): 7,
    ("scale", "bias", "shapeBias"): 7,
    ("bias", "bias", "shape"): 7,
    ("loadConstant", "data", "shape"): 7,
    ("loadConstantND", "data", "shape"): 1,
    ("layerNormalization", "gamma", "normalizedShape"): 1,
    ("layerNormalization", "beta", "normalizedShape"): 1,
}


@pytest.mark.parametrize(("layer", "tensor", "field"), LISTED)
def test_listed_shapes(layer: str, tensor: str, field: str) -> None:
    """Of scale, bias and loadConstant "the first dimension of three; of a vector 1", and 1 for everything
    else. LAY-6: ... one to five.
    """
    shape = (7, 2, 3, 2, 2)
    for rank in range(1, 6):
        found = layout_of(layer, tensor, SimpleNamespace(**{field: shape[:rank]}))
        assert found.shape == shape[:rank]
        assert found.scales == (LISTED[layer, tensor, field] if rank == 3 else 1)
    with pytest.raises(ShapeError, match="a shape of 6 dimensions, more than an array can have") as caught:
        layout_of(layer, tensor, SimpleNamespace(**{field: (*shape, 1)}))
    assert caught.value.rule == "LAY-6"


@pytest.mark.parametrize(
    ("deconvolution", "groups", "channels"),
    [(False, 0, (4, 6)), (False, 2, (4, 3)), (True, 0, (6, 4)), (True, 2, (6, 2))],
)
def test_convolutions_in_three_dimensions(
    deconvolution: bool, groups: int, channels: tuple[int, int]
) -> None:
    """Of 4 output and 6 input channels: "outputChannels, inputChannels / nGroups, kernelDepth, kernelHeight,
    kernelWidth; with isDeconvolution inputChannels, outputChannels / nGroups, and so on".
    """
    sizes = SimpleNamespace(outputChannels=4, inputChannels=6, nGroups=groups, isDeconvolution=deconvolution)
    sizes.kernelDepth, sizes.kernelHeight, sizes.kernelWidth = 3, 5, 7
    assert layout_of("convolution3d", "weights", sizes).shape == (*channels, 3, 5, 7)


def test_layers_of_floats() -> None:
    _, _, rest = CHAPTER.read_text().partition("Layers that quantization leaves alone")
    rows = re.findall(r"^\| (\w+) \| ([\w, ]+?)(?:, with (\w+))? \| [^|]+ \|$", rest, re.MULTILINE)
    written: dict[str, list[tuple[str, str | None]]] = {}
    for layer, tensors, flag in rows[1:]:
        written.setdefault(layer, []).extend((tensor, flag or None) for tensor in tensors.split(", "))
    assert written == {
        layer: [(row.tensor, row.flag) for row in rows] for layer, rows in FLOAT_LAYERS.items()
    }
