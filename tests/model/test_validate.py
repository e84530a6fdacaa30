"""The validator: every fault of the table in chapter 13, by itself and with others, and nothing else.

The models and what is to be said of them are in tests/broken.py, which the vectors are made from too; the
command `refquant validate` is tested in tests/test_cli.py.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import refquant
from refquant import Fault, validate_model
from refquant.codec import packing
from refquant.codec.packing import pack
from refquant.model import tensor, tensor_checks
from refquant.model.file import save
from refquant.model.held import hold
from refquant.model.layers import sites
from refquant.model.layout import Layout
from refquant.model.validate import examine, validation
from refquant.model.within import weights_within
from refquant.schema.coreml import Model, NeuralNetworkLayer, QuantizationParams, WeightParams
from refquant.spec import trace
from tests import bending, broken
from tests.bending import (
    CONVOLUTION_3D,
    FLOATS,
    HALVES,
    LAYER_NORMALIZATION,
    LINEAR,
    PRELU,
    SIGNED,
    SOFTPLUS,
    TABLE,
    Bends,
    bent,
    linear,
    of,
    parameters,
    row,
    signed,
)
from tests.broken import BITS, SCALE, Case
from tests.hard import after
from tests.networks import Net, all_networks, described, pipeline
from tests.quantized import quiet

EVERY = {case.title: case for case in broken.CASES}

#: Codes of 8 bits that nothing says how to read, and a tensor with two fields of values.
CODES_ALONE = WeightParams(rawValue=bytes(3), quantization=QuantizationParams(numberOfBits=8))
TWO_FIELDS = WeightParams(floatBytes=[bytes(12)], float16Value=bytes(6))


def found(model: Model) -> list[tuple[Any, ...]]:
    """List faults, in an order of their own, as tests/broken.py states them."""
    faults = validate_model(model)
    return sorted(((f.rule, f.layer, f.tensor, f.index) for f in faults), key=str)


def check(case: Case) -> None:
    assert found(case.model) == sorted(map(tuple, case.faults), key=str)


class TestTensors:
    """TEN-9: A tensor that its layer uses MUST NOT be empty. TEN-10: Every binary32 and binary16 weight in a
    file MUST be a finite number. PACK-2: `count` codes of `n` bits MUST take exactly `ceil(count * n / 8)`
    bytes. PACK-3: The bits of the last byte after the last code MUST be zero when written.
    """

    @pytest.mark.parametrize("case", broken.TENSORS, ids=lambda case: case.title)
    def test_fault(self, case: Case) -> None:
        check(case)


NAN, ONE = struct.pack("<f", math.nan), struct.pack("<f", 1.0)


class TestNumbers:
    """TEN-10: Every binary32 and binary16 weight in a file MUST be a finite number."""

    @pytest.mark.parametrize("index", range(6))
    def test_among_floats(self, index: int) -> None:
        data = ONE * index + NAN + ONE * (5 - index)
        assert found(bent(FLOATS, {"weights.floatBytes": [data]})) == [("TEN-10", "fc", "weights", index)]

    @pytest.mark.parametrize(("runs", "index"), [([1, 5], 0), ([1, 5], 1), ([3, 3], 2), ([2, 4], 5)])
    def test_in_one_run_of_two(self, runs: list[int], index: int) -> None:
        data = ONE * index + NAN + ONE * (5 - index)
        model = bent(FLOATS, {"weights.floatBytes": [data[: 4 * runs[0]], data[4 * runs[0] :]]})
        assert found(model) == [("TEN-10", "fc", "weights", index)]

    @pytest.mark.parametrize("sign", [0, 0x8000])
    @pytest.mark.parametrize("number", [0x7C00, 0x7C01, 0x7D00, 0x7E00, 0x7F00, 0x7FFF])
    def test_every_kind_among_halves(self, number: int, sign: int) -> None:
        for index in range(6):
            data = struct.pack("<6H", *[0] * index, number | sign, *[0] * (5 - index))
            assert found(bent(HALVES, {"weights.float16Value": data})) == [("TEN-10", "fc", "weights", index)]

    def test_behind_an_odd_end(self) -> None:
        """Halves are looked at all the same, but floats of which nobody can tell where they begin are not."""
        odd = struct.pack("<6H", *[0] * 5, 0x7C00) + b"\0"
        expected = [("TEN-10", "fc", "weights", 5), ("TEN-4", "fc", "weights", None)]
        assert found(bent(HALVES, {"weights.float16Value": odd})) == expected
        model = bent(FLOATS, {"weights.floatBytes": [NAN * 6, b"\0"]})
        assert found(model) == [("TEN-2", "fc", "weights", None)]

    @pytest.mark.parametrize("size", [9, 11, 13, 15])
    def test_halves_of_any_odd_size(self, size: int) -> None:
        """TEN-4: `float16Value` MUST hold two bytes a weight: one little-endian binary16 number each."""
        model = bent(HALVES, {"weights.float16Value": bytes(size)})
        assert found(model) == [("TEN-4", "fc", "weights", None)]

    @pytest.mark.parametrize(
        ("base", "bends"),
        [
            (FLOATS, {"weights.floatBytes": [b"\x7f\xff\xff\x7e" * 6]}),
            (HALVES, {"weights.float16Value": b"\xff\x7b" * 6}),
        ],
    )
    def test_one_by_one_only_where_one_may_not_be(
        self, monkeypatch: pytest.MonkeyPatch, base: Model, bends: dict[str, Any]
    ) -> None:
        """The highest byte of a number tells enough, unless it is at least 2^127, or no finite half."""
        monkeypatch.setattr(tensor_checks, "_not_finite", lambda read, rule: pytest.fail("looked"))
        assert found(bent(base, bends)) == []


#: The greatest binary32 number.
G = broken.GREATEST

#: Bits, scales and biases of the codes 0 1 1 1 1 1; index of the first whose weight is past binary32; whether
#: one has to look for it.
ENDS: list[tuple[int, list[float], list[float], int | None, bool]] = [
    (1, [G], [], None, False),
    (1, [G], [-G], None, False),
    (1, [-G], [-G], 1, True),
    (1, [G], [G], 1, True),
    (1, [1.0, G], [0.0, G], 3, True),
    (2, [G], [-G], None, True),
    (8, [G / 128], [-G], None, False),
]


class TestPastBinary32:
    """DEQ-4: Dequantization MUST refuse a tensor ... that holds a number that is not finite. Only the ends of
    the grid are computed, unless one of them is past binary32.
    """

    @pytest.fixture
    def looks(self, monkeypatch: pytest.MonkeyPatch) -> list[object]:
        """Every tensor that is decoded."""
        looks: list[object] = []

        def decode(params: WeightParams, layout: Layout) -> object:
            looks.append(params)
            return usual(params, layout)

        usual = tensor.decode_params
        monkeypatch.setattr(tensor, "decode_params", decode)
        return looks

    @pytest.mark.parametrize(("nbits", "scales", "biases", "index", "looked"), ENDS)
    def test_linear(
        self,
        looks: list[object],
        nbits: int,
        scales: list[float],
        biases: list[float],
        index: int | None,
        looked: bool,
    ) -> None:
        raw = pack(b"\0\1\1\1\1\1", nbits)
        model = bent(LINEAR, {"weights": linear(raw, nbits, scales, biases)})
        assert found(model) == ([] if index is None else [("DEQ-4", "fc", "weights", index)])
        assert len(looks) == looked

    @pytest.mark.parametrize("sign", [1, -1])
    def test_signed(self, looks: list[object], sign: int) -> None:
        """The code -128, which no writer writes, is one end."""
        codes = {"weights.int8RawValue": bytes([127, 129, 128, 128, 0, 0])}
        assert found(bent(SIGNED, {**codes, SCALE: [sign * G / 128]})) == []
        assert looks == []
        past = bent(SIGNED, {**codes, SCALE: [sign * after(G / 128)]})
        assert found(past) == [("DEQ-4", "fc", "weights", 2)]
        assert len(looks) == 1

    def test_where_nobody_states_a_shape(self, looks: list[object]) -> None:
        for params in (linear(b"\xff", 8, [G]), bending.table(b"\xff", 1, [G, G])):
            assert found(bent(bending.PRELU, {"PReLU.alpha": params})) == []
        assert looks == []

    def test_only_where_numbers_are_looked_at(self, looks: list[object]) -> None:
        assert examine(bent(LINEAR, {SCALE: [G, G]}), numbers=False).faults == []
        assert looks == []


class TestLayers:
    """LAY-6: The shapes of a bias layer and of a scale layer ... MUST have one or three dimensions.
    LAY-8: A biDirectionalLSTM MUST have the tensors of two directions. LAY-9: The weights and bias of a
    convolution3d MUST be floats; gamma and beta of a layerNormalization MUST be binary32. LAY-10: Alpha and
    beta of a parametric softplus MUST be in one form. LAY-11: Each tensor of a custom layer MUST have exactly
    one of its four fields of values filled. HALF-4: The tensors that one layer uses MUST NOT mix
    binary16 and binary32. INT8-5: Signed codes MUST be the weights of an
    innerProduct or batchedMatmul whose `int8DynamicQuantize` is true. INT8-6: A layer whose
    `int8DynamicQuantize` is true MUST have one input and no bias.
    """

    @pytest.mark.parametrize("case", broken.LAYER, ids=lambda case: case.title)
    def test_fault(self, case: Case) -> None:
        check(case)

    def test_not_there(self) -> None:
        """A tensor that its layer does not have is read like one that it has and that is empty."""
        layer = NeuralNetworkLayer()
        layer.batchnorm.channels = 3
        for site in sites(layer):
            assert not site.there
            empty = site._replace(there=True)
            assert hold(site) == hold(empty)._replace(site=site)

    def test_bias_vectors_in_no_use(self) -> None:
        """TEN-9 is about tensors that a layer uses, in either direction of a biDirectionalLSTM."""
        bends: dict[str, Any] = {"params.hasBiasVectors": False}
        for direction in (0, 1):
            bends[f"weightParams.{direction}.inputGateBiasVector"] = bending.floats(float("nan"))
        assert found(bent(broken.BOTH_WAYS, bends)) == []

    @pytest.mark.parametrize("rank", range(1, 6))
    def test_ranks(self, rank: int) -> None:
        """LAY-6: ... those of a loadConstantND and of a layerNormalization one to five."""
        shape = [6, 1, 1, 1, 1][:rank]
        constant = {"shape": shape, "data": bending.floats(*range(6))}
        assert found(bent(row("loadConstantND"), constant)) == []
        assert found(bent(LAYER_NORMALIZATION, {"normalizedShape": shape})) == []

    @pytest.mark.parametrize(
        ("alpha", "beta", "faults"),
        [
            (WeightParams(), None, []),  # there is none, or an empty one
            (linear(bytes(3)), CODES_ALONE, [("TEN-5", "parametricSoftplus.beta")]),
            (bending.floats(*[1.0] * 3), TWO_FIELDS, [("TEN-1", "parametricSoftplus.beta")]),
        ],
    )
    def test_forms_of_a_softplus(
        self, alpha: WeightParams, beta: WeightParams | None, faults: list[tuple[str, str | None]]
    ) -> None:
        """LAY-10: ... both codes or both empty. What has two forms or none that can be read is told once."""
        model = bent(SOFTPLUS, {"parametricSoftplus.alpha": alpha, "parametricSoftplus.beta": beta})
        assert found(model) == [(rule, "layer_0", tensor, None) for rule, tensor in faults]


class TestChannels:
    """LAY-7: The number of scales of a tensor with linear codes MUST be 1, or what the table of scales
    says.
    """

    @pytest.mark.parametrize("case", broken.CHANNELS, ids=lambda case: case.title)
    def test_scales(self, case: Case) -> None:
        check(case)

    def test_a_vector_without_scales(self) -> None:
        model = bent(FLOATS, {"bias": linear(bytes(2), 8, [])})
        assert found(model) == [("DEQ-4", "fc", "bias", None)]


class TestModels:
    """FILE-1: `specificationVersion` MUST be at least 2 where a tensor is in half precision, 3 where one is
    quantized, 5 where one is quantized dynamically. FILE-7: A tensor that an updatable layer of an updatable
    model uses MUST NOT have a `quantization` message.
    """

    @pytest.mark.parametrize("case", broken.MODELS, ids=lambda case: case.title)
    def test_faults(self, case: Case) -> None:
        check(case)

    @pytest.mark.parametrize("version", [0, -1])
    @pytest.mark.parametrize("tensor", [bending.floats(1.0), linear(b"\1"), signed(b"\1")])
    def test_any_version_will_do(self, version: int, tensor: WeightParams) -> None:
        """FILE-1 is silent of floats, and of what a custom layer makes of its bytes."""
        assert found(bent(FLOATS, {broken.VERSION: version})) == []
        assert found(bent(broken.CUSTOM, {broken.VERSION: version, "weights": [tensor]})) == []

    @pytest.mark.parametrize("kind", ["mlProgram", "treeEnsembleClassifier", "pipeline"])
    def test_no_network(self, kind: str) -> None:
        with pytest.raises(refquant.ModelKindError):
            validate_model(described(kind))


class TestReport:
    """FILE-8: A validator MUST report every fault of the table of faults, each by itself, and nothing that a
    file without faults has.
    """

    @pytest.mark.parametrize("case", broken.GOOD, ids=lambda case: case.title)
    def test_nothing_to_report(self, case: Case) -> None:
        check(case)

    def test_every_rule_of_the_table(self) -> None:
        chapter = (trace.ROOT / "spec" / "13-file.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| .+ \| ([A-Z0-9]+-\d+(?:, [A-Z0-9]+-\d+)*) \|$", chapter, re.MULTILINE)
        table = {rule for row in rows for rule in row.split(", ")}
        assert len(table) == 23
        assert {fault.rule for case in broken.CASES for fault in case.faults} == table

    @pytest.mark.parametrize(
        "settings", [(8, "linear"), (3, "linear_lut"), (8, "linear_symmetric"), (16, "linear")]
    )
    def test_what_refquant_makes(self, settings: tuple[int, str]) -> None:
        for name, model in all_networks(1).items():
            assert validate_model(model) == [], name
            made = quiet(model, *settings)
            assert validate_model(made) == [], name
            assert validate_model(refquant.dequantize_weights(made)) == [], name

    def test_counts(self) -> None:
        for model, tensors, weights in (
            (FLOATS, 2, 8),
            (HALVES, 2, 8),
            (LINEAR, 2, 8),
            (TABLE, 2, 8),
            (SIGNED, 1, 6),
        ):
            assert validation(model) == ([], tensors, weights)
        assert validation(pipeline(SIGNED, bending.TWO_INPUTS, bending.PRELU)) == ([], 2, 9)

    @pytest.mark.parametrize(
        ("base", "bends", "rules", "counts"),
        [
            (FLOATS, {"bias": None}, ["TEN-9"], (1, 6)),  # what is empty is no tensor
            (LINEAR, {"weights.quantization.linearQuantization": None}, ["TEN-5"], (2, 8)),
            (PRELU, {"PReLU.alpha": linear(bytes(3), 2)}, [], (1, 12)),
            (PRELU, {"PReLU.alpha": linear(bytes(7), 9)}, ["TEN-5"], (1, 7)),  # a byte each
        ],
    )
    def test_counts_of_what_is_odd(
        self, base: Model, bends: Bends, rules: list[str], counts: tuple[int, int]
    ) -> None:
        """Codes are as many as the layer's shape has; where it states none, as many as the bytes hold."""
        faults, *counted = validation(bent(base, bends))
        assert [fault.rule for fault in faults] == rules
        assert tuple(counted) == counts


