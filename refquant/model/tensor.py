"""One `WeightParams` message and its values as plain data: the only place where the two meet."""

from __future__ import annotations

from array import array
from typing import Literal

from refquant.errors import RefquantError, TensorError
from refquant.model import stored
from refquant.model.layers import Site
from refquant.model.layout import Layout
from refquant.model.stored import Stored
from refquant.schema.coreml import WeightParams

ValueField = Literal["floatBytes", "float16Value", "rawValue", "int8RawValue", "quantization"]

#: The fields that hold a tensor's values, each in another form, and the one that says how to read codes.
VALUE_FIELDS: tuple[ValueField, ...] = (
    "floatBytes",
    "float16Value",
    "rawValue",
    "int8RawValue",
    "quantization",
)


def form(params: WeightParams) -> str:
    """Tell in which of `stored.FORMS` a tensor is stored.

    Raises TensorError where more than one kind of values is present, or raw bytes come with no way to read
    them. Rule: TEN-1, TEN-5.
    """
    floats = any(params.floatBytes)
    present = [
        name
        for name, here in (
            ("float32", floats),
            ("float16", bool(params.float16Value)),
            ("raw", bool(params.rawValue) and params.HasField("quantization")),
            ("int8", bool(params.int8RawValue) and params.HasField("quantization")),
        )
        if here
    ]
    if len(present) > 1:
        raise TensorError(f"holds {' and '.join(present)} values at once", rule="TEN-1")
    found = present.pop() if present else "empty"
    if found != "raw":
        return found
    kind = params.quantization.WhichOneof("QuantizationType")
    if kind is None:
        raise TensorError("its quantization has neither scales nor a lookup table", rule="TEN-5")
    return "linear" if kind == "linearQuantization" else "lut"


def located_form(site: Site) -> str:
    """Tell in which of `stored.FORMS` a site is stored; an error says where."""
    try:
        return form(site.params) if site.there else "empty"
    except RefquantError as error:
        raise error.located(**site.where) from None


def float32_weights(params: WeightParams) -> array[float]:
    """Read the float32 payload of a tensor, without a check of its shape or values. Rule: TEN-2, TEN-3."""
    weights = stored.floats(b"".join(params.floatBytes))
    return weights if isinstance(weights, array) else array("f", weights.tobytes())


def store_float32(params: WeightParams, weights: array[float]) -> None:
    """Make a tensor hold these float32 weights and nothing else."""
    store(params, stored.float32(weights))


def take(params: WeightParams) -> Stored:
    """Give the values of a tensor, in the form in which it has them. Raises what `form` does."""
    kind = form(params)
    if kind == "float32":
        return Stored(kind, b"".join(params.floatBytes))
    if kind == "float16":
        return Stored(kind, params.float16Value)
    if kind == "empty":
        return Stored(kind)
    quantization = params.quantization
    return Stored(
        kind,
        params.int8RawValue if kind == "int8" else params.rawValue,
        quantization.numberOfBits,
        array("f", quantization.linearQuantization.scale),
        array("f", quantization.linearQuantization.bias),
        array("f", quantization.lookupTableQuantization.floatValue),
    )


def store(params: WeightParams, values: Stored) -> None:
    """Make a tensor hold these values and no others; its other fields, unknown ones too, stay.

    Rule: TEN-4, TEN-5, INT8-2, FILE-5.
    """
    for field in VALUE_FIELDS:
        params.ClearField(field)
    if values.form == "float32":
        params.floatBytes.append(values.payload)
    elif values.form == "float16":
        params.float16Value = values.payload
    elif values.form == "int8":
        params.int8RawValue = values.payload
    elif values.form != "empty":
        params.rawValue = values.payload
    if values.nbits:
        params.quantization.numberOfBits = values.nbits
    if values.table:
        params.quantization.lookupTableQuantization.floatValue.extend(values.table)
    elif values.scales:
        params.quantization.linearQuantization.scale.extend(values.scales)
        params.quantization.linearQuantization.bias.extend(values.biases)


def decode(site: Site) -> array[float]:
    """Read a site in whatever form it is stored as float32 weights.

    An empty tensor gives no weights. Raises a RefquantError with layer and tensor where the stored form
    breaks a rule. Rule: DEQ-1 to DEQ-4.
    """
    try:
        return decode_params(site.params, site.layout)
    except RefquantError as error:
        raise error.located(**site.where) from None


def decode_params(params: WeightParams, layout: Layout) -> array[float]:
    """Like `decode`, for a tensor whose place is not known."""
    return stored.decode(take(params), layout)
