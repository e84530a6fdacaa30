"""The steps of a conversion, one for each layer: have its tensors converted, store them, and say so."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Union

from refquant import parallel, timing
from refquant.errors import HalfRangeError, RefquantError, counted, place, warn
from refquant.model import disk, tensor
from refquant.model.layers import Site
from refquant.model.stored import Converted, Request, Task, convert
from refquant.schema.coreml import NeuralNetworkLayer

if TYPE_CHECKING:
    from concurrent.futures import Executor

logger = logging.getLogger("refquant")

#: Mode -> the rule by which every code of a channel is 0 where its step would be too small.
COLLAPSE = {"linear": "LIN-4", "linear_lut": "LIN-4", "linear_symmetric": "SYM-4"}


class Progress(NamedTuple):
    """How far the work has come: given to the `progress` callback after each layer."""

    layer: str
    layer_type: str
    #: Bytes of weights done so far, and in all, counted in float32.
    done: int
    total: int


ProgressCallback = Callable[[Progress], object]


class TensorCertificate(NamedTuple):
    """How near the k-means table of a tensor is to the best there can be: given to the `certify` callback."""

    layer: str
    layer_type: str
    tensor: str
    #: Sum of squared errors of the weights.
    inertia: float
    #: A proven lower bound of it, over all tables of as many entries.
    bound: float
    #: How far the inertia is above the bound, and so at most above the least: 0.001 is 0.1 %.
    gap: float


CertificateCallback = Callable[[TensorCertificate], object]


class Workers(NamedTuple):
    """Those who do the work: one job is this process itself, more are processes beside it; or an executor."""

    jobs: int
    executor: Executor | None

    @property
    def need_parcels(self) -> bool:
        """Whether a function that does not arrive would take a worker process down with it."""
        if self.executor is None:
            return self.jobs > 1
        from concurrent.futures import ProcessPoolExecutor

        return isinstance(self.executor, ProcessPoolExecutor)


class Step(NamedTuple):
    """The tensors of one layer that are about to change, in the same way."""

    layer: NeuralNetworkLayer
    sites: list[Site]


#: What becomes of a tensor: see `stored.convert`.
Result = Union[Converted, HalfRangeError]


class Part(NamedTuple):
    """One tensor of a step, as `parallel.spread` takes it."""

    #: Number of the step.
    step: int
    site: Site
    #: Bytes that the tensor takes in float32, as its layer states it.
    size: int

    @property
    def where(self) -> dict[str, Any]:
        """Layer, layer type and tensor."""
        return self.site.where

    def load(self) -> Task:
        """Take the tensor out of the model."""
        return Task(self.where, tensor.take(self.site.params), self.site.layout)


def run(
    steps: list[Step],
    request: Request,
    workers: Workers,
    progress: ProgressCallback | None,
    certify: CertificateCallback | None = None,
) -> None:
    """Convert the tensors of every step; store those of a step when all of them are there.

    Warnings come in the order of the model, whatever the order of the work; certificates as layers are done.
    """
    parts = [Part(n, site, _size(site)) for n, step in enumerate(steps) for site in step.sites]
    done, total = 0, sum(part.size for part in parts)
    remarks: dict[int, list[str]] = {}
    told = 0
    with closing(parallel.spread(partial(convert, request=request), parts, *workers)) as converted:
        for own, results in _complete(steps, parts, converted):
            number = own[0].step
            layer, layer_type = steps[number].layer.name, own[0].site.layer_type
            logger.info("%s%s", place(layer, layer_type, None), counted(len(own), "tensor"))
            remarks[number] = _store(own, results, COLLAPSE.get(request.mode, ""))
            if certify is not None:
                for certificate in _certificates(own, results):
                    certify(certificate)
            while told in remarks:
                for remark in remarks.pop(told):
                    warn(remark)
                told += 1
            done += sum(part.size for part in own)
            if request.mode == "dequantization":
                disk.check_size(done, "the model in float32")  # before it is all in memory
            if progress is not None:
                progress(Progress(layer, layer_type, done, total))


def _size(site: Site) -> int:
    """Count the bytes of a tensor in float32; 0 where its layer states too little, an error once it is read.

    Its size as a message would take a copy to tell.
    """
    try:
        return 4 * site.layout.size
    except RefquantError:
        return 0


def _complete(
    steps: list[Step], parts: list[Part], converted: Iterable[tuple[int, Result]]
) -> Iterator[tuple[list[Part], list[Result]]]:
    """Give the parts of each step, with their results, once all of them are there."""
    arrived: list[dict[int, Result]] = [{} for _ in steps]
    for number, result in converted:
        step = parts[number].step
        arrived[step][number] = result
        if len(arrived[step]) == len(steps[step].sites):
            numbers = sorted(arrived[step])
            yield [parts[n] for n in numbers], [arrived[step].pop(n) for n in numbers]


def _store(parts: list[Part], results: list[Result], rule: str) -> list[str]:
    """Store the tensors of a layer or, where one does not fit into half precision, none. Give the warnings.

    `rule` says when codes collapse. Rule: HALF-3, LIN-4, SYM-4.
    """
    overflows = [result for result in results if isinstance(result, HalfRangeError)]
    if overflows:
        return [f"{overflows[0]}; the layer stays in float32 (HALF-3)"]
    remarks = []
    for part, result in zip(parts, results):
        assert isinstance(result, Converted)
        tensor.store(part.site.params, result.stored)
        _count(part.site, result)
        if result.collapsed:
            scales = len(result.stored.scales)
            which = f"the range of {result.collapsed} of {scales} channels" if scales > 1 else "its range"
            remark = f"{which} is too small for a step above 1e-6: every code is 0 ({rule})"
            remarks.append(place(**part.where) + remark)
    return remarks


def _certificates(parts: list[Part], results: list[Result]) -> Iterator[TensorCertificate]:
    for part, result in zip(parts, results):
        assert isinstance(result, Converted)
        assert result.certificate is not None
        site, certificate = part.site, result.certificate
        yield TensorCertificate(
            site.layer.name, site.layer_type, site.tensor, *certificate, gap=certificate.gap
        )


def _count(site: Site, result: Converted) -> None:
    """Record the time that a tensor took, if a record is kept."""
    record = timing.record()
    if record is not None:
        record.add_layer(site.layer.name, site.layer_type, site.layout.size, result.seconds)
        record.phases["pack"] += result.packing
