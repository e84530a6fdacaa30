"""What can be done to a model, as data: a mutation is the name of an operation and its arguments.

Paths are names of fields from the model down, `neuralNetwork.layers.1.scale.hasBias`; a number counts the
occurrences of the field before it, from 0. Contents are numbers, as their bits, or bytes in hexadecimal. A
mutation whose path leads nowhere does nothing, so that a list stays good when some are left out of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Union

from tests.fuzz.wire import (
    BYTES,
    MODEL,
    VARINT,
    VERBATIM,
    Field,
    Kind,
    copied,
    definitions,
    encode,
    nested,
    varint,
)

#: The name of an operation in `ON_TREES` or `ON_BYTES`, and its arguments.
Mutation = Sequence[Any]

#: A number, or bytes in hexadecimal.
Content = Union[int, str]


class Found(NamedTuple):
    """Where a path leads: the fields of a message, what the last one is, and where it is, if it is there."""

    fields: list[Field]
    kind: Kind
    position: int | None

    @property
    def field(self) -> Field | None:
        """The occurrence that the path names."""
        return None if self.position is None else self.fields[self.position]


def mutated(tree: list[Field], mutations: Iterable[Mutation]) -> bytes:
    """Carry out mutations on a copy of a tree, those of bytes after all others, and write it."""
    own = copied(tree)
    later = []
    for name, *arguments in mutations:
        if name in ON_TREES:
            ON_TREES[name](own, *arguments)
        else:
            later.append((name, arguments))
    data = encode(own)
    for name, arguments in later:
        data = ON_BYTES[name](data, *arguments)
    return data


def find(tree: list[Field], path: str, make: bool = False) -> Found | None:
    """Follow a path; None where it leads nowhere. `make` puts in the messages that are missing on the way."""
    fields, within, steps = tree, MODEL, path.split(".")
    while True:
        name = steps.pop(0)
        count = int(steps.pop(0)) if steps and steps[0].isdigit() else 0
        kind = definitions()[within].get(name)
        if kind is None:
            return None
        here = [at for at, field in enumerate(fields) if field.number == kind.number]
        position = here[count] if count < len(here) else None
        if not steps:
            return Found(fields, kind, position)
        if position is None and make and kind.message:
            position = len(fields)
            fields.append(Field(kind.number, BYTES, []))
        value = None if position is None else fields[position].value
        if not isinstance(value, list):
            return None
        fields, within = value, kind.message


def _made(kind: Kind, content: Content) -> Field:
    """Make a field; a number where there should be bytes is a varint, and bytes may stand for a number."""
    if isinstance(content, int):
        return Field(kind.number, VARINT if kind.element == BYTES else kind.element, content)
    return Field(kind.number, BYTES, nested(bytes.fromhex(content), kind.message))


def _set(tree: list[Field], path: str, content: Content) -> None:
    """Give a field this content, whether it was there or not."""
    found = find(tree, path, make=True)
    if found is not None and found.position is not None:
        found.fields[found.position] = _made(found.kind, content)
    elif found is not None:
        found.fields.append(_made(found.kind, content))


def _add(tree: list[Field], path: str, content: Content) -> None:
    """Let a field occur once more, with this content."""
    found = find(tree, path, make=True)
    if found is not None:
        found.fields.append(_made(found.kind, content))


def _drop(tree: list[Field], path: str) -> None:
    """Take a field out."""
    _repeat(tree, path, 0)


def _repeat(tree: list[Field], path: str, times: int) -> None:
    """Let a field occur so many times in place of once."""
    found = find(tree, path)
    if found is not None and found.field is not None and found.position is not None:
        found.fields[found.position : found.position + 1] = [found.field] * times


def _copy(tree: list[Field], path: str, target: str) -> None:
    """Give a field the content of another."""
    found, other = find(tree, path), find(tree, target)
    if found and other and found.field and other.field:
        value = found.field.value
        other.field.value = copied(value) if isinstance(value, list) else value
        other.field.wire_type = found.field.wire_type


def _swap(tree: list[Field], path: str, target: str) -> None:
    """Let two fields of one message change places."""
    found, other = find(tree, path), find(tree, target)
    if found and other and found.fields is other.fields and found.field and other.field:
        fields, a, b = found.fields, found.position or 0, other.position or 0
        fields[a], fields[b] = fields[b], fields[a]


def _raw(tree: list[Field], path: str, content: str) -> None:
    """Put bytes behind the fields of a message, whatever they are; an empty path is the model."""
    found = find(tree, path) if path else None
    fields = tree if not path else found.field.value if found and found.field else None
    if isinstance(fields, list):
        fields.append(Field(0, VERBATIM, bytes.fromhex(content)))


def _lie(tree: list[Field], path: str, by: int) -> None:
    """Say that a field is longer than it is, or shorter."""
    found = find(tree, path)
    if found is not None and found.field is not None:
        found.field.lie = by


def _nest(tree: list[Field], path: str, way: str, levels: int) -> None:
    """Put the layers of a network into a branch or loop (`loop.bodyNetwork`), again and again."""
    found = find(tree, path)
    if found is None or found.field is None or not isinstance(found.field.value, list):
        return
    steps = [definitions()["NeuralNetwork"]["layers"]]
    for name in way.split("."):
        steps.append(definitions()[steps[-1].message][name])
    content = encode(found.field.value)
    found.field.value = [Field(0, VERBATIM, _wrapped(content, steps, levels))]


def _pipe(tree: list[Field], way: str, levels: int) -> None:
    """Put the model into a pipeline, that into another, and so on: `pipelineClassifier.pipeline.models`."""
    steps, within = [], MODEL
    for name in way.split("."):
        steps.append(definitions()[within][name])
        within = steps[-1].message
    tree[:] = [Field(0, VERBATIM, _wrapped(encode(tree), steps, levels))]


def _wrapped(content: bytes, steps: list[Kind], levels: int) -> bytes:
    """Make bytes the content of a message within messages, again and again."""
    for _ in range(levels):
        for kind in reversed(steps):
            content = varint(kind.number << 3 | BYTES) + varint(len(content)) + content
    return content


#: Operations on the tree of a model.
ON_TREES: dict[str, Callable[..., None]] = {
    "set": _set,
    "add": _add,
    "drop": _drop,
    "repeat": _repeat,
    "copy": _copy,
    "swap": _swap,
    "raw": _raw,
    "lie": _lie,
    "nest": _nest,
    "pipe": _pipe,
}

#: Operations on its bytes: change a bit, replace a run of bytes by others.
ON_BYTES: dict[str, Callable[..., bytes]] = {
    "flip": lambda data, at, bit: data[:at] + bytes(b ^ 1 << bit for b in data[at : at + 1]) + data[at + 1 :],
    "splice": lambda data, at, size, content: data[:at] + bytes.fromhex(content) + data[at + size :],
}
