"""Chapter 13, reading and writing: what can be a source, what comes back, and what a failure leaves."""

from __future__ import annotations

import errno
import io
import json
import locale
import os
import stat
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from google.protobuf.message import EncodeError
from hypothesis import given, settings
from hypothesis import strategies as st

import refquant
from refquant.errors import ArgumentError, FileError
from refquant.model import disk
from refquant.model.file import MLModel, load, save
from refquant.model.walk import DEEPEST
from refquant.model.within import may_hold_weights
from refquant.report import inspect_weights
from refquant.schema import coreml
from refquant.schema.coreml import ActivationParams, Model, NeuralNetworkLayer
from tests.networks import ROWS, Net, described, network

needs_permissions = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may do anything"
)


@pytest.fixture
def model() -> Model:
    return network(ROWS["innerProduct"], 2)


def field(number: int, content: bytes) -> bytes:
    """A field of the wire type that carries its length; by protobuf's description of its encoding."""

    def varint(value: int) -> bytes:
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)

    return varint(number << 3 | 2) + varint(len(content)) + content


def nested(kind: str, depth: int) -> bytes:
    """A model whose network lies this deep in others, written without protobuf, which might not do it."""
    numbers = {each.name: each.number for each in Model.DESCRIPTOR.fields}
    numbers.update((each.name, each.number) for each in NeuralNetworkLayer.DESCRIPTOR.fields)
    model = network(ROWS["innerProduct"], 2)
    if kind.startswith("pipeline"):
        content = model.SerializeToString()
        for _ in range(depth):
            models = field(1, content)
            content = field(numbers[kind], models if kind == "pipeline" else field(1, models))
        return content
    content = model.neuralNetwork.SerializeToString()
    for _ in range(depth):
        content = field(1, field(numbers[kind], field(1 if kind == "branch" else 4, content)))
    return field(numbers["neuralNetwork"], content)


#: What is said of bytes that are no model, where it is long or said of several.
WEB_PAGE = "it looks like an HTML or XML text, perhaps a web page in place of a download"
LFS_POINTER = "it is a pointer of Git LFS; `git lfs pull` fetches the file itself"
DAMAGED = "it is damaged, or in another format"
NEWER = (
    "it is damaged, in another format, nested deeper than protobuf reads, or a kind of model newer than this"
    " version knows"
)

#: The start of what PyTorch exports: version of the format, producer, graph, operator sets.
ONNX = b"\x08\x08" + field(2, b"pytorch") + field(7, field(1, b"node")) + field(8, b"\x10\x11")


class Foreign:
    """Like coremltools' MLModel: made from a message of another definition, with a compute unit."""

    def __init__(self, spec: Any, compute_units: str = "ALL") -> None:
        self.spec = spec
        self.compute_unit = compute_units

    def get_spec(self) -> Any:
        return self.spec


class Plain:
    """Has a specification, and no compute unit."""

    def __init__(self, spec: Any) -> None:
        self.spec = spec

    def get_spec(self) -> Any:
        return self.spec


class TestSources:
    """What you pass is the kind you get back, and the argument is never changed."""

    def test_paths_and_files(self, model: Model, tmp_path: Path) -> None:
        path = tmp_path / "a.mlmodel"
        save(model, path)
        for source in (path, str(path), io.BytesIO(path.read_bytes())):
            made = refquant.quantize_weights(source, 8)
            assert isinstance(made, MLModel)
            assert made.get_spec() == refquant.quantize_weights(model, 8)
        assert path.read_bytes() == model.SerializeToString()

    def test_bytes(self, model: Model) -> None:
        data = model.SerializeToString()
        for source in (data, bytearray(data), memoryview(data)):
            made = refquant.quantize_weights(source, 8)
            assert isinstance(made, bytes)
            assert made == refquant.quantize_weights(model, 8).SerializeToString()

    def test_bytes_are_the_same_for_the_same_model(self, model: Model, tmp_path: Path) -> None:
        """Maps have no order, in memory or in a file; what is written has one all the same."""
        words = [f"key {n}" for n in range(20)]
        for name, order in (("one", words), ("two", words[::-1])):
            model.description.metadata.userDefined.clear()
            for word in order:
                model.description.metadata.userDefined[word] = "value"
            save(model, tmp_path / name)
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()

    def test_messages(self, model: Model) -> None:
        before = model.SerializeToString()
        assert isinstance(refquant.quantize_weights(model, 8), Model)
        foreign = coreml.standard_model().FromString(before)
        made = refquant.quantize_weights(foreign, 8)
        assert type(made) is type(foreign)
        assert made.SerializeToString() == refquant.quantize_weights(before, 8)
        assert model.SerializeToString() == foreign.SerializeToString() == before

    def test_objects_with_a_specification(self, model: Model) -> None:
        foreign = Foreign(coreml.standard_model().FromString(model.SerializeToString()), "CPU_ONLY")
        made = refquant.quantize_weights(foreign, 8)
        assert type(made) is Foreign
        assert (type(made.spec), made.compute_unit) == (type(foreign.spec), "CPU_ONLY")
        assert made.spec.SerializeToString() == refquant.quantize_weights(model, 8).SerializeToString()
        assert type(refquant.quantize_weights(Plain(model), 8)) is Plain
        with pytest.raises(ArgumentError, match="gave str, not a message"):
            load(Plain("spec"))  # type: ignore[arg-type]

    def test_mlmodel(self, model: Model) -> None:
        held = MLModel(model)
        spec = held.get_spec()
        spec.specificationVersion = 9
        assert held.get_spec() == model
        made = refquant.quantize_weights(held, 8)
        assert isinstance(made, MLModel)
        assert made.get_spec() == refquant.quantize_weights(model, 8)
        assert MLModel(held).get_spec() == model
        assert repr(held) == f"<refquant.MLModel neuralNetwork, {model.ByteSize():,} bytes>"
        assert held.size == model.ByteSize()
        assert bytes(held) == model.SerializeToString(deterministic=True)

    @pytest.mark.parametrize("source", [42, None, [], io.StringIO("text")])
    def test_anything_else(self, source: Any) -> None:
        with pytest.raises(ArgumentError):
            load(source)


