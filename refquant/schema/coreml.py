"""Message classes of the Core ML format, made from the checked-in descriptor set at import.

They live in a descriptor pool of their own, so that this module and coremltools can be imported into one
process, in either order. `coreml.pyi` beside this file lists the classes and their fields.
"""

from __future__ import annotations

import sys
from array import array
from functools import cache
from pkgutil import get_data
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from refquant.errors import TensorError

#: Package of the definition; every message name starts with it.
PACKAGE = "refquant.coreml"

#: Number of the field of `WeightParams` with the float32 payload. Source: spec/coreml.proto.
FLOATS = 1

#: Wire type of a value of four bytes. Source: protobuf's encoding.
WORD = 5

#: The descriptor set that protoc makes of spec/coreml.proto, beside this module.
DESCRIPTOR_SET = "coreml.binpb"


def definition() -> FileDescriptorProto:
    """Give the format's own definition, as spec/coreml.proto has it."""
    data = get_data("refquant.schema", DESCRIPTOR_SET)  # which a zip archive has too
    (file,) = FileDescriptorSet.FromString(data or b"").file
    return file


def with_floats_as_bytes(file: FileDescriptorProto) -> FileDescriptorProto:
    """Give a definition of the same bytes on the wire, whose float32 payloads are read as bytes.

    It differs in one field: `WeightParams.floatValue`, a repeated float, becomes `floatBytes`, a repeated
    bytes of the same number. Rule: TEN-2, TEN-3.
    """
    changed = FileDescriptorProto()
    changed.CopyFrom(file)
    (weights,) = (message for message in changed.message_type if message.name == "WeightParams")
    (payload,) = (field for field in weights.field if field.number == FLOATS)
    payload.name = payload.json_name = "floatBytes"
    payload.type = FieldDescriptorProto.TYPE_BYTES
    return changed


def _pool(file: FileDescriptorProto) -> DescriptorPool:
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


@cache
def standard_model() -> Any:
    """Give the class of `Model` by the format's own definition, with floats read as floats.

    For files whose float payloads are not packed; slow with protobuf's plain-Python back end.
    """
    return GetMessageClass(_pool(definition()).FindMessageTypeByName(f"{PACKAGE}.Model"))


def has_unpacked_floats(params: Any) -> bool:
    """Tell whether a `WeightParams` has floats that were written one by one: they are unknown fields here.

    `refquant.model.file.parse` reads them right. Rule: TEN-3.
    """
    return any((field.field_number, field.wire_type) == (FLOATS, WORD) for field in UnknownFieldSet(params))


def _float_value(params: Any) -> memoryview:
    """Show the float32 weights of a tensor, to be read as floats by index, slice or iteration.

    Raises TensorError where the floats are unpacked or their bytes are not whole words. Rule: TEN-2, TEN-3.

    Rule: SEL-8.
    """
    if has_unpacked_floats(params):
        raise TensorError("floatValue is not packed; refquant.MLModel reads such a model", rule="TEN-3")
    payload = b"".join(params.floatBytes)
    if len(payload) % 4:
        raise TensorError(f"floatValue has {len(payload)} bytes, which is no multiple of 4", rule="TEN-2")
    if sys.byteorder == "little":
        return memoryview(payload).cast("f")
    weights = array("f", payload)
    weights.byteswap()
    return memoryview(weights)


_RUN_TIME = _pool(with_floats_as_bytes(definition()))


def __getattr__(name: str) -> Any:
    """Make the class of a message, or the wrapper of an enum, when it is first asked for."""
    full_name = f"{PACKAGE}.{name}"
    for find, make in (
        (_RUN_TIME.FindMessageTypeByName, GetMessageClass),
        (_RUN_TIME.FindEnumTypeByName, EnumTypeWrapper),
    ):
        try:
            globals()[name] = made = make(find(full_name))
        except KeyError:
            continue
        return made
    raise AttributeError(f"the format has no message or enum {name!r}")


WeightParams = __getattr__("WeightParams")
WeightParams.floatValue = property(_float_value)
