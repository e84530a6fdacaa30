"""Faults of fusion: which pairs, and to which numbers."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from conformance.testees.model_faults.base import FAULTS, Patch, fault
from refquant import quantize
from refquant.codec.channels import Channels
from refquant.model import fusion, pairs, tensor, walk
from refquant.model.layout import Layout


def pair(*names: tuple[str, str], rule: Callable[..., Any]) -> Patch:
    return mock.patch.dict(pairs.PAIRS, dict.fromkeys(names, rule))


SCALED = (("convolution", "scale"), ("innerProduct", "scale"))


@fault("fusion.bias-not-scaled")
def _() -> Patch:
    original = pairs.PAIRS["convolution", "scale"]

    def scale(bias: Any, given: Any, count: int) -> Any:
        factors, new = original(bias, given, count)
        return factors, new if given.hasBias else None

    return pair(*SCALED, rule=scale)


@fault("fusion.scale-bias-before-factor")
def _() -> Patch:
    def scale(bias: Any, given: Any, count: int) -> Any:
        factors = pairs._vector(given.scale, given.shapeScale, count)
        if not given.hasBias:
            return factors, None if bias is None else [s * b for s, b in zip(factors, bias)]
        shift = pairs._vector(given.bias, given.shapeBias, count)
        old = bias or [0.0] * count
        return factors, [s * (b + t) for s, b, t in zip(factors, old, shift)]

    return pair(*SCALED, rule=scale)


def vector(change: Callable[[Any, Any, int], Any]) -> Patch:
    """Read the vectors of consumers otherwise; what `change` answers with None is read as it should be."""
    original = pairs._vector

    def changed(params: Any, shape: Any, count: int) -> Any:
        found = change(params, shape, count)
        return original(params, shape, count) if found is None else found

    return mock.patch.object(pairs, "_vector", changed)


@fault("fusion.one-element-not-broadcast")
def _() -> Patch:
    def refuse(params: Any, shape: Any, count: int) -> Any:
        if math.prod(shape) == 1 and count > 1:
            raise pairs.Unfusable

    return vector(refuse)


@fault("fusion.over-space")
def _() -> Patch:
    def flat(params: Any, shape: Any, count: int) -> Any:
        values = list(params.floatValue)
        return values if len(values) == count else None

    return vector(flat)


@fault("fusion.half-consumer-refused")
def _() -> Patch:
    def refuse(params: Any, shape: Any, count: int) -> Any:
        if params.float16Value:
            raise pairs.Unfusable

    return vector(refuse)


def target(change: Callable[[Any, str, Any], Any]) -> Patch:
    """Find the producer's tensors otherwise."""
    original = pairs._target

    def changed(producer: Any, producer_type: str) -> Any:
        return change(producer, producer_type, original(producer, producer_type))

    return mock.patch.object(pairs, "_target", changed)


def _is_deconvolution(producer: Any, producer_type: str) -> bool:
    return producer_type == "convolution" and producer.convolution.isDeconvolution


