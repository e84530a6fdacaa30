"""Hostile models: a few thousand by chance, those that once broke something, and the fuzzer itself."""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

import refquant
from refquant.errors import InternalError
from tests.fuzz import __main__ as command
from tests.fuzz import bases, crew, findings, limits, target
from tests.fuzz.bends import Input, base, draw, drawn
from tests.fuzz.mutations import Mutation, mutated
from tests.fuzz.wire import VARINT, decode, encode, places
from tests.networks import LAYERS

SEEDS = findings.read(Path(__file__).with_name("seeds.json"))

#: The same inputs in every run: a failure is about the change at hand. The command takes other seeds.
SEED = 0

#: Inputs of each of the four ordinary runs.
INPUTS = 100 if limits.PLAIN_PYTHON else 500


class TestHostileModels:
    """Every outcome is a success that a validator accepts where nothing was wrong, or a RefquantError."""

    @pytest.mark.parametrize("part", range(4))
    def test_by_chance(self, part: int) -> None:
        numbers = range(INPUTS * part, INPUTS * (part + 1))
        tried = crew.attempt(crew.Settings(SEED), numbers)
        assert tried.findings == [], f"python -m tests.fuzz --seed {SEED}"
        # Some of all kinds: the mutations neither leave everything whole nor break everything.
        kinds = {(name, outcome): count for (name, outcome, _), count in tried.outcomes.items()}
        for kind in (("validate", "FileError"), ("model", "sound"), ("model", "not sound")):
            assert kinds[kind] > INPUTS / 20
        assert tried.unchanged < INPUTS / 10

    @pytest.mark.slow
    def test_by_chance_longer(self, tmp_path: Path) -> None:
        arguments = ["--inputs", "30000", "--jobs", "2", "--seed", str(SEED), "--folder", str(tmp_path)]
        assert command.main(arguments) == 0

    @settings(max_examples=100)
    @given(st.randoms(use_true_random=False), st.sampled_from(list(target.CONVERSIONS)))
    def test_by_chance_that_shrinks(self, chance: random.Random, conversion: str) -> None:
        model = draw(chance)
        note(findings.document([(conversion, model)]))
        assert target.explore(crew.data_of(model), [conversion], Counter()) is None

    @pytest.mark.parametrize(("title", "seed"), SEEDS, ids=[title for title, _ in SEEDS])
    def test_what_once_broke_something(self, title: str, seed: Input) -> None:
        assert findings.tried(seed) is None

    @pytest.mark.parametrize("number", [10**12, 2**64 - 1])
    def test_every_number_of_every_layer(self, number: int) -> None:
        """Sizes, counts, flags and numbers of bits that claim more than any file can hold."""
        found = {}
        for name in (*LAYERS, "innerProduct linear", "embedding lut", "gru half"):
            for place in base(name).loud:
                if place.kind.element == VARINT and not place.kind.repeated:
                    given = Input(name, [("set", place.path, number)])
                    found[name, place.path] = target.explore(crew.data_of(given), ["linear 8"], Counter())
        assert len(found) > 50
        assert {key: finding for key, finding in found.items() if finding} == {}

    @pytest.mark.parametrize("name", bases.names())
    def test_bases(self, name: str) -> None:
        """What is bent is as good as it looks, and is read and written by the fuzzer without a change."""
        assert encode(bases.tree(name)) == bases.model(name)
        outcomes: target.Outcomes = Counter()
        assert target.explore(bases.model(name), ["linear 8"], outcomes) is None
        assert outcomes["validate", "success", ""] == 1


