"""Chapter 10: which pairs of layers fuse, and in which order; what becomes of their numbers is in `fusion`.

The definition, as slow as it is: after every pair, everything is counted anew.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from typing import Any

from tests.oracle import fusion
from tests.oracle.layers import inner_networks, kernel, kind, parameters
from tests.oracle.stored import form, read
from tests.oracle.tensor import Channels, owners

#: FUS-1: producer -> its consumers. Producers are taken by type, in this order.
PAIRS = {
    "convolution": ("batchnorm", "scale", "bias"),
    "innerProduct": ("scale", "bias"),
    "batchnorm": ("scale",),
}

#: FUS-5 to FUS-8: the tensors of a producer that change; a bias comes last.
CHANGED: dict[str, tuple[str, ...]] = {
    "convolution": ("weights", "bias"),
    "innerProduct": ("weights", "bias"),
    "batchnorm": ("gamma", "beta"),
}

#: FUS-5 to FUS-8: the tensors of a consumer that enter those; a bias comes last.
ENTERING: dict[str, tuple[str, ...]] = {
    "batchnorm": ("gamma", "beta", "mean", "variance"),
    "scale": ("scale", "bias"),
    "bias": ("bias",),
}

#: Whether a layer may be touched at all.
Free = Callable[[Any], bool]


def fuse(network: Any, model: Any, outermost: Any, free: Free) -> None:
    """FUS-1, FUS-9, FUS-11, FUS-18: fuse the pairs of one network. Networks within are not entered.

    Readers and writers are those of the whole model, whose network is the outermost one.
    """
    for producer_type in PAIRS:
        for producer in list(network.layers):
            taken = 0
            while kind(producer) == producer_type and free(producer) and taken < 100:
                taken += 1
                position = partner(producer, network, model, outermost, free)
                if position is None or not combine(producer, network.layers[position]):
                    break
                producer.output[0] = network.layers[position].output[0]
                del network.layers[position]


def partner(producer: Any, network: Any, model: Any, outermost: Any, free: Free) -> int | None:
    """FUS-2, FUS-12, FUS-14, FUS-17: find the place of the consumer that a producer may be fused with."""
    if kind(producer) == "convolution" and len(producer.input) > 1:
        return None
    at = next(i for i, layer in enumerate(network.layers) if layer is producer)
    if len(producer.output) != 1:
        return None
    (name,) = producer.output
    if readers(name, model, outermost) != 1 or writers(name, model, outermost) != 1:
        return None
    for position in range(at + 1, len(network.layers)):
        consumer = network.layers[position]
        if name in consumer.input:
            fits = kind(consumer) in PAIRS[kind(producer)] and free(consumer)
            if not fits or len(consumer.input) != 1 or len(consumer.output) != 1:
                return None
            between = network.layers[at + 1 : position]
            overtaken = any(consumer.output[0] in touched(layer) for layer in between)
            return None if overtaken else position
    return None


def every_layer(network: Any) -> Iterator[Any]:
    """Give all layers, those of networks within too."""
    for layer in network.layers:
        yield layer
        for inner in inner_networks(layer):
            yield from every_layer(inner)


def touched(layer: Any) -> set[str]:
    """Give the blobs that a layer, or one within it, reads or writes."""
    found = {*layer.input, *layer.output}
    for inner in inner_networks(layer):
        for each in inner.layers:
            found |= touched(each)
    return found


def readers(name: str, model: Any, outermost: Any) -> int:
    """FUS-2, FUS-3: who looks at a blob: layers, loops for their condition, losses, the caller."""
    count: int = sum(name in layer.input for layer in every_layer(outermost))
    count += sum(
        kind(layer) == "loop" and layer.loop.conditionVar == name for layer in every_layer(outermost)
    )
    count += sum(feature.name == name for feature in model.description.output)
    for loss in outermost.updateParams.lossLayers:
        which = loss.WhichOneof("LossLayerType")
        count += which is not None and getattr(loss, which).input == name
    if hasattr(outermost, "labelProbabilityLayerName"):
        count += outermost.labelProbabilityLayerName == name
    return count


def writers(name: str, model: Any, outermost: Any) -> int:
    """FUS-2: who gives a blob its value: layers, the caller, the caller in training."""
    count: int = sum(name in layer.output for layer in every_layer(outermost))
    inputs = [*model.description.input, *model.description.trainingInput]
    count += sum(feature.name == name for feature in inputs)
    return count


def combine(producer: Any, consumer: Any) -> bool:
    """FUS-16: work the consumer into the producer where all numbers are in binary32, and stay there."""
    if not finite(producer, consumer):
        return False
    try:
        return combine_within_binary32(producer, consumer)
    except OverflowError:
        return False


def finite(producer: Any, consumer: Any) -> bool:
    """FUS-16: whether all numbers are finite from which the new weights and bias are made."""
    found = [*numbers(producer, CHANGED), *numbers(consumer, ENTERING)]
    if kind(consumer) == "batchnorm":
        found.append(parameters(consumer).epsilon)
    return all(math.isfinite(x) for x in found)


def numbers(layer: Any, tensors: dict[str, tuple[str, ...]]) -> Iterator[float]:
    """Give the numbers of a layer in these tensors, of whatever length; a bias counts where it has one."""
    held, names = parameters(layer), tensors[kind(layer)]
    for name in names if getattr(held, "hasBias", True) else names[:1]:
        params = getattr(held, name)
        yield from params.floatValue
        halves = params.float16Value[: len(params.float16Value) // 2 * 2]
        yield from (x for (x,) in struct.iter_unpack("<e", halves))


def combine_within_binary32(producer: Any, consumer: Any) -> bool:
    """FUS-5 to FUS-8, FUS-10: work the consumer into the producer, or change nothing.

    OverflowError where a new number is past the end of binary32; nothing is changed then.
    """
    held, given = parameters(producer), parameters(consumer)
    if kind(producer) == "batchnorm":
        return combine_batchnorm(held, given)
    channels = channels_of(producer)
    if channels is None:
        return False
    count = channels.count
    size = channels.outer * count * channels.inner
    has_bias = held.hasBias
    if not whole(held.weights, size) or (has_bias and not whole(held.bias, count)):
        return False
    weights, bias = list(held.weights.floatValue), list(held.bias.floatValue) if has_bias else None
    if kind(consumer) == "batchnorm":
        fused = behind_convolution(given, weights, owners(channels), bias, count)
    elif kind(consumer) == "scale":
        s, sb = scale_vectors(given, count)
        unusable = s is None or (given.hasBias and sb is None)
        fused = None if unusable else fusion.scaled(weights, owners(channels), bias, s or [], sb, count)
    else:
        shift = vector(given.bias, tuple(given.shape), count)
        fused = None if shift is None else fusion.Fused(weights, fusion.shifted(bias, shift, count))
    if fused is None:
        return False
    held.weights.floatValue[:] = fused.weights
    if fused.bias is not None:
        held.bias.Clear()
        held.bias.floatValue.extend(fused.bias)
        held.hasBias = True
    return True


def combine_batchnorm(held: Any, scale: Any) -> bool:
    """FUS-8."""
    count = held.channels
    if held.instanceNormalization or held.computeMeanVar:
        return False
    s, sb = scale_vectors(scale, count)
    if s is None or (scale.hasBias and sb is None):
        return False
    if not whole(held.gamma, count) or not whole(held.beta, count):
        return False
    fused = fusion.batchnorm_scale(list(held.gamma.floatValue), list(held.beta.floatValue), s, sb)
    held.gamma.floatValue[:], held.beta.floatValue[:] = fused
    return True


def behind_convolution(
    given: Any, weights: list[float], channel_of: list[int], bias: list[float] | None, count: int
) -> fusion.Fused | None:
    """FUS-5, where the batchnorm has constant factors."""
    if given.instanceNormalization or given.computeMeanVar:
        return None
    parts = [
        vector(params, (given.channels,), count)
        for params in (given.gamma, given.beta, given.mean, given.variance)
    ]
    gamma, beta, mean, variance = parts
    if gamma is None or beta is None or mean is None or variance is None:
        return None
    if min(variance) + given.epsilon <= 0:
        return None
    return fusion.convolution_batchnorm(weights, channel_of, bias, gamma, beta, mean, variance, given.epsilon)


def channels_of(producer: Any) -> Channels | None:
    """See a producer's weights by its output channels; None: it states too little."""
    held = parameters(producer)
    if kind(producer) == "innerProduct":
        return Channels(1, held.outputChannels, held.inputChannels)
    shape, axis, groups = kernel(held)
    if shape is None:
        return None
    if axis == 0:
        return Channels(1, shape[0], shape[1] * shape[2] * shape[3])
    return Channels(shape[0] // groups, shape[1] * groups, shape[2] * shape[3], groups)


def whole(params: Any, count: int) -> bool:
    """FUS-10: whether a tensor of the producer is in float32, and all there."""
    return form(params) == "float32" and len(params.floatValue) == count


def scale_vectors(scale: Any, count: int) -> tuple[list[float] | None, list[float] | None]:
    """Give the factors of a scale layer, and its bias where it has one; None for what does not fit."""
    bias = vector(scale.bias, tuple(scale.shapeBias), count) if scale.hasBias else None
    return vector(scale.scale, tuple(scale.shapeScale), count), bias


def vector(params: Any, shape: tuple[int, ...], count: int) -> list[float] | None:
    """FUS-10: read a tensor of the consumer: one number, or one a channel in the first dimension."""
    if form(params) not in ("float32", "float16"):
        return None
    values = read(params, Channels(1, 1, len(params.floatValue) or len(params.float16Value) // 2))
    size = 1
    for length in shape:
        size *= length
    if len(values) != size:
        return None
    if len(values) == 1:
        return values * count
    return values if len(values) == count and shape[0] == count else None