class TestSentences:
    """A fault is data, and a sentence."""

    def test_data(self) -> None:
        (fault,) = validate_model(bent(LINEAR, {SCALE: [1.0] * 3, broken.BIAS: []}))
        assert fault == Fault("DEQ-4", "fc", "innerProduct", "weights", None, "3 scales for 2 channels")
        assert str(fault) == "layer 'fc' (innerProduct), tensor weights: 3 scales for 2 channels (DEQ-4)"

    @pytest.mark.parametrize(
        ("title", "sentence"),
        [
            ("floats and halves", "tensor weights: floatValue and float16Value are filled at once (TEN-1)"),
            (
                "whole words in two odd runs",
                "tensor weights: a run of floatValue has 10 bytes, which is no multiple of 4 (TEN-2)",
            ),
            ("numberOfBits 9", "tensor weights: numberOfBits is 9, not 1 to 8 (TEN-5)"),
            ("a float too few", "tensor weights: 5 values do not fill shape 2 x 3 (6) (TEN-6)"),
            ("no weights", "tensor weights: it is empty, and its layer needs it (TEN-9)"),
            (
                "raw bytes without quantization",
                "tensor weights: rawValue without a quantization message counts as empty (TEN-9)",
            ),
            (
                "signed codes without quantization",
                "tensor weights: int8RawValue without a quantization message counts as empty (TEN-9)",
            ),
            ("NaN among halves", "tensor weights[2]: weight is nan, not a finite number (TEN-10)"),
            ("a byte of codes too many", "tensor weights: 6 codes of 3 bits take 3 bytes, not 4 (PACK-2)"),
            (
                "a bit behind the last code",
                "tensor weights: the last 6 bits, behind the last code, are not zero (PACK-3)",
            ),
            ("an infinite bias", "tensor weights[0]: bias is -inf, not a finite number (DEQ-4)"),
            ("a scale that is NaN", "tensor weights[1]: scale is nan, not a finite number (DEQ-4)"),
            ("a PReLU without scales", "tensor PReLU.alpha: 0 scales for 1 channels (DEQ-4)"),
            ("one bias beside two scales", "tensor weights: 1 biases beside 2 scales (DEQ-4)"),
            ("NaN in a table", "tensor weights[6]: table entry is nan, not a finite number (LUT-1)"),
            (
                "a weight past binary32",
                "tensor weights[4]: decoded weight is inf, not a finite number (DEQ-4)",
            ),
            ("a table too short", "tensor weights: its lookup table has 7 entries, not 8 (LUT-1)"),
            (
                "signed codes of 7 bits",
                "tensor weights: beside signed codes: numberOfBits is 7, not 8 (INT8-2)",
            ),
            (
                "a float bias beside halves",
                "tensor bias: float32, where weights is in half precision (HALF-4)",
            ),
            (
                "dynamic int8 with a bias",
                "layer 'fc' (innerProduct): int8DynamicQuantize is true, but it has a bias (INT8-6)",
            ),
            ("a loadConstantND in none", "tensor data: its shape has 0 dimensions, not 1 to 5 (LAY-6)"),
            ("a bias in none", "tensor bias: its shape has 0 dimensions, not 1 or 3 (LAY-6)"),
            (
                "dynamic int8 of two inputs",
                "(batchedMatmul): int8DynamicQuantize is true, but it has two inputs (INT8-6)",
            ),
            (
                "dynamic int8 without the exact mapping",
                "true, but the network's array inputs do not have the exact mapping (INT8-6)",
            ),
            (
                "halves at version 1",
                "tensor weights: specificationVersion 1 has no half precision; 2 has (FILE-1)",
            ),
            (
                "linear codes at version 2",
                "tensor weights: specificationVersion 2 has no linear codes; 3 has (FILE-1)",
            ),
            (
                "a table at version 2",
                "weights: specificationVersion 2 has no codes of a table; 3 has (FILE-1)",
            ),
            (
                "dynamic int8 at version 4",
                "tensor weights: specificationVersion 4 has no signed codes; 5 has (FILE-1)",
            ),
        ],
    )
    def test_sentence(self, title: str, sentence: str) -> None:
        (fault,) = validate_model(EVERY[title].model)
        assert str(fault).endswith(sentence)

    def test_codes_that_nothing_explains(self) -> None:
        """They are codes all the same, and have a name of their own."""
        explained = {"weights": linear(bytes(6)), "weights.quantization.linearQuantization": None}
        faults = validate_model(bent(SIGNED, {**explained, broken.VERSION: 2}))
        assert [str(fault).partition("tensor weights: ")[2] for fault in faults] == [
            "codes, though int8DynamicQuantize asks for signed codes (INT8-5)",
            "its quantization has neither scales nor a lookup table (TEN-5)",
            "specificationVersion 2 has no codes; 3 has (FILE-1)",
        ]

    def test_a_name_without_an_end(self) -> None:
        """A sentence has the ends of a long name, and the data all of it: there may be many sentences."""
        name = "first" + "x" * 100_000 + "last"
        model = bent(FLOATS, {"/neuralNetwork.layers.0.name": name, "weights": None})
        (fault,) = validate_model(model)
        assert fault.layer == name
        assert len(str(fault)) < 500
        assert "first" in str(fault)
        assert "last" in str(fault)