class TestMutations:
    """Each does what it says, to the bytes of a model."""

    BASE = "case: floats at version 1"
    LAYER = "neuralNetwork.layers"

    def fields(self, *mutations: Mutation) -> list[str]:
        """Give the paths of an innerProduct's fields after mutations."""
        data = mutated(bases.tree(self.BASE), mutations)
        within = f"{self.LAYER}.innerProduct."
        return [p.path[len(within) :] for p in places(decode(data, "Model")) if p.path.startswith(within)]

    def model(self, *mutations: Mutation) -> Any:
        return refquant.MLModel(mutated(bases.tree(self.BASE), mutations)).get_spec()

    def test_fields(self) -> None:
        path = f"{self.LAYER}.innerProduct"
        before = self.fields()
        assert before == [
            *("inputChannels", "outputChannels", "hasBias"),
            *("weights", "weights.floatBytes", "bias", "bias.floatBytes"),
        ]
        assert self.fields(("drop", f"{path}.bias")) == before[:-2]
        assert self.fields(("repeat", f"{path}.bias.floatBytes", 2)) == [*before, "bias.floatBytes.1"]
        assert self.fields(("add", f"{path}.hasBias", 2)) == [*before, "hasBias.1"]
        assert self.fields(("set", f"{path}.weights.quantization.numberOfBits", 2**63))[5:7] == [
            "weights.quantization",
            "weights.quantization.numberOfBits",
        ]
        for nowhere in ("neuralNetwork.layers.7.name", "pipeline.models", "neuralNetwork.nothing", "x.y"):
            for mutation in (
                ("drop", nowhere),
                ("repeat", nowhere, 9),
                ("copy", path, nowhere),
                ("lie", nowhere, 1),
            ):
                assert self.fields(mutation) == before

    def test_contents(self) -> None:
        path = f"{self.LAYER}.innerProduct"
        (layer,) = self.model(("set", f"{path}.outputChannels", 10**12)).neuralNetwork.layers
        assert layer.innerProduct.outputChannels == 10**12
        (layer,) = self.model(("copy", "description.input.name", f"{self.LAYER}.name")).neuralNetwork.layers
        assert layer.name == "input"
        layers = self.model(("repeat", self.LAYER, 3)).neuralNetwork.layers
        assert [layer.name for layer in layers] == ["fc"] * 3
        swapped = mutated(bases.tree("conv_scale"), [("swap", self.LAYER, f"{self.LAYER}.1")])
        names = [layer.name for layer in refquant.MLModel(swapped).get_spec().neuralNetwork.layers]
        assert names == ["layer_1", "layer_0"]

    def test_what_no_message_holds(self) -> None:
        for mutation in (
            ("set", f"{self.LAYER}.name", "ff"),
            ("lie", f"{self.LAYER}.name", 1),
            ("raw", self.LAYER, "0f"),
            ("raw", "", "0b"),
            ("flip", 0, 1),
            ("splice", 3, 1000, ""),
        ):
            with pytest.raises(refquant.FileError, match="not a Core ML model"):
                self.model(mutation)
        assert self.model(("raw", self.LAYER, "f8ff0107")) != self.model()

    def test_depth(self) -> None:
        network = self.model(("nest", "neuralNetwork", "loop.bodyNetwork", 2)).neuralNetwork
        for _ in range(2):
            (outer,) = network.layers
            network = outer.loop.bodyNetwork
        assert network == self.model().neuralNetwork
        model = self.model(("pipe", "pipelineClassifier.pipeline.models", 3))
        for _ in range(3):
            (model,) = model.pipelineClassifier.pipeline.models
        assert model == self.model()

    def test_drawn_anew(self) -> None:
        """The same seed and number make the same input; all operations are drawn."""
        inputs = [drawn(1, number) for number in range(1000)]
        assert inputs[:50] == [drawn(1, number) for number in range(50)]
        assert inputs[:50] != [drawn(2, number) for number in range(50)]
        assert {mutation[0] for each in inputs for mutation in each.mutations} == {
            "set", "add", "drop", "repeat", "copy", "swap", "raw", "lie", "nest", "pipe", "flip", "splice"
        }  # fmt: skip


def breaks(data: bytes, **_: Any) -> bytes:
    """A quantizer with a fault: it does not survive three layers."""
    if len(refquant.MLModel(data).get_spec().neuralNetwork.layers) > 2:
        raise IndexError("no third layer")
    return data


def _passes(settings: crew.Settings, numbers: range, before: Any) -> crew.Tried:
    for number in numbers:
        before(number)
    return crew.Tried(len(numbers), 0, Counter({("pass", "", ""): len(numbers)}), [])


def dies(settings: crew.Settings, numbers: range, before: Any) -> crew.Tried:
    """Try inputs, and die of two of them."""
    for number in numbers:
        before(number)
        if number in (40, 300):
            os._exit(3)
    return _passes(settings, numbers, before)


def hangs(settings: crew.Settings, numbers: range, before: Any) -> crew.Tried:
    """Try inputs, and come to no end with one of them."""
    for number in numbers:
        before(number)
        while number == 40:
            time.sleep(1.0)
    return _passes(settings, numbers, before)


