"""Weights, lengths and shapes that the cases of several chapters are made of."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fractions import Fraction

from refquant.conformance.operations import floats_to_hex
from tests.hard import NORMAL, SUBNORMAL, TENSORS, TINY, after, f32
from tests.oracle.tensor import Channels

#: Numbers of weights: none, one, about two bytes or lanes of eight, about eight lanes.
LENGTHS = (*range(18), 63, 64, 65)

#: Shapes (outer, channels, inner): one channel and many, axis 0 (outer is 1) and axis 1, short and long rows.
SHAPES = (
    *((1, 1, 9), (1, 2, 1), (1, 3, 4), (1, 7, 1), (1, 16, 1), (1, 17, 2), (1, 4, 16)),
    *((5, 1, 2), (2, 5, 1), (3, 2, 2), (4, 3, 3), (2, 3, 4), (3, 8, 1), (2, 2, 17), (9, 2, 1)),
)

#: Numbers of bits that codes cannot have: around the limits, and that of half precision.
NO_NBITS = (0, 9, 16)

#: What no encoder takes.
BAD = [("NaN", float("nan")), ("infinity", float("inf")), ("minus infinity", float("-inf"))]


def hexed(values: list[float]) -> str:
    """Write binary32 numbers as their bits."""
    return floats_to_hex(values)


def sizes(channels: Channels) -> dict[str, int]:
    """Give the fields of a case that say where its channels are."""
    return {"outer": channels.outer, "channels": channels.count, "inner": channels.inner}


def one_channel(values: list[float]) -> Channels:
    """See all weights as one channel."""
    return Channels(1, 1, len(values))


def shapes() -> Iterator[tuple[Channels, str, str]]:
    """Give shapes with their titles and flags."""
    for outer, count, inner in SHAPES:
        flags = "axis" if outer > 1 and count > 1 else "grid"
        yield Channels(outer, count, inner), f"channels of ({outer}, {count}, {inner})", flags


def mixed(count: int) -> list[float]:
    """Give weights no two of which are alike, of both signs."""
    return [f32(((i * 29) % 71 - 35) / 3) for i in range(count)]


def flags_of(values: list[float]) -> str:
    """Say what is hard about a tensor."""
    found = []
    if len(set(values)) == 1:
        found.append("constant")
    if any(0 < abs(v) < NORMAL for v in values):
        found.append("subnormal")
    if any(v == 0 and str(v) == "-0.0" for v in values):
        found.append("negative-zero")
    return " ".join(found)


def tensors() -> Iterator[tuple[str, list[float], str]]:
    """Give hard tensors of one channel: title, weights, flags."""
    for values in TENSORS:
        yield "hard tensor", [f32(v) for v in values], flags_of(values)
    for count in LENGTHS[1:]:
        yield f"{count} weights", mixed(count), "length"
    maker = random.Random(4)
    for spread in (1e-5, 1e-3, 1.0, 1e3, 1e20):
        values = [f32(maker.uniform(-spread, spread)) for _ in range(23)]
        yield f"random within {spread:g}", values, "precision"
    for offset in (100.0, -1e4, 1e7):
        values = [f32(offset + maker.random()) for _ in range(19)]
        yield f"around {offset:g}", values, "precision"
    yield "subnormals", [0.0, TINY, SUBNORMAL, NORMAL], "subnormal threshold"


def threshold_pairs(steps: int) -> Iterator[tuple[str, list[float]]]:
    """Give ranges just below, at and just above `steps` times 1e-6."""
    edge = f32(1e-6 * steps)
    for offset in (-2, -1, 0, 1, 2):
        yield f"range {offset:+d} units from {steps} * 1e-6", [0.0, after(edge, offset)]
        yield f"range {offset:+d} units from {steps} * 1e-6, from below zero", [-after(edge, offset), 0.0]


def tie_tensors(nbits: int) -> Iterator[list[float]]:
    """Give tensors with weights exactly between two codes."""
    top = (1 << nbits) - 1
    for scale in (1.0, 0.5, 4.0):
        yield [0.0, scale * top, *(scale * (i + 0.5) for i in range(min(top, 12)))]


def reciprocal_tensors(nbits: int, wanted: int) -> Iterator[list[float]]:
    """Find weights whose code by a division is another than by the product with the reciprocal."""
    top, found = (1 << nbits) - 1, 0
    for step in range(1, 4000):
        greatest = f32(step / 64 + 0.1)
        scale = greatest / top
        for odd in range(1, 2 * top, 2):
            w = f32(odd * scale / 2)
            if 0 < w < greatest and round(w / scale) != round(w * (1 / scale)):
                yield [0.0, w, greatest]
                found += 1
                break
        if found == wanted:
            return


def contracted_tensors(nbits: int, wanted: int) -> Iterator[list[float]]:
    """Find weights whose product with the reciprocal is a tie only after it is rounded.

    Whoever adds something to the product before it is rounded, as a fused multiply-add does, sees no tie.
    """
    top, found = (1 << nbits) - 1, 0
    for step in range(3, 4000, 2):
        greatest = float(step * top)
        inverse = 1 / float(step)
        for odd in range(1, 2 * top, 2):
            w = odd * step / 2
            exact = Fraction(w) * Fraction(inverse)
            if greatest < 2**24 and w * inverse == odd / 2 and round(exact) != round(w * inverse):
                yield [0.0, w, greatest]
                found += 1
                break
        if found == wanted:
            return


def symmetric_reciprocal_tensors(wanted: int) -> Iterator[list[float]]:
    """Find weights whose symmetric code by a division is another than by a product with the reciprocal."""
    maker, found = random.Random(11), 0
    while found < wanted:
        peak = f32(maker.uniform(0.5, 2))
        scale = peak / 127
        w = f32((maker.randrange(-126, 126) + 0.5) * scale)
        steps = w + 128 * scale
        if round(steps / scale) != round(steps * (1 / scale)):
            yield [peak, w]
            found += 1


def symmetric_stored_tensors(wanted: int) -> Iterator[list[float]]:
    """Find weights whose symmetric code by the stored scale and bias is another than by the exact ones."""
    maker, found = random.Random(12), 0
    while found < wanted:
        peak = f32(maker.uniform(0.5, 2))
        scale = peak / 127
        w = f32((maker.randrange(-126, 126) + 0.5) * scale)
        if round((w + 128 * scale) / scale) != round((w + 128 * f32(scale)) / f32(scale)):
            yield [peak, w]
            found += 1


def contracted_tables(nbits: int, wanted: int) -> Iterator[list[float]]:
    """Find tensors with an entry `i * scale + bias` that is a tie only after the product is rounded.

    The entry is to be `middle`, between two binary32 numbers. The number of steps divides `i` times the
    range, and not the range. The product is then rounded to the number that it should have been, and
    the sum is a tie; without that rounding it is beside the middle.
    """
    top, maker, found = (1 << nbits) - 1, random.Random(nbits), 0
    while found < wanted:
        index = maker.randrange(2, top, 2)
        middle, bias = maker.randrange(2**24 + 1, 2**25, 2), -float(maker.randrange(2**23 + 1, 2**24, 2))
        span = Fraction((middle - Fraction(bias)) * top, index)
        greatest = float(Fraction(bias) + span)
        if span.denominator != 1 or f32(greatest) != greatest:
            continue
        scale = float(span) / top
        once = float(Fraction(index) * Fraction(scale) + Fraction(bias))
        if index * scale + bias == middle and f32(once) != f32(float(middle)):
            yield [bias, greatest]
            found += 1
