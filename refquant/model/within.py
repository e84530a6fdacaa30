"""Weight tensors within any message, covered by quantization or not: found by the fields that lead there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from refquant.schema.coreml import Model, WeightParams


def weights_within(message: Message, path: str = "") -> Iterator[tuple[str, WeightParams]]:
    """Give every weight tensor in a message, covered by quantization or not, with its path of field names."""
    if isinstance(message, WeightParams):
        yield path, message
        return
    here = f"{path}." if path else ""
    for name, value in _leading_fields(message):
        if isinstance(value, Message):
            yield from weights_within(value, here + name)
        else:
            for index, part in _leading_parts(value):
                yield from weights_within(part, f"{here}{name}[{index}]")


def _leading_fields(message: Message) -> list[tuple[str, Any]]:
    """List the fields of a message that lead towards weight tensors, with their values.

    It takes the time of those that are there, of however many there might be.
    """
    group, names = _ways(message.DESCRIPTOR)
    if not group:
        return [(field.name, value) for field, value in message.ListFields() if field.name in names]
    name = message.WhichOneof(group)
    return [(name, getattr(message, name))] if name in names else []


def _leading_parts(parts: Sequence[Message]) -> Iterable[tuple[int, Message]]:
    """Give messages of one kind, at least one, with their numbers, but for those without a way on.

    Most layers are such, and there may be a great many of them.
    """
    group, names = _ways(parts[0].DESCRIPTOR)
    if not group:
        return enumerate(parts)
    return (numbered for numbered in enumerate(parts) if numbered[1].WhichOneof(group) in names)


@cache
def _ways(kind: Descriptor) -> tuple[str, frozenset[str]]:
    """Give the names of the fields that lead from a kind of message towards weight tensors.

    Where all of them are in one group, of which a message has one field at the most, its name comes first.
    """
    fields = [field for field in kind.fields if may_hold_weights(field)]
    groups = {field.containing_oneof.name if field.containing_oneof else "" for field in fields}
    return groups.pop() if len(groups) == 1 else "", frozenset(field.name for field in fields)


def may_hold_weights(field: Any) -> bool:
    """Tell from a field's descriptor whether there can be a weight tensor somewhere within it."""
    return field.message_type is not None and field.message_type.full_name in _holders_of_weights()


@cache
def _holders_of_weights() -> frozenset[str]:
    """List the types of all messages that can have a weight tensor somewhere within, by their fields."""
    file = Model.DESCRIPTOR.file
    parts = {
        kind.full_name: {field.message_type.full_name for field in kind.fields if field.message_type}
        for kind in file.message_types_by_name.values()
    }
    holders = {WeightParams.DESCRIPTOR.full_name}
    while True:
        more = {name for name, inner in parts.items() if inner & holders} | holders
        if more == holders:
            return frozenset(holders)
        holders = more
