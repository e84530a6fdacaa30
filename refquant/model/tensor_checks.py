"""What one tensor of a file must meet: for each form a table of checks, each a demand by itself.

A check gives the faults that it finds as errors, or raises the one that it meets, as the codec does; `faults`
gathers both, so that a tensor with several faults shows them all.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator
from typing import Callable, TypeVar

from refquant.codec import half
from refquant.codec.packing import packed_size
from refquant.codec.weights import check_finite, may_not_be_finite
from refquant.errors import NonFiniteError, RefquantError, TensorError
from refquant.model import tensor
from refquant.model.held import Held
from refquant.model.stored import check_bits, check_filled, check_table, signed_faults

T = TypeVar("T")

#: All bytes but the highest of binary16 numbers that are not finite.
FINITE_HALF = bytes(byte for byte in range(256) if byte & 0x7C != 0x7C)

#: A demand: takes a tensor, gives or raises its faults.
Check = Callable[[Held], "Iterable[RefquantError] | None"]


def faults(held: Held, *, optional: bool, numbers: bool) -> list[RefquantError]:
    """List every fault of a tensor by itself.

    `optional` says that it may be empty, `numbers` whether to look at every number of it too. Where two
    fields are filled, that is all that is told. Rule: TEN-1, TEN-9.
    """
    found = [held.misfit] if held.misfit else []
    if len(held.filled) > 1:
        return [*found, TensorError(f"{' and '.join(held.filled)} are filled at once", rule="TEN-1")]
    if held.form == "empty":
        return found if optional else [*found, _empty(held)]
    for check in CHECKS[held.form] + (NUMBERS[held.form] if numbers else ()):
        found += run(check, held)
    if numbers and not found:
        found += run(_decoded, held)
    return found


def run(check: Callable[[T], Iterable[RefquantError] | None], subject: T) -> list[RefquantError]:
    """List the faults that a check finds, the one that it raises like those that it gives."""
    found = []
    try:
        for error in check(subject) or ():
            found.append(error)  # noqa: PERF402 -- what was given before an error is raised counts
    except RefquantError as error:
        found.append(error)
    return found


def words(held: Held) -> None:
    """Refuse runs of floats that are not whole words. Rule: TEN-2."""
    for part in held.floats:
        if len(part) % 4:
            reason = f"a run of floatValue has {len(part)} bytes, which is no multiple of 4"
            raise TensorError(reason, rule="TEN-2")


def _empty(held: Held) -> RefquantError:
    if not held.filled:
        return TensorError("it is empty, and its layer needs it", rule="TEN-9")
    return TensorError(f"{held.filled[0]} without a quantization message counts as empty", rule="TEN-9")


def _float_count(held: Held) -> None:
    """Refuse floats that are not whole words, or do not fill their shape. Rule: TEN-2, TEN-6."""
    words(held)
    _count(held)


def _half_count(held: Held) -> None:
    """Refuse halves that are not whole pairs of bytes, or do not fill their shape. Rule: TEN-4, TEN-6."""
    if len(held.halves) % 2:
        half.decode(held.halves)
    _count(held)


def _count(held: Held) -> None:
    """Refuse values that do not fill the shape that the layer states. Rule: TEN-6."""
    if held.layout:
        check_filled(held.weights, held.layout)


def _finite_floats(held: Held) -> Iterator[RefquantError]:
    """Find a NaN or an infinity among floats. Rule: TEN-10.

    The runs are put together, and the numbers looked at, only where the last byte of a word tells that it
    may be one.
    """
    whole = not any(len(part) % 4 for part in held.floats)
    if whole and any(may_not_be_finite(part[3::4]) for part in held.floats):
        yield from _not_finite(lambda: check_finite(tensor.float32_weights(held.params)), "TEN-10")


def _finite_halves(held: Held) -> Iterator[RefquantError]:
    """Find a NaN or an infinity among halves. Rule: TEN-10."""
    if held.halves[1::2].translate(None, FINITE_HALF):
        yield from _not_finite(lambda: half.decode(held.halves[: len(held.halves) & ~1]), "TEN-10")


def _not_finite(read: Callable[[], object], rule: str) -> Iterator[RefquantError]:
    """Let the codec refuse a number that is not finite, and give that as the fault of a rule for files."""
    try:
        read()
    except NonFiniteError as error:
        error.rule = rule
        yield error


def _bits(held: Held) -> None:
    """Refuse a number of bits that codes cannot have. Rule: TEN-5."""
    check_bits(held.params.quantization.numberOfBits)


def _kind(held: Held) -> None:
    """Refuse codes with neither scales nor a table. Rule: TEN-5."""
    tensor.form(held.params)


def _bytes(held: Held) -> Iterator[RefquantError]:
    """Find fewer bytes than the codes take, or more, or bits behind the last code. Rule: PACK-2, PACK-3."""
    if not held.nbits or not held.layout:
        return
    size, nbits = held.layout.size, held.nbits
    due = packed_size(size, nbits)
    spare = 8 * due - size * nbits
    if len(held.raw) != due:
        reason = f"{size} codes of {nbits} bits take {due} bytes, not {len(held.raw)}"
        yield TensorError(reason, rule="PACK-2")
    elif held.raw[-1] & ((1 << spare) - 1):
        yield TensorError(f"the last {spare} bits, behind the last code, are not zero", rule="PACK-3")


def _scales(held: Held) -> Iterator[RefquantError]:
    """Find scales that are neither one nor one a channel, or biases neither none nor as many as the scales.

    Where nobody states a shape, any number of scales may be one a channel. Rule: DEQ-4, LAY-7.
    """
    linear = held.params.quantization.linearQuantization
    scales, biases = len(linear.scale), len(linear.bias)
    channels = held.layout.scales if held.layout else max(1, scales)
    if scales not in (1, channels):
        yield TensorError(f"{scales} scales for {channels} channels", rule="DEQ-4")
    if biases not in (0, scales):
        yield TensorError(f"{biases} biases beside {scales} scales", rule="DEQ-4")


def _finite_scales(held: Held) -> Iterator[RefquantError]:
    """Find a scale or a bias that is not a finite number. Rule: DEQ-4."""
    linear = held.params.quantization.linearQuantization
    for numbers, what in ((linear.scale, "scale"), (linear.bias, "bias")):
        yield from _not_finite(lambda: check_finite(array("f", numbers), what), "DEQ-4")  # noqa: B023


def _table(held: Held) -> None:
    """Refuse a table without an entry for each code: only then can a code lie past its end. Rule: LUT-1."""
    if held.nbits:
        check_table(len(held.params.quantization.lookupTableQuantization.floatValue), held.nbits)


def _finite_table(held: Held) -> Iterator[RefquantError]:
    """Find an entry of a table that is not a finite number. Rule: LUT-1."""
    table = array("f", held.params.quantization.lookupTableQuantization.floatValue)
    yield from _not_finite(lambda: check_finite(table, "table entry"), "LUT-1")


def _signed(held: Held) -> Iterator[RefquantError]:
    """Find what signed codes may not come with. Rule: INT8-2."""
    quantization = held.params.quantization
    linear = quantization.linearQuantization
    return signed_faults(quantization.numberOfBits, len(linear.scale), len(linear.bias))


def _decoded(held: Held) -> Iterator[RefquantError]:
    """Find a code that stands for a weight past binary32, in a tensor that is good in all else. Rule: DEQ-4.

    The weights of a channel lie between those of its least code and its greatest, so that none is computed
    unless one of these two is not finite.
    """
    if held.form not in ("linear", "int8") or not held.layout:
        return
    linear = held.params.quantization.linearQuantization
    ends = (-128, 127) if held.form == "int8" else (0, (1 << held.nbits) - 1)
    grid = zip(linear.scale, linear.bias or [0.0] * len(linear.scale))
    extremes = array("f", [code * scale + bias for scale, bias in grid for code in ends])
    if math.isfinite(sum(extremes)):
        return
    layout = held.layout
    yield from _not_finite(lambda: tensor.decode_params(held.params, layout), "DEQ-4")


#: Form -> what its tensors must meet without a look at their numbers.
CHECKS: dict[str, tuple[Check, ...]] = {
    "float32": (_float_count,),
    "float16": (_half_count,),
    "codes": (_bits, _bytes, _kind),
    "linear": (_bits, _bytes, _scales),
    "lut": (_bits, _bytes, _table),
    "int8": (_signed, _count),
}

#: Form -> what its numbers must meet.
NUMBERS: dict[str, tuple[Check, ...]] = {
    "float32": (_finite_floats,),
    "float16": (_finite_halves,),
    "codes": (),
    "linear": (_finite_scales,),
    "lut": (_finite_table,),
    "int8": (_finite_scales,),
}
