"""What bytes that are no Core ML model look like: a clause for the error that refuses them."""

from __future__ import annotations

from refquant.schema.coreml import Model

#: First bytes of files that people take for a Core ML model -> what they are.
OTHER_FORMATS = {
    b"PK\x03\x04": "it looks like a zip archive",
    b"\x89HDF\r\n\x1a\n": "it looks like an HDF5 file, as Keras writes them",
    b"\x1f\x8b": "it looks like a gzip archive",
    b"{": "it looks like a JSON text",
    b"<": "it looks like an HTML or XML text, perhaps a web page in place of a download",
    b"version https://git-lfs": "it is a pointer of Git LFS; `git lfs pull` fetches the file itself",
}

#: What TensorFlow Lite files have in bytes 4 to 8. Source: the `file_identifier` of its schema.
TENSORFLOW_LITE = b"TFL3"

#: Fields that an ONNX model has at the top: the graph and the operator sets. Source: `ModelProto`.
ONNX_FIELDS = {7, 8}

#: Bytes of the values of the wire types whose size is fixed. Source: protobuf's encoding.
FIXED_SIZES = {1: 8, 5: 4}

#: Most fields at the top that are looked at; a model has about four.
MOST_FIELDS = 100

#: Most bytes of a varint. Source: protobuf's encoding.
VARINT_BYTES = 10


def impression(data: bytes) -> str:
    """Say what bytes that are no model look like: another format, a file cut short, or just damaged."""
    if not data:
        return "it is empty"
    if data[4:8] == TENSORFLOW_LITE:
        return "it looks like a TensorFlow Lite model"
    for start, what in OTHER_FORMATS.items():
        if data.startswith(start):
            return what
    try:
        fields, missing = outline(data)
    except (IndexError, KeyError, OverflowError):
        return "it is damaged, or in another format"
    if missing > 0 and fields[-1] in Model.DESCRIPTOR.fields_by_number:
        return f"it is cut short, {missing:,} bytes are missing"
    if set(fields) >= ONNX_FIELDS:
        return "it looks like an ONNX model"
    what = "damaged, in another format, nested deeper than protobuf reads"
    return f"it is {what}, or a kind of model newer than this version knows"


def outline(data: bytes) -> tuple[list[int], int]:
    """List the numbers of the fields at the top of a message, and count the bytes missing at its end.

    Raises IndexError, KeyError or OverflowError where the bytes are no such message.
    """
    fields: list[int] = []
    position = 0
    while position < len(data) and len(fields) < MOST_FIELDS:
        tag, position = _varint(data, position)
        fields.append(tag >> 3)
        wire_type = tag & 7
        if wire_type == 0:
            _, position = _varint(data, position)
        elif wire_type == 2:
            size, position = _varint(data, position)
            position += size
        else:
            position += FIXED_SIZES[wire_type]
    return fields, position - len(data)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Read a number of seven bits a byte, the least significant first, and give the position after it."""
    value = 0
    for shift in range(0, 7 * VARINT_BYTES, 7):
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise OverflowError("a varint of more than ten bytes")
