"""A tensor of a file as a validator sees it: its values, each field read once, its shape and its form."""

from __future__ import annotations

from typing import NamedTuple

from refquant.errors import RefquantError, ShapeError
from refquant.model.layers import MOST_DIMENSIONS, Row, Site
from refquant.model.layout import Layout
from refquant.schema.coreml import WeightParams

#: Ranks of every array that there is.
ANY_RANK = tuple(range(1, MOST_DIMENSIONS + 1))

#: Layer type -> how many dimensions the shapes that it lists may have. Rule: LAY-6.
RANKS: dict[str, tuple[int, ...]] = {
    "bias": (1, 3),
    "scale": (1, 3),
    "loadConstant": (3,),
    "loadConstantND": ANY_RANK,
    "layerNormalization": ANY_RANK,
}

#: Row of a tensor whose shape no layer states, such as an activation's.
SHAPELESS = Row("", lambda parameters: Layout(()))

#: Field of values -> form of the tensor in which it is filled; codes are of two kinds.
FORMS = {"floatValue": "float32", "float16Value": "float16", "rawValue": "codes", "int8RawValue": "int8"}

#: How codes can be read -> form of their tensor.
KINDS = {"linearQuantization": "linear", "lookupTableQuantization": "lut"}


class Held(NamedTuple):
    """A tensor with its values. Each field is read once: protobuf copies the bytes at every look."""

    site: Site
    #: Layout that the layer states; None where it states none, or a wrong one.
    layout: Layout | None
    #: What is wrong with it.
    misfit: RefquantError | None
    #: The runs of `floatValue`, and the three other fields of values.
    floats: list[bytes]
    halves: bytes
    raw: bytes
    signed: bytes
    #: Names of the fields of values that are filled.
    filled: list[str]
    #: One of `stored.FORMS`, or `codes` where nothing says how to read them; empty too where several fields
    #: are filled.
    form: str

    @property
    def params(self) -> WeightParams:
        """The message."""
        return self.site.params

    @property
    def nbits(self) -> int:
        """Number of bits of a code; 0 where it is one that codes cannot have."""
        nbits = self.params.quantization.numberOfBits
        return nbits if nbits <= 8 else 0

    @property
    def weights(self) -> int:
        """Number of weights; of codes whose shape nobody states, as many as their bytes hold."""
        if self.form in ("codes", *KINDS.values()):
            return self.layout.size if self.layout else len(self.raw) * 8 // (self.nbits or 8)
        return sum(map(len, self.floats)) // 4 + len(self.halves) // 2 + len(self.signed)


def hold(site: Site) -> Held:
    """Read a tensor. Rule: TEN-1."""
    params, (layout, misfit) = site.params, _layout(site)
    if not site.there:
        return Held(site, layout, misfit, [], b"", b"", b"", [], "empty")
    floats = list(params.floatBytes)
    values = (params.float16Value, params.rawValue, params.int8RawValue)
    filled = [name for name, value in zip(FORMS, (any(floats), *values)) if value]
    form = FORMS[filled[0]] if len(filled) == 1 else "empty"
    if form in ("codes", "int8") and not params.HasField("quantization"):
        form = "empty"
    elif form == "codes":
        form = KINDS.get(params.quantization.WhichOneof("QuantizationType") or "", form)
    return Held(site, layout, misfit, floats, *values, filled, form)


def _layout(site: Site) -> tuple[Layout | None, RefquantError | None]:
    """Read the shape that a layer states, or what is wrong with it. Rule: LAY-3, LAY-6."""
    if site.row is SHAPELESS:
        return None, None
    try:
        layout = site.layout
    except RefquantError as error:
        return None, error
    ranks, rank = RANKS.get(site.layer_type), len(layout.shape)
    if ranks and rank not in ranks:
        allowed = f"{ranks[0]} to {ranks[-1]}" if ranks is ANY_RANK else " or ".join(map(str, ranks))
        return None, ShapeError(f"its shape has {rank} dimensions, not {allowed}", rule="LAY-6")
    return layout, None
