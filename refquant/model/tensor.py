"""One `WeightParams` message and one codec result: the only place where the two meet."""

from __future__ import annotations

import sys
import warnings
from array import array
from typing import Callable, Literal, NamedTuple, Union, cast

from refquant.codec import half, int8, kmeans, linear, lut, packing, symmetric
from refquant.codec.channels import Channels
from refquant.codec.linear import LinearCodes
from refquant.codec.lut import LutCodes
from refquant.errors import RefquantError, RefquantWarning, ShapeError, TensorError, place
from refquant.model.layers import Layout, Site
from refquant.schema.coreml import WeightParams

Codes = Union[LinearCodes, LutCodes]

ValueField = Literal["floatBytes", "float16Value", "rawValue", "int8RawValue", "quantization"]

#: What a custom lookup-table function takes and gives; see `refquant.codec.lut.encode_custom`.
LutFunction = Callable[[int, "array[float]"], object]

#: The forms in which a tensor can be stored, by name; `empty` is a tensor without values.
FORMS = ("empty", "float32", "float16", "linear", "lut", "int8")


#: The fields that hold a tensor's values, each in another form, and the one that says how to read codes.
VALUE_FIELDS: tuple[ValueField, ...] = (
    "floatBytes",
    "float16Value",
    "rawValue",
    "int8RawValue",
    "quantization",
)


#: Whether the bytes of a payload can be read in place. PyPy reads an array, which is a copy, much sooner.
VIEWS = sys.byteorder == "little" and sys.implementation.name == "cpython"


class Request(NamedTuple):
    """What to make of a tensor: the same for every tensor of a model."""

    mode: str
    nbits: int
    lut_function: LutFunction | None = None


#: Quantization mode -> how a tensor's weights become codes. Rule: LIN-1, SYM-1, LUT-3, LUT-4, KM-1.
ENCODERS: dict[str, Callable[[array[float], Channels, Request], Codes]] = {
    "linear": lambda weights, channels, request: linear.encode(weights, request.nbits, channels),
    "linear_symmetric": lambda weights, channels, request: symmetric.encode(weights, channels),
    "linear_lut": lambda weights, channels, request: lut.encode_linear(weights, request.nbits),
    "kmeans_lut": lambda weights, channels, request: kmeans.encode(weights, request.nbits),
    "custom_lut": lambda weights, channels, request: lut.encode_custom(
        weights, request.nbits, request.lut_function
    ),
}


def form(params: WeightParams) -> str:
    """Tell in which of FORMS a tensor is stored.

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
    if present != ["raw"]:
        return present[0] if present else "empty"
    kind = params.quantization.WhichOneof("QuantizationType")
    if kind is None:
        raise TensorError("its quantization has neither scales nor a lookup table", rule="TEN-5")
    return "linear" if kind == "linearQuantization" else "lut"


def located_form(site: Site) -> str:
    """Tell in which of FORMS a site is stored; an error says where."""
    try:
        return form(site.params)
    except RefquantError as error:
        raise error.located(**site.where) from None


def float32_view(params: WeightParams) -> array[float]:
    """Read the float32 payload of a tensor, without a check of its shape or values. Rule: TEN-2, TEN-3.

    Encoders take a memoryview like an array; see `refquant.codec.weights`.
    """
    payload = b"".join(params.floatBytes)
    if len(payload) % 4:
        raise TensorError(f"floatValue has {len(payload)} bytes, which is no multiple of 4", rule="TEN-2")
    if VIEWS:
        return cast("array[float]", memoryview(payload).cast("f"))
    weights = array("f", payload)
    if sys.byteorder == "big":
        weights.byteswap()
    return weights


def float32_weights(params: WeightParams) -> array[float]:
    """Like `float32_view`, as an array of its own."""
    weights = float32_view(params)
    return weights if isinstance(weights, array) else array("f", weights.tobytes())


def store_float32(params: WeightParams, weights: array[float]) -> None:
    """Make a tensor hold these float32 weights and nothing else."""
    if sys.byteorder == "big":
        weights = weights[:]
        weights.byteswap()
    _clear(params)
    params.floatBytes.append(weights.tobytes())


def read(site: Site) -> array[float]:
    """Read the float32 weights of a site that is about to be encoded: all of them, finite or not.

    Raises ShapeError or TensorError, with layer and tensor. Rule: TEN-6.
    """
    try:
        weights = float32_view(site.params)
        _check_count(len(weights), site.layout)
    except RefquantError as error:
        raise error.located(**site.where) from None
    return weights


def quantize(site: Site, request: Request) -> None:
    """Replace the float32 weights of a site by codes of 1 to 8 bits.

    Warns where the range of a channel is so small that every code is 0. The site is unchanged where this
    raises. Rule: TEN-5, LIN-4, SYM-4.
    """
    weights = read(site)
    try:
        codes = ENCODERS[request.mode](weights, site.layout.channels(site.layout.axis), request)
    except RefquantError as error:
        raise error.located(**site.where)  # noqa: B904 -- the same error, with its own cause
    if codes.collapsed:
        _warn_collapsed(site, codes)
    _store_codes(site.params, codes, request.nbits)


def encode_half(site: Site) -> bytes:
    """Give the half-precision form of a site's float32 weights, two bytes each. Rule: HALF-1, HALF-2."""
    weights = read(site)
    try:
        return half.encode(weights)
    except RefquantError as error:
        raise error.located(**site.where) from None


