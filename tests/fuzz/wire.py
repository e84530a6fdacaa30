"""A protobuf message as a tree of fields that need not make sense: what a mutator works on.

A message object cannot hold a name that is no text, a length that is a lie or a field of the wrong kind; a
tree of what stands on the wire can. The format's definition says which fields are messages; one that is not
what it should be stays bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple, Union

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from refquant.schema.coreml import definition, with_floats_as_bytes

#: Wire types. Source: protobuf's encoding.
VARINT, DOUBLE_WORD, BYTES, WORD = 0, 1, 2, 5

#: Type of a field -> its wire type, where that is not BYTES.
WIRE_TYPES = {
    **dict.fromkeys((FieldDescriptorProto.TYPE_DOUBLE, FieldDescriptorProto.TYPE_FIXED64), DOUBLE_WORD),
    **dict.fromkeys((FieldDescriptorProto.TYPE_FLOAT, FieldDescriptorProto.TYPE_FIXED32), WORD),
    **dict.fromkeys((FieldDescriptorProto.TYPE_INT32, FieldDescriptorProto.TYPE_INT64), VARINT),
    **dict.fromkeys((FieldDescriptorProto.TYPE_UINT32, FieldDescriptorProto.TYPE_UINT64), VARINT),
    **dict.fromkeys((FieldDescriptorProto.TYPE_BOOL, FieldDescriptorProto.TYPE_ENUM), VARINT),
}

#: Stands for the wire type of bytes that are written as they are, without a tag.
VERBATIM = -1

#: Wire type -> bits of its numbers.
WIDTHS = {VARINT: 64, DOUBLE_WORD: 64, WORD: 32}

#: The type of a whole model.
MODEL = "Model"

#: What a field holds: a number, as its bits; bytes; or the fields of a message.
Value = Union[int, bytes, "list[Field]"]


class Field:
    """A field on the wire: its number, wire type and value, and by how much its length is a lie."""

    __slots__ = ("lie", "number", "value", "wire_type")

    def __init__(self, number: int, wire_type: int, value: Value, lie: int = 0) -> None:
        self.number = number
        self.wire_type = wire_type
        self.value = value
        self.lie = lie


class Kind(NamedTuple):
    """What the definition says of a field."""

    name: str
    number: int
    #: Of the field as a whole: a repeated one is packed.
    wire_type: int
    #: Of one number of it.
    element: int
    #: Name of the type of its messages; empty where it is none.
    message: str
    is_text: bool
    repeated: bool


@cache
def definitions() -> dict[str, dict[str, Kind]]:
    """Give the fields of every message type of the format, by name."""
    found: dict[str, dict[str, Kind]] = {}
    file = with_floats_as_bytes(definition())

    def add(message: Any, name: str) -> None:
        found[name] = {field.name: _kind(field, f".{file.package}.") for field in message.field}
        for inner in message.nested_type:
            add(inner, f"{name}.{inner.name}")

    for message in file.message_type:
        add(message, message.name)
    return found


def _kind(field: FieldDescriptorProto, package: str) -> Kind:
    element = WIRE_TYPES.get(field.type, BYTES)
    repeated = field.label == FieldDescriptorProto.LABEL_REPEATED
    is_message = field.type == FieldDescriptorProto.TYPE_MESSAGE
    return Kind(
        name=field.name,
        number=field.number,
        wire_type=BYTES if repeated else element,
        element=element,
        message=field.type_name.replace(package, "", 1) if is_message else "",
        is_text=field.type == FieldDescriptorProto.TYPE_STRING,
        repeated=repeated,
    )


@cache
def kinds_by_number(message: str) -> dict[int, Kind]:
    """Give the fields of a message type by number."""
    return {kind.number: kind for kind in definitions()[message].values()}


class Malformed(Exception):  # noqa: N818 -- it is an answer: these bytes are no message
    """Bytes are no sequence of fields."""


def varint(value: int) -> bytes:
    """Write a number of up to 64 bits, seven bits a byte."""
    if 0 <= value < 128:
        return bytes((value,))
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode(data: bytes, message: str) -> list[Field]:
    """Read a tree of fields. Raises Malformed; a field within that is no message stays bytes."""
    fields: list[Field] = []
    inner, at = kinds_by_number(message), 0
    try:
        while at < len(data):
            tag, at = _read_varint(data, at)
            number, wire_type = tag >> 3, tag & 7
            value: Value
            if wire_type == VARINT:
                value, at = _read_varint(data, at)
            elif wire_type == BYTES:
                size, at = _read_varint(data, at)
                kind = inner.get(number)
                value, at = nested(data[at : at + size], kind.message if kind else ""), at + size
            else:
                size = WIDTHS[wire_type] // 8
                value, at = int.from_bytes(data[at : at + size], "little"), at + size
            fields.append(Field(number, wire_type, value))
    except (IndexError, KeyError) as error:
        raise Malformed from error
    if at != len(data):
        raise Malformed
    return fields


def nested(data: bytes, message: str) -> Value:
    """Read the value of a field: the fields of a message where it is one, or bytes."""
    try:
        return decode(data, message) if message else data
    except Malformed:
        return data


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def encode(fields: list[Field]) -> bytes:
    """Write a tree of fields."""
    out: list[bytes] = []
    for field in fields:
        value = field.value
        if isinstance(value, list):
            value = encode(value)
        if field.wire_type != VERBATIM:
            out.append(varint(field.number << 3 | field.wire_type))
        if isinstance(value, bytes):
            out += (value,) if field.wire_type == VERBATIM else (varint(len(value) + field.lie), value)
        elif field.wire_type == VARINT:
            out.append(varint(value))
        else:
            width = WIDTHS[field.wire_type]
            out.append((value & ((1 << width) - 1)).to_bytes(width // 8, "little"))
    return b"".join(out)


def copied(fields: list[Field]) -> list[Field]:
    """Copy a tree."""
    return [
        Field(f.number, f.wire_type, copied(f.value) if isinstance(f.value, list) else f.value, f.lie)
        for f in fields
    ]


class Place(NamedTuple):
    """A field in a tree: its path of names and counts, and what the definition says of it."""

    path: str
    kind: Kind
    #: Type of the message that it is in.
    within: str


def places(fields: list[Field], message: str = MODEL, path: str = "") -> Iterator[Place]:
    """Give every field of a tree that the definition knows, those of a message after it."""
    seen: dict[int, int] = {}
    for field in fields:
        kind = kinds_by_number(message).get(field.number)
        if kind is not None:
            count = seen[field.number] = seen.get(field.number, -1) + 1
            here = f"{path}{kind.name}" + (f".{count}" if count else "")
            yield Place(here, kind, message)
            if kind.message and isinstance(field.value, list):
                yield from places(field.value, kind.message, f"{here}.")