class TestWhereWeightsAre:
    """Tensors are looked for where the format can have some, and nowhere else: a model holds much besides."""

    #: Types of layers with a WeightParams somewhere in their parameters. Source: spec/coreml.proto.
    LAYERS: ClassVar = {
        *("convolution", "convolution3d", "innerProduct", "batchedMatmul", "embedding", "embeddingND"),
        *("batchnorm", "layerNormalization", "scale", "bias", "loadConstant", "loadConstantND"),
        *("simpleRecurrent", "gru", "uniDirectionalLSTM", "biDirectionalLSTM"),
        *("activation", "custom", "branch", "loop"),
    }

    def test_layers(self) -> None:
        fields = NeuralNetworkLayer.DESCRIPTOR.fields
        assert {field.name for field in fields if may_hold_weights(field)} == self.LAYERS

    def test_activations(self) -> None:
        fields = ActivationParams.DESCRIPTOR.fields
        assert {field.name for field in fields if may_hold_weights(field)} == {"PReLU", "parametricSoftplus"}

    def test_none_in_messages_that_others_define(self) -> None:
        """Those need not be looked through."""
        kinds = Model.DESCRIPTOR.file.message_types_by_name.values()
        nested = [inner for kind in kinds for inner in kind.nested_types]
        assert nested
        assert not any(may_hold_weights(field) for kind in nested for field in kind.fields)
        assert not any(kind.nested_types for kind in nested)


class TextOfAnotherCode(io.BytesIO):
    """A file whose text is not what its encoding says."""

    def __init__(self, text: str) -> None:
        super().__init__(text.encode())

    def read(self, size: int | None = -1) -> Any:
        return b"\xff".decode()