def encode_int8(site: Site) -> tuple[bytes, float]:
    """Give a site's weights, in whatever form, as signed codes and their scale. Rule: INT8-1, INT8-4."""
    weights = decode(site)
    try:
        return int8.encode(weights)
    except RefquantError as error:
        raise error.located(**site.where) from None


def store_half(params: WeightParams, payload: bytes) -> None:
    """Make a tensor hold these half-precision weights and nothing else. Rule: TEN-4."""
    _clear(params)
    params.float16Value = payload


def store_int8(params: WeightParams, codes: bytes, scale: float) -> None:
    """Make a tensor hold signed codes for dynamic quantization, and nothing else. Rule: INT8-2."""
    _clear(params)
    params.int8RawValue = codes
    params.quantization.numberOfBits = 8
    params.quantization.linearQuantization.scale.append(scale)


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
    weights = DECODERS[form(params)](params, layout)
    if weights:
        _check_count(len(weights), layout)
    return weights


def _codes(params: WeightParams, layout: Layout) -> bytes:
    """Unpack the codes of a quantized tensor. Rule: TEN-5, PACK-5."""
    nbits = params.quantization.numberOfBits
    if not 1 <= nbits <= 8:
        raise TensorError(f"numberOfBits is {nbits}, not 1 to 8", rule="TEN-5")
    return packing.unpack(params.rawValue, nbits, layout.size)


def _decode_linear(params: WeightParams, layout: Layout) -> array[float]:
    codes = _codes(params, layout)
    scales = array("f", params.quantization.linearQuantization.scale)
    biases = array("f", params.quantization.linearQuantization.bias)
    axis = layout.axis if layout.axis is not None else layout.read_axis
    return linear.decode(codes, scales, biases, layout.channels(axis))


def _decode_lut(params: WeightParams, layout: Layout) -> array[float]:
    codes = _codes(params, layout)
    table = array("f", params.quantization.lookupTableQuantization.floatValue)
    entries = 1 << params.quantization.numberOfBits
    if len(table) != entries:
        raise TensorError(f"its lookup table has {len(table)} entries, not {entries}", rule="LUT-1")
    return lut.decode(codes, table)


def _decode_int8(params: WeightParams, layout: Layout) -> array[float]:
    scales = params.quantization.linearQuantization.scale
    if len(scales) != 1:
        raise TensorError(f"{len(scales)} scales beside signed codes, not 1", rule="DEQ-3")
    return int8.decode(params.int8RawValue, scales[0])


#: Form -> how its weights are read back. Rule: DEQ-1.
DECODERS: dict[str, Callable[[WeightParams, Layout], array[float]]] = {
    "empty": lambda params, layout: array("f"),
    "float32": lambda params, layout: float32_weights(params),
    "float16": lambda params, layout: half.decode(params.float16Value),
    "linear": _decode_linear,
    "lut": _decode_lut,
    "int8": _decode_int8,
}


def _clear(params: WeightParams) -> None:
    """Empty a tensor of values; its other fields, unknown ones too, stay. Rule: FILE-5."""
    for field in VALUE_FIELDS:
        params.ClearField(field)


def _store_codes(params: WeightParams, codes: Codes, nbits: int) -> None:
    """Make a tensor hold these codes and nothing else. Rule: TEN-5."""
    _clear(params)
    params.rawValue = packing.pack(codes.codes, nbits)
    params.quantization.numberOfBits = nbits
    if isinstance(codes, LinearCodes):
        params.quantization.linearQuantization.scale.extend(codes.scales)
        params.quantization.linearQuantization.bias.extend(codes.biases)
    else:
        params.quantization.lookupTableQuantization.floatValue.extend(codes.table)


def _check_count(count: int, layout: Layout) -> None:
    """Refuse weights that do not fill their shape. Rule: TEN-6."""
    if count != layout.size:
        shape = " x ".join(map(str, layout.shape)) or "()"
        raise ShapeError(f"{count} values do not fill shape {shape} ({layout.size})", rule="TEN-6")


def _warn_collapsed(site: Site, codes: Codes) -> None:
    """Say that weights which differ got the same code. Rule: LIN-4, SYM-4."""
    which = "its range"
    if isinstance(codes, LinearCodes) and len(codes.scales) > 1:
        which = f"the range of {len(codes.collapsed)} of {len(codes.scales)} channels"
    warnings.warn(
        place(site.layer.name, site.layer_type, site.tensor)
        + f"{which} is too small for a step above 1e-6: every code is 0 (LIN-4)",
        RefquantWarning,
        stacklevel=2,
    )
