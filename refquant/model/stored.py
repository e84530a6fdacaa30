"""A tensor's values as plain data, in every form that the format stores, and the way from form to form.

All the work on a tensor is here. It goes from plain data to plain data, without a message or a model, so that
any process can do it; `tensor.py` takes the data out of messages and puts it back.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator
from time import perf_counter
from typing import Callable, NamedTuple, Union, cast

from refquant.codec import half, int8, kmeans, linear, lut, packing, symmetric
from refquant.codec.channels import Channels
from refquant.codec.linear import LinearCodes
from refquant.codec.lut import LutCodes
from refquant.errors import HalfRangeError, RefquantError, ShapeError, TensorError
from refquant.model.layout import Layout

Codes = Union[LinearCodes, LutCodes]

#: The codec's type of a custom function, by which `quantize` calls it too.
LutFunction = lut.LutFunction

#: The forms in which a tensor can be stored, by name; `empty` is a tensor without values.
FORMS = ("empty", "float32", "float16", "linear", "lut", "int8")

#: Whether the bytes of a payload can be read in place. PyPy reads an array, which is a copy, much sooner.
VIEWS = sys.byteorder == "little" and sys.implementation.name == "cpython"

#: No scales, biases or table. Nobody changes it.
NONE = array("f")


class Stored(NamedTuple):
    """The values of a tensor as the format stores them."""

    #: One of FORMS.
    form: str
    #: Little-endian float32 or binary16 numbers, packed codes, or signed bytes.
    payload: bytes = b""
    #: Bits of a code; 0 where there are none.
    nbits: int = 0
    scales: array[float] = NONE
    biases: array[float] = NONE
    table: array[float] = NONE


class Request(NamedTuple):
    """What to make of a tensor: the same for every tensor of a model."""

    #: A key of ENCODERS; `half`, `int8`; or `dequantization`, which makes float32.
    mode: str
    nbits: int
    lut_function: LutFunction | None = None
    #: Whether `convert` gives a HalfRangeError back instead of raising it. Rule: HALF-3.
    keep: bool = False
    #: For `kmeans_lut`: whether to find the optimum, and whether to certify the table. Rule: KM-4.
    exact: bool = False
    certify: bool = False


class Task(NamedTuple):
    """A tensor to convert."""

    #: Layer, layer type and tensor, as errors carry them.
    where: dict[str, str]
    stored: Stored
    layout: Layout


class Converted(NamedTuple):
    """A tensor in its new form, and what there is to say about it."""

    stored: Stored
    #: How many channels have weights that differ though every code is 0. Rule: LIN-4, SYM-4.
    collapsed: int
    #: Seconds that its weights and codes took, and the packing of the codes.
    seconds: float
    packing: float
    #: How near a k-means table is to the best, where that is asked for.
    certificate: kmeans.Certificate | None = None


#: Quantization mode -> how a tensor's weights become codes. Rule: LIN-1, SYM-1, LUT-3, LUT-4, KM-1.
ENCODERS: dict[str, Callable[[array[float], Channels, Request], Codes]] = {
    "linear": lambda weights, channels, request: linear.encode(weights, request.nbits, channels),
    "linear_symmetric": lambda weights, channels, request: symmetric.encode(weights, channels),
    "linear_lut": lambda weights, channels, request: lut.encode_linear(weights, request.nbits),
    "kmeans_lut": lambda weights, channels, request: kmeans.encode(weights, request.nbits, request.exact),
    "custom_lut": lambda weights, channels, request: lut.encode_custom(
        weights, request.nbits, request.lut_function
    ),
}

#: Mode -> how a tensor's weights are stored where that takes no packing. Rule: HALF-1, INT8-1, DEQ-1.
UNPACKED: dict[str, Callable[[array[float]], Stored]] = {
    "dequantization": lambda weights: float32(weights),
    "half": lambda weights: Stored("float16", half.encode(weights)),
    "int8": lambda weights: _int8(*int8.encode(weights)),
}


def convert(task: Task, request: Request) -> Converted | HalfRangeError:
    """Bring a tensor into the form that is asked for.

    Raises a RefquantError with layer, tensor and, where there is one, index: a tensor that cannot be read,
    does not fill its shape, or is to be quantized and holds a NaN or an infinity, and what its mode cannot
    encode. Rule: TEN-5 to TEN-7.
    """
    started = perf_counter()
    try:
        weights = decode(task.stored, task.layout)
        if request.mode in UNPACKED:
            return Converted(UNPACKED[request.mode](weights), 0, perf_counter() - started, 0.0)
        codes = ENCODERS[request.mode](weights, task.layout.channels(task.layout.axis), request)
        certificate = _certificate(weights, codes) if request.certify else None
    except RefquantError as error:
        error.located(**task.where)
        if isinstance(error, HalfRangeError) and request.keep:
            return error
        raise
    coded = perf_counter()
    stored = _packed(codes, request.nbits)
    collapsed = len(codes.collapsed) if isinstance(codes, LinearCodes) else int(codes.collapsed)
    return Converted(stored, collapsed, coded - started, perf_counter() - coded, certificate)


def _certificate(weights: array[float], codes: Codes) -> kmeans.Certificate:
    assert isinstance(codes, LutCodes)
    return kmeans.certify(weights, codes.table)


def decode(stored: Stored, layout: Layout) -> array[float]:
    """Read a tensor in whatever form as float32 weights; an empty one gives none.

    Raises a RefquantError where the form breaks a rule or the weights do not fill the shape. Rule: DEQ-1 to
    DEQ-4, TEN-6.
    """
    weights = DECODERS[stored.form](stored, layout)
    if weights:
        check_filled(len(weights), layout)
    return weights


def float32(weights: array[float]) -> Stored:
    """Store float32 weights as they are."""
    if sys.byteorder == "big":
        weights = weights[:]
        weights.byteswap()
    return Stored("float32", weights.tobytes())


def floats(payload: bytes) -> array[float]:
    """Read a float32 payload, without a check of its shape or values. Rule: TEN-2, TEN-3.

    Encoders take a memoryview like an array; see `refquant.codec.weights`.
    """
    if len(payload) % 4:
        raise TensorError(f"floatValue has {len(payload)} bytes, which is no multiple of 4", rule="TEN-2")
    if VIEWS:
        return cast("array[float]", memoryview(payload).cast("f"))
    weights = array("f", payload)
    if sys.byteorder == "big":
        weights.byteswap()
    return weights


def _packed(codes: Codes, nbits: int) -> Stored:
    """Store codes of 1 to 8 bits. Rule: TEN-5."""
    payload = packing.pack(codes.codes, nbits)
    if isinstance(codes, LinearCodes):
        return Stored("linear", payload, nbits, scales=codes.scales, biases=codes.biases)
    return Stored("lut", payload, nbits, table=codes.table)


def _int8(codes: bytes, scale: float) -> Stored:
    """Store signed codes for dynamic quantization. Rule: INT8-2."""
    return Stored("int8", codes, 8, scales=array("f", [scale]))


def check_filled(count: int, layout: Layout) -> None:
    """Refuse another number of values than fills a shape. Rule: TEN-6."""
    if count != layout.size:
        shape = " x ".join(map(str, layout.shape)) or "()"
        raise ShapeError(f"{count} values do not fill shape {shape} ({layout.size})", rule="TEN-6")


def check_bits(nbits: int) -> None:
    """Refuse a number of bits that codes cannot have. Rule: TEN-5."""
    if not 1 <= nbits <= 8:
        raise TensorError(f"numberOfBits is {nbits}, not 1 to 8", rule="TEN-5")


def check_table(entries: int, nbits: int) -> None:
    """Refuse a table without an entry for each code: only then can a code lie past its end. Rule: LUT-1."""
    if entries != 1 << nbits:
        raise TensorError(f"its lookup table has {entries} entries, not {1 << nbits}", rule="LUT-1")


def signed_faults(nbits: int, scales: int, biases: int) -> Iterator[TensorError]:
    """Find what signed codes may not come with: how many bits, scales and biases there are. Rule: INT8-2."""
    for right, reason in (
        (nbits == 8, f"numberOfBits is {nbits}, not 8"),
        (scales == 1, f"{scales} scales, not 1"),
        (biases == 0, f"{biases} biases, not 0"),
    ):
        if not right:
            yield TensorError(f"beside signed codes: {reason}", rule="INT8-2")


def _codes(stored: Stored, layout: Layout) -> bytes:
    """Unpack the codes of a quantized tensor. Rule: TEN-5, PACK-5."""
    check_bits(stored.nbits)
    return packing.unpack(stored.payload, stored.nbits, layout.size)


def _decode_linear(stored: Stored, layout: Layout) -> array[float]:
    codes = _codes(stored, layout)
    return linear.decode(codes, stored.scales, stored.biases, layout.channels(layout.channel_axis))


def _decode_lut(stored: Stored, layout: Layout) -> array[float]:
    codes = _codes(stored, layout)
    check_table(len(stored.table), stored.nbits)
    return lut.decode(codes, stored.table)


def _decode_int8(stored: Stored, layout: Layout) -> array[float]:
    for fault in signed_faults(stored.nbits, len(stored.scales), len(stored.biases)):
        raise fault
    (scale,) = stored.scales
    return int8.decode(stored.payload, scale)


#: Form -> how its weights are read back. Rule: DEQ-1.
DECODERS: dict[str, Callable[[Stored, Layout], array[float]]] = {
    "empty": lambda stored, layout: array("f"),
    "float32": lambda stored, layout: floats(stored.payload),
    "float16": lambda stored, layout: half.decode(stored.payload),
    "linear": _decode_linear,
    "lut": _decode_lut,
    "int8": _decode_int8,
}
