"""Every message, field, number, type, label and oneof of spec/coreml.proto beside coremltools' own."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from refquant.schema import coreml
from tests.parity.conftest import interpreter

pytestmark = pytest.mark.parity

#: Walks descriptors from Model down, in the peer's interpreter; the same text describes ours below.
WALK = """
def short(kind):
    name = kind.full_name
    for package in ("CoreML.Specification.", "CoreMLModels.", "MILSpec.", "refquant.coreml."):
        name = name.replace(package, "")
    return name

def walk(descriptor, found):
    if short(descriptor) in found:
        return found
    fields = found[short(descriptor)] = {}
    for f in descriptor.fields:
        kind = f.message_type or f.enum_type
        oneof = f.containing_oneof.name if f.containing_oneof else ""
        many = f.is_repeated if hasattr(f, "is_repeated") else f.label == 3
        fields[f.name] = [f.number, f.type, short(kind) if kind else "", many, oneof]
        if f.enum_type:
            found[short(kind)] = {v.name: v.number for v in kind.values}
        if f.message_type:
            walk(kind, found)
    return found
"""


def test_same_definition() -> None:
    script = WALK + (
        "import json, coremltools\n"
        "model = coremltools.proto.Model_pb2.Model.DESCRIPTOR\n"
        "print(json.dumps(walk(model, {})))"
    )
    done = subprocess.run([str(interpreter("9.0")), "-c", script], capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout.splitlines()[-1])
    space: dict[str, Any] = {}
    exec(WALK, space)
    ours = json.loads(json.dumps(space["walk"](coreml.standard_model().DESCRIPTOR, {})))
    opaque = {name for name, fields in ours.items() if not fields and theirs.get(name)}
    assert "NeuralNetwork" not in opaque
    for name in ours.keys() - opaque:
        assert ours[name] == theirs[name], name
    assert len(ours) > 250
    # What only coremltools has belongs to the model kinds that are opaque here.
    beyond = {name.split(".")[0] for name in theirs.keys() - ours.keys()}
    assert not any(name.endswith("LayerParams") for name in beyond)
