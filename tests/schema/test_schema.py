"""The definition of the format: its currency, its independence, and how weights travel (chapter 1)."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from array import array
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.message import Message

from refquant.errors import TensorError
from refquant.model.file import load, parse
from refquant.model.tensor import float32_weights
from refquant.model.walk import all_sites
from refquant.model.within import weights_within
from refquant.schema import coreml, generate
from refquant.schema.coreml import Model, WeightParams
from tests.hard import bits, weights
from tests.networks import ROWS, all_networks, described, network
from tests.parity.conftest import interpreter

SOURCE = Path(__file__).parents[2] / "spec" / "coreml.proto"
DESCRIPTOR_SET = Path(coreml.__file__).with_name("coreml.binpb")
MODELS = sorted(Path(os.environ.get("REFQUANT_MODELS") or "nowhere").glob("*.mlmodel"))


def flattened(message: descriptor_pb2.DescriptorProto, path: str = "") -> dict[str, str]:
    """List the fields of a message and of those inside it: path -> number, type and label."""
    here = f"{path}.{message.name}".lstrip(".")
    found = {}
    for field in message.field:
        kind = field.type_name.split(".")[-1] or str(field.type)
        found[f"{here}.{field.name}"] = f"{field.number} {kind} {field.label}"
    for inner in message.nested_type:
        found.update(flattened(inner, here))
    return found


class TestDefinition:
    """The checked-in descriptor set is what spec/coreml.proto says."""

    def test_every_field_of_the_text_is_there(self) -> None:
        text = SOURCE.read_text()
        fields = re.findall(r"^ +(?:repeated )?(?:map<.*>|[\w.]+) (\w+) = (\d+);", text, re.MULTILINE)
        known = {
            (name.rpartition(".")[2], what.split()[0])
            for message in coreml.definition().message_type
            for name, what in flattened(message).items()
        }
        assert len(fields) > 700
        assert set(fields) <= known

    def test_layers(self) -> None:
        names = [field.name for field in coreml.NeuralNetworkLayer.DESCRIPTOR.oneofs_by_name["layer"].fields]
        assert len(names) == 158  # of Core ML's format as of coremltools 9.0
        assert {"convolution", "embeddingND", "loop", "branch", "custom", "oneHot"} <= set(names)

    def test_run_time_differs_in_one_field(self) -> None:
        standard = [flattened(message) for message in coreml.definition().message_type]
        changed = [
            flattened(message) for message in coreml.with_floats_as_bytes(coreml.definition()).message_type
        ]
        differing = [(a, b) for a, b in zip(standard, changed) if a != b]
        ((before, after),) = differing
        assert set(before) ^ set(after) == {"WeightParams.floatValue", "WeightParams.floatBytes"}
        assert (
            before["WeightParams.floatValue"].split()[0] == after["WeightParams.floatBytes"].split()[0] == "1"
        )

    def test_unknown_names(self) -> None:
        with pytest.raises(AttributeError, match="no message or enum 'Nothing'"):
            coreml.Nothing  # type: ignore[attr-defined]  # noqa: B018
        assert coreml.NeuralNetworkMultiArrayShapeMapping.Value("EXACT_ARRAY_MAPPING") == 1

    @pytest.mark.skipif(importlib.util.find_spec("grpc_tools") is None, reason="needs the extra 'schema'")
    def test_current(self) -> None:
        done = subprocess.run([sys.executable, "-m", "refquant.schema.generate", "--check"], check=False)
        assert done.returncode == 0


@pytest.fixture
def generating(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A generator of two files, one current and one to be made."""
    current, other = tmp_path / "current", tmp_path / "other"
    current.write_bytes(b"same")
    monkeypatch.setattr(generate, "generate", lambda: {current: b"same", other: b"new"})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    return other