class TestSources:
    """Whatever a model can be read from can be validated, even where its floats are not whole words."""

    def test_kinds(self, tmp_path: Path) -> None:
        model = EVERY["no weights"].model
        path = tmp_path / "model.mlmodel"
        save(model, path)
        data = path.read_bytes()
        for source in (model, path, str(path), data, io.BytesIO(data), refquant.MLModel(path)):
            assert [fault.rule for fault in validate_model(source)] == ["TEN-9"]

    def test_odd_runs(self, tmp_path: Path) -> None:
        """TEN-2: ... A reader MUST refuse a run that is not whole words."""
        model = bent(FLOATS, {"weights.floatBytes": [bytes(9)], "bias": bending.floats(1.0)})
        path = tmp_path / "model.mlmodel"
        save(model, path)
        for source in (model, path, path.read_bytes(), io.BytesIO(path.read_bytes())):
            assert found(source) == [("TEN-2", "fc", "weights", None), ("TEN-6", "fc", "bias", None)]  # type: ignore[arg-type]
        for source in (model, path, path.read_bytes(), io.BytesIO(path.read_bytes())):
            with pytest.raises(refquant.TensorError, match="a run of floatValue has 9 bytes") as caught:
                refquant.MLModel(source)
            error = caught.value
            assert (error.rule, error.layer, error.layer_type) == ("TEN-2", "fc", "innerProduct")
            assert error.tensor == "weights"

    def test_odd_runs_beside_floats_written_one_by_one(self) -> None:
        model = bent(FLOATS, {"weights.floatBytes": [bytes(9)], "bias.floatBytes": []})
        parameters(model).bias.MergeFromString(b"\x0d\0\0\0\0" * 2)
        assert found(model) == [("TEN-2", "fc", "weights", None)]
        assert validation(model)[1:] == (0, 0)

    @pytest.mark.parametrize("data", [b"", b"nonsense", FLOATS.SerializeToString()[:-5]])
    def test_no_model(self, data: bytes) -> None:
        with pytest.raises(refquant.FileError):
            validate_model(data)


