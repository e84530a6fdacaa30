"""What the kit says of two models that differ, and the selectors of its own."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from refquant.conformance import models
from refquant.conformance.judge import judge
from refquant.schema.coreml import Model, WeightParams
from tests.networks import Net, network, void

LINEAR = {"nbits": 8, "mode": "linear"}


def matrix(seed: int = 1) -> Model:
    return network(lambda net: void(net.inner_product(2, 3, bias=False)), seed)


def weights(model: Model) -> WeightParams:
    return model.neuralNetwork.layers[0].innerProduct.weights


def _more_scales(model: Model) -> None:
    weights(model).quantization.linearQuantization.scale.append(1.0)


def _other_scale(model: Model) -> None:
    weights(model).quantization.linearQuantization.scale[0] = 0.5


def _other_code(model: Model) -> None:
    raw = weights(model).rawValue
    weights(model).rawValue = raw[:-1] + bytes([raw[-1] ^ 1])


def _two_forms(model: Model) -> None:
    weights(model).float16Value = b"\0\0"


def _halves(model: Model) -> None:
    weights(model).Clear()
    weights(model).float16Value = bytes(12)


def _renamed(model: Model) -> None:
    model.neuralNetwork.layers[0].name = "other"


def _described(model: Model) -> None:
    model.description.input[0].name = "other"


def _version(model: Model) -> None:
    model.specificationVersion = 9


def _training(model: Model) -> None:
    weights(model).isUpdatable = True


PLACE = "model: layer 'layer_0', tensor weights: "


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_more_scales, PLACE + "3 scales where 2 are due"),
        (_other_scale, PLACE + "scales[0]: expected 0.0"),
        (_other_code, PLACE + "weights[5]: expected "),
        (_two_forms, "model: layer 'layer_0' (innerProduct), tensor weights: holds float16 and raw values"),
        (_halves, PLACE + "float16 where linear is due"),
        (_training, PLACE + "written otherwise"),
        (_renamed, "model: layer 'other' stands where 'layer_0' is due"),
        (_described, "model: differs outside of the weights"),
        (_version, "model: specificationVersion is 9, not 3"),
    ],
)
def test_difference(change: Callable[[Model], None], message: str) -> None:
    right = models.quantize(matrix().SerializeToString(), LINEAR)
    assert models.difference(right, right) is None
    other = Model.FromString(right)
    change(other)
    found = models.difference(right, other.SerializeToString())
    assert found is not None
    assert found.startswith(message)


def test_no_model() -> None:
    assert str(models.difference(matrix().SerializeToString(), b"\xff")).startswith("model: ")


@pytest.mark.parametrize(
    ("selector", "taken"),
    [
        ({"name": "base", "arguments": {"quantizable_layer_types": ["innerProduct"]}}, [True, False]),
        ({"name": "base", "arguments": {"quantizable_layer_types": ["bias"]}}, [False, True]),
        ({"name": "advanced", "arguments": {"skip_layer_types": ["bias"]}}, [True, False]),
        ({"name": "matrix_multiply", "arguments": {"minimum_weight_count": 7}}, [False, False]),
    ],
)
def test_selectors(selector: dict[str, object], taken: list[bool]) -> None:
    def build(net: Net) -> None:
        net.inner_product(2, 3, bias=False)
        net.relu()
        net.bias((2,))

    data = network(build, 2).SerializeToString()
    made = Model.FromString(models.quantize(data, {**LINEAR, "selector": selector}))
    matrix_layer, _, bias_layer = made.neuralNetwork.layers
    found = [bool(matrix_layer.innerProduct.weights.rawValue), bool(bias_layer.bias.bias.rawValue)]
    assert found == taken


@pytest.mark.parametrize(("limit", "taken"), [(-2.0, True), (2.0, False)])
def test_a_selector_that_reads(limit: float, taken: bool) -> None:
    selector = {"name": "reading", "arguments": {"first_weight_above": limit}}
    made = Model.FromString(models.quantize(matrix().SerializeToString(), {**LINEAR, "selector": selector}))
    assert bool(weights(made).rawValue) is taken


RIGHT: list[dict[str, Any]] = [
    {"rule": "TEN-10", "layer": "fc", "tensor": "weights", "index": 3},
    {"rule": "LAY-8", "layer": "b", "tensor": None, "index": None},
    {"rule": "LAY-8", "layer": "b", "tensor": None, "index": None},
]
NAMED = [{key: fault[key] for key in ("rule", "layer", "tensor")} for fault in RIGHT]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (RIGHT, None),
        (RIGHT[::-1], None),
        (NAMED, None),
        (RIGHT[:1], 'did not report "LAY-8" in layer "b", tensor null'),
        (RIGHT[:2], 'did not report "LAY-8" in layer "b", tensor null'),
        ([*RIGHT, RIGHT[1]], 'reported "LAY-8" in layer "b", tensor null 3 times instead of 2'),
        (
            [*RIGHT, {**RIGHT[1], "layer": "null"}],
            'reported "LAY-8" in layer "null", tensor null, which is not',
        ),
        ([{**RIGHT[0], "rule": "TEN-7"}, *RIGHT[1:]], 'did not report "TEN-10"'),
        ([{**RIGHT[0], "index": 4}, *RIGHT[1:]], "is at index 3, not 4"),
        (["TEN-10"], "is no list of faults"),
        (None, "is no list of faults"),
        ("00", "is no list of faults"),
    ],
)
def test_faults(given: object, message: str | None) -> None:
    case = {"operation": "model.validate", "expected": {"faults": RIGHT}, "input": {}}
    wrong = judge(case, {"result": {"faults": given}})
    assert wrong is None if message is None else message in (wrong or "")
