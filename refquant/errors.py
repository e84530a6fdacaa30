"""Every fault that refquant reports: one root, a class for each kind, each with its data.

A fault is data first and a sentence second. Code that finds a fault says what it knows (an index, a
value); code further out, which knows the tensor and the layer, adds them with `located`.
"""

from __future__ import annotations

import sys
import warnings
from typing import TypeVar

E = TypeVar("E", bound="RefquantError")

#: How the names of refquant's own modules start, but for that of the package.
INSIDE = f"{__name__.partition('.')[0]}."

#: Most characters of a layer's name in a sentence or a table: it may be as long as the file, and there may be
#: something to say of each of any number of tensors.
LONGEST_NAME = 300


class RefquantError(Exception):
    """Root of every error that refquant raises on purpose.

    Attributes (None where it does not apply):
        reason: what is wrong, as a clause without the place.
        layer, layer_type: name and type of the layer, as the model has them.
        tensor: name of the weight tensor within the layer, `weights` or `forward.inputGateBiasVector`.
        index: position of the first offending weight, code, scale, bias or table entry, counted from 0 in
            tensor order. The scale and bias of a channel have its number, and so has what they stand for.
        rule: id of the rule of the specification that is broken, such as `TEN-7`.
    """

    def __init__(
        self,
        reason: str,
        *,
        layer: str | None = None,
        layer_type: str | None = None,
        tensor: str | None = None,
        index: int | None = None,
        rule: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.layer = layer
        self.layer_type = layer_type
        self.tensor = tensor
        self.index = index
        self.rule = rule

    def located(self: E, *, layer: str, layer_type: str, tensor: str | None = None) -> E:
        """Add the place to a fault found where the place was not known; return the same error."""
        self.layer, self.layer_type = layer, layer_type
        self.tensor = self.tensor or tensor
        return self

    def __str__(self) -> str:
        return place(self.layer, self.layer_type, self.tensor, self.index) + self.reason


def place(layer: str | None, layer_type: str | None, tensor: str | None, index: int | None = None) -> str:
    """Say where, as the start of a sentence: `layer 'fc6' (innerProduct), tensor weights[12]: `.

    What a name has that is no visible character is spelled out: it may be shown on a terminal.
    """
    parts = []
    if layer is not None:
        name = plain(shorten(layer, LONGEST_NAME))
        parts.append(f"layer '{name}'" + (f" ({layer_type})" if layer_type else ""))
    position = "" if index is None else f"[{index}]"
    if tensor is not None:
        parts.append(f"tensor {tensor}{position}")
    elif index is not None:
        parts.append(f"weight {position}")
    return ", ".join(parts) + ": " if parts else ""


class ArgumentError(RefquantError, ValueError):
    """An argument is not one that the function takes: nbits, mode, selector, lut_function, jobs."""


class NotYetError(RefquantError, NotImplementedError):
    """The argument asks for something that refquant does not do yet."""


class FileError(RefquantError, OSError):
    """A file cannot be read or written, or does not hold a Core ML model."""

    # OSError builds its text from errno; here the reason is the text.
    __str__ = RefquantError.__str__


class ModelKindError(RefquantError):
    """The model is of a kind without neural-network weights, such as an ML program."""


class UpdatableError(RefquantError):
    """The model is updatable, and the format forbids what was asked."""


class ShapeError(RefquantError):
    """The stored weights do not fill the shape that their layer states, or the layer states none."""


class TensorError(RefquantError):
    """The stored form of a tensor is not one that the format allows."""


class NonFiniteError(RefquantError):
    """A NaN or an infinity stands among the weights, scales, biases or table entries, or would be made."""


class HalfRangeError(RefquantError):
    """A weight lies outside what half precision holds."""


class CodeError(RefquantError):
    """A code does not fit its number of bits, or its table."""


class LutFunctionError(RefquantError):
    """A custom lookup-table function raised an exception or returned something unusable."""


class InternalError(RefquantError):
    """What refquant was about to write breaks a rule that its input kept: a fault of refquant itself."""


class WorkerError(RefquantError):
    """A worker process died or an executor failed, and took tensors along; the model is not at fault."""


class RefquantWarning(UserWarning):
    """Something was done that the caller may not expect; the result is valid all the same."""


def plain(text: str) -> str:
    """Spell out what is no visible character, so that a name from a file stays a name, on one line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def shorten(text: str, width: int) -> str:
    """Leave out the middle of a text that is longer than this."""
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"


def counted(number: int, noun: str) -> str:
    """Say how many of something there are: `1 tensor`, `2,000 tensors`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def warn(
    message: str, layer: str | None = None, layer_type: str | None = None, tensor: str | None = None
) -> None:
    """Warn of something, and say where in the model. It is reported as from the code that called refquant."""
    warnings.warn(place(layer, layer_type, tensor) + message, RefquantWarning, stacklevel=_calls_to_here())


def _calls_to_here() -> int:
    """Count the calls from whoever called refquant to `warn`, as `stacklevel` counts them.

    From Python 3.12 on, `skip_file_prefixes` of `warnings.warn` would do.
    """
    frame, calls = sys._getframe(1), 1
    while str(frame.f_globals.get("__name__")).startswith(INSIDE) and frame.f_back is not None:
        frame, calls = frame.f_back, calls + 1
    return calls