class TestOwnOutput:
    """FILE-9: A quantizer MUST NOT write a fault into a layer that had none, and MUST warn of every fault
    that is in what it writes, other than a number that is not finite, stored or decoded, in a tensor that it
    has not touched.
    """

    def model(self) -> Model:
        """A layer that quantization takes, and one with a fault that it leaves alone."""

        def build(net: Net) -> None:
            net.inner_product(2, 3, bias=False, name="fc")
            net.layers.add().CopyFrom(CONVOLUTION_3D.neuralNetwork.layers[0])

        faulty = {"/neuralNetwork.layers.1.convolution3d.bias": linear(bytes(4))}
        return bent(of(build), {**faulty, "/neuralNetwork.arrayInputShapeMapping": 1})

    @pytest.mark.parametrize(
        "source", [lambda model: model, lambda model: io.BytesIO(model.SerializeToString())]
    )
    def test_a_fault_elsewhere(self, source: Any) -> None:
        model = self.model()
        work: list[Callable[[Any], Any]] = [
            lambda given: refquant.quantize_weights(given, 8),
            lambda given: refquant.quantize_weights(given, 16),
            refquant.dequantize_weights,
            refquant.activate_int8_int8_matrix_multiplications,
        ]
        for function in work:
            with pytest.warns(
                refquant.RefquantWarning, match=r"codes.*LAY-9\); it was not right before"
            ) as caught:
                made = function(source(model))
            assert {warning.filename for warning in caught if "before" in str(warning.message)} == {__file__}
            made = made if isinstance(made, Model) else made.get_spec()
            assert made.neuralNetwork.layers[1] == model.neuralNetwork.layers[1]
        assert tensor.form(parameters(quiet(model, 8)).weights) == "linear"

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
    def test_a_pipe_is_read_once(self, tmp_path: Path) -> None:
        """A path may be that of a pipe, which gives its bytes to the first that reads it."""
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        data = self.model().SerializeToString()
        with ThreadPoolExecutor(1) as writer:
            written = writer.submit(pipe.write_bytes, data)
            with pytest.warns(refquant.RefquantWarning, match="it was not right before"):
                made = refquant.quantize_weights(pipe, 8)
            assert written.result() == len(data)
        assert made.get_spec() == quiet(self.model(), 8)

    @pytest.mark.parametrize(
        "change", [lambda path: path.unlink(), lambda path: path.write_bytes(described().SerializeToString())]
    )
    def test_a_file_that_changes(self, change: Callable[[Path], object], tmp_path: Path) -> None:
        """What was in a file that has gone, or is another, cannot be asked; the work is good all the same."""
        path = tmp_path / "changes.mlmodel"
        path.write_bytes(self.model().SerializeToString())
        with pytest.warns(refquant.RefquantWarning, match="LAY-9.; the file has changed since"):
            made = refquant.quantize_weights(path, 8, progress=lambda _: change(path))
        assert made.get_spec() == quiet(self.model(), 8)

    def test_a_fault_where_nothing_is_selected(self) -> None:
        """The layer is not taken, so its two fields are nothing to refuse."""
        model = bent(FLOATS, {"weights.float16Value": bytes(12)})
        nothing = refquant.MatrixMultiplyLayerSelector(include_layers_with_names=["another"])
        with pytest.warns(refquant.RefquantWarning) as caught:
            made = refquant.quantize_weights(model, 8, selector=nothing)
        (told,) = caught
        assert re.search(r"TEN-1\); it was not right before$", str(told.message))
        assert made.neuralNetwork == model.neuralNetwork

    def test_a_fault_that_another_hid(self) -> None:
        model = bent(FLOATS, {"weights.rawValue": b"\1", "int8DynamicQuantize": True, "hasBias": False})
        model.description.ClearField("input")
        assert found(model) == [("TEN-1", "fc", "weights", None)]
        with pytest.warns(refquant.RefquantWarning, match="INT8-5"):
            refquant.quantize_weights(model, 8)

    def test_faults_that_quantization_mends(self) -> None:
        mixed = EVERY["a half bias beside floats"].model
        assert validate_model(refquant.quantize_weights(mixed, 8)) == []
        assert validate_model(refquant.dequantize_weights(mixed)) == []

    def test_a_fault_of_our_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(packing, "pack", lambda codes, nbits: bytes(codes) + b"\0")
        with pytest.raises(
            refquant.InternalError, match=r"6 codes of 8 bits take 6 bytes, not 7.*please report"
        ):
            refquant.quantize_weights(FLOATS, 8)

    def test_a_version_that_stays_too_low(self) -> None:
        """It is told of one tensor; of another after that one is mended, and that is the same fault."""
        codes = {"weights": signed(bytes(4)), "int8DynamicQuantize": True}
        second = {f"/neuralNetwork.layers.1.innerProduct.{field}": value for field, value in codes.items()}
        two = of(lambda net: [net.inner_product(2, 2, bias=False, name=name) for name in ("fc", "other")])
        model = bent(two, {**codes, **second, "/neuralNetwork.arrayInputShapeMapping": 1, broken.VERSION: 1})
        assert found(model) == [("FILE-1", "fc", "weights", None)]
        selector = refquant.MatrixMultiplyLayerSelector(include_layers_with_names=["fc"])
        with pytest.warns(refquant.RefquantWarning, match=r"^layer 'other'.* specificationVersion 3 has no"):
            refquant.quantize_weights(model, 8, "dequantization", selector=selector)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize(
        ("field", "value"),
        [("bias", bending.floats(math.nan, 1.0)), ("bias", linear(b"\1\1", 8, [math.inf]))],
    )
    def test_a_number_in_what_is_not_touched(self, field: str, value: WeightParams) -> None:
        """FILE-9: ... other than a number that is not finite, stored or decoded, in a tensor that it has not
        touched.
        """
        model = bent(FLOATS, {field: value, broken.VERSION: 3})
        assert len(found(model)) == 1
        made = refquant.quantize_weights(model, 8, selector=refquant.AdvancedQuantizedLayerSelector(["bias"]))
        assert found(made) == found(model)

    @pytest.mark.parametrize("name", ["a fault elsewhere", "a number of no use"])
    def test_a_fault_of_our_own_beside_another(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """What was not right before excuses its layer alone, and a number that is not looked at none."""
        nan = bent(FLOATS, {"bias": bending.floats(float("nan"), 1.0)})
        model = self.model() if name == "a fault elsewhere" else nan
        selector = refquant.AdvancedQuantizedLayerSelector(["bias"])
        monkeypatch.setattr(packing, "pack", lambda codes, nbits: bytes(codes) + b"\0")
        with pytest.raises(refquant.InternalError, match="6 codes of 8 bits take 6 bytes, not 7"):
            refquant.quantize_weights(model, 8, selector=selector)

    @pytest.mark.parametrize("name", ["updatable", "two inputs"])
    def test_int8_is_not_activated(self, name: str) -> None:
        """INT8-3: A layer that the format refuses in this form MUST be skipped with a warning."""
        no_bias = {"hasBias": False, "/neuralNetwork.layers.1.innerProduct.hasBias": False}
        model = bent(bending.LEARNING, {**no_bias, "/description.input": []})
        if name == "two inputs":
            model = bent(
                bending.TWO_INPUTS, {"weights": bending.floats(*[1.0] * 6), "/description.input": []}
            )
        with pytest.warns(refquant.RefquantWarning, match=name):
            made = refquant.activate_int8_int8_matrix_multiplications(model)
        assert not parameters(made).int8DynamicQuantize
        assert validate_model(made) == []

    def test_more_faults_than_are_told(self) -> None:
        """Chapter 13: 10,000 faults are warned of, and a model with more is refused."""
        model = of(lambda net: [net.inner_product(1, 1, bias=False, name=f"fc{n}") for n in range(10_002)])
        for layer in model.neuralNetwork.layers[1:]:
            layer.innerProduct.ClearField("weights")
        data = model.SerializeToString()
        assert len(validate_model(data)) == 10_001
        for source in (data, io.BytesIO(data)):
            with pytest.raises(refquant.FileError) as caught:
                refquant.quantize_weights(source, 8)
            assert str(caught.value) == "the model has more than 10,000 faults; validate lists them"
        del model.neuralNetwork.layers[5000]
        with pytest.warns(refquant.RefquantWarning, match="it was not right before") as told:
            refquant.dequantize_weights(model)
        assert len(told) == 10_000

    def test_numbers_are_not_looked_at(self) -> None:
        broken_number = EVERY["NaN among floats"].model
        assert examine(broken_number, numbers=False).faults == []


#: What may be put where: tensors of every kind and shape, whole and not.
PATCHES: list[Any] = [
    None,
    bending.floats(),
    bending.floats(*range(6)),
    bending.floats(*range(5), float("nan")),
    bending.halves(*range(6)),
    bending.halves(*range(2)),
    linear(bytes(6)),
    linear(bending.SIX_CODES, 3, [1e38, float("nan")]),
    linear(b"\xff", 1, [1.0, 2.0], [0.0]),
    bending.table(bending.SIX_CODES, 3, [0.0] * 8),
    bending.table(b"\xff" * 3, 4, [0.0] * 3),
    signed(bytes(6)),
    bent(LINEAR, {"weights.rawValue": b""}).neuralNetwork.layers[0].innerProduct.weights,
    bent(LINEAR, {BITS: 2**40}).neuralNetwork.layers[0].innerProduct.weights,
]


@st.composite
def patched(draw: st.DrawFn) -> Model:
    """A model of tests/broken.py with other tensors in the place of some, and another frame."""
    model = bent(EVERY[draw(st.sampled_from(sorted(EVERY)))].model, {})
    tensors = [params for _, params in weights_within(model)]
    for params in draw(st.lists(st.sampled_from(tensors), max_size=3)) if tensors else ():
        patch, merged = draw(st.sampled_from(PATCHES)), draw(st.booleans())
        if patch is None:
            params.Clear()
        elif merged:
            params.MergeFrom(patch)
        else:
            params.CopyFrom(patch)
    model.specificationVersion = draw(st.integers(0, 5))
    model.isUpdatable = draw(st.booleans())
    return model


def unless_refused(work: Callable[[], Model]) -> Model | None:
    """Do something that may be refused, but not for a fault of refquant's own."""
    try:
        return work()
    except refquant.InternalError:
        raise
    except refquant.RefquantError:
        return None


class TestAnything:
    """Whatever a file holds: a list of faults, or a RefquantError; and what has none keeps having none."""

    @given(st.sampled_from(sorted(EVERY)), st.data())
    @settings(max_examples=150)
    def test_bytes(self, title: str, data: st.DataObject) -> None:
        whole = bytearray(EVERY[title].model.SerializeToString())
        for _ in range(data.draw(st.integers(1, 4))):
            position = data.draw(st.integers(0, len(whole) - 1))
            size = data.draw(st.sampled_from([0, 1, 1, 2, 9]))
            whole[position : position + size] = data.draw(st.binary(max_size=3))
        try:
            faults = validate_model(bytes(whole))
        except refquant.RefquantError:
            return
        assert all(fault.rule and str(fault) for fault in faults)

    @given(patched())
    @settings(max_examples=150)
    def test_fields(self, model: Model) -> None:
        faults = validate_model(model)
        assert all(str(fault) for fault in faults)
        ways: list[Callable[[], Model]] = [
            lambda: quiet(model, 8),
            lambda: quiet(model, 4, "linear_lut", fuse=False),
            lambda: quiet(
                model, 16, half_overflow="keep", selector=refquant.AdvancedQuantizedLayerSelector(["bias"])
            ),
            lambda: quiet(model, 0, "dequantization"),
        ]
        for way in ways:
            made = unless_refused(way)
            assert made is None or faults or validate_model(made) == []
