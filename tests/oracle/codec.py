"""The codec chapters in one place, in the form that the tests of each chapter compare with."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from tests.oracle import dequantization, kmeans, lut, packing
from tests.oracle import int8 as dynamic
from tests.oracle import linear as affine
from tests.oracle import symmetric as mirrored
from tests.oracle.rounding import round_binary16
from tests.oracle.tensor import Channels, owners

pack = packing.pack


class Linear(NamedTuple):
    """Codes, and stored scale and bias of each channel."""

    codes: list[int]
    scales: list[float]
    biases: list[float]


def channel_of(index: int, outer: int, count: int, inner: int) -> int:
    """See `tensor.owners`."""
    return owners(Channels(outer, count, inner))[index]


def linear(weights: list[float], nbits: int, outer: int, count: int, inner: int) -> Linear:
    """See `linear.encode`."""
    found = affine.encode(weights, nbits, Channels(outer, count, inner))
    return Linear(found.codes, found.scales, found.biases)


def symmetric(weights: list[float], outer: int, count: int, inner: int) -> Linear:
    """See `symmetric.encode`."""
    found = mirrored.encode(weights, 8, Channels(outer, count, inner))
    return Linear(found.codes, found.scales, found.biases)


def linear_lut(weights: list[float], nbits: int) -> tuple[list[int], list[float]]:
    """See `lut.encode_linear`."""
    found = lut.encode_linear(weights, nbits)
    return found.codes, found.table


def decode_linear(
    codes: list[int], scales: list[float], biases: list[float], outer: int, count: int, inner: int
) -> list[float]:
    """See `dequantization.linear`."""
    return dequantization.linear(codes, scales, biases, Channels(outer, count, inner))


def int8(weights: list[float]) -> tuple[list[int], float]:
    """See `int8.encode`; the codes as signed numbers."""
    found = dynamic.encode(weights)
    return [code if code < 128 else code - 256 for code in found.data], found.scale


def half(weights: list[float]) -> list[Fraction]:
    """Give the values of the nearest binary16 numbers (the sign of zero is not told)."""
    return [round_binary16(Fraction(w)) for w in weights]


def least_inertia(weights: list[float], clusters: int) -> Fraction:
    """See `kmeans.optimum`."""
    return kmeans.optimum(weights, clusters).inertia
