"""spec/14-departures.md, row by row: that coremltools does what the row says, and refquant what is right.

A row that stops being true fails here: then the table is to be mended. What the kit can show is asked by
the kit, in one run; the other rows have a test each.
"""

from __future__ import annotations

import json
import math
import subprocess
from array import array
from functools import cache
from typing import Any

import pytest

import refquant
from conformance import departures
from refquant.conformance import runner, vectors
from refquant.conformance.judge import judge
from refquant.model import tensor
from refquant.model.within import weights_within
from refquant.schema.coreml import Model
from tests.conftest import TALLY
from tests.networks import network, void
from tests.parity.conftest import Peer, interpreter

pytestmark = pytest.mark.parity

TABLE = departures.rows()

#: Rows that a test of its own shows -> the test; and the row that needs another environment.
OUTSIDE_THE_KIT = {
    "DEP-5": "test_a_function_that_raises",
    "DEP-18": "test_steps_too_small",
    "DEP-22": "test_search",
    "DEP-26": "test_zeros",
    "DEP-28": "conftest.py pins protobuf for it",
}


@cache
def verdicts() -> list[runner.Verdict]:
    """Ask coremltools 9.0 for every case of the kit."""
    return departures.ask(interpreter("9.0"), vectors.select()[0])


def with_weights(values: list[float]) -> Model:
    model = network(lambda net: void(net.inner_product(1, len(values), bias=False)))
    tensor.store_float32(model.neuralNetwork.layers[0].innerProduct.weights, array("f", values))
    return model


class TestTheKitIsTheTable:
    def test_failures_are_departures(self) -> None:
        """coremltools fails exactly where a case shows a row."""
        TALLY[f"conformance cases of coremltools 9.0: {outcomes()}"] += 1
        assert departures.disagreements(verdicts()) == []

    def test_known_failures(self) -> None:
        text = departures.KNOWN.read_text(encoding="utf-8")
        assert text == departures.known_failures(verdicts()), "run: python -m conformance.departures"

    def test_every_row_is_in_the_kit_or_says_why_not(self) -> None:
        entries = json.loads(departures.KNOWN.read_text(encoding="utf-8"))["known_failures"]
        known = {entry["reason"].partition(":")[0] for entry in entries}
        assert known == {name for name, row in TABLE.items() if row.in_kit.startswith("yes")}
        others = {name: row.in_kit for name, row in TABLE.items() if name not in known}
        assert all(reason.startswith("no: ") for reason in others.values())
        assert set(others) == set(OUTSIDE_THE_KIT)

    def test_rules_of_the_rows(self) -> None:
        """Every rule that a row names is in the kit, where the row is."""
        _, sentences = vectors.select()
        for name, row in TABLE.items():
            assert set(row.rule.split(", ")) <= set(sentences) or name in OUTSIDE_THE_KIT, name

    def test_since(self) -> None:
        """8.1 fails on every case of a row that it has, and passes one of a row that came later."""
        cases = [verdict.case for verdict in verdicts() if verdict.outcome == "failed"]
        rows = {verdict.case["id"]: departures.row_of(verdict) for verdict in verdicts()}
        passed = {
            rows[verdict.case["id"]]
            for verdict in departures.ask(interpreter("8.1"), cases)
            if verdict.outcome == "passed"
        }
        later = {name for name, row in TABLE.items() if row.since == "9.0" and name not in OUTSIDE_THE_KIT}
        assert passed == later


def outcomes() -> dict[str, int]:
    found: dict[str, int] = {}
    for verdict in verdicts():
        found[verdict.outcome] = found.get(verdict.outcome, 0) + 1
    return found


class TestThirdVoice:
    """Where coremltools differs in one thing only, it agrees in all others."""

    def test_dequantization_but_for_the_empty_message(self, coremltools_9: Peer) -> None:
        cases = [verdict.case for verdict in verdicts() if departures.shown(verdict.case) == "DEP-24"]
        cases = [case for case in cases if "selector" not in case["input"]["settings"]]
        assert len(cases) > 90
        for case in cases:
            given = Model.FromString(bytes.fromhex(case["input"]["model"]))
            made = coremltools_9.quantize(given, nbits=8, quantization_mode="dequantization")
            assert not isinstance(made, str), case["title"]
            for _, params in weights_within(made):
                if not params.quantization.ByteSize():
                    params.ClearField("quantization")
            reply = {"result": {"model": made.SerializeToString().hex()}}
            assert judge(case, reply) is None, case["title"]

    def test_batchnorms_by_8_1(self) -> None:
        """8.1 fuses a batchnorm into a convolution as the oracle does; not into a deconvolution (DEP-23),
        nor where there is no root; and past binary32, to an infinity (DEP-50)."""
        cases = [verdict.case for verdict in verdicts() if departures.shown(verdict.case) == "DEP-1"]
        failed = [v.case for v in departures.ask(interpreter("8.1"), cases) if v.outcome != "passed"]
        titles = {case["title"] for case in failed}
        assert len(cases) - len(failed) >= 10
        owed_to = ("deconvolution", "variance", "past binary32")
        assert all(any(part in title for part in owed_to) for title in titles), titles


