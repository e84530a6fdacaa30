"""The whole path of a model through refquant, and what may come of it: a result that is right, or a refusal.

Every operation gives a result or raises a RefquantError. Where nothing is wrong with a model, its weights can
be listed, read back and compared, nothing is wrong with what is made of it, and it is refused only by the
rules of `REFUSALS`. Anything else is a finding.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import traceback
import warnings
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from google.protobuf.message import DecodeError

import refquant
from refquant import cli
from refquant.errors import InternalError, RefquantError, WorkerError
from refquant.model import layer_checks
from refquant.model.file import MLModel, load, serialize
from refquant.model.walk import all_layers, networks
from refquant.model.within import weights_within
from refquant.schema.coreml import standard_model
from tests.fuzz.limits import Meter

T = TypeVar("T")

#: Where refquant is, to tell its lines in a traceback from others.
HOME = str(Path(refquant.__file__).parent)

#: (operation, what came of it, rule) -> how often.
Outcomes = Counter[tuple[str, str, str]]


#: A selector that reads what layers say of themselves.
SELECTOR = refquant.AdvancedQuantizedLayerSelector(["bias", "depthwiseConv"], 2, 10)


def _ends(nbits: int, weights: array[float]) -> tuple[list[float], list[int]]:
    """A custom lookup table: the least weight, the greatest, and zeros."""
    least, greatest = min(weights), max(weights)
    return [least, greatest, *[0.0] * ((1 << nbits) - 2)], [int(w > least) for w in weights]


def _quantization(mode: str, nbits: int, **settings: Any) -> Callable[[bytes], bytes]:
    return partial(refquant.quantize_weights, nbits=nbits, quantization_mode=mode, **settings)


def _by_message(data: bytes) -> bytes:
    """Quantize a message in place of bytes; and one of another definition, which comes to the same."""
    made = serialize(refquant.quantize_weights(load(data), 8))
    try:
        foreign = standard_model().FromString(data)
    except DecodeError:  # odd floats of a layer that another has taken the place of
        return made
    if serialize(refquant.quantize_weights(foreign, 8)) != serialize(standard_model().FromString(made)):
        raise AssertionError("another definition's message gives another model")
    return made


#: Everything that makes a model of another, by name.
CONVERSIONS: dict[str, Callable[[bytes], bytes]] = {
    "half": _quantization("linear", 16),
    "half, keep": _quantization("linear", 16, half_overflow="keep"),
    "linear 8": _quantization("linear", 8),
    "linear 1": _quantization("linear", 1, fuse=False),
    "linear_symmetric": _quantization("linear_symmetric", 8),
    "linear_lut": _quantization("linear_lut", 5),
    "kmeans_lut 2": _quantization("kmeans_lut", 2),
    "kmeans_lut 7": _quantization("kmeans_lut", 7, fuse=False),
    "custom_lut": _quantization("custom_lut", 3, lut_function=_ends),
    "by message": _by_message,
    "selected": _quantization("linear", 4, selector=SELECTOR),
    "dequantize": refquant.dequantize_weights,
    "int8": refquant.activate_int8_int8_matrix_multiplications,
}

#: Conversion -> rules by which it may refuse a model that nothing is wrong with. LAY-3 is there where one
#: asks how large a convolution is that has no weights of its own.
REFUSALS: dict[str, frozenset[str]] = {
    "half": frozenset({"HALF-2", "FILE-4"}),
    "half, keep": frozenset({"FILE-4"}),
    "linear 8": frozenset({"LIN-9"}),
    "linear 1": frozenset({"LIN-9"}),
    "linear_symmetric": frozenset({"LIN-9"}),
    "linear_lut": frozenset({"LUT-1"}),
    "by message": frozenset({"LIN-9"}),
    "selected": frozenset({"LIN-9", "LAY-3"}),
    "int8": frozenset({"INT8-7"}),
}

#: Most characters of what an error says, of a few names and numbers.
LONGEST_TEXT = 2000

#: No refusal is right.
NEVER = frozenset[str]()


class Finding(NamedTuple):
    """Something that must not be. Those of one kind and place are taken for one."""

    #: Class of an exception, or `slow`, `memory`, `hang`, `crash`, `invalid result`, `refused`, ...
    kind: str
    #: An operation, or the innermost function of refquant.
    place: str
    detail: str


class FindingError(Exception):
    """Carries a finding up."""

    def __init__(self, kind: str, place: str, detail: str) -> None:
        super().__init__(kind, place, detail)
        self.finding = Finding(kind, place, detail)


class Trial:
    """One model on its way; counts what comes of each operation. Its methods raise FindingError."""

    def __init__(self, data: bytes, outcomes: Outcomes) -> None:
        self.data = data
        self.outcomes = outcomes

    def run(self, conversions: list[str], *, shorter: bool, on_disk: bool) -> None:
        """Take the model along the whole path, with these conversions, or along the shorter path."""
        faults = self.tried("validate", partial(refquant.validate_model, self.data))
        if faults is None:
            self.tried("load", partial(MLModel, self.data))
            return
        self.outcomes.update(("fault", fault.rule, "") for fault in faults)
        sound = not faults and not _has_idle_tensors(self.data)
        self.outcomes["model", "sound" if sound else "not sound", ""] += 1
        if not shorter:
            self.tried("inspect", partial(refquant.inspect_weights, self.data), NEVER if sound else None)
        if on_disk:
            self.tried("commands", partial(_commands, self.data))
        for name in conversions:
            allowed = REFUSALS.get(name, NEVER) if sound else None
            made = self.tried(name, partial(CONVERSIONS[name], self.data), allowed)
            if made is not None:
                self.check(f"result of {name}", made, sound)
                if not shorter:
                    self.follow(name, made, sound)

    def follow(self, name: str, made: bytes, sound: bool) -> None:
        """Take what was made of the model further."""
        allowed = NEVER if sound else None
        model = self.tried("load again", partial(MLModel, made), NEVER)
        if bytes(model or b"") != made:
            raise FindingError("other bytes", f"result of {name}", "written, read and written again")
        back = self.tried("dequantize again", partial(refquant.dequantize_weights, made), allowed)
        if back is not None:
            self.check(f"result of {name}, dequantized", back, sound)
        self.tried("compare", partial(refquant.compare_weights, self.data, made), allowed)

    def check(self, what: str, made: bytes, sound: bool) -> None:
        """Validate a result: it is a model, and nothing is wrong with it where nothing was."""
        faults = self.tried("validate again", partial(refquant.validate_model, made), NEVER)
        if sound and faults:
            raise FindingError("invalid result", what, "; ".join(map(str, faults)))

    def tried(self, name: str, work: Callable[[], T], refusals: frozenset[str] | None = None) -> T | None:
        """Do some work; None where it is refused, by one of these rules if they are given."""
        meter = Meter(len(self.data))
        result, outcome = None, "success"
        rule = ""
        try:
            result = work()
        except (InternalError, WorkerError) as error:
            raise FindingError(type(error).__name__, _where(name, error), str(error)) from error
        except RefquantError as error:
            outcome, rule = type(error).__name__, error.rule or ""
            if len(str(error)) > LONGEST_TEXT:
                raise FindingError(
                    "long text", _where(name, error), f"{len(str(error)):,} characters"
                ) from error
            if refusals is not None and rule not in refusals:
                kind = f"refused by {rule or outcome}"
                raise FindingError(kind, _where(name, error), str(error)) from error
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            raise FindingError(type(error).__name__, _where(name, error), text) from error
        excess = meter.excess(self.parts)
        if excess:
            raise FindingError(excess[0], name, f"{excess[1]} for {len(self.data):,} bytes")
        self.outcomes[name, outcome, rule] += 1
        return result

    def parts(self) -> int:
        """Count the layers and tensors of the model."""
        try:
            model = load(self.data)
            layers = sum(1 for owned in networks(model) for _ in all_layers(owned.network))
        except RefquantError:
            return 0
        return layers + sum(1 for _ in weights_within(model))


def _has_idle_tensors(data: bytes) -> bool:
    """Tell whether a model has values that the format does not look at, and quantization may all the same."""
    model = load(data)
    return any(
        any(held.filled for held in read.unused)
        for owned in networks(model)
        for layer in all_layers(owned.network)
        for read in (layer_checks.read(layer, owned),)
        if read is not None
    )


def _commands(data: bytes) -> None:
    """Show a model in all the ways that the commands have; they end well, or say why not."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.mlmodel")
        Path(path).write_bytes(data)
        for command in ("inspect", "validate"):
            for more in ([], ["--json"]):
                out, err = io.StringIO(), io.StringIO()
                with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                    code = cli.main([command, *more, path])
                if code not in (0, 1) or not out.getvalue() + err.getvalue():
                    raise AssertionError(f"{command} ended with {code}")


def _where(name: str, error: BaseException) -> str:
    """Name the innermost function of refquant that an error went through, or the operation."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(HOME)]
    return f"{os.path.relpath(frames[-1].filename, HOME)}, {frames[-1].name}" if frames else name


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let refquant's warnings go: hostile models have many."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", refquant.RefquantWarning)
        yield


def explore(
    data: bytes, conversions: list[str], outcomes: Outcomes, *, shorter: bool = False, on_disk: bool = False
) -> Finding | None:
    """Take a model along the whole path, count what comes of it, and give what must not be, if anything.

    The shorter path leaves out what costs most and finds least: listing, reading back and comparing.
    """
    try:
        with quiet():
            Trial(data, outcomes).run(conversions, shorter=shorter, on_disk=on_disk)
    except FindingError as error:
        return error.finding
    return None
