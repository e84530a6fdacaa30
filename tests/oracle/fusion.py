"""Chapter 10 in exact rationals: the values that fused layers must have."""

from __future__ import annotations

from fractions import Fraction

from tests.oracle.rounding import f32, f64, root


def batchnorm(
    weight: float,
    bias: float | None,
    gamma: float,
    beta: float,
    mean: float,
    variance: float,
    epsilon: float,
) -> tuple[float, float]:
    """FUS-5: one weight and the bias of a channel."""
    g, r = Fraction(gamma), root(f64(Fraction(variance) + Fraction(epsilon)))
    new_weight = f64(f64(g / r) * Fraction(weight))
    shifted = f64(f64(g * Fraction(bias or 0)) / r)
    new_bias = f64(f64(shifted - f64(f64(g * Fraction(mean)) / r)) + Fraction(beta))
    return float(f32(new_weight)), float(f32(new_bias))


def scale(weight: float, bias: float | None, s: float, shift: float | None) -> tuple[float, float | None]:
    """FUS-6, FUS-8: one weight and the bias of a channel; None where there is none."""
    new_weight = float(f32(f64(Fraction(s) * Fraction(weight))))
    if bias is None:
        return new_weight, shift
    scaled = f64(Fraction(s) * Fraction(bias))
    if shift is not None:
        scaled = f64(scaled + Fraction(shift))
    return new_weight, float(f32(scaled))
