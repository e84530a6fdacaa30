"""The codec chapters of the specification in exact rationals: see the rules that each function names."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from tests.oracle.rounding import BINARY16, f32, f64, to, whole

#: Rule LIN-4: the binary64 number nearest to one millionth, which is what the threshold is.
THRESHOLD = f64(Fraction(1, 10**6))


class Linear(NamedTuple):
    """Codes, and stored scale and bias of each channel."""

    codes: list[int]
    scales: list[float]
    biases: list[float]


def channel_of(index: int, outer: int, count: int, inner: int) -> int:
    """Give the channel of a weight by its position in a tensor of shape (outer, count, inner)."""
    assert 0 <= index < outer * count * inner
    return (index // inner) % count


def linear(weights: list[float], nbits: int, outer: int, count: int, inner: int) -> Linear:
    """LIN-1 to LIN-6."""
    exact = [Fraction(w) for w in weights]
    codes = [0] * len(weights)
    scales, biases = [], []
    for channel in range(count):
        members = [i for i in range(len(weights)) if channel_of(i, outer, count, inner) == channel]
        least = min(exact[i] for i in members)
        greatest = max(exact[i] for i in members)
        scale = f64(f64(greatest - least) / (2**nbits - 1))
        inverse = f64(1 / scale) if abs(scale) > THRESHOLD else Fraction(0)
        for i in members:
            codes[i] = whole(f64(f64(exact[i] - least) * inverse)) % 256
        scales.append(float(f32(scale)))
        biases.append(float(f32(least)))
    return Linear(codes, scales, biases)


def symmetric(weights: list[float], outer: int, count: int, inner: int) -> Linear:
    """SYM-2 to SYM-4."""
    exact = [Fraction(w) for w in weights]
    codes = [0] * len(weights)
    scales, biases = [], []
    for channel in range(count):
        members = [i for i in range(len(weights)) if channel_of(i, outer, count, inner) == channel]
        scale = f64(max(abs(exact[i]) for i in members) / 127)
        bias = f64(-128 * scale)
        for i in members:
            if abs(scale) > THRESHOLD:
                codes[i] = whole(f64(f64(exact[i] - bias) / scale)) % 256
        scales.append(float(f32(scale)))
        biases.append(float(f32(bias)))
    return Linear(codes, scales, biases)


def linear_lut(weights: list[float], nbits: int) -> tuple[list[int], list[float]]:
    """LUT-3: codes and table."""
    exact = [Fraction(w) for w in weights]
    scale = f64(f64(max(exact) - min(exact)) / (2**nbits - 1))
    codes = linear(weights, nbits, 1, 1, len(weights)).codes
    return codes, [float(f32(f64(f64(i * scale) + min(exact)))) for i in range(2**nbits)]


def decode_linear(
    codes: list[int], scales: list[float], biases: list[float], outer: int, count: int, inner: int
) -> list[float]:
    """LIN-8, DEQ-2."""
    weights = []
    for i, code in enumerate(codes):
        channel = channel_of(i, outer, count, inner)
        bias = Fraction(biases[channel]) if biases else Fraction(0)
        weights.append(float(f32(f64(f64(code * Fraction(scales[channel])) + bias))))
    return weights


def int8(weights: list[float]) -> tuple[list[int], float]:
    """INT8-1, INT8-2: signed codes and the stored scale."""
    exact = [Fraction(w) for w in weights]
    greatest = max(abs(w) for w in exact)
    if greatest == 0:
        return [0] * len(weights), 0.0
    products = [f64(127 * f64(w / greatest)) for w in exact]
    codes = [abs(p.numerator) // p.denominator * (1 if p > 0 else -1) for p in products]
    return codes, float(f32(f64(greatest / 127)))


def half(weights: list[float]) -> list[Fraction]:
    """HALF-1: the values of the nearest binary16 numbers (the sign of zero is not told)."""
    return [to(Fraction(w), BINARY16) for w in weights]


def pack(codes: list[int], nbits: int) -> bytes:
    """PACK-1 to PACK-3, bit by bit."""
    bits = [code >> (nbits - 1 - place) & 1 for code in codes for place in range(nbits)]
    while len(bits) % 8:
        bits.append(0)
    packed = []
    for start in range(0, len(bits), 8):
        byte = 0
        for bit in bits[start : start + 8]:
            byte = 2 * byte + bit
        packed.append(byte)
    return bytes(packed)


def least_inertia(weights: list[float], clusters: int) -> Fraction:
    """Give the inertia of the best clustering, by trying every way to end with every cluster (KM-4)."""
    exact = sorted(Fraction(w) for w in weights)
    count = len(exact)

    def cost(start: int, stop: int) -> Fraction:
        part = exact[start:stop]
        mean = sum(part, Fraction(0)) / len(part)
        return sum(((w - mean) * (w - mean) for w in part), Fraction(0))

    best = [Fraction(0)] + [cost(0, stop) for stop in range(1, count + 1)]
    for _ in range(min(clusters, count) - 1):
        best = [
            min([best[stop], *(best[start] + cost(start, stop) for start in range(1, stop))])
            for stop in range(count + 1)
        ]
    return best[count]
