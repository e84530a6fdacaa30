"""Chapter 10: the values that fused layers must have.

Weights come with their owners: the output channel of each weight, in tensor order (`tensor.owners` gives
them for an ordinary shape). A vector of one element stands for one of that element for every channel.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.oracle.binary64 import ZERO, Number, add, divide, multiply, number, square_root, stored, subtract


@dataclass(frozen=True)
class Fused:
    """Weights and bias of a producer after fusion; the bias is None where it has none still."""

    weights: list[float]
    bias: list[float] | None


def broadcast(vector: list[float], count: int) -> list[Number]:
    """Read a vector of one element or of `count` as one of `count`."""
    assert len(vector) in (1, count)
    return [number(x) for x in vector] * (count // len(vector))


def convolution_batchnorm(
    weights: list[float],
    owners: list[int],
    bias: list[float] | None,
    gamma: list[float],
    beta: list[float],
    mean: list[float],
    variance: list[float],
    epsilon: float,
) -> Fused:
    """FUS-5; `epsilon` is the stored one, a binary32 number."""
    roots = [square_root(add(number(v), number(epsilon))) for v in variance]
    factors = [divide(number(g), root) for g, root in zip(gamma, roots)]
    new_weights = [multiply(factors[owner], number(w)) for w, owner in zip(weights, owners)]
    new_bias = []
    for channel, root in enumerate(roots):
        b = ZERO if bias is None else number(bias[channel])
        g, m = number(gamma[channel]), number(mean[channel])
        first = divide(multiply(g, b), root)
        second = divide(multiply(g, m), root)
        new_bias.append(add(subtract(first, second), number(beta[channel])))
    return Fused([stored(w) for w in new_weights], [stored(b) for b in new_bias])


def scaled(
    weights: list[float],
    owners: list[int],
    bias: list[float] | None,
    s: list[float],
    sb: list[float] | None,
    count: int,
) -> Fused:
    """FUS-6: convolution or innerProduct + scale; `count` output channels."""
    factors = broadcast(s, count)
    new_weights = [multiply(number(w), factors[owner]) for w, owner in zip(weights, owners)]
    return Fused([stored(w) for w in new_weights], scaled_bias(bias, s, sb, count))


def scaled_bias(
    bias: list[float] | None, s: list[float], sb: list[float] | None, count: int
) -> list[float] | None:
    """FUS-6, FUS-8: `s * b + sb`, leaving out what is not there."""
    if bias is None and sb is None:
        return None
    if bias is None and sb is not None:
        return [stored(x) for x in broadcast(sb, count)]
    assert bias is not None
    products = [multiply(x, number(b)) for x, b in zip(broadcast(s, count), bias)]
    if sb is None:
        return [stored(x) for x in products]
    return [stored(add(x, y)) for x, y in zip(products, broadcast(sb, count))]


def shifted(bias: list[float] | None, bb: list[float], count: int) -> list[float]:
    """FUS-7: convolution or innerProduct + bias: the new bias; the weights stay."""
    shifts = broadcast(bb, count)
    if bias is None:
        return [stored(x) for x in shifts]
    return [stored(add(number(b), x)) for b, x in zip(bias, shifts)]


def batchnorm_scale(
    gamma: list[float], beta: list[float], s: list[float], sb: list[float] | None
) -> tuple[list[float], list[float]]:
    """FUS-8: `gamma * s` and `beta * s + sb`."""
    count = len(gamma)
    new_gamma = [stored(multiply(number(g), x)) for g, x in zip(gamma, broadcast(s, count))]
    new_beta = scaled_bias(beta, s, sb, count)
    assert new_beta is not None
    return new_gamma, new_beta
