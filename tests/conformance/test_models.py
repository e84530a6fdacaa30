"""The cases of whole models: what they ask, and what the kit says of two models that differ."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, Callable

import pytest

from conformance import generate_models
from conformance.generate import document
from refquant.conformance import models, vectors
from refquant.conformance.judge import judge
from refquant.model import tensor
from refquant.model.file import parse
from refquant.model.layers import LAYERS
from refquant.model.walk import NETWORKS, PIPELINES, all_layers, all_sites, networks
from refquant.schema.coreml import Model, WeightParams
from tests.networks import Net, network, void

VECTORS = Path(generate_models.__file__).parent / "vectors"
CASES = [case for name in generate_models.FAMILIES for case in vectors.families()[name]["cases"]]


@pytest.mark.parametrize("name", generate_models.FAMILIES)
def test_current(name: str) -> None:
    """The expected models are what the oracle makes of them."""
    text = (VECTORS / f"{name}.json").read_text(encoding="utf-8")
    made = document(generate_models.collect(name))
    assert text == made, "run: python -m conformance.generate_models"


@cache
def good() -> list[tuple[Model, Model, dict[str, Any]]]:
    """Read every case that is not refused: what is given, what is expected, the settings."""
    return [
        (
            parse(bytes.fromhex(case["input"]["model"])),
            parse(bytes.fromhex(case["expected"]["model"])),
            case["input"]["settings"],
        )
        for case in CASES
        if "error" not in case["expected"]
    ]


def good_layers() -> Iterator[Any]:
    for given, _, _ in good():
        for _, found in networks(given):
            yield from all_layers(found)


class TestWhatIsAsked:
    """No tensor, flag or kind of model is left out, for a testee could get it wrong and pass."""

    def test_every_tensor_is_quantized_and_halved(self) -> None:
        seen: dict[str, set[tuple[str, str]]] = {"linear": set(), "lut": set(), "float16": set()}
        for given, expected, settings in good():
            if settings["mode"] in ("dequantization", "int8"):
                continue
            before = {(s.layer.name, s.tensor): tensor.form(s.params) for s in all_sites(given)}
            for site in all_sites(expected):
                form = tensor.form(site.params)
                if form in seen and before.get((site.layer.name, site.tensor)) == "float32":
                    seen[form].add((site.layer_type, site.row.tensor))
        rows = {(layer_type, row.tensor) for layer_type, found in LAYERS.items() for row in found}
        for form, found in seen.items():
            assert found == rows, form

    def test_every_tensor_is_dequantized(self) -> None:
        seen = {
            (site.layer_type, site.row.tensor, tensor.form(site.params))
            for given, _, settings in good()
            if settings["mode"] == "dequantization"
            for site in all_sites(given)
        }
        for layer_type, found in LAYERS.items():
            for row in found:
                for form in ("linear", "lut", "float16"):
                    assert (layer_type, row.tensor, form) in seen

    def test_flags_have_both_values(self) -> None:
        flags = {(layer_type, row.flag) for layer_type, found in LAYERS.items() for row in found if row.flag}
        flags |= {("convolution", "isDeconvolution")}
        flags |= {("batchnorm", flag) for flag in ("instanceNormalization", "computeMeanVar")}
        flags |= {(layer_type, "int8DynamicQuantize") for layer_type in ("innerProduct", "batchedMatmul")}
        flags |= {(layer_type, "params.hasBiasVectors") for layer_type in LAYERS if "LSTM" in layer_type}
        seen = set()
        for layer in good_layers():
            layer_type = layer.WhichOneof("layer") or ""
            for kind, flag in flags:
                if kind == layer_type:
                    seen.add((kind, flag, bool(attrgetter(flag)(getattr(layer, kind)))))
        assert seen == {(kind, flag, value) for kind, flag in flags for value in (True, False)}

    def test_groups(self) -> None:
        convolutions = [
            layer.convolution for layer in good_layers() if layer.WhichOneof("layer") == "convolution"
        ]
        seen = {(c.isDeconvolution, min(c.nGroups, 2)) for c in convolutions}
        assert seen == {(kind, groups) for kind in (True, False) for groups in (0, 1, 2)}

    def test_what_learns(self) -> None:
        seen = {
            (owned.model.isUpdatable, layer.isUpdatable)
            for given, _, _ in good()
            for owned in networks(given)
            for layer in all_layers(owned.network)
        }
        assert seen == {(model, layer) for model in (True, False) for layer in (True, False)}

    @pytest.mark.parametrize("mode", ["linear", "dequantization", "int8"])
    def test_kinds_and_versions(self, mode: str) -> None:
        of_mode = [given for given, _, settings in good() if settings["mode"] == mode]
        kinds = {given.WhichOneof("Type") for given in of_mode}
        assert kinds >= {*PIPELINES, "neuralNetwork"}
        assert mode != "linear" or kinds >= set(NETWORKS)
        assert {given.specificationVersion for given in of_mode} >= {1, 4, 6}

    def test_a_model_of_every_network_in_pipelines(self) -> None:
        inner = {
            (given.WhichOneof("Type"), owned.model.WhichOneof("Type"))
            for given, _, _ in good()
            for owned in networks(given)
        }
        assert {kind for outer, kind in inner if outer in PIPELINES} == set(NETWORKS)

    def test_every_rule_of_refusal_has_a_model(self) -> None:
        refused = {case["expected"]["error"]["rule"] for case in CASES if "error" in case["expected"]}
        assert refused >= {
            *("TEN-1", "TEN-2", "TEN-4", "TEN-5", "TEN-6", "TEN-7", "PACK-5", "HALF-2", "LIN-9", "SYM-1"),
            *("LUT-1", "LAY-3", "SEL-4", "INT8-2", "DEQ-4", "FILE-3", "FILE-4"),
        }


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
    case = {
        "operation": "model.validate",
        "expected": {"faults": RIGHT},
        "input": {},
        "compare": {"faults": {"property": "faults"}},
    }
    wrong = judge(case, {"result": {"faults": given}})
    assert wrong is None if message is None else message in (wrong or "")
