"""spec/14-departures.md, row by row: that coremltools 9.0 does what the row says, and refquant what is right.

A row that stops being true fails here: then the table is to be mended. What refquant does is tested in
full beside each rule; here only that it does not do the same.
"""

from __future__ import annotations

import math
import re
import warnings
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import refquant
from refquant.conformance import runner, vectors
from refquant.model import tensor
from refquant.model.stored import Stored
from refquant.model.walk import all_sites
from refquant.schema.coreml import Model
from tests.networks import BATCHNORMS, ROWS, Net, described, network, pipeline
from tests.parity.conftest import TALLY, Peer, interpreter

pytestmark = pytest.mark.parity

TESTEES = Path(__file__).parents[2] / "conformance" / "testees"
TABLE = Path(__file__).parents[2] / "spec" / "14-departures.md"


def chain(*steps: Callable[[Net], object]) -> Model:
    def build(net: Net) -> None:
        for step in steps:
            step(net)

    return network(build, 3)


def mine(model: Model, **settings: Any) -> Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", refquant.RefquantWarning)
        if settings.pop("int8", False):
            found: Model = refquant.activate_int8_int8_matrix_multiplications(model)
        else:
            found = refquant.quantize_weights(model, **settings)
    return found


def with_weights(values: list[float], **fields: Any) -> Model:
    model = chain(lambda net: net.inner_product(1, len(values), bias=False))
    layer = model.neuralNetwork.layers[0].innerProduct
    tensor.store_float32(layer.weights, array("f", values))
    return model


def updatable() -> Model:
    model = network(ROWS["innerProduct"])
    model.isUpdatable = model.neuralNetwork.layers[0].isUpdatable = True
    return model


def output_in_the_middle() -> Model:
    model = chain(lambda net: net.convolution(), lambda net: net.scale())
    model.description.output.add(name="layer_0_out")
    return model


def read_by_a_branch() -> Model:
    model = chain(lambda net: net.convolution(), lambda net: net.scale())
    branch = model.neuralNetwork.layers.add(name="branch", input=["input"]).branch
    branch.ifBranch.layers.add(name="r", input=["layer_0_out"], output=["x"]).activation.ReLU.SetInParent()
    return model


def half_producer() -> Model:
    model = chain(lambda net: net.convolution(bias=False), lambda net: net.scale((6,), None))
    params = model.neuralNetwork.layers[0].convolution.weights
    tensor.store(params, Stored("float16", b"\0\x3c" * 108))
    return model


def scales(count: int, biases: int) -> Model:
    model = chain(lambda net: net.inner_product(4, 2, bias=False))
    params = model.neuralNetwork.layers[0].innerProduct.weights
    made = mine(model, nbits=8).neuralNetwork.layers[0].innerProduct.weights
    params.CopyFrom(made)
    del params.quantization.linearQuantization.scale[count:]
    del params.quantization.linearQuantization.bias[biases:]
    return model


def lstm_without_biases() -> Model:
    model = network(ROWS["uniDirectionalLSTM"])
    layer = model.neuralNetwork.layers[0].uniDirectionalLSTM
    layer.params.hasBiasVectors = False
    for gate in ("inputGate", "forgetGate", "blockInput", "outputGate"):
        layer.weightParams.ClearField(f"{gate}BiasVector")
    return mine(model, nbits=8)


#: Row -> model, settings, and the exception that the peer raises.
CRASHES: list[tuple[str, Callable[[], Model], dict[str, Any], str]] = [
    ("DEP-1", lambda: network(BATCHNORMS["conv_bn"]), {"nbits": 8}, "TypeError"),
    ("DEP-3", lambda: pipeline(network(ROWS["gru"]), kind="pipelineClassifier"), {"nbits": 8}, 'no "Type"'),
    ("DEP-3", lambda: pipeline(network(ROWS["gru"]), kind="pipelineRegressor"), {"nbits": 8}, 'no "Type"'),
    (
        "DEP-8",
        lambda: mine(network(ROWS["innerProduct"]), nbits=16),
        {"nbits": 8, "quantization_mode": "dequantization"},
        ".",
    ),
    ("DEP-9", lambda: scales(1, 1), {"nbits": 8, "quantization_mode": "dequantization"}, "reshape|broadcast"),
    ("DEP-9", lambda: scales(4, 0), {"nbits": 8, "quantization_mode": "dequantization"}, "different lengths"),
    (
        "DEP-14",
        lambda: chain(lambda net: net.convolution(bias=False), lambda net: net.scale((6,), (1,))),
        {"nbits": 8},
        "divide evenly",
    ),
    (
        "DEP-15",
        lambda: chain(lambda net: net.convolution(), lambda net: net.scale((1, 2, 5), None)),
        {"nbits": 8},
        "broadcast",
    ),
    ("DEP-25", lstm_without_biases, {"nbits": 8, "quantization_mode": "dequantization"}, "IndexError"),
]