class TestBadFiles:
    """Each unreadable input has an error that says what is wrong."""

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "it is empty"),
            (b"PK\x03\x04rest", "it looks like a zip archive"),
            (b"\x89HDF\r\n\x1a\nrest", "it looks like an HDF5 file, as Keras writes them"),
            (b'{"json": 1}', "it looks like a JSON text"),
            (b"\x1f\x8brest", "it looks like a gzip archive"),
            (b"<!DOCTYPE html>", WEB_PAGE),
            (b"version https://git-lfs.github.com/spec/v1\noid", LFS_POINTER),
            (b"\x1c\0\0\0TFL3rest", "it looks like a TensorFlow Lite model"),
            (ONNX, "it looks like an ONNX model"),
            (field(7, b"") + field(8, b""), "it looks like an ONNX model"),  # by a graph and operator sets
            (field(7, b""), NEWER),
            (field(8, b""), NEWER),
            (b"hello world", DAMAGED),
            (b"\x08" + b"\xff" * 10 + b"\x01", DAMAGED),
            (b"\x08\x01", NEWER),  # a version and no model
            (b"\x08\x01" + field(9999, b"abc"), NEWER),
            (b"\x09" + b"\xff" * 8 + b"\x0d" + b"\xff" * 4, NEWER),
            (b"\x08" + b"\xff" * 9 + b"\x01", NEWER),  # the longest number, 64 bits
            (b"\x08\x01" * 100 + b"\xff", NEWER),  # nobody looks at more than 100 fields
            (b"\x08\x01" * 99 + b"\xff", DAMAGED),
            (field(9999, b"abc")[:-1], NEWER),
            (b"\x08\x01" + field(9999, b"abc")[:-1], NEWER),  # what breaks off is no field of a model
            (field(2, bytes(127))[:-1], "it is cut short, 1 bytes are missing"),  # the longest size in a byte
            (field(2, bytes(128))[:-1], "it is cut short, 1 bytes are missing"),
        ],
    )
    def test_no_model(self, content: bytes, message: str, tmp_path: Path) -> None:
        path = tmp_path / "bad.mlmodel"
        path.write_bytes(content)
        for source, name in ((path, f"{path} is "), (content, "")):
            with pytest.raises(FileError) as caught:
                load(source)
            assert caught.value.reason == f"{name}not a Core ML model: {message}"

    def test_truncated(self, model: Model) -> None:
        data = model.SerializeToString()
        for size in (*range(len(data) // 2, len(data), 7), len(data) - 1):
            with pytest.raises(FileError, match=f"cut short, {len(data) - size} bytes are missing"):
                load(data[:size])

    @settings(deadline=None)
    @given(data=st.data())
    def test_damaged(self, data: st.DataObject) -> None:
        """Any change of any byte gives a model or one of refquant's errors, whatever the back end."""
        content = bytearray(network(ROWS["innerProduct"], 2).SerializeToString())
        for position in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=3)):
            content[position] = data.draw(st.integers(0, 255))
        try:
            model = load(bytes(content))
        except refquant.RefquantError:
            return
        data_again = model.SerializeToString()
        assert load(data_again).SerializeToString() == data_again

    @pytest.mark.parametrize("letter", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
    @pytest.mark.parametrize("field", ["name", "output"])
    def test_name_that_is_no_text(self, letter: bytes, field: str, model: Model) -> None:
        """Neither bytes, nor half a letter, half a pair of surrogates or a letter past the last."""
        name = b"x" * len(letter)
        layer = model.neuralNetwork.layers[0]
        setattr(layer, field, name.decode()) if field == "name" else layer.output.append(name.decode())
        with pytest.raises(FileError, match="not a Core ML model"):
            load(model.SerializeToString().replace(name, letter))

    @pytest.mark.parametrize("kind", ["branch", "loop", "pipeline", "pipelineClassifier"])
    def test_nested_deeply(self, kind: str) -> None:
        """Thirty deep is read, quantized and written everywhere; what is deeper is refused everywhere."""
        made = refquant.quantize_weights(nested(kind, 30), 8)
        assert [info.bits for info in inspect_weights(made)] == [8]
        assert refquant.validate_model(made) == []
        for depth in (31, 32, 50, 400, 2000):
            data = nested(kind, depth)
            for use in (load, partial(refquant.quantize_weights, nbits=8), refquant.validate_model):
                with pytest.raises(FileError, match="nested"):
                    use(data)

    @pytest.mark.parametrize("definition", ["ours", "standard"])
    @pytest.mark.parametrize("depth", [31, 33, 400])
    def test_messages_that_are_nested_too_deeply(self, depth: int, definition: str) -> None:
        """A message can be made that no reader would take back."""
        model = coreml.standard_model()() if definition == "standard" else Model()
        innermost = model.neuralNetwork
        for _ in range(depth):
            innermost = innermost.layers.add().branch.ifBranch
            innermost.SetInParent()
        with pytest.raises(FileError, match=r"nested|recursion"):
            load(model)

    def test_depth_of_what_is_innermost(self) -> None:
        """With three messages for each of thirty levels and the model itself, protobuf's hundred are kept."""

        def depth(kind: Any) -> int:
            inner = [field.message_type for field in kind.fields if field.message_type]
            nests = ("NeuralNetwork", "Pipeline")
            return 1 + max((depth(each) for each in inner if not each.name.startswith(nests)), default=0)

        network = 1 + depth(NeuralNetworkLayer.DESCRIPTOR)
        assert 1 + 3 * DEEPEST + max(network, depth(Model.DESCRIPTOR) - 1) <= 100

    def test_missing_and_directory(self, tmp_path: Path) -> None:
        with pytest.raises(FileError, match=r"cannot read .*nothing\.mlmodel: No such file or directory$"):
            load(tmp_path / "nothing.mlmodel")
        with pytest.raises(FileError, match=r"a folder without Manifest\.json"):
            load(tmp_path)
        (tmp_path / "coremldata.bin").touch()
        with pytest.raises(FileError, match="a compiled model"):
            load(tmp_path)

    def test_a_path_that_no_file_can_have(self, model: Model) -> None:
        with pytest.raises(FileError, match="cannot read"):
            load("nul\0within.mlmodel")
        with pytest.raises(FileError, match="cannot write"):
            save(model, "nul\0within.mlmodel")

    @pytest.mark.parametrize("path", [None, 3, b"x.mlmodel", io.BytesIO(), Path])
    def test_what_is_no_path(self, path: Any, model: Model) -> None:
        with pytest.raises(ArgumentError, match=f"^cannot write to {type(path).__name__}: pass a path$"):
            MLModel(model).save(path)

    def test_paths_of_bytes_and_of_nothing(
        self, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class OfBytes(os.PathLike):  # type: ignore[type-arg]
            def __fspath__(self) -> bytes:
                return b"x.mlmodel"

        monkeypatch.chdir(tmp_path)
        with pytest.raises(ArgumentError, match=r"^cannot write to bytes: pass a path$"):
            save(model, OfBytes())
        with pytest.raises(ArgumentError, match=r"^an empty name names no file$"):
            save(model, "")
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("error", [OSError(errno.EIO, "It fails"), OSError("It fails")])
    @pytest.mark.parametrize(("read", "what"), [(load, "the file"), (disk.read_stream, "the input")])
    def test_a_file_that_fails(self, read: Callable[[Any], object], what: str, error: OSError) -> None:
        class Failing(io.BytesIO):
            def read(self, *_: Any) -> bytes:
                raise error

        with pytest.raises(FileError, match=f"^cannot read {what}: It fails$") as caught:
            read(Failing())
        assert caught.value.__cause__ is error

    @needs_permissions
    def test_unreadable(self, model: Model, tmp_path: Path) -> None:
        path = tmp_path / "a.mlmodel"
        save(model, path)
        path.chmod(0)
        with pytest.raises(FileError, match="Permission denied"):
            load(path)

    def test_too_large(self, monkeypatch: pytest.MonkeyPatch, model: Model, tmp_path: Path) -> None:
        path = tmp_path / "a.mlmodel"
        save(model, path)
        monkeypatch.setattr(disk, "LARGEST", 10)
        with pytest.raises(FileError, match=r"the model has .* more than a protobuf message can have"):
            load(model.SerializeToString())
        with pytest.raises(FileError, match=r"a\.mlmodel has .* more than a protobuf message can have"):
            load(path)
        with pytest.raises(FileError, match="more than a protobuf message can have"):
            save(model, tmp_path / "b.mlmodel")
        assert os.listdir(tmp_path) == ["a.mlmodel"]

    def test_as_large_as_can_be(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not a byte less, and not one more, however many parts a stream comes in."""
        disk.check_size(2_147_483_647)
        with pytest.raises(FileError, match=r"^the model has 2,147,483,648 bytes, more than"):
            disk.check_size(2_147_483_648)
        monkeypatch.setattr(disk, "LARGEST", 10)
        monkeypatch.setattr(disk, "PART", 4)
        assert disk.read_stream(io.BytesIO(b"0123456789")) == b"0123456789"
        with pytest.raises(FileError, match=r"^the input has 11 bytes, more than"):
            disk.read_stream(io.BytesIO(bytes(11)))

    def test_two_gibibytes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """One byte more than a message can have, of which none is read."""
        path = tmp_path / "a.mlmodel"
        path.touch()
        os.truncate(path, 1 << 31)
        monkeypatch.setattr(Path, "read_bytes", None)
        for use in (load, partial(refquant.quantize_weights, nbits=8), refquant.validate_model):
            with pytest.raises(FileError, match=r"a\.mlmodel has 2,147,483,648 bytes, more than"):
                use(path)

    def test_result_that_grows_too_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Floats take up to 32 times what codes take: no more of them are made than a message can have."""
        layers = 8

        def build(net: Net) -> None:
            for _ in range(layers):
                net.inner_product(32, 32, bias=False)

        small = refquant.quantize_weights(network(build).SerializeToString(), 1)
        seen: list[int] = []
        monkeypatch.setattr(disk, "LARGEST", 4 * 4096 - 1)
        assert len(small) < disk.LARGEST
        with pytest.raises(FileError, match="the model in float32 has 16,384 bytes, more than a protobuf"):
            refquant.dequantize_weights(small, progress=lambda progress: seen.append(progress.done))
        assert seen == [4096, 2 * 4096, 3 * 4096]

    @pytest.mark.parametrize("kind", [io.StringIO, TextOfAnotherCode])
    def test_text(self, kind: Callable[[str], Any]) -> None:
        with pytest.raises(refquant.ArgumentError, match="the file is open as text"):
            MLModel(kind("text"))

    @pytest.mark.parametrize(
        ("given", "told"),
        [
            (None, "it gave NoneType in place of bytes"),
            (5, "it gave int in place of bytes"),
            (EOFError("cut short"), "EOFError: cut short"),
            (ValueError("closed"), "ValueError: closed"),
            (zlib.error("damaged"), "error: damaged"),
            (OSError(5, "Input/output error"), "Input/output error"),
        ],
    )
    def test_what_else_a_stream_does(self, given: Any, told: str) -> None:
        """A file may unpack what it gives, wait for nothing, or be no file at all."""

        class Odd(io.BytesIO):
            def read(self, size: int | None = -1) -> Any:
                if isinstance(given, Exception):
                    raise given
                return given

        with pytest.raises(refquant.FileError) as caught:
            MLModel(Odd())
        assert str(caught.value) == f"cannot read the file: {told}"

    def test_an_empty_name(self) -> None:
        with pytest.raises(ArgumentError, match=r"^an empty name names no file$"):
            MLModel("")

    def test_byte_arrays(self) -> None:
        class Changeable(io.BytesIO):
            def read(self, size: int | None = -1) -> Any:
                return bytearray(super().read(size))

        data = described().SerializeToString()
        assert bytes(MLModel(Changeable(data))) == data

    def test_no_source(self) -> None:
        class Bytes:
            def __fspath__(self) -> bytes:
                return b"model.mlmodel"

        view = memoryview(b"gone")
        view.release()
        for source, told in (
            (MLModel, "the class MLModel"),
            (io.BytesIO, "the class BytesIO"),
            (Bytes(), "Bytes"),
            (5, "int"),
            (view, "memoryview"),
        ):
            with pytest.raises(refquant.ArgumentError, match=f"cannot read a model from {told}"):
                MLModel(source)  # type: ignore[arg-type]

    def test_streams_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Endless(io.RawIOBase):
            total = 0

            def readable(self) -> bool:
                return True

            def readinto(self, buffer: Any) -> int:
                self.total += len(buffer)
                return len(buffer)

        stream = Endless()
        monkeypatch.setattr(disk, "LARGEST", 1 << 20)
        monkeypatch.setattr(disk, "PART", 1 << 16)
        with pytest.raises(FileError, match=r"the file has .* more than a protobuf message can have"):
            load(stream)  # type: ignore[arg-type]
        assert stream.total == (1 << 20) + (1 << 16)
        if Path("/dev/zero").is_char_device():
            with pytest.raises(FileError, match=r"/dev/zero has .* more than"):
                load("/dev/zero")

    @pytest.mark.parametrize("error", [EncodeError("Failed to serialize proto"), RecursionError("too deep")])
    def test_too_large_for_protobuf(self, error: Exception, tmp_path: Path) -> None:
        class Large:
            def SerializeToString(self, **options: Any) -> bytes:  # noqa: N802 -- protobuf's name
                raise error

        with pytest.raises(FileError, match=f"cannot be written as one message: {error}"):
            save(Large(), tmp_path / "a.mlmodel")  # type: ignore[arg-type]

    def test_is_an_os_error_too(self) -> None:
        with pytest.raises(OSError, match="No such file") as caught:
            load("/nowhere/nothing.mlmodel")
        assert isinstance(caught.value, refquant.RefquantError)


class TestWhole:
    """FILE-6: A file MUST be written whole or not at all."""

    @pytest.mark.parametrize(("mask", "mode"), [(0o027, 0o640), (0, 0o666)])
    def test_new_file(self, mask: int, mode: int, model: Model, tmp_path: Path) -> None:
        old_mask = os.umask(mask)
        try:
            MLModel(model).save(tmp_path / "a.mlmodel")
        finally:
            os.umask(old_mask)
        assert (tmp_path / "a.mlmodel").read_bytes() == model.SerializeToString()
        assert os.listdir(tmp_path) == ["a.mlmodel"]
        if os.name == "posix":
            assert stat.S_IMODE((tmp_path / "a.mlmodel").stat().st_mode) == mode

    def test_permissions_of_an_old_file(self, model: Model, tmp_path: Path) -> None:
        path = tmp_path / "a.mlmodel"
        path.write_bytes(b"old")
        path.chmod(0o604)
        save(model, path)
        assert path.read_bytes() == model.SerializeToString()
        assert stat.S_IMODE(path.stat().st_mode) == 0o604

    def test_no_one_else_reads_it_meanwhile(
        self, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, modes = tmp_path / "a.mlmodel", []
        path.write_bytes(b"old")
        path.chmod(0o600)

        def sync(number: int) -> None:
            if stat.S_ISREG(mode := os.fstat(number).st_mode):  # and not the folder
                modes.append(stat.S_IMODE(mode))

        monkeypatch.setattr(os, "fsync", sync)
        save(model, path)
        assert modes == [0o600]

    def test_long_name(self, model: Model, tmp_path: Path) -> None:
        path = tmp_path / ("x" * 247 + ".mlmodel")  # as long as names are on most file systems
        save(model, path)
        assert os.listdir(tmp_path) == [path.name]

    def test_symbolic_link(self, model: Model, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        link = tmp_path / "link.mlmodel"
        link.symlink_to(tmp_path / "folder" / "real.mlmodel")
        for _ in range(2):
            save(model, link)
            assert link.is_symlink()
            assert (tmp_path / "folder" / "real.mlmodel").read_bytes() == model.SerializeToString()

    @pytest.mark.skipif(not Path("/dev/null").is_char_device(), reason="no such device")
    def test_device(self, model: Model) -> None:
        save(model, "/dev/null")
        assert Path("/dev/null").is_char_device()

    def test_overwrite(self, model: Model, tmp_path: Path) -> None:
        path = tmp_path / "a.mlmodel"
        path.write_bytes(b"old")
        with pytest.raises(FileError, match="exists already"):
            save(model, path, overwrite=False)
        assert path.read_bytes() == b"old"

    def test_no_folder(self, model: Model, tmp_path: Path) -> None:
        with pytest.raises(FileError, match="no folder"):
            save(model, tmp_path / "nothing" / "a.mlmodel")
        with pytest.raises(FileError, match="is a folder"):
            save(model, tmp_path)

    @pytest.mark.parametrize("failing", ["fsync", "replace"])
    @pytest.mark.parametrize("name", ["a.mlmodel", "a.mlpackage"])
    def test_failure_leaves_what_was(
        self, failing: str, name: str, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / name
        save(model, path)
        before = MLModel(path).get_spec()

        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, failing, full)
        with pytest.raises(FileError, match="No space left") as caught:
            save(network(ROWS["gru"]), path)
        assert isinstance(caught.value.__cause__, OSError)
        monkeypatch.undo()
        assert MLModel(path).get_spec() == before
        assert os.listdir(tmp_path) == [name]

    @pytest.mark.parametrize("name", ["a.mlmodel", "a.mlpackage"])
    def test_failure_leaves_nothing_new(
        self, name: str, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(function: Any, source: Any, target: Any, **options: Any) -> None:
            if Path(target).name == name:
                raise OSError(errno.EIO, "Input/output error")
            function(source, target, **options)

        for step in ("link", "replace", "rename"):
            monkeypatch.setattr(os, step, partial(refuse, getattr(os, step)))
        with pytest.raises(FileError, match="Input/output"):
            save(model, tmp_path / name)
        assert os.listdir(tmp_path) == []

    @pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
    def test_no_room(self, tmp_path: Path, model: Model) -> None:
        path = tmp_path / "a.mlmodel"
        path.write_bytes(b"old")
        script = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
from refquant.model.file import load, save
from refquant.errors import FileError
try:
    save(load({model.SerializeToString()!r}), {str(path)!r})
except FileError as error:
    raise SystemExit("File too large" not in str(error))
"""
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
        assert path.read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["a.mlmodel"]


class TestPackages:
    """An .mlpackage folder whose model is a neural network."""

    def test_round_trip(self, model: Model, tmp_path: Path) -> None:
        path = tmp_path / "a.mlpackage"
        for each in (model, network(ROWS["gru"])):
            save(each, path)
            assert load(path) == each
        manifest = json.loads((path / "Manifest.json").read_text())
        entry = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]
        assert entry == {
            "author": "com.apple.CoreML",
            "description": "CoreML Model Specification",
            "name": "model.mlmodel",
            "path": "com.apple.CoreML/model.mlmodel",
        }
        assert manifest["fileFormatVersion"] == "1.0.0"
        assert (path / "Manifest.json").read_text() == json.dumps(manifest, indent=4)  # as other tools do
        assert (path / "Data" / entry["path"]).read_bytes() == network(ROWS["gru"]).SerializeToString()
        assert os.listdir(tmp_path) == ["a.mlpackage"]
        with pytest.raises(FileError, match="exists already"):
            save(model, path, overwrite=False)

    def test_a_file_in_its_place(self, model: Model, tmp_path: Path) -> None:
        """Nothing puts a folder into the place of a file in one step."""
        (tmp_path / "a.mlpackage").write_bytes(b"old")
        with pytest.raises(FileError, match="is a file, and a package a folder"):
            save(model, tmp_path / "a.mlpackage")
        assert (tmp_path / "a.mlpackage").read_bytes() == b"old"
        assert os.listdir(tmp_path) == ["a.mlpackage"]

    def test_a_folder_that_is_no_package(self, model: Model, tmp_path: Path) -> None:
        path = tmp_path / "a.mlpackage"
        path.mkdir()
        save(model, path)  # an empty one holds nothing to lose
        (path / "Manifest.json").rename(path / "thesis.txt")
        with pytest.raises(FileError, match="other content"):
            save(model, path)
        assert (path / "thesis.txt").exists()
        assert os.listdir(tmp_path) == ["a.mlpackage"]

    def test_relative_paths(self, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        Path("b").mkdir()
        save(model, "a.mlpackage")
        assert load("a.mlpackage") == load("./a.mlpackage/") == load("b/../a.mlpackage") == model
        monkeypatch.chdir(tmp_path / "a.mlpackage")
        assert load(".") == model

    @pytest.mark.parametrize("failing", [1, 2])
    def test_failure_when_the_new_one_takes_its_place(
        self, failing: int, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """There are two steps, for the model and for the manifest, which names the same file as before."""
        path = tmp_path / "a.mlpackage"
        save(model, path)
        replace, calls = os.replace, []

        def one_fails(source: Any, target: Any) -> None:
            calls.append(target)
            if len(calls) == failing:
                raise OSError(errno.EIO, "Input/output error")
            replace(source, target)

        monkeypatch.setattr(os, "replace", one_fails)
        with pytest.raises(FileError, match="Input/output"):
            save(network(ROWS["gru"]), path)
        assert load(path) == (model if failing == 1 else network(ROWS["gru"]))
        names = [name for _, folders, files in os.walk(tmp_path) for name in (*folders, *files)]
        assert sorted(names) == ["Data", "Manifest.json", "a.mlpackage", "com.apple.CoreML", "model.mlmodel"]

    def test_an_empty_folder_where_none_is_replaced(
        self, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As on Windows."""
        rename = os.rename

        def refuse(source: Path, target: Path) -> None:
            if target.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            rename(source, target)

        monkeypatch.setattr(os, "rename", refuse)
        (tmp_path / "a.mlpackage").mkdir()
        save(model, tmp_path / "a.mlpackage")
        assert load(tmp_path / "a.mlpackage") == model

    def test_manifest_in_any_locale(self, model: Model, tmp_path: Path) -> None:
        """It is UTF-8, whatever the text of files is elsewhere."""
        path = tmp_path / "a.mlpackage"
        save(model, path)
        manifest = path / "Manifest.json"
        manifest.write_bytes(manifest.read_bytes().replace(b"Specification", "Größe".encode()))
        before = locale.setlocale(locale.LC_CTYPE)
        try:
            locale.setlocale(locale.LC_CTYPE, "C")
            assert load(path) == model
        finally:
            locale.setlocale(locale.LC_CTYPE, before)

    def package(self, folder: Path, model: Model, *names: str) -> Path:
        """Save a package, move its model to the first of these names, make files of the others, and name all
        of them in its manifest; one with a slash at its end is that of a folder.
        """
        path = folder / "a.mlpackage"
        save(model, path)
        manifest = json.loads((path / "Manifest.json").read_text())
        entries = manifest["itemInfoEntries"]
        entries[manifest["rootModelIdentifier"]]["path"] = names[0]
        for number, name in enumerate(names[1:]):
            entries[f"{number}"] = {"path": name}
            file = path / "Data" / name / "in" / "it" if name.endswith("/") else path / "Data" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"more")
        (path / "Data" / names[0]).parent.mkdir(parents=True, exist_ok=True)
        (path / "Data/com.apple.CoreML/model.mlmodel").rename(path / "Data" / names[0])
        (path / "Manifest.json").write_text(json.dumps(manifest))
        assert load(path) == model
        return path

    def files(self, path: Path) -> list[str]:
        """List the files and the empty folders of a package's data."""
        data = path / "Data"
        found = [p for p in data.rglob("*") if not p.is_dir() or not any(p.iterdir())]
        return sorted(p.relative_to(data).as_posix() for p in found)

    def test_other_names_within(self, model: Model, tmp_path: Path) -> None:
        """What the manifest ceases to name goes, but for what another writes at the time."""
        path = self.package(
            tmp_path,
            model,
            "other.tool/m.mlmodel",
            "other.tool/b/weights/",
            "a/b/c",
            "com.apple.CoreML/more/",
        )
        (path / "Data/com.apple.CoreML/more/in/.refquant-1.tmp").touch()
        save(network(ROWS["gru"]), path)
        assert load(path) == network(ROWS["gru"])
        assert self.files(path) == [
            "com.apple.CoreML/model.mlmodel",
            "com.apple.CoreML/more/in/.refquant-1.tmp",
        ]

    def test_names_that_the_manifest_never_knew(self, model: Model, tmp_path: Path) -> None:
        """They stay, be they in folders of what goes."""
        path = self.package(tmp_path, model, "other.tool/m.mlmodel")
        for name in ("read me", "Data/read me", "Data/other.tool/mine", "Data/com.apple.CoreML/in.mlmodel"):
            (path / name).write_bytes(b"mine")
        save(network(ROWS["gru"]), path)
        mine = ["com.apple.CoreML/in.mlmodel", "com.apple.CoreML/model.mlmodel", "other.tool/mine", "read me"]
        assert self.files(path) == mine
        assert sorted(os.listdir(path)) == ["Data", "Manifest.json", "read me"]

    @pytest.mark.parametrize(
        "name", ["gone", "com.apple.CoreML", ".", "com.apple.CoreML/../com.apple.CoreML/model.mlmodel", "\0"]
    )
    def test_names_that_are_nothing_to_remove(self, name: str, model: Model, tmp_path: Path) -> None:
        """A folder around the model, the model by another name, and what is not there or cannot be."""
        path = self.package(tmp_path, model, "com.apple.CoreML/m.mlmodel", "old")
        manifest = json.loads((path / "Manifest.json").read_text())
        manifest["itemInfoEntries"] = {"x": {"path": name}, **manifest["itemInfoEntries"]}
        (path / "Manifest.json").write_text(json.dumps(manifest))
        save(network(ROWS["gru"]), path)
        assert load(path) == network(ROWS["gru"])
        assert self.files(path) == ["com.apple.CoreML/model.mlmodel"]

    @pytest.mark.parametrize(
        "manifest",
        [
            "not json",
            "{}",
            "3",
            '{"itemInfoEntries": ["old"]}',
            '{"itemInfoEntries": {"A": {}, "B": {"path": "old"}}}',
            '{"itemInfoEntries": {"A": "old"}}',
            '{"itemInfoEntries": {"A": {"path": 3}, "B": {"path": "old"}}}',
            '{"itemInfoEntries": {"A": {"path": "../outside"}, "B": {"path": "../../outside"}}}',
        ],
    )
    def test_manifest_that_names_nothing(self, manifest: str, model: Model, tmp_path: Path) -> None:
        """A package that nobody can read is replaced, and its files stay."""
        path = self.package(tmp_path, model, "com.apple.CoreML/model.mlmodel", "old")
        for outside in (path / "outside", tmp_path / "outside"):
            outside.touch()
        (path / "Manifest.json").write_text(manifest)
        save(network(ROWS["gru"]), path)
        assert load(path) == network(ROWS["gru"])
        assert self.files(path) == ["com.apple.CoreML/model.mlmodel", "old"]
        assert (path / "outside").exists()
        assert (tmp_path / "outside").exists()

    @pytest.mark.parametrize("name", ["com.apple.CoreML/model.mlmodel", "com.apple.CoreML"])
    def test_model_that_another_replaces(
        self, name: str, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A model stays that is another file whenever it is looked at."""
        path = self.package(tmp_path, model, "com.apple.CoreML/model.mlmodel")
        manifest = json.loads((path / "Manifest.json").read_text())
        manifest["itemInfoEntries"]["x"] = {"path": name}
        (path / "Manifest.json").write_text(json.dumps(manifest))
        monkeypatch.setattr(os.path, "samestat", lambda *_: False)
        save(network(ROWS["gru"]), path)
        assert load(path) == network(ROWS["gru"])

    @pytest.mark.parametrize("name", ["com.apple.CoreML/other.mlmodel", "COM.apple.coreml"])
    def test_model_in_other_letters(
        self, name: str, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A name may be that of the model though it differs: some systems do not see case."""
        path = self.package(tmp_path, model, "com.apple.CoreML/model.mlmodel", name)
        monkeypatch.setattr(os.path, "samestat", lambda _, other: stat.S_ISREG(other.st_mode))
        save(network(ROWS["gru"]), path)
        assert load(path) == network(ROWS["gru"])
        assert (path / "Data" / name).exists()

    def test_names_that_lead_out(self, model: Model, tmp_path: Path) -> None:
        """A link goes, and not what it leads to; behind a link to a folder, nothing does."""
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "mine").touch()
        path = self.package(tmp_path, model, "com.apple.CoreML/model.mlmodel", "file", "folder", "way")
        for name in ("file", "folder", "way"):
            (path / "Data" / name).unlink()
            (path / "Data" / name).symlink_to(outside / "mine" if name == "file" else outside)
        manifest = path / "Manifest.json"
        manifest.write_text(manifest.read_text().replace('"way"', '"way/mine"'))
        save(network(ROWS["gru"]), path)
        assert sorted(os.listdir(path / "Data")) == ["com.apple.CoreML", "way"]
        assert os.listdir(outside) == ["mine"]

    def test_a_folder_for_a_manifest(self, model: Model, tmp_path: Path) -> None:
        """That is seen before the model has been replaced."""
        path = tmp_path / "a.mlpackage"
        save(model, path)
        (path / "Manifest.json").unlink()
        (path / "Manifest.json").mkdir()
        with pytest.raises(FileError, match=r"Manifest\.json is a folder"):
            save(network(ROWS["gru"]), path)
        assert load(path / "Data/com.apple.CoreML/model.mlmodel") == model

    @pytest.mark.skipif(os.name != "posix", reason="pipes with names are POSIX's")
    @pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
    def test_what_is_no_file_within(self, kind: str, model: Model, tmp_path: Path) -> None:
        """A pipe would be waited for."""
        path = tmp_path / "a.mlpackage"
        save(model, path)
        file = path / "Data/com.apple.CoreML/model.mlmodel"
        file.unlink()
        make = {"pipe": os.mkfifo, "folder": os.mkdir, "device": partial(os.symlink, "/dev/zero")}
        make[kind](file)  # type: ignore[operator]
        with pytest.raises(FileError, match=r"model\.mlmodel is not a file"):
            load(path)
        if kind == "pipe":
            (path / "Manifest.json").unlink()
            os.mkfifo(path / "Manifest.json")
            with pytest.raises(FileError, match=r"a folder without Manifest\.json"):
                load(path)
            file.unlink()
            save(network(ROWS["gru"]), path)
            assert load(path) == network(ROWS["gru"])

    def test_long_manifest(self, model: Model, tmp_path: Path) -> None:
        """It is not read to its end."""
        path = tmp_path / "a.mlpackage"
        save(model, path)
        manifest = path / "Manifest.json"
        manifest.write_bytes(manifest.read_bytes().ljust(1 << 24))
        assert load(path) == model
        os.truncate(manifest, (1 << 24) + 1)
        with pytest.raises(FileError, match=r"Manifest\.json has more than 16,777,216 bytes, too many"):
            load(path)
        save(network(ROWS["gru"]), path)
        assert load(path) == network(ROWS["gru"])

    def test_links_within(self, model: Model, tmp_path: Path) -> None:
        """Caches of downloads keep files elsewhere and link to them: those are not this package's."""
        path, blob = tmp_path / "a.mlpackage", tmp_path / "blob"
        save(model, path)
        file = path / "Data/com.apple.CoreML/model.mlmodel"
        file.rename(blob)
        file.symlink_to(blob)
        save(network(ROWS["gru"]), path)
        assert load(path) == network(ROWS["gru"])
        assert load(blob) == model

    def test_folders_that_lead_out(self, model: Model, tmp_path: Path) -> None:
        path, outside = tmp_path / "a.mlpackage", tmp_path / "outside"
        save(model, path)
        (path / "Data").rename(outside)
        (path / "Data").symlink_to(outside)
        with pytest.raises(FileError, match="leads out of the package"):
            save(network(ROWS["gru"]), path)
        assert load(path) == model

    @pytest.mark.parametrize(
        ("manifest", "message"),
        [
            ("not json", "does not name"),
            ("{}", "does not name"),
            ("[" * 100_000, "does not name"),
            ('{"rootModelIdentifier": "A", "itemInfoEntries": {}}', "does not name"),
            ('{"rootModelIdentifier": "A", "itemInfoEntries": {"A": {"path": 3}}}', "does not name"),
            ('{"rootModelIdentifier": "A", "itemInfoEntries": {"A": {"path": "../../x"}}}', "outside"),
            ('{"rootModelIdentifier": "A", "itemInfoEntries": {"A": {"path": "/etc/passwd"}}}', "outside"),
            (
                '{"rootModelIdentifier": "A", "itemInfoEntries": {"A": {"path": "gone"}}}',
                r"gone: No such file",
            ),
        ],
    )
    def test_bad_manifest(self, manifest: str, message: str, tmp_path: Path) -> None:
        path = tmp_path / "a.mlpackage"
        path.mkdir()
        (path / "Manifest.json").write_text(manifest)
        with pytest.raises(FileError, match=message):
            load(path)