class TestStaleFiles:
    """A generated file that is not what the definition gives is noticed, with the command that makes it."""

    @pytest.mark.parametrize("before", [None, b"old"])
    def test_check_and_make(self, before: bytes | None, generating: Path) -> None:
        if before is not None:
            generating.write_bytes(before)
        with pytest.raises(SystemExit, match=r"stale: other; run: python -m refquant\.schema\.generate"):
            generate.main(["--check"])
        assert (generating.read_bytes() if generating.exists() else None) == before
        assert generate.main([]) == 0
        assert generating.read_bytes() == b"new"
        assert generate.main(["--check"]) == 0

    def test_not_a_checkout(self, generating: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(generate, "SOURCE", generating)
        with pytest.raises(SystemExit, match="works in a checkout only"):
            generate.main([])

    @pytest.mark.usefixtures("generating")
    def test_no_protoc(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(SystemExit, match=r"pip install -e '\.\[schema\]'"):
            generate.main([])

    def test_wrong_argument(self) -> None:
        with pytest.raises(SystemExit, match="usage"):
            generate.main(["--chek"])


class TestFloats:
    """TEN-2: `floatValue` MUST hold one binary32 number a weight, in tensor order ..., as a packed run of
    little-endian words. TEN-3: A reader MUST accept `floatValue` split over several packed runs or written
    unpacked, and give the same weights as for one packed run.
    """

    VALUES = (1.0, -2.5, 3.25, -0.0)

    def words(self) -> list[bytes]:
        return [array("f", [value]).tobytes() for value in self.VALUES]

    def wrap(self, payload: bytes) -> bytes:
        """Wrap a tensor's bytes in a weights field, an innerProduct, a layer, a network and a model."""

        def field(number: int, content: bytes) -> bytes:
            def varint(value: int) -> bytes:
                return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)

            return varint(number << 3 | 2) + varint(len(content)) + content

        sizes = b"\x08\x04\x10\x01"  # inputChannels 4, outputChannels 1
        layer = field(1, b"fc") + field(140, sizes + field(20, payload))
        return b"\x08\x01" + field(500, field(1, layer))

    @pytest.mark.parametrize("runs", [[4], [1, 3], [2, 0, 2], [1, 1, 1, 1]])
    def test_packed_runs(self, runs: list[int]) -> None:
        words, payload = self.words(), b""
        for count in runs:
            run, words = b"".join(words[:count]), words[count:]
            payload += b"\x0a" + bytes([len(run)]) + run
        self.reads_well(payload)

    def test_unpacked(self) -> None:
        self.reads_well(b"".join(b"\x0d" + word for word in self.words()))

    def test_packed_and_unpacked(self) -> None:
        first, second, third, fourth = self.words()
        self.reads_well(b"\x0d" + first + b"\x0a\x08" + second + third + b"\x0d" + fourth)

    @pytest.mark.parametrize("sizes", [[7], [3, 5], [4, 1], [1, 1, 1, 1]])
    @pytest.mark.parametrize("end", [b"", b"\x0d\x00\x00\x80\x3f"], ids=["packed", "unpacked"])
    def test_broken_words(self, sizes: list[int], end: bytes) -> None:
        payload = b"".join(b"\x0a" + bytes([size]) + bytes(size) for size in sizes) + end
        wrong = next(size for size in sizes if size % 4)
        message = rf"layer 'fc' \(innerProduct\), tensor weights: .* {wrong} bytes"
        for source in (self.wrap(payload), Model.FromString(self.wrap(payload))):
            with pytest.raises(TensorError, match=message) as caught:
                load(source)
            assert caught.value.rule == "TEN-2"

    def test_broken_words_deep_within(self) -> None:
        model = described("pipeline")
        outer = model.pipeline.models.add().neuralNetwork.layers.add(name="outer")
        lstm = outer.branch.ifBranch.layers.add(name="inner").biDirectionalLSTM
        lstm.weightParams.add()
        lstm.weightParams.add().inputGateWeightMatrix.floatBytes.append(b"abc")
        place = r"'inner' \(biDirectionalLSTM\), tensor weightParams\[1\]\.inputGateWeightMatrix: "
        with pytest.raises(TensorError, match=place):
            parse(model.SerializeToString())

    def test_message_with_unpacked_floats(self) -> None:
        """Whoever parses a file without `parse` gets the floats or an error, never fewer floats."""
        words = self.words()
        data = self.wrap(b"".join(b"\x0d" + word for word in words))
        message = Model.FromString(data)
        with pytest.raises(TensorError, match=r"not packed; refquant\.MLModel reads"):
            message.neuralNetwork.layers[0].innerProduct.weights.floatValue  # noqa: B018
        ((_, params),) = weights_within(load(message))
        assert list(params.floatValue) == list(self.VALUES)
        assert message.SerializeToString() == data
        mixed = Model.FromString(self.wrap(b"\x0d" + words[0] + b"\x0a\x04" + words[1]))
        with pytest.raises(TensorError, match=r"'fc' \(innerProduct\), tensor weights: .* order") as caught:
            load(mixed)
        assert caught.value.rule == "TEN-3"

    def test_other_wire_types(self) -> None:
        """A number or eight bytes in place of floats are no floats to any reader, and stay."""
        for stray in (b"\x08\x07", b"\x09" + bytes(8)):
            data = self.wrap(b"\x0a\x04" + self.words()[1] + stray)
            model = parse(data)
            ((_, params),) = weights_within(model)
            assert list(params.floatBytes) == [self.words()[1]]
            assert model.SerializeToString() == data
            standard = coreml.standard_model().FromString(data).neuralNetwork.layers[0].innerProduct
            assert list(params.floatValue) == list(standard.weights.floatValue) == [-2.5]

    def reads_well(self, payload: bytes) -> None:
        model = parse(self.wrap(payload))
        ((_, params),) = weights_within(model)
        assert bits(float32_weights(params)) == bits(weights(list(self.VALUES)))
        assert list(params.floatValue) == list(self.VALUES)
        again = coreml.standard_model().FromString(model.SerializeToString())
        assert list(again.neuralNetwork.layers[0].innerProduct.weights.floatValue) == list(self.VALUES)

    def test_view(self) -> None:
        params = WeightParams(floatBytes=[b"".join(self.words())])
        assert (len(params.floatValue), params.floatValue[1]) == (4, -2.5)
        assert params.floatValue[1:3].tolist() == [-2.5, 3.25]
        assert len(WeightParams().floatValue) == 0
        with pytest.raises((AttributeError, TypeError)):
            params.floatValue = [1.0]  # type: ignore[misc, assignment]
        with pytest.raises(TypeError):
            params.floatValue[0] = 1.0
        with pytest.raises(TensorError, match="3 bytes"):
            WeightParams(floatBytes=[b"abc"]).floatValue  # noqa: B018

    def test_view_with_the_other_byte_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        other = {"little": "big", "big": "little"}[sys.byteorder]
        swapped = array("f", self.VALUES)
        swapped.byteswap()
        params = WeightParams(floatBytes=[b"".join(self.words()[:3]), self.words()[3]])
        monkeypatch.setattr(sys, "byteorder", other)
        assert params.floatValue.tobytes() == swapped.tobytes()


class TestSameBytes:
    """What is read is written again, byte for byte, and by the standard definition too."""

    def test_generated_networks(self) -> None:
        for name, model in all_networks(5).items():
            data = model.SerializeToString()
            assert parse(data).SerializeToString() == data, name
            assert coreml.standard_model().FromString(data).SerializeToString() == data, name

    def test_opaque_models(self) -> None:
        content = b"\x0a\x03abc\x98\x06\x07"
        for field in Model.DESCRIPTOR.oneofs_by_name["Type"].fields:
            model = described()
            assert field.message_type is not None
            getattr(model, field.name).MergeFromString(content if not field.message_type.fields else b"")
            data = model.SerializeToString()
            assert parse(data).SerializeToString() == data

    def test_every_tensor_is_found(self) -> None:
        model = network(ROWS["biDirectionalLSTM"])
        paths = [path for path, _ in weights_within(model)]
        assert len(paths) == len(list(all_sites(model)))
        assert "neuralNetwork.layers[0].biDirectionalLSTM.weightParams[1].inputGateWeightMatrix" in paths

    @pytest.mark.models
    @pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
    def test_published_models(self, path: Path) -> None:
        data = path.read_bytes()
        ours, standard = parse(data), coreml.standard_model().FromString(data)
        assert ours.SerializeToString(deterministic=True) == standard.SerializeToString(deterministic=True)
        assert len(ours.SerializeToString()) == len(data)


class TestOneProcess:
    """refquant and another definition of the same messages can be imported together, in either order."""

    @pytest.mark.parametrize("first", ["ours", "theirs"])
    def test_same_names_in_the_default_pool(self, first: str) -> None:
        script = f"""
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
import pathlib
def theirs():
    data = pathlib.Path({str(DESCRIPTOR_SET)!r}).read_bytes()
    (file,) = FileDescriptorSet.FromString(data).file
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    found = descriptor_pool.Default().FindMessageTypeByName("refquant.coreml.Model")
    return message_factory.GetMessageClass(found)
if {first!r} == "theirs":
    Theirs = theirs()
from refquant.schema.coreml import Model
if {first!r} == "ours":
    Theirs = theirs()
model = Theirs(specificationVersion=3)
model.neuralNetwork.layers.add(name="x").innerProduct.weights.floatValue.append(1.5)
copy = Model.FromString(model.SerializeToString())
assert list(copy.neuralNetwork.layers[0].innerProduct.weights.floatValue) == [1.5]
import refquant
back = refquant.quantize_weights(model, 16, selector=refquant.MatrixMultiplyLayerSelector(9))
assert type(back) is Theirs
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    @pytest.mark.parity
    @pytest.mark.parametrize("modules", ["refquant, coremltools", "coremltools, refquant"])
    def test_coremltools_itself(self, modules: str) -> None:
        script = f"""
import {modules}
from coremltools.models import datatypes
from coremltools.models.neural_network import NeuralNetworkBuilder
import numpy, warnings
net = NeuralNetworkBuilder([("x", datatypes.Array(8))], [("y", None)])
net.add_inner_product("fc", numpy.arange(64.0).reshape(8, 8), numpy.zeros(8), 8, 8, True, "x", "y")
for unit in coremltools.ComputeUnit:
    model = coremltools.models.MLModel(net.spec, compute_units=unit)
    before = model.get_spec().SerializeToString()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = refquant.quantize_weights(model, 8)
    assert (type(made), made.compute_unit) == (type(model), unit)
    assert model.get_spec().SerializeToString() == before
    message = refquant.quantize_weights(model.get_spec(), 8)
    assert type(message) is type(net.spec)
    assert message == made.get_spec()
"""
        done = subprocess.run(
            [str(interpreter("9.0")), "-c", script],
            env={**os.environ, "PYTHONPATH": str(SOURCE.parents[1])},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_stubs_name_every_message() -> None:
    stub = DESCRIPTOR_SET.with_name("coreml.pyi").read_text()
    for message in coreml.definition().message_type:
        assert f"class {message.name}(_message.Message):" in stub
        assert issubclass(getattr(coreml, message.name), Message)
