"""A pair of layers that fuse: what becomes of their numbers."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional

from refquant.codec.channels import Channels, join, split
from refquant.codec.weights import check_finite
from refquant.errors import RefquantError
from refquant.model import tensor
from refquant.model.layers import MOST_DIMENSIONS, sites, takes_weights
from refquant.model.layout import Layout
from refquant.schema.coreml import NeuralNetworkLayer, WeightParams

#: The parameters of a layer; their type differs from layer to layer.
Parameters = Any

#: A number for each output channel.
Vector = list[float]


class Unfusable(Exception):  # noqa: N818 -- it is an answer, not a fault
    """Both layers stay: the pair cannot be fused."""


class Target(NamedTuple):
    """The two tensors of a producer that take up a consumer: one scales its channels, one shifts them."""

    weights: WeightParams
    bias: WeightParams
    channels: Channels
    old_weights: array[float]
    old_bias: array[float] | None


#: A factor and a bias for each channel; None: leave the weights, or the bias, as they are.
Fused = tuple[Optional[Vector], Optional[Vector]]

#: How a producer takes up a consumer: from its old bias, the consumer's parameters, the channels' number.
FusionRule = Callable[["array[float] | None", Parameters, int], Fused]


def fuse_pair(producer: NeuralNetworkLayer, consumer: NeuralNetworkLayer) -> bool:
    """Work the consumer into the producer's tensors, or answer False and change nothing.

    Rule: FUS-10, FUS-16.
    """
    producer_type, consumer_type = producer.WhichOneof("layer") or "", consumer.WhichOneof("layer") or ""
    rule = PAIRS.get((producer_type, consumer_type))
    if rule is None:
        return False
    try:
        target = _target(producer, producer_type)
        factors, shifts = rule(target.old_bias, getattr(consumer, consumer_type), target.channels.count)
        weights = _finite(target.old_weights if factors is None else _scaled(target, factors))
        bias = None if shifts is None else _finite(array("f", shifts))
    except (Unfusable, RefquantError):
        # A tensor that breaks a rule is reported when it is its turn to be quantized.
        return False
    if factors is not None:
        tensor.store_float32(target.weights, weights)
    if bias is not None:
        tensor.store_float32(target.bias, bias)
        if producer_type != "batchnorm":
            getattr(producer, producer_type).hasBias = True
    return True


def _target(producer: NeuralNetworkLayer, producer_type: str) -> Target:
    """Find a producer's two tensors; both must be whole and in float32, the bias may be missing.

    Rule: FUS-10, FUS-13, FUS-17.
    """
    if takes_weights(producer):
        raise Unfusable
    weights_name, bias_name = TARGETS[producer_type]
    parameters = getattr(producer, producer_type)
    if producer_type == "batchnorm" and not _normalises_by_constants(parameters):
        raise Unfusable
    found = {site.tensor: site for site in sites(producer)}
    layout = found[weights_name].layout
    # The gamma of a batchnorm is one channel when quantized, and one number a channel here; so are the
    # weights of a deconvolution in groups.
    axis = 0 if len(layout.shape) == 1 else layout.channel_axis
    channels = layout.channels(axis)
    bias = found.get(bias_name)
    return Target(
        found[weights_name].params,
        getattr(parameters, bias_name),
        channels,
        _float32(found[weights_name].params, layout.size),
        None if bias is None else _float32(bias.params, channels.count),
    )


def _scaled(target: Target, factors: Vector) -> array[float]:
    """Multiply a producer's weights by the factors of their channels."""
    parts = split(target.old_weights, target.channels)
    scaled = (array("f", [factor * w for w in part]) for factor, part in zip(factors, parts))
    return join(scaled, target.channels)


def _finite(numbers: array[float]) -> array[float]:
    """Give numbers back, where all are finite in binary32. Rule: FUS-16."""
    check_finite(numbers)
    return numbers


def _float32(params: WeightParams, count: int) -> array[float]:
    """Read a tensor of the producer, which must be in float32 and whole."""
    weights = tensor.float32_weights(params)
    if tensor.form(params) != "float32" or len(weights) != count:
        raise Unfusable
    return weights


def _vector(params: WeightParams, shape: Sequence[int], count: int) -> Vector:
    """Read a tensor of the consumer as one number for each channel: float32 or half, or one for all.

    A shape that runs over space and not over channels does not fuse. Rule: FUS-10, FUS-15, FUS-16.
    """
    if tensor.form(params) not in ("float32", "float16") or len(shape) > MOST_DIMENSIONS:
        raise Unfusable
    values = list(_finite(tensor.decode_params(params, Layout(tuple(shape)))))
    if len(values) == 1:
        return values * count
    if len(values) != count or shape[0] != count:
        raise Unfusable
    return values


def _normalises_by_constants(batchnorm: Parameters) -> bool:
    return not (batchnorm.instanceNormalization or batchnorm.computeMeanVar)


def _batchnorm(bias: array[float] | None, batchnorm: Parameters, count: int) -> Fused:
    """Factors and bias of a convolution that takes up a batchnorm. Rule: FUS-5, FUS-13, FUS-16."""
    if not _normalises_by_constants(batchnorm):
        raise Unfusable
    gamma, beta, mean, variance = (
        _vector(params, (batchnorm.channels,), count)
        for params in (batchnorm.gamma, batchnorm.beta, batchnorm.mean, batchnorm.variance)
    )
    if not all(0 < v + batchnorm.epsilon < math.inf for v in variance):  # which no NaN is
        raise Unfusable
    roots = [math.sqrt(v + batchnorm.epsilon) for v in variance]
    old = bias or [0.0] * count
    shifted = [g * b / r - g * m / r + t for g, b, r, m, t in zip(gamma, old, roots, mean, beta)]
    return [g / r for g, r in zip(gamma, roots)], shifted


def _scale(bias: array[float] | None, scale: Parameters, count: int) -> Fused:
    """Factors and bias of a producer that takes up a scale. Rule: FUS-6, FUS-8."""
    factors = _vector(scale.scale, scale.shapeScale, count)
    scaled = None if bias is None else [s * b for s, b in zip(factors, bias)]
    return factors, _shift(scaled, scale.bias, scale.shapeBias, count) if scale.hasBias else scaled


def _bias(bias: array[float] | None, layer: Parameters, count: int) -> Fused:
    """Bias of a producer that takes up a bias layer. Rule: FUS-7."""
    return None, _shift(bias, layer.bias, layer.shape, count)


def _shift(bias: Sequence[float] | None, params: WeightParams, shape: Sequence[int], count: int) -> Vector:
    """Add the consumer's bias to the producer's, where it has one."""
    shift = _vector(params, shape, count)
    return shift if bias is None else [b + t for b, t in zip(bias, shift)]


#: Producer type, in the order in which producers are taken -> its tensors that are scaled and shifted.
#: Rule: FUS-5 to FUS-8, FUS-11.
TARGETS = {
    "convolution": ("weights", "bias"),
    "innerProduct": ("weights", "bias"),
    "batchnorm": ("gamma", "beta"),
}

#: The pairs that fuse, and how. Rule: FUS-1.
PAIRS: dict[tuple[str, str], FusionRule] = {
    ("convolution", "batchnorm"): _batchnorm,
    ("convolution", "scale"): _scale,
    ("convolution", "bias"): _bias,
    ("innerProduct", "scale"): _scale,
    ("innerProduct", "bias"): _bias,
    ("batchnorm", "scale"): _scale,
}