class TestCrew:
    """Workers may be lost: every input is tried all the same, those aside that they were lost with."""

    def run(self, attempt: Any, **settings: Any) -> tuple[int, int, dict[int, str]]:
        found: dict[int, str] = {}
        inputs = passed = 0
        for tried in crew.run(crew.Settings(**settings), 600, 2, 60.0, attempt):
            inputs, passed = inputs + tried.inputs, passed + tried.outcomes["pass", "", ""]
            found.update((number, finding.kind) for number, finding in tried.findings)
        return inputs, passed, found

    def test_crashes(self) -> None:
        assert self.run(dies) == (600, 598, {40: "crash", 300: "crash"})

    def test_hangs(self) -> None:
        assert self.run(hangs, patience=2.0) == (600, 599, {40: "hang"})

    def test_no_time(self) -> None:
        assert list(crew.run(crew.Settings(), 600, 2, -1.0)) == []


class TestFindings:
    """What must not be is found, whatever it is."""

    MODEL = bases.model("innerProduct")

    def found(self, monkeypatch: pytest.MonkeyPatch, conversion: Any, model: bytes = MODEL) -> Any:
        monkeypatch.setitem(target.CONVERSIONS, "faulty", conversion)
        found = target.explore(model, ["faulty"], Counter())
        return found and found[:2]

    def test_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.found(monkeypatch, lambda data: data) is None

    @pytest.mark.parametrize(
        "error", [ValueError, RecursionError, MemoryError, OverflowError, AssertionError, InternalError]
    )
    def test_exceptions(self, error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
        def fails(data: bytes) -> bytes:
            raise error("no")

        assert self.found(monkeypatch, fails) == (error.__name__, "faulty")

    def test_refusals_of_a_sound_model(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuses(data: bytes) -> bytes:
            raise refquant.TensorError("no", rule="TEN-1")

        assert self.found(monkeypatch, refuses) == ("refused by TEN-1", "faulty")
        assert self.found(monkeypatch, refuses, bases.model("case: no weights")) is None
        # In use or not, quantization reads it; so it may be refused for it.
        assert self.found(monkeypatch, refuses, bases.model("case: bias vectors in no use")) is None
        monkeypatch.setitem(target.REFUSALS, "faulty", frozenset({"TEN-1"}))
        assert self.found(monkeypatch, refuses) is None

    def test_results(self, monkeypatch: pytest.MonkeyPatch) -> None:
        bad = bases.model("case: no weights")
        assert self.found(monkeypatch, lambda data: bad) == ("invalid result", "result of faulty")
        assert self.found(monkeypatch, lambda data: bad, bad) is None
        found = self.found(monkeypatch, lambda data: b"no model")
        assert found == ("refused by FileError", "model/file.py, _parsed")
        more = self.MODEL + b"\x08\x05"  # a second specificationVersion
        assert self.found(monkeypatch, lambda data: more) == ("other bytes", "result of faulty")

    def test_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def slow(data: bytes) -> bytes:
            until = time.process_time() + 0.1
            while time.process_time() < until:
                pass
            return data

        assert self.found(monkeypatch, slow) is None
        monkeypatch.setattr(limits, "SECONDS", 0.05)
        assert self.found(monkeypatch, slow) == ("slow", "faulty")

    @pytest.mark.skipif(limits.peak() == 0, reason="nobody counts memory")
    @pytest.mark.skipif(sys.implementation.name == "pypy", reason="takes what other tests have left it first")
    def test_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def large(data: bytes) -> bytes:
            return data[:0].join([data, b"x" * (limits.peak() + 2 * limits.BYTES)])[: len(data)]

        assert self.found(monkeypatch, large) == ("memory", "faulty")

    def test_made_small(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setitem(target.CONVERSIONS, "faulty", breaks)
        first = Input(
            "bias",
            [
                ("set", "neuralNetwork.layers.name", "616263"),
                ("repeat", "neuralNetwork.layers", 50),
                ("swap", "neuralNetwork.layers", "neuralNetwork.layers.1"),
            ],
        )
        found = findings.tried(first)
        assert found is not None
        assert found[:2] == ("IndexError", "faulty")
        small = findings.minimized(first, found)
        assert small == Input("bias", [["repeat", "neuralNetwork.layers", 3]])
        path = findings.write(tmp_path, small, found)
        assert path.name == "indexerror-faulty.json"
        assert findings.read(path) == [("IndexError: faulty: IndexError: no third layer", small)]

    def test_seeds_are_written_as_they_are_read(self) -> None:
        path = Path(__file__).with_name("seeds.json")
        assert findings.document(SEEDS) == path.read_text(encoding="utf-8")
