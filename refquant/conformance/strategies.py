"""What fuzzing makes: for every operation a strategy for its input, ill input among it. Needs hypothesis.

Numbers are drawn where quantizers break: on ties between two codes and a unit beside them, around the range
below which codes collapse, on the ends of formats. Every strategy shrinks to a few small numbers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from refquant.conformance import testee as own
from refquant.conformance.operations import OPERATIONS, floats_to_hex

Given = dict[str, Any]

#: Most weights of a made-up tensor.
LONGEST = 24


def f32(x: float) -> float:
    """Round to binary32."""
    return float(struct.unpack("<f", struct.pack("<f", x))[0])


def beside(x: float, units: int) -> float:
    """Give the binary32 number so many units further from zero than x; nearer for negative `units`."""
    (bits,) = struct.unpack("<i", struct.pack("<f", abs(x)))
    (moved,) = struct.unpack("<f", struct.pack("<i", min(max(0, bits + units), 0x7F7FFFFF)))
    return float(moved) if x >= 0 else -float(moved)


#: Numbers that break quantizers: both zeros, the limit of half precision, what it rounds to zero, the least
#: numbers of binary32, and its greatest.
HARD = [0.0, -0.0, 1.0, 0.5, 1.5, 65504.0, 65503.0, 65519.0, 2.0**-24, 2.0**-25, 2.0**-149, 2.0**-126, 1e30]
GREATEST = f32(3.4028234e38)

UNITS = st.sampled_from([0, 0, 0, 1, -1])
NBITS = st.integers(1, 8)
NUMBERS = st.one_of(
    st.floats(-4, 4, width=32),
    st.builds(beside, st.sampled_from([f32(x) for x in HARD]), UNITS),
    st.integers(-40, 40).map(lambda i: i / 2),
    st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**90), max_value=2.0**90),
    st.sampled_from([GREATEST, -GREATEST]),
)


def lists(elements: SearchStrategy[Any], least: int = 0) -> SearchStrategy[list[Any]]:
    """Make lists up to LONGEST."""
    return st.lists(elements, min_size=least, max_size=LONGEST)


@st.composite
def _grid(draw: Any, low: int, top: int) -> list[float]:
    """Weights on the steps of a grid and halfway between, or a unit beside: both ends, then others.

    A step is a whole number times a power of two, so that all of these are binary32 numbers; the reciprocal
    of the step is none, mostly.
    """
    step = draw(st.integers(1, 1 << 14)) * 2.0 ** draw(st.integers(-30, 4))
    halves = [2 * low, 2 * (low + top), *draw(lists(st.integers(2 * low, 2 * (low + top))))]
    return [beside(half * step / 2, draw(UNITS) if at > 1 else 0) for at, half in enumerate(halves)]


@st.composite
def _middles(draw: Any, top: int, symmetric: bool) -> list[float]:
    """Weights by the middle between two codes of a grid of `top` steps; a step is no binary32 number."""
    high = draw(st.floats(0.5, 4, width=32))
    low = -high if symmetric else draw(st.floats(-4, 0.25, width=32))
    codes = draw(lists(st.integers(0, top - 1), 1))
    near = [beside(f32(low + (code + 0.5) * ((high - low) / top)), draw(UNITS)) for code in codes]
    return [low, high, *(min(max(low, weight), high) for weight in near)]


@st.composite
def _collapsing(draw: Any, steps: int) -> list[float]:
    """Weights whose range is a few units from `steps` times 1e-6, or that number in binary64."""
    edge = beside(f32(steps * 1e-6), draw(st.integers(-2, 2)))
    low = draw(st.sampled_from([0.0, -edge, f32(edge - steps * 1e-6)]))
    high = 0.0 if low == -edge else edge
    return [low, high, *draw(st.lists(st.floats(min(low, high), max(low, high), width=32), max_size=4))]


def _weights(low: int, top: int, steps: int) -> SearchStrategy[list[float]]:
    """Weights for a grid of `top` steps that begins `low` steps from zero and collapses by `steps`."""
    # On a coarse grid weights lie between two codes as often as not.
    coarse = lists(st.integers(-4, 4).map(lambda i: i / 2))
    middles = _middles(top, symmetric=top != steps)
    return st.one_of(coarse, lists(NUMBERS), _grid(low, top), middles, _collapsing(steps))


@st.composite
def _halves(draw: Any) -> list[float]:
    """Numbers of half precision and the middles between two, or a unit beside."""
    found = []
    for word in draw(lists(st.integers(0, 0x7BFE), 1)):
        below, above = struct.unpack("<2e", struct.pack("<2H", word, word + 1))
        middle = draw(st.sampled_from([below, (below + above) / 2]))
        found.append(draw(st.sampled_from([1, -1])) * beside(middle, draw(UNITS)))
    return found


def _shaped(values: Sequence[float], outer: int, channels: int) -> Given:
    """Take as many weights as fill a shape; so drawn, a case shrinks to one channel of few weights."""
    inner = len(values) // (outer * channels)
    if inner == 0:
        outer, channels, inner = 1, 1, len(values)
    kept = floats_to_hex(values[: outer * channels * inner])
    return {"weights": kept, "outer": outer, "channels": channels, "inner": inner}


def _for_bits(nbits: int) -> SearchStrategy[list[float]]:
    top = (1 << nbits) - 1
    return st.integers(-top - 1, 4).flatmap(lambda low: _weights(low, top, top))


def _linear(nbits: int) -> SearchStrategy[Given]:
    return st.builds(_shaped, _for_bits(nbits), st.integers(1, 3), st.integers(1, 3)).map(
        lambda given: {**given, "nbits": nbits}
    )


def _flat(weights: SearchStrategy[list[float]]) -> SearchStrategy[Given]:
    return weights.map(lambda values: {"weights": floats_to_hex(values)})


def _with_nbits(made: Callable[[int], SearchStrategy[Given]]) -> SearchStrategy[Given]:
    return NBITS.flatmap(lambda nbits: made(nbits).map(lambda given: {**given, "nbits": nbits}))


def _pack(nbits: int) -> SearchStrategy[Given]:
    codes = lists(st.integers(0, (1 << nbits) - 1))
    return codes.map(lambda found: {"codes": bytes(found).hex()})


def _unpack(given: Given, padding: int) -> Given:
    """Make the bytes of packed codes, with something in the bits behind the last."""
    count, nbits = len(given["codes"]) // 2, given["nbits"]
    data = bytearray.fromhex(own.run("pack", given)["result"]["bytes"])
    if data:
        data[-1] |= padding & ((1 << (-count * nbits % 8)) - 1)
    return {"bytes": data.hex(), "nbits": nbits, "count": count}


@st.composite
def _decodable(draw: Any) -> Given:
    """Codes with scales and biases for each channel, one scale for all, or no biases."""
    outer, channels, inner = draw(st.tuples(*[st.integers(1, 3)] * 3))
    size = outer * channels * inner
    codes = draw(st.binary(min_size=size, max_size=size))
    count = draw(st.sampled_from([channels, 1]))
    scales = draw(st.lists(NUMBERS, min_size=count, max_size=count))
    biases = draw(st.lists(NUMBERS, min_size=count, max_size=count)) if draw(st.booleans()) else []
    return {
        "codes": codes.hex(),
        "scales": floats_to_hex(scales),
        "biases": floats_to_hex(biases),
        "outer": outer,
        "channels": channels,
        "inner": inner,
    }


@st.composite
def _table(draw: Any, entries: int) -> str:
    """So many entries, few of them different."""
    pool = draw(st.lists(NUMBERS, min_size=1, max_size=4))
    return floats_to_hex([pool[i % len(pool)] for i in range(entries)])


@st.composite
def _custom(draw: Any, nbits: int) -> Given:
    codes = draw(lists(st.integers(0, (1 << nbits) - 1)))
    weights = draw(st.lists(NUMBERS, min_size=len(codes), max_size=len(codes)))
    as_float = draw(st.booleans())
    return {
        "weights": floats_to_hex(weights),
        "table": draw(_table(1 << nbits)),
        "given_codes": [float(code) for code in codes] if as_float else codes,
    }


@st.composite
def _indexed(draw: Any) -> Given:
    entries = draw(st.integers(1, 255))
    codes = draw(lists(st.integers(0, entries - 1)))
    return {"codes": bytes(codes).hex(), "table": draw(_table(entries))}


_HALF_BYTES = lists(st.tuples(st.integers(0, 0x7BFF), st.sampled_from([0, 0x8000]))).map(
    lambda words: {"bytes": b"".join(struct.pack("<H", word | sign) for word, sign in words).hex()}
)
_INT8 = st.builds(
    lambda codes, scale: {"codes": codes.hex(), "scales": floats_to_hex([scale])},
    st.binary(max_size=LONGEST),
    NUMBERS,
)

#: Operation -> input that is good, or bad as a drawn number makes it.
GOOD: dict[str, SearchStrategy[Given]] = {
    "pack": _with_nbits(_pack),
    "unpack": st.builds(_unpack, _with_nbits(_pack), st.integers(0, 255)),
    "half.encode": _flat(lists(NUMBERS) | _halves()),
    "half.decode": _HALF_BYTES,
    "linear.encode": NBITS.flatmap(_linear),
    "linear.decode": _decodable(),
    "symmetric.encode": st.builds(_shaped, _weights(-127, 254, 127), st.integers(1, 3), st.integers(1, 3)),
    "linear_lut.encode": _with_nbits(lambda nbits: _flat(_for_bits(nbits))),
    "custom_lut.encode": _with_nbits(_custom),
    "lut.decode": _indexed(),
    "kmeans.encode": _with_nbits(lambda nbits: _flat(_for_bits(nbits))),
    "int8.encode": _flat(_weights(-127, 254, 127)),
    "int8.decode": _INT8,
}

#: Kind of a list -> elements that it may not hold, or seldom does. Bytes 7c to 7e and fc end, in half
#: precision, an infinity or a NaN.
STRANGE: dict[str, list[Any]] = {
    "floats": ["7fc00000", "7f800000", "ff800000", "ffffffff"],
    "codes": ["ff", "02", "80"],
    "bytes": ["7c", "7e", "fc"],
    "object": [-1, 256, 0.5, "0", None],
}


@st.composite
def _spoilt(draw: Any, operation: str, good: Given) -> Given:
    """Put one fault into an input; where it is refused as it is, leave it so.

    With two faults, either might be named.
    """
    if "error" in own.run(operation, good):
        return good
    name = draw(st.sampled_from(sorted(good)))
    kind, value = OPERATIONS[operation].inputs[name], good[name]
    if isinstance(value, int):
        wrong: Any = draw(st.sampled_from([0, value + 1, value + 8, 1 << 16]))
    elif isinstance(value, str):
        elements = [value[at : at + kind.digits] for at in range(0, len(value), kind.digits)]
        wrong = "".join(draw(_changed(elements, STRANGE[kind.name])))
    else:
        wrong = draw(_changed(value, STRANGE[kind.name]))
    return {**good, name: wrong}


@st.composite
def _changed(draw: Any, elements: list[Any], strange: list[Any]) -> list[Any]:
    """One element less, one twice, or a strange one in its place."""
    if not elements:
        return elements
    at = draw(st.integers(0, len(elements) - 1))
    put = draw(st.sampled_from([[], [elements[at]] * 2, *[[one] for one in strange]]))
    return [*elements[:at], *put, *elements[at + 1 :]]


def strategy(operation: str) -> SearchStrategy[Given]:
    """Give the strategy of an operation: what to put to a testee, one input in three with a fault in it."""
    good = GOOD[operation]
    return st.one_of(good, good, good.flatmap(lambda given: _spoilt(operation, given)))
