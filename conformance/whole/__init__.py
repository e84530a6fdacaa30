"""The cases of whole models, a module a family; `conformance.generate_models` writes them.

What a model must become, and by which rule it must be refused, is what the oracle says
(tests/oracle/models.py). A case that coremltools 9.0 gets wrong has the row of the departure table among its
flags.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from conformance.cases.family import Family, refusal
from refquant.schema.coreml import Model, WeightParams
from tests.networks import Net, network
from tests.oracle import Refused, models

#: The setting of most cases.
LINEAR: dict[str, Any] = {"nbits": 8, "mode": "linear"}

#: Number of bits and mode, one for each kind of arithmetic.
SETTINGS: list[dict[str, Any]] = [
    LINEAR,
    {"nbits": 3, "mode": "linear"},
    {"nbits": 8, "mode": "linear_symmetric"},
    {"nbits": 2, "mode": "linear_lut"},
    {"nbits": 16, "mode": "linear"},
]

DEQUANTIZATION = {"mode": "dequantization"}

#: A step in the making of a network.
Step = Callable[[Net], object]

#: Value of `arrayInputShapeMapping` that dynamic int8 wants. Source: the format.
EXACT_ARRAY_MAPPING = 1


def ask(
    family: Family, title: str, rules: str, flags: str, model: Model | bytes, settings: dict[str, Any]
) -> None:
    """Add a case, with what the oracle makes of it; a refusal must be by one of the rules."""
    data = model if isinstance(model, bytes) else model.SerializeToString(deterministic=True)
    given = {"model": data.hex(), "settings": settings}
    expected: dict[str, Any]
    try:
        expected = {"model": models.quantize(data, settings).hex()}
    except Refused as refused:
        expected = refusal(refused.rule, refused.index)
    assert ("error" in expected) == ("invalid" in flags.split()), (title, expected)
    assert "error" not in expected or expected["error"]["rule"] in rules.split(), (title, expected)
    family.add("model.quantize", title, rules, given, expected, flags)


def quantized(model: Model, **settings: Any) -> Model:
    """Give what a model becomes, to ask something of that."""
    return Model.FromString(models.quantize(model.SerializeToString(), {**LINEAR, **settings}))


def chain(*steps: Step, seed: int = 4, kind: str = "neuralNetwork") -> Model:
    """Make a network of these steps, each layer behind the one before."""

    def build(net: Net) -> None:
        for step in steps:
            step(net)

    return network(build, seed, kind)


def layer(model: Model, index: int = 0) -> Any:
    """Give a layer of a network."""
    return getattr(model, model.WhichOneof("Type") or "").layers[index]


def params(model: Model, index: int = 0, tensor: str = "weights") -> WeightParams:
    """Give a tensor of a layer."""
    found = layer(model, index)
    held: WeightParams = getattr(getattr(found, found.WhichOneof("layer")), tensor)
    return held


def copied(model: Model) -> Model:
    """Give a copy to change."""
    copy = Model()
    copy.CopyFrom(model)
    return copy


def exact_arrays(model: Model) -> Model:
    """Let a network take arrays as they are, as dynamic int8 wants it."""
    found = getattr(model, model.WhichOneof("Type") or "")
    found.arrayInputShapeMapping = EXACT_ARRAY_MAPPING
    return model


def selector(name: str, **arguments: Any) -> dict[str, Any]:
    """Name a selector as the protocol does."""
    return {"selector": {"name": name, "arguments": arguments}}


def product(outputs: int = 3, inputs: int = 4, bias: bool = False) -> Step:
    """Make an innerProduct."""
    return lambda net: net.inner_product(outputs, inputs, bias)


def convolution(outputs: int = 6, inputs: int = 3, **more: Any) -> Step:
    """Make a convolution."""
    return lambda net: net.convolution(outputs, inputs, **more)


def scale(shape: Sequence[int] = (6,), bias: Sequence[int] | None = None) -> Step:
    """Make a scale, without a bias unless one is asked for."""
    return lambda net: net.scale(shape, bias)