#: Row -> model, settings, what the peer's model shows, and what refquant's shows instead.
DIFFERENCES: list[
    tuple[str, Callable[[], Model], dict[str, Any], Callable[[Model], object], object, object]
] = [
    (
        "DEP-10",
        lambda: chain(lambda net: net.convolution(6, 4, groups=2, deconvolution=True, bias=False)),
        {"nbits": 8},
        lambda m: len(m.neuralNetwork.layers[0].convolution.weights.quantization.linearQuantization.scale),
        3,
        1,
    ),
    (
        "DEP-12",
        lambda: pipeline(described("treeEnsembleClassifier"), network(ROWS["gru"])),
        {"nbits": 8},
        lambda m: m.pipeline.models[0].specificationVersion,
        1,
        1,
    ),
    (
        "DEP-13",
        lambda: chain(lambda net: net.convolution(), lambda net: net.scale((6,), None)),
        {"nbits": 8},
        lambda m: (
            m.neuralNetwork.layers[0].convolution.bias
            == mine(chain(lambda net: net.convolution()), nbits=8).neuralNetwork.layers[0].convolution.bias
        ),
        True,
        False,
    ),
    ("DEP-16", output_in_the_middle, {"nbits": 8}, lambda m: len(m.neuralNetwork.layers), 1, 2),
    (
        "DEP-17",
        half_producer,
        {"nbits": 8},
        lambda m: [
            bool(m.neuralNetwork.layers[0].convolution.weights.float16Value),
            bool(m.neuralNetwork.layers[0].convolution.weights.rawValue),
        ],
        [True, True],
        [True, False],
    ),
    (
        "DEP-20",
        updatable,
        {"nbits": 8},
        lambda m: tensor.form(m.neuralNetwork.layers[0].innerProduct.weights),
        "linear",
        "float32",
    ),
    (
        "DEP-21",
        lambda: chain(lambda net: net.inner_product()),
        {"int8": True},
        lambda m: m.neuralNetwork.layers[0].innerProduct.int8DynamicQuantize,
        True,
        False,
    ),
    (
        "DEP-23",
        lambda: chain(
            lambda net: net.convolution(3, 6, bias=False, deconvolution=True),
            lambda net: net.scale((3,), None),
        ),
        {"nbits": 8},
        lambda m: (
            m
            == mine(
                chain(
                    lambda net: net.convolution(3, 6, bias=False, deconvolution=True),
                    lambda net: net.scale((3,), None),
                ),
                nbits=8,
            )
        ),
        False,
        True,
    ),
    (
        "DEP-24",
        lambda: mine(network(ROWS["gru"]), nbits=8),
        {"nbits": 8, "quantization_mode": "dequantization"},
        lambda m: m.neuralNetwork.layers[0].gru.updateGateWeightMatrix.HasField("quantization"),
        True,
        False,
    ),
    ("DEP-27", read_by_a_branch, {"nbits": 8}, lambda m: len(m.neuralNetwork.layers), 2, 3),
    (
        "DEP-29",
        lambda: chain(lambda net: net.relu()),
        {"int8": True},
        lambda m: m.specificationVersion,
        3,
        1,
    ),
]

#: Rows that need a test of their own below, or that are about a message, a warning or a duration.
ELSEWHERE = {
    "DEP-2": "test_kmeans",
    "DEP-4": "test_names",
    "DEP-5": "the peer's function is its own: tests/codec/test_lut.py has ours",
    "DEP-6": "likewise",
    "DEP-7": "test_not_finite",
    "DEP-11": "test_half_beside_float",
    "DEP-18": "the bits are the same: tests/test_quantize.py has the warning",
    "DEP-19": "test_half_range",
    "DEP-22": "tests/model/test_fusion.py counts",
    "DEP-26": "test_zeros",
    "DEP-28": "conftest.py pins protobuf for it",
}


@pytest.mark.parametrize(("row", "model", "settings", "error"), CRASHES, ids=lambda value: str(value)[:8])
def test_peer_raises(
    row: str, model: Callable[[], Model], settings: dict[str, Any], error: str, coremltools_9: Peer
) -> None:
    made = coremltools_9.quantize(model(), **settings)
    assert isinstance(made, str), row
    assert re.search(error, made), made
    assert mine(model(), **settings) is not None


@pytest.mark.parametrize(
    ("row", "model", "settings", "show", "theirs", "ours"), DIFFERENCES, ids=lambda value: str(value)[:8]
)
def test_results_differ(
    row: str,
    model: Callable[[], Model],
    settings: dict[str, Any],
    show: Callable[[Model], object],
    theirs: object,
    ours: object,
    coremltools_9: Peer,
) -> None:
    made = coremltools_9.quantize(model(), **settings)
    assert not isinstance(made, str), made
    assert (show(made), show(mine(model(), **settings))) == (theirs, ours), row