#: What a row outside of the kit is shown with, run by the peer's Python behind `import` lines.
BEGIN = """
import sys, warnings, cProfile, pstats
import coremltools
from coremltools.models.neural_network import quantization_utils as utils
utils._get_model = lambda spec, **settings: spec
class Holder:
    compute_unit = None
    def __init__(self, spec): self.spec = spec
    def get_spec(self): return self.spec
spec = coremltools.proto.Model_pb2.Model.FromString(sys.stdin.buffer.read())
"""


def say(version: str, model: Model, program: str) -> str:
    """Run lines with a model in the peer's Python, and give what they say on standard error."""
    done = subprocess.run(
        [str(interpreter(version)), "-c", BEGIN + program],
        input=model.SerializeToString(),
        capture_output=True,
        check=True,
    )
    return done.stderr.decode().splitlines()[-1]


VERSIONS = pytest.mark.parametrize("version", ["8.1", "9.0"])


@VERSIONS
def test_a_function_that_raises(version: str) -> None:
    said = say(
        version,
        with_weights([1.0, 2.0]),
        """
def function(nbits, weights): raise OSError("the table is not there")
try: utils.quantize_weights(Holder(spec), 2, "custom_lut", lut_function=function)
except Exception as error: print(type(error).__name__, error, error.__cause__, file=sys.stderr)
""",
    )
    assert said.startswith("AttributeError")
    assert "the table is not there" not in said

    def function(nbits: int, weights: object) -> object:
        raise OSError("the table is not there")

    with pytest.raises(refquant.LutFunctionError) as caught:
        refquant.quantize_weights(with_weights([1.0, 2.0]), 2, "custom_lut", lut_function=function)
    assert isinstance(caught.value.__cause__, OSError)


@VERSIONS
def test_steps_too_small(version: str) -> None:
    model = with_weights([1e-7, -1e-7])
    said = say(
        version,
        model,
        """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    made = utils.quantize_weights(Holder(spec), 8)
weights = made.neuralNetwork.layers[0].innerProduct.weights
print(weights.rawValue.hex(), len([w for w in caught if "coremltools" in w.filename]), file=sys.stderr)
""",
    )
    assert said == "0000 0"
    with pytest.warns(refquant.RefquantWarning, match="LIN-4"):
        made = refquant.quantize_weights(model, 8)
    assert made.neuralNetwork.layers[0].innerProduct.weights.rawValue == b"\0\0"


@VERSIONS
def test_search(version: str) -> None:
    """Twice the layers take coremltools more than four times the calls; tests/model/test_fusion.py counts
    those of refquant."""
    calls = []
    for blocks in (10, 20):

        def build(net: Any, blocks: int = blocks) -> None:
            for _ in range(blocks):
                net.convolution(1, 1, bias=False, size=(1, 1))
                net.scale((1,), None)
                net.relu()

        said = say(
            version,
            network(build),
            """
profile = cProfile.Profile()
profile.runcall(utils.quantize_weights, Holder(spec), 8)
print(pstats.Stats(profile).total_calls, file=sys.stderr)
""",
        )
        calls.append(int(said))
    assert calls[1] > 4 * calls[0]


@VERSIONS
def test_zeros(version: str) -> None:
    model = with_weights([0.0, 0.0])
    model.neuralNetwork.arrayInputShapeMapping = 1  # type: ignore[assignment] # EXACT_ARRAY_MAPPING
    said = say(
        version,
        model,
        """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    utils.activate_int8_int8_matrix_multiplications(spec)
print([str(w.message) for w in caught if "invalid value" in str(w.message)], file=sys.stderr)
""",
    )
    assert "divide" in said
    made = refquant.activate_int8_int8_matrix_multiplications(model)
    weights = made.neuralNetwork.layers[0].innerProduct.weights
    assert (weights.int8RawValue, list(weights.quantization.linearQuantization.scale)) == (b"\0\0", [0.0])


def test_half_range(coremltools_9: Peer) -> None:
    model = with_weights([1.0, 70000.0])
    theirs = coremltools_9.quantize(model, nbits=16)
    assert isinstance(theirs, str)
    assert "layer_0" not in theirs
    with pytest.raises(refquant.HalfRangeError, match=r"layer 'layer_0'.*weights\[1\]"):
        refquant.quantize_weights(model, 16)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_not_finite(bad: float, coremltools_9: Peer) -> None:
    model = with_weights([1.0, bad, 2.0])
    assert not isinstance(coremltools_9.quantize(model, nbits=8), str)
    with pytest.raises(refquant.NonFiniteError, match=r"layer 'layer_0'.*weights\[1\]"):
        refquant.quantize_weights(model, 8)


def test_numpy() -> None:
    """A vectorized testee, in the peer's virtualenv for its numpy, passes all that it offers."""
    cases, rules = vectors.select()
    testee = departures.TESTEE.with_name("numpy_testee.py")
    report = runner.run([str(interpreter("9.0")), str(testee)], cases, rules)
    assert set(report.counts) == {"passed", "skipped"}
    assert report.counts["passed"] > 2000