@fault("fusion.deconvolution-along-axis-0")
def _() -> Patch:
    def change(producer: Any, producer_type: str, found: Any) -> Any:
        if not _is_deconvolution(producer, producer_type):
            return found
        count = found.channels.count
        if producer.convolution.kernelChannels != count:
            raise pairs.Unfusable
        return found._replace(channels=Channels(1, count, len(found.old_weights) // count))

    return target(change)


@fault("fusion.deconvolution-never")
def _() -> Patch:
    def change(producer: Any, producer_type: str, found: Any) -> Any:
        if _is_deconvolution(producer, producer_type):
            raise pairs.Unfusable
        return found

    return target(change)


@fault("fusion.half-producer")
def _() -> Patch:
    def float32(params: Any, count: int) -> array[float]:
        return tensor.decode_params(params, Layout((count,)))

    return mock.patch.object(pairs, "_float32", float32)


@fault("fusion.overtakes")
def _() -> Patch:
    return mock.patch.object(fusion._Chain, "overtakes", return_value=False)


@fault("fusion.overtakes-inside")
def _() -> Patch:
    return mock.patch.object(fusion, "_touched", lambda layer: {*layer.input, *layer.output})


@fault("fusion.losses-ignored")
def _() -> Patch:
    return mock.patch.object(fusion, "_training_reads", return_value=())


@fault("fusion.several-writers-ignored")
def _() -> Patch:
    return mock.patch.object(fusion.Names, "private", lambda self, name: self.counts.reads[name] == 1)


@fault("fusion.several-readers-ignored")
def _() -> Patch:
    return mock.patch.object(fusion.Names, "private", lambda self, name: self.counts.writes[name] == 1)


def names(count: Callable[[fusion.Counts, Any, Any], None]) -> Patch:
    """Count readers and writers, and then otherwise."""
    original = fusion.Names.__dict__["counts"].func

    def changed(self: Any) -> fusion.Counts:
        counts: fusion.Counts = original(self)
        count(counts, self.model, self.network)
        return counts

    return mock.patch.object(fusion.Names, "counts", property(changed))


@fault("fusion.outputs-ignored")
def _() -> Patch:
    return names(
        lambda counts, model, network: counts.reads.subtract(f.name for f in model.description.output)
    )


@fault("fusion.inputs-ignored")
def _() -> Patch:
    return names(
        lambda counts, model, network: counts.writes.subtract(f.name for f in model.description.input)
    )


@fault("fusion.training-inputs-ignored")
def _() -> Patch:
    return names(
        lambda counts, model, network: counts.writes.subtract(f.name for f in model.description.trainingInput)
    )


@fault("fusion.label-probabilities-ignored")
def _() -> Patch:
    return names(
        lambda counts, model, network: counts.reads.subtract(
            [getattr(network, "labelProbabilityLayerName", "")]
        )
    )


@fault("fusion.conditions-ignored")
def _() -> Patch:
    def conditions(network: Any) -> Iterator[str]:
        for layer in walk.all_layers(network):
            if layer.WhichOneof("layer") == "loop":
                yield layer.loop.conditionVar

    return names(lambda counts, model, network: counts.reads.subtract(conditions(network)))


@fault("fusion.inner-readers-ignored")
def _() -> Patch:
    def count(counts: fusion.Counts, model: Any, network: Any) -> None:
        counts.reads.clear()
        counts.reads.update(name for layer in network.layers for name in layer.input)
        counts.reads.update(f.name for f in model.description.output)

    return names(count)


def batchnorm(
    shift: Callable[[float, float, float, float, float], float],
    root: Callable[[float], float] = math.sqrt,
    constant: Callable[[Any], bool] = pairs._normalises_by_constants,
    factor: Callable[[float, float], float] = lambda g, r: g / r,
) -> Patch:
    """Take a batchnorm into a convolution with other numbers: `shift(g, b, r, m, t)` is the new bias."""

    def rule(bias: Any, given: Any, count: int) -> Any:
        if not constant(given):
            raise pairs.Unfusable
        gamma, beta, mean, variance = (
            pairs._vector(params, (given.channels,), count)
            for params in (given.gamma, given.beta, given.mean, given.variance)
        )
        if root is math.sqrt and min(variance) + given.epsilon <= 0:
            raise pairs.Unfusable
        roots = [root(v + given.epsilon) for v in variance]
        old = bias or [0.0] * count
        shifted = [shift(*each) for each in zip(gamma, old, roots, mean, beta)]
        return [factor(g, r) for g, r in zip(gamma, roots)], shifted

    return pair(("convolution", "batchnorm"), rule=rule)


def _due(g: float, b: float, r: float, m: float, t: float) -> float:
    return g * b / r - g * m / r + t


def _f32(x: float) -> float:
    return array("f", [x])[0]


@fault("fusion.batchnorm-factor-first")
def _() -> Patch:
    return batchnorm(lambda g, b, r, m, t: (g / r) * (b - m) + t)


@fault("fusion.batchnorm-factor-in-binary32")
def _() -> Patch:
    return batchnorm(_due, factor=lambda g, r: _f32(g / r))


@fault("fusion.batchnorm-bias-forgotten")
def _() -> Patch:
    return batchnorm(lambda g, b, r, m, t: t - g * m / r)


@fault("fusion.batchnorm-root-unchecked")
def _() -> Patch:
    return batchnorm(_due, root=lambda v: math.sqrt(abs(v)) or 1.0)


@fault("fusion.batchnorm-of-its-input")
def _() -> Patch:
    return mock.patch.object(pairs, "_normalises_by_constants", lambda given: not given.instanceNormalization)


@fault("fusion.instance-normalization")
def _() -> Patch:
    return mock.patch.object(pairs, "_normalises_by_constants", return_value=True)


@fault("fusion.batchnorms-first")
def _() -> Patch:
    return mock.patch.object(fusion, "TARGETS", dict(reversed(pairs.TARGETS.items())))


@fault("fusion.not-inside")
def _() -> Patch:
    original = fusion.fuse

    def outermost(network: Any, names: Any, frozen: Any) -> int:
        inner = any(layer.name.startswith(("inner", "deep")) for layer in network.layers)
        return 0 if inner else original(network, names, frozen)

    return mock.patch.object(quantize, "fuse_network", outermost)


@fault("fusion.never")
def _() -> Patch:
    return mock.patch.object(quantize, "fuse_network", return_value=0)


for _pair in pairs.PAIRS:
    FAULTS[f"fusion.{'-'.join(_pair)}-forgotten"] = lambda removed=_pair: mock.patch.dict(  # type: ignore[misc]
        pairs.PAIRS, {removed: lambda *given: (_ for _ in ()).throw(pairs.Unfusable())}
    )