def test_kmeans(coremltools_9: Peer) -> None:
    model = network(ROWS["innerProduct"])
    theirs = coremltools_9.quantize(model, nbits=2, quantization_mode="kmeans_lut")
    if not isinstance(theirs, str):
        table = theirs.neuralNetwork.layers[0].innerProduct.weights.quantization.lookupTableQuantization
        assert not table.floatValue
    ours = mine(model, nbits=2, quantization_mode="kmeans_lut").neuralNetwork.layers[0].innerProduct.weights
    assert len(ours.quantization.lookupTableQuantization.floatValue) == 4


def test_names(coremltools_9: Peer) -> None:
    arguments = {"include_layers_with_names": ["layer_0"]}
    selector = {"name": "MatrixMultiplyLayerSelector", "arguments": arguments}
    theirs = coremltools_9.quantize(network(ROWS["innerProduct"]), nbits=8, selector=selector)
    assert isinstance(theirs, str)
    assert "AttributeError" in theirs
    assert refquant.MatrixMultiplyLayerSelector(**arguments).include_layers_with_names == ["layer_0"]  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_not_finite(bad: float, coremltools_9: Peer) -> None:
    model = with_weights([1.0, bad, 2.0])
    assert not isinstance(coremltools_9.quantize(model, nbits=8), str)
    with pytest.raises(refquant.NonFiniteError):
        mine(model, nbits=8)


def test_half_beside_float(coremltools_9: Peer) -> None:
    model = network(ROWS["innerProduct"], 0)
    assert model.neuralNetwork.layers[0].innerProduct.hasBias
    arguments: dict[str, Any] = {"skip_layer_types": ["bias"]}
    selector = {"name": "AdvancedQuantizedLayerSelector", "arguments": arguments}
    theirs = coremltools_9.quantize(model, nbits=16, selector=selector)
    assert not isinstance(theirs, str)
    assert {tensor.form(site.params) for site in all_sites(theirs)} == {"float16", "float32"}
    ours = mine(model, nbits=16, selector=refquant.AdvancedQuantizedLayerSelector(**arguments))
    assert {tensor.form(site.params) for site in all_sites(ours)} == {"float16"}


def test_half_range(coremltools_9: Peer) -> None:
    model = with_weights([1.0, 70000.0])
    theirs = coremltools_9.quantize(model, nbits=16)
    assert isinstance(theirs, str)
    assert "layer_0" not in theirs
    with pytest.raises(refquant.HalfRangeError, match=r"layer 'layer_0'.*weights\[1\]"):
        mine(model, nbits=16)


def test_zeros(coremltools_9: Peer) -> None:
    model = with_weights([0.0, 0.0])
    model.neuralNetwork.arrayInputShapeMapping = 1  # type: ignore[assignment] # EXACT_ARRAY_MAPPING
    ours = mine(model, int8=True).neuralNetwork.layers[0].innerProduct.weights
    assert list(ours.quantization.linearQuantization.scale) == [0.0]
    theirs = coremltools_9.quantize(model, int8=True)
    # Zero by zero is NaN, whose cast to an integer is whatever the machine makes of it.
    assert not isinstance(theirs, str)


def test_conformance() -> None:
    """The known failures of coremltools as a testee are departures, and there are no others."""
    known = runner.read_known(TESTEES / "coremltools-9.0.json")
    cases, rules = vectors.select()
    command = [str(interpreter("9.0")), str(TESTEES / "coremltools_testee.py")]
    report = runner.run(command, cases, rules, known, timeout=60)
    TALLY[f"conformance cases of coremltools 9.0: {dict(report.counts)}"] += 1
    assert [v.message for v in report.verdicts if v.outcome in runner.BAD_OUTCOMES] == []
    assert report.counts["known"] == len(known)


def test_numpy() -> None:
    """A vectorized testee, in the peer's virtualenv for its numpy, passes all that it offers."""
    cases, rules = vectors.select()
    report = runner.run([str(interpreter("9.0")), str(TESTEES / "numpy_testee.py")], cases, rules)
    assert set(report.counts) == {"passed", "skipped"}
    assert report.counts["passed"] > 2000


def test_every_row_is_here() -> None:
    rows = set(re.findall(r"^\| (DEP-\d+) ", TABLE.read_text(encoding="utf-8"), re.MULTILINE))
    here = {row for row, *_ in CRASHES} | {row for row, *_ in DIFFERENCES} | set(ELSEWHERE)
    here |= {entry.reason.split(":")[0] for entry in runner.read_known(TESTEES / "coremltools-9.0.json")}
    assert here == rows
