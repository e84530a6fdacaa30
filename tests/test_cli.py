"""The command line: each command end to end, its exit codes, and what a person reads."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import refquant
from refquant import cli, commands, conversions, errors, sample, terminal, timing
from refquant.arguments import MODES
from refquant.model import tensor
from refquant.model.file import load, save
from refquant.model.walk import all_sites
from tests.networks import ROWS, Net, described, inner_product, network, void


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "in.mlmodel"
    save(inner_product([0.0, 1.0, 2.0, 4.0], [1.0, 2.0]), path)
    return str(path)


@pytest.fixture
def out(tmp_path: Path) -> str:
    return str(tmp_path / "out.mlmodel")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command; give its exit code, output and errors."""

    def command(*arguments: str) -> tuple[int, str, str]:
        try:
            code = cli.main(arguments)
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def shell(*arguments: str, **options: Any) -> Any:
    return subprocess.run(
        [sys.executable, "-m", "refquant", *arguments], capture_output=True, check=False, **options
    )


class TestQuantize:
    def test_and_back(self, run: Any, model: str, out: str, tmp_path: Path) -> None:
        code, output, errors = run("quantize", model, out, "--nbits", "8")
        before, after = Path(model).stat().st_size, Path(out).stat().st_size
        change = "smaller" if after <= before else "larger"
        assert (code, output) == (0, "")
        assert errors.startswith(f"refquant: in.mlmodel: {before:,} bytes -> {after:,} bytes (")
        assert errors.endswith(f" times {change})\n")
        assert load(out) == refquant.quantize_weights(load(model), 8)
        back = str(tmp_path / "back.mlmodel")
        assert run("dequantize", out, back, "--quiet") == (0, "", "")
        assert load(back) == refquant.dequantize_weights(load(out))

    @pytest.mark.parametrize(
        ("options", "settings"),
        [
            (["--nbits", "4", "--mode", "kmeans"], {"nbits": 4, "quantization_mode": "kmeans_lut"}),
            (["--nbits", "16"], {"nbits": 16}),
            (["--mode", "dequantization"], {"nbits": 16, "quantization_mode": "dequantization"}),
            (["--nbits", "8", "--no-fuse"], {"nbits": 8, "fuse": False}),
            (
                ["--nbits", "8", "--skip-layer-types", "bias, scale", "--skip-layer-types", "gru"],
                {
                    "nbits": 8,
                    "selector": refquant.AdvancedQuantizedLayerSelector(["bias", "scale", "gru"], 0, 0),
                },
            ),
            (
                ["--nbits", "8", "--min-conv-kernel-channels", "4"],
                {"nbits": 8, "selector": refquant.AdvancedQuantizedLayerSelector([], 4, 0)},
            ),
            (
                ["--nbits", "8", "--min-conv-weight-count", "999"],
                {"nbits": 8, "selector": refquant.AdvancedQuantizedLayerSelector([], 0, 999)},
            ),
        ],
    )
    def test_options(self, options: list[str], settings: Any, run: Any, tmp_path: Path, out: str) -> None:
        path = tmp_path / "chain.mlmodel"
        save(network(ROWS["conv_bias_scale_bias"]), path)
        assert run("quantize", str(path), out, "--quiet", *options) == (0, "", "")
        assert load(out) == refquant.quantize_weights(load(path), **settings)

    def test_skip_layer(self, run: Any, out: str) -> None:
        path = str(sample.model_path())
        assert run("quantize", path, out, "--nbits", "8", "--skip-layer", "dense_2", "--quiet") == (0, "", "")
        left = {site.layer.name for site in all_sites(load(out)) if tensor.form(site.params) == "float32"}
        assert left == {"dense_2"}
        code, _, errors = run("quantize", path, out, "--nbits", "8", "--skip-layer", "dense2", "--force")
        assert code == 2
        assert (
            errors
            == "refquant: error: the model has no layer 'dense2'; did you mean 'dense_2' or 'dense_1'?\n"
        )
        assert run("quantize", path, out, "--nbits", "8", "--skip-layer", "zzz", "--force")[2].endswith(
            "'zzz'\n"
        )

    def test_skip_layer_that_fusion_removes(self, run: Any, tmp_path: Path, out: str) -> None:
        path = str(tmp_path / "chain.mlmodel")
        save(network(ROWS["conv_scale"]), path)
        command = ["quantize", path, out, "--nbits", "8", "--quiet", "--force", "--skip-layer"]
        assert run(*command, "layer_1") == (
            0,
            "",
            "refquant: warning: layer 'layer_1': fusion, which comes first, has worked it into another; "
            "--no-fuse keeps it\n",
        )
        assert run(*command, "layer_1", "--no-fuse") == (0, "", "")
        assert run(*command, "layer_0") == (0, "", "")

    def test_half_overflow(self, run: Any, tmp_path: Path, out: str) -> None:
        path = str(tmp_path / "wide.mlmodel")
        save(inner_product([1.0, 1e6]), path)
        code, _, errors = run("quantize", path, out, "--nbits", "16")
        assert code == 1
        assert "layer 'fc' (innerProduct), tensor weights[1]: 1000000.0 is outside" in errors
        code, _, errors = run("quantize", path, out, "--nbits", "16", "--half-overflow", "keep")
        assert code == 0
        assert errors.startswith("refquant: warning: layer 'fc'")

    def test_lut_function(
        self, run: Any, model: str, out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "my_tables.py").write_text(
            "def ends(nbits, weights):\n"
            "    return [0.0, max(weights)], [int(w > 1) for w in weights]\n"
            "def fails(nbits, weights):\n"
            "    raise OSError('disk on fire')\n"
            "def short(nbits, weights):\n"
            "    return [0.0], [0] * len(weights)\n"
            "def high(nbits, weights):\n"
            "    return [0.0, 1.0], [2] * len(weights)\n"
            "def nonsense(nbits, weights):\n"
            "    return 'no table'\n"
            "def shouts(nbits, weights):\n"
            "    raise ValueError('two\\nlines')\n"
            "number = 3\n"
        )
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", [*sys.path])
        command = ["quantize", model, out, "--nbits", "1", "--mode", "custom_lut", "--quiet"]
        assert run(*command, "--lut-function", "my_tables:ends") == (0, "", "")
        assert load(out).neuralNetwork.layers[0].innerProduct.weights.rawValue == bytes([0b00110000])
        for function, code, message in (
            ("my_tables:fails", 1, "lut_function raised OSError: disk on fire"),
            ("my_tables:short", 1, "gave a table of 1, not 2"),
            ("my_tables:high", 1, "refquant: error: layer 'fc' (innerProduct), tensor weights"),
            ("my_tables:nonsense", 1, "lut_function"),
            ("my_tables:shouts", 1, "two\\nlines"),
            ("my_tables:number", 2, "is not a function"),
            ("my_tables:gone", 2, "cannot find --lut-function my_tables:gone"),
            ("nowhere:gone", 2, "ModuleNotFoundError"),
            ("my_tables", 2, "takes MODULE:FUNCTION, not 'my_tables'"),
            ("", 2, "takes MODULE:FUNCTION"),
        ):
            found = run(*command, "--force", "--lut-function", function)
            assert found[0] == code
            assert message in found[2]
            assert found[2].count("\n") == 1
        assert run(*command, "--force")[1:] == (
            "",
            "refquant: error: --mode custom_lut needs --lut-function MODULE:FUNCTION\n",
        )

    @pytest.mark.parametrize(
        ("old", "new", "text"),
        [
            (14_569, 14_501, "14,569 bytes -> 14,501 bytes (about the same size)"),
            (14_501, 14_569, "14,501 bytes -> 14,569 bytes (about the same size)"),
            (14_501, 14_501, "14,501 bytes -> 14,501 bytes (the same size)"),
            (202, 100, "202 bytes -> 100 bytes (2.02 times smaller)"),
            (100, 1, "100 bytes -> 1 byte (100.00 times smaller)"),
            (100, 101, "100 bytes -> 101 bytes (1.01 times larger)"),
        ],
    )
    def test_how_the_size_changed(self, old: int, new: int, text: str) -> None:
        assert conversions._change(old, new) == text

    def test_verbose(self, run: Any, model: str, out: str) -> None:
        assert (
            "refquant: layer 'fc' (innerProduct)"
            in run("quantize", model, out, "--nbits", "8", "--verbose")[2]
        )

    def test_activate_int8(self, run: Any, tmp_path: Path, out: str) -> None:
        path = tmp_path / "mm.mlmodel"
        ready = inner_product([1.0, 2.0])
        ready.neuralNetwork.arrayInputShapeMapping = 1  # type: ignore[assignment] # EXACT_ARRAY_MAPPING
        save(ready, path)
        assert run("activate-int8", str(path), out, "--quiet") == (0, "", "")
        assert load(out).neuralNetwork.layers[0].innerProduct.int8DynamicQuantize


class TestValidate:
    """Exit code 0 and a line where nothing is wrong; else 1, and a line for each fault."""

    @pytest.fixture
    def faulty(self, tmp_path: Path) -> str:
        path = tmp_path / "faulty.mlmodel"
        model = inner_product([1.0, math.nan], [1.0, 2.0, 3.0], name="a\nb")
        model.neuralNetwork.layers[0].innerProduct.inputChannels = 2
        save(model, path)
        return str(path)

    def test_good(self, run: Any, model: str) -> None:
        assert run("validate", model) == (0, f"{model}: valid, 2 tensors, 6 weights\n", "")

    def test_faults(self, run: Any, faulty: str) -> None:
        assert run("validate", faulty) == (
            1,
            f"{faulty}: 2 faults, 2 tensors, 5 weights\n"
            "  layer 'a\\nb' (innerProduct), tensor weights: 2 values do not fill shape 3 x 2 (6) (TEN-6)\n"
            "  layer 'a\\nb' (innerProduct), tensor weights[1]: weight is nan, not a finite number "
            "(TEN-10)\n",
            "",
        )

    def test_many_files(self, run: Any, model: str, faulty: str, tmp_path: Path) -> None:
        program = tmp_path / "program.mlmodel"
        save(described("mlProgram"), program)
        code, output, errors = run("validate", model, faulty, str(program), str(tmp_path / "none"), model)
        assert code == 1
        assert [line.split(":")[0] for line in output.splitlines() if line.startswith("/")] == [
            model,
            faulty,
            model,
        ]
        assert output.endswith("\n\n5 files: 2 valid, 3 not\n")
        first, second = errors.splitlines()
        assert first.startswith(f"refquant: error: {program}: the model is of type mlProgram")
        assert second == f"refquant: error: cannot read {tmp_path / 'none'}: No such file or directory"

    def test_json(self, run: Any, model: str, faulty: str, tmp_path: Path) -> None:
        code, output, errors = run("validate", "--json", model, faulty, str(tmp_path / "none"))
        assert (code, errors) == (1, "")
        good, bad, none = json.loads(output)["files"]
        assert good == {"file": model, "valid": True, "tensors": 2, "weights": 6, "faults": [], "error": None}
        assert (bad["valid"], bad["tensors"], bad["weights"], bad["error"]) == (False, 2, 5, None)
        assert bad["faults"][1] == {
            "rule": "TEN-10",
            "layer": "a\nb",
            "layer_type": "innerProduct",
            "tensor": "weights",
            "index": 1,
            "message": "weight is nan, not a finite number",
        }
        assert (none["valid"], none["faults"]) == (False, [])
        assert "No such file" in none["error"]

    def test_stdin(self, model: str) -> None:
        done = shell("validate", "-", input=Path(model).read_bytes())
        assert (done.returncode, done.stdout) == (0, b"stdin: valid, 2 tensors, 6 weights\n")
        assert shell("validate", "-", "-", input=b"").returncode == 2
        done = shell("validate", "-", input=b"")
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr == b"refquant: error: stdin: not a Core ML model: it is empty\n"

    def test_quantize_warns_of_what_it_leaves(self, run: Any, tmp_path: Path, out: str) -> None:
        model = network(lambda net: [net.inner_product(), net.relu()].clear())
        model.neuralNetwork.layers[1].convolution3d.SetInParent()
        path = str(tmp_path / "odd.mlmodel")
        save(model, path)
        code, _, errors = run("quantize", path, out, "--nbits", "8", "--quiet")
        assert code == 0
        assert errors.startswith(
            "refquant: warning: layer 'layer_1' (convolution3d), tensor weights: it is empty"
        )


@pytest.fixture
def models(tmp_path: Path) -> list[str]:
    """Three models, the second of which holds a NaN, and the third a range that collapses."""
    contents = ([1.0, 2.0, 4.0], [1.0, math.nan], [-1e-5, 1e-5])
    paths = [str(tmp_path / f"{name}.mlmodel") for name in "abc"]
    for path, content in zip(paths, contents):
        save(inner_product(content), path)
    return paths


class TestManyModels:
    """Many inputs go to a folder, each under its name; one that fails is reported, the others are done."""

    def test_into_a_new_folder(self, run: Any, models: list[str], tmp_path: Path) -> None:
        a, b, c = models
        folder = tmp_path / "new" / "folder"
        code, output, errors = run("quantize", *models, str(folder), "--nbits", "8")
        assert (code, output) == (1, "")
        first, second, third, fourth, last = errors.splitlines()
        assert first.startswith("refquant: a.mlmodel: ")
        assert second.startswith(
            f"refquant: error: {b}: layer 'fc' (innerProduct), tensor weights[1]: weight is"
        )
        assert third.startswith(
            f"refquant: warning: {c}: layer 'fc' (innerProduct), tensor weights: its range"
        )
        assert fourth.startswith("refquant: c.mlmodel: ")
        assert last == "refquant: 1 of 3 models failed"
        assert sorted(os.listdir(folder)) == ["a.mlmodel", "c.mlmodel"]
        assert load(folder / "a.mlmodel") == refquant.quantize_weights(load(a), 8)
        back = tmp_path / "back"
        made = [str(path) for path in sorted(folder.iterdir())]
        assert run("dequantize", *made, "--quiet", str(back)) == (0, "", "")
        assert run("activate-int8", *made, "--quiet", f"{tmp_path / 'active'}/")[0] == 0
        assert sorted(os.listdir(back)) == sorted(os.listdir(tmp_path / "active"))

    def test_one_into_a_folder(self, run: Any, model: str, tmp_path: Path) -> None:
        for folder in (tmp_path / "there", tmp_path / "new"):
            (tmp_path / "there").mkdir(exist_ok=True)
            assert run("quantize", model, f"{folder}/", "--nbits", "8", "--quiet") == (0, "", "")
            assert os.listdir(folder) == ["in.mlmodel"]
        package = str(tmp_path / "out.mlpackage")
        for force in ([], ["--force"]):
            assert run("quantize", model, package, "--nbits", "8", "--quiet", *force) == (0, "", "")
        assert (tmp_path / "out.mlpackage" / "Manifest.json").exists()
        code, _, errors = run("quantize", str(tmp_path / "no.mlmodel"), f"{tmp_path}/there", "--nbits", "8")
        assert (code, errors.count("\n")) == (1, 1)
        assert errors.startswith("refquant: error: cannot read ")

    def test_nothing_is_overwritten(self, run: Any, models: list[str], tmp_path: Path) -> None:
        folder = str(tmp_path / "out")
        command = ["quantize", models[0], models[2], folder, "--nbits", "8", "--quiet"]
        assert run(*command)[0] == 0
        os.remove(f"{folder}/a.mlmodel")
        code, _, errors = run(*command)
        assert code == 1
        assert (
            f"refquant: error: {models[2]}: {folder}/c.mlmodel exists already; --force overwrites it"
            in errors
        )
        assert sorted(os.listdir(folder)) == ["a.mlmodel", "c.mlmodel"]
        assert run(*command, "--force")[0] == 0

    def test_refused(self, run: Any, models: list[str], tmp_path: Path) -> None:
        folder = tmp_path / "out"
        (tmp_path / "other").mkdir()
        twin = str(tmp_path / "other" / "a.mlmodel")
        named_so = tmp_path / "folder.mlmodel"
        named_so.mkdir()
        for arguments, message in (
            ([models[0], twin, str(folder)], f"{models[0]} and {twin} would both become {folder}/a.mlmodel"),
            (models, f"several models need a folder to go to; {models[2]} has the name of a model"),
            ([*models, str(tmp_path / "new.mlmodel")], "several models need a folder"),
            ([*models, str(tmp_path / "a.mlpackage")], "mlpackage has the name of a model"),
            ([*models, __file__], f"several models need a folder to go to; {__file__} is a file"),
            ([models[0], f"{__file__}/"], f"a folder is to be named; {__file__}/ is a file"),
            ([models[0], str(named_so)], f"{named_so} is a folder with the name of a model"),
            ([models[0], f"{tmp_path}/new.mlmodel/"], "new.mlmodel/ is a folder with the name of a model"),
            (["-", str(tmp_path)], f"a model from stdin has no name to have in {tmp_path}: name a file"),
            (["-", f"{folder}/"], f"a model from stdin has no name to have in {folder}/: name a file"),
            ([models[0], "-", str(folder)], "- stands for one model alone"),
            ([*models, "-"], "- stands for one model alone"),
            ([*models, str(folder), "--nbits", "9"], f"{models[0]}: nbits must be 16 or 1 to 8, not 9"),
        ):
            code, output, errors = run("quantize", "--nbits", "8", *arguments)
            assert (code, output) == (2, "")
            assert message in errors
            assert errors.count("\n") == 1
            assert not folder.exists()

    def test_layer_that_one_lacks(self, run: Any, models: list[str], tmp_path: Path) -> None:
        """That is this model's failure; the others have it."""
        made = load(models[0])
        made.neuralNetwork.layers[0].name = "fd"
        save(made, models[0])
        command = ["quantize", models[0], models[2], str(tmp_path / "out"), "--nbits", "8", "--quiet"]
        code, _, errors = run(*command, "--skip-layer", "fc")
        assert code == 1
        first, *_, last = errors.splitlines()
        assert first == (f"refquant: error: {models[0]}: the model has no layer 'fc'")
        assert last == "refquant: 1 of 2 models failed"
        assert os.listdir(tmp_path / "out") == ["c.mlmodel"]
        assert run(*command, "--skip-layer", "zz")[0] == 1

    def test_memory(
        self, run: Any, models: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that is too much may be followed by smaller ones."""
        function, sizes = refquant.quantize_weights, iter([1 << 40, 1])

        def quantize(*arguments: Any, **options: Any) -> Any:
            if next(sizes) > 1:
                raise MemoryError
            return function(*arguments, **options)

        monkeypatch.setattr(refquant, "quantize_weights", quantize)
        code, output, errors = run(
            "quantize", models[0], models[2], str(tmp_path / "out"), "--nbits", "16", "--quiet"
        )
        assert (code, output) == (1, "")
        assert errors.splitlines() == [
            f"refquant: error: {models[0]}: not enough memory",
            "refquant: 1 of 2 models failed",
        ]
        assert os.listdir(tmp_path / "out") == ["c.mlmodel"]

    def test_options_between(self, run: Any, models: list[str], tmp_path: Path) -> None:
        for number, split in enumerate([0, 1, 2, 3]):
            arguments = [models[0], models[2], str(tmp_path / f"{number}")]
            arguments[split:split] = ["--nbits", "8", "--quiet"]
            assert run("quantize", *arguments)[0] == 0
        assert run("quantize", models[0], "--nbits", "8", "--quiet", str(tmp_path / "one"))[0] == 0

    def test_debug(self, run: Any, models: list[str], tmp_path: Path) -> None:
        errors = run("quantize", *models, str(tmp_path / "out"), "--nbits", "8", "--debug")[2]
        assert "Traceback" in errors
        assert "refquant: 1 of 3 models failed\n" in errors


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
class TestJobs:
    """`--jobs` changes the time that a command takes, and nothing else."""

    def test_same_bytes(self, run: Any, tmp_path: Path) -> None:
        for jobs in "12":
            command = ["quantize", str(sample.model_path()), str(tmp_path / jobs), "--jobs", jobs]
            assert run(*command, "--nbits", "4", "--mode", "kmeans", "--quiet") == (0, "", "")
        assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
        assert run("dequantize", str(tmp_path / "1"), str(tmp_path / "3"), "--jobs", "2", "--quiet")[0] == 0

    def test_refused(self, run: Any, model: str, out: str) -> None:
        for command in (["quantize", "--nbits", "8"], ["dequantize"], ["activate-int8"]):
            code, _, errors = run(*command, model, out, "--jobs", "0")
            assert (code, errors) == (2, "refquant: error: jobs must be a whole number from 1, not 0\n")


class TestCertify:
    def test_table(self, run: Any, model: str, tmp_path: Path) -> None:
        options = ("--nbits", "1", "--mode", "kmeans_lut", "--quiet", "--certify", "--exact")
        code, output, errors = run("quantize", model, str(tmp_path / "out.mlmodel"), *options)
        assert (code, output) == (0, "")
        head, *rows, note = errors.splitlines()
        assert head.split() == ["layer", "tensor", "inertia", "bound", "gap", "%"]
        assert [row.split()[1] for row in rows] == ["weights", "bias"]
        assert note == "refquant: bound: no table of as many entries has less inertia"

    def test_other_modes(self, run: Any, model: str, tmp_path: Path) -> None:
        code, _, errors = run("quantize", model, str(tmp_path / "o"), "--nbits", "4", "--certify")
        assert code == 2
        assert "about kmeans_lut" in errors


class TestTimings:
    """`--timings` says on stderr where the time went; the result is the same."""

    def table(self, errors: str) -> list[list[str]]:
        return [line.split() for line in errors.splitlines() if not line.startswith("refquant: ")]

    def test_table(self, run: Any, tmp_path: Path, out: str) -> None:
        path = str(tmp_path / "chain.mlmodel")
        save(network(lambda net: [net.inner_product(4, 4, bias=n > 0) for n in range(13)].clear()), path)
        code, output, errors = run("quantize", path, out, "--nbits", "4", "--timings", "--quiet")
        assert (code, output) == (0, "")
        heading, *rows = self.table(errors)
        assert heading == ["phase", "layer", "type", "seconds", "%", "ns/weight"]
        assert [row[0] for row in rows] == ["read", "fuse", *["convert"] * 11, "pack", "write", "other"]
        assert rows[2][2] == "innerProduct"
        assert rows[12][1:4] == ["3", "other", "layers"]
        assert sum(
            float(row[-2] if row[0] in ("convert", "pack") else row[-1]) for row in rows
        ) == pytest.approx(100, abs=1)
        seconds = errors.splitlines()[-1].split()
        assert seconds[2:] == ["seconds"]
        assert load(out) == refquant.quantize_weights(load(path), 4)

    @pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    def test_jobs_add_up(self, run: Any, out: str) -> None:
        command = ["quantize", str(sample.model_path()), out, "--nbits", "8", "--jobs", "2", "--timings"]
        errors = run(*command)[2]
        assert {row[0] for row in self.table(errors)[1:]} == {"read", "fuse", "convert", "pack", "write"}
        assert errors.splitlines()[-1].endswith(" of work by 2 jobs")

    def test_other_commands(self, run: Any, model: str, out: str) -> None:
        for command in ("dequantize", "activate-int8"):
            rows = self.table(run(command, model, out, "--timings", "--force")[2])
            assert [row[0] for row in rows[1:]] == ["read", "fuse", "pack", "write", "other"]

    def test_nothing_is_counted_unasked(self) -> None:
        refquant.quantize_weights(inner_product([1.0]), 8)
        assert timing.record() is None
        with timing.recording(wanted=False) as record:
            assert record is None


class TestBadUsage:
    """Exit code 2, one line, and nothing written."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ([], "--nbits is needed"),
            (["--nbits", "0"], "nbits must be 16 or 1 to 8, not 0"),
            (["--nbits", "9"], "not 9"),
            (["--nbits", "15"], "not 15"),
            (["--nbits", "-1"], "not -1"),
            (["--nbits", "17"], "not 17"),
            (["--nbits", "eight"], "invalid int value"),
            (["--nbits", "8", "--mode", "cubic"], "unknown quantization mode 'cubic'"),
            (["--nbits", "4", "--mode", "linear_symmetric"], "8 bits only"),
            (["--nbits", "8", "--skip-layer-types", "dense"], "cannot skip 'dense'"),
            (["--nbits", "8", "--lut-function"], "expected one argument"),
            (["--nbits", "8", "--lut-function", "json:dumps"], "with --mode custom_lut only"),
            (["--nbits", "8", "--half-overflow", "panic"], "invalid choice"),
            (["--frobnicate"], "unrecognized arguments"),
        ],
    )
    def test_refused(self, options: list[str], message: str, run: Any, model: str, out: str) -> None:
        code, output, errors = run("quantize", model, out, *options)
        assert (code, output) == (2, "")
        assert message in errors
        assert not os.path.exists(out)

    @pytest.mark.parametrize(
        "command",
        [
            "quantize MODEL EMPTY --nbits 8 --force",
            "quantize EMPTY OUT --nbits 8",
            "quantize MODEL EMPTY FOLDER --nbits 8",
            "inspect EMPTY",
            "compare MODEL EMPTY",
            "validate MODEL EMPTY",
            "demo --output EMPTY",
        ],
    )
    def test_empty_names(
        self, command: str, run: Any, model: str, out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A variable of the shell that is not set does not stand for the current folder."""
        monkeypatch.chdir(tmp_path)
        before = Path(model).read_bytes()
        words = {"MODEL": "in.mlmodel", "EMPTY": "", "OUT": out, "FOLDER": "folder"}
        code, output, errors = run(*(words.get(word, word) for word in command.split()))
        assert (code, output, errors) == (2, "", "refquant: error: an empty name names no file\n")
        assert os.listdir(tmp_path) == ["in.mlmodel"]
        assert Path(model).read_bytes() == before

    def test_names_that_look_like_options(
        self, run: Any, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        os.rename(model, "-dash.mlmodel")
        assert run("validate", "--", "-dash.mlmodel")[0] == 0
        assert run("quantize", "--nbits", "8", "--quiet", "--", "-dash.mlmodel", "o.mlmodel") == (0, "", "")
        assert run("dequantize", "--quiet", "--", "o.mlmodel", "--json") == (0, "", "")
        assert sorted(os.listdir()) == ["--json", "-dash.mlmodel", "o.mlmodel"]
        assert run("inspect", "--json", "--", "--json")[0] == 0
        assert run("validate", "-dash.mlmodel")[0] == 2
        assert shell("validate", "--", "-", input=Path("o.mlmodel").read_bytes()).returncode == 0

    def test_no_command(self, run: Any) -> None:
        code, _, errors = run()
        assert code == 2
        assert "COMMAND" in errors


class TestBadInput:
    """Exit code 1, one line that names the file and the fault, and nothing written."""

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "it is empty"),
            (sample.model_bytes()[:5000], "cut short"),
            (b"\x89HDF\r\n\x1a\n", "HDF5"),
            (b"not a protobuf at all", "is not a Core ML model: "),
            (described("mlProgram").SerializeToString(), "coremltools.optimize"),
            (described("treeEnsembleClassifier").SerializeToString(), "tree ensemble"),
        ],
    )
    @pytest.mark.parametrize("command", ["quantize", "dequantize", "inspect"])
    def test_content(
        self, command: str, content: bytes, message: str, run: Any, tmp_path: Path, out: str
    ) -> None:
        path = tmp_path / "bad.mlmodel"
        path.write_bytes(content)
        more = {"quantize": [out, "--nbits", "8"], "dequantize": [out], "inspect": []}[command]
        code, output, errors = run(command, str(path), *more)
        assert (code, output) == (1, "")
        assert message in errors
        assert errors.count("\n") == 1
        assert os.listdir(tmp_path) == ["bad.mlmodel"]

    def test_paths(self, run: Any, model: str, out: str, tmp_path: Path) -> None:
        for arguments, message in (
            ((str(tmp_path / "nothing"), out), "No such file"),
            ((str(tmp_path), out), "folder without Manifest.json"),
            ((model, str(tmp_path / "no" / "out.mlmodel")), "no folder"),
            ((model, model), "exists already; --force overwrites it"),
        ):
            code, _, errors = run("quantize", *arguments, "--nbits", "8")
            assert code == 1
            assert message in errors
        assert not os.path.exists(out)

    def test_force_over_the_input(self, run: Any, model: str) -> None:
        expected = refquant.quantize_weights(load(model), 8)
        assert run("quantize", model, model, "--nbits", "8", "--force", "--quiet")[0] == 0
        assert load(model) == expected

    @pytest.mark.parametrize(
        ("fault", "nbits", "message"),
        [
            ("updatable", "16", "an updatable model cannot be stored in half precision"),
            ("nan", "8", "layer 'layer_0' (convolution), tensor weights[1]: "),
            ("short", "8", "layer 'layer_0' (convolution), tensor weights: 1 values do not fill shape"),
            ("kernel", "8", "layer 'layer_0' (convolution)"),
        ],
    )
    def test_faults_within(
        self, fault: str, nbits: str, message: str, run: Any, tmp_path: Path, out: str
    ) -> None:
        damaged = network(ROWS["convolution"])
        convolution = damaged.neuralNetwork.layers[0].convolution
        if fault == "updatable":
            damaged.isUpdatable = True
        elif fault == "kernel":
            del convolution.kernelSize[:]
        else:
            values = tensor.float32_weights(convolution.weights)
            values[1] = math.nan
            tensor.store_float32(convolution.weights, values[:1] if fault == "short" else values)
        path = tmp_path / "bad.mlmodel"
        save(damaged, path)
        before = path.read_bytes()
        code, output, errors = run("quantize", str(path), out, "--nbits", nbits)
        assert (code, output) == (1, "")
        assert errors.startswith(f"refquant: error: {message}")
        assert errors.count("\n") == 1
        assert os.listdir(tmp_path) == ["bad.mlmodel"]
        assert path.read_bytes() == before

    def test_folder_that_cannot_be(self, run: Any, model: str) -> None:
        code, _, errors = run("demo", "--output", f"{model}/models")
        assert code == 1
        assert errors == f"refquant: error: cannot write {model}/models: Not a directory\n"

    def test_streams_that_cannot_be(self, run: Any, out: str, monkeypatch: pytest.MonkeyPatch) -> None:
        class Broken(io.RawIOBase):
            def readable(self) -> bool:
                return True

            def readinto(self, buffer: object) -> int:
                raise OSError(5, "Input/output error")

        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Broken())))
        assert run("inspect", "-")[::2] == (1, "refquant: error: cannot read stdin: Input/output error\n")
        monkeypatch.setattr(sys, "stdin", None)
        assert run("inspect", "-")[::2] == (1, "refquant: error: stdin is closed\n")

    @pytest.mark.skipif(os.name != "posix", reason="closes streams as a shell does")
    def test_closed_output_and_errors(self, model: str, out: str) -> None:
        """What goes to a closed stderr is lost; what goes to a closed stdout cannot be written."""

        def closed(how: str, *arguments: str) -> tuple[int, bytes, bytes]:
            command = ["sh", "-c", f'exec "$@" {how}', "sh", sys.executable, "-m", "refquant", *arguments]
            done = subprocess.run(command, capture_output=True, check=False)
            return done.returncode, done.stdout, done.stderr

        assert closed("2>&-", "quantize", model, out, "--nbits", "8") == (0, b"", b"")
        expected = refquant.quantize_weights(load(model), 8)
        assert load(out) == expected
        code, output, errors = closed(">&-", "quantize", model, out, "--nbits", "8", "--force", "--quiet")
        assert (code, output, errors, load(out)) == (0, b"", b"", expected)
        for arguments in (("inspect", model), ("validate", model), ("conformance", "list")):
            code, output, errors = closed(">&-", *arguments)
            assert (code, output) == (1, b"")
            assert errors.startswith(b"refquant: error: cannot write the output: ")
        assert closed(">&-", "quantize", model, "-", "--nbits", "8")[1:] == (
            b"",
            b"refquant: error: stdout is closed\n",
        )
        assert closed(">&- 2>&-", "inspect", model) == (1, b"", b"")

    def test_a_kernel_that_is_wrong(self, run: Any, tmp_path: Path, out: str) -> None:
        """Where no option asks for the size of a kernel, one that is wrong is in nobody's way."""

        path = tmp_path / "kernel.mlmodel"
        made = refquant.quantize_weights(network(lambda net: void(net.convolution(2, 2))), 16)
        made.neuralNetwork.layers[0].convolution.kernelSize.append(1)
        Net(made.neuralNetwork.layers, 1).inner_product(name="fc")
        save(made, path)
        code, _, errors = run("quantize", str(path), out, "--nbits", "8", "--quiet")
        assert code == 0
        assert "kernelSize" in errors
        assert "not right before" in errors
        code, _, errors = run("quantize", str(path), out, "--nbits", "8", "--min-conv-weight-count", "1")
        assert code == 1
        assert run("compare", "-", "-")[0] == 2

    def test_no_model_on_a_screen(self, run: Any, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        code, output, errors = run("quantize", model, "-", "--nbits", "8")
        assert (code, output) == (2, "")
        assert "redirect the output" in errors

    def test_no_weights(self, run: Any, tmp_path: Path, out: str) -> None:
        path = str(tmp_path / "relu.mlmodel")
        save(network(lambda net: [net.relu()].clear()), path)
        code, _, errors = run("quantize", path, out, "--nbits", "8", "--quiet")
        assert code == 0
        assert errors.startswith("refquant: warning: the model has no float32 weights")

    def test_debug_shows_the_traceback(self, run: Any, model: str, out: str, tmp_path: Path) -> None:
        for code, arguments in (
            (1, ["inspect", str(tmp_path / "nothing")]),
            (2, ["quantize", model, out, "--nbits", "9"]),
        ):
            found, _, errors = run(*arguments, "--debug")
            assert found == code
            assert errors.startswith("Traceback")
            assert errors.splitlines()[-1].startswith("refquant: error: ")

    def test_too_little_memory(self, run: Any, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any) -> None:
            raise MemoryError

        monkeypatch.setattr(commands, "inspect_weights", fail)
        assert run("inspect", model) == (1, "", "refquant: error: not enough memory\n")

    def test_interrupted(self, run: Any, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*_: Any) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(commands, "inspect_weights", interrupt)
        assert run("inspect", model) == (130, "", "")


class TestInspect:
    def test_table(self, run: Any, model: str) -> None:
        code, output, _ = run("inspect", model)
        lines = output.splitlines()
        assert code == 0
        assert lines[0].split() == [
            "layer",
            "type",
            "tensor",
            "shape",
            "format",
            "bits",
            "scales/entries",
            "bytes",
        ]
        assert lines[1].split() == ["fc", "innerProduct", "weights", "2x2", "float32", "32", "16"]
        assert lines[2].split() == ["fc", "innerProduct", "bias", "2", "float32", "32", "8"]
        assert lines[4] == "2 tensors, 6 weights in 24 bytes"

    def test_totals(self, run: Any, tmp_path: Path, out: str) -> None:
        # 100 codes of 4 bits in 50 bytes, a scale and a bias of 4 bytes each; float32 takes 400.
        path = str(tmp_path / "row.mlmodel")
        save(inner_product([float(n) for n in range(100)]), path)
        run("quantize", path, out, "--nbits", "4")
        total = "1 tensor, 100 weights in 58 bytes, 6.90 times smaller than in float32"
        assert run("inspect", out)[1].splitlines()[-1] == total

    def test_lut_and_uncovered(self, run: Any, tmp_path: Path) -> None:
        path = str(tmp_path / "custom.mlmodel")
        save(refquant.quantize_weights(network(ROWS["custom"]), 2, "kmeans"), path)
        output = run("inspect", path)[1]
        assert output.splitlines()[2].split()[-4:] == ["lut", "2", "4", "25"]
        assert "weights[0] *" in output
        assert output.endswith("* quantization leaves this tensor alone\n")

    def test_json(self, run: Any, model: str) -> None:
        found = json.loads(run("inspect", model, "--json")[1])
        assert found["tensors"][0]["shape"] == [2, 2]
        assert (found["weights"], found["bytes"]) == (6, 24)

    def test_nothing(self, run: Any, tmp_path: Path) -> None:
        path = str(tmp_path / "relu.mlmodel")
        save(network(lambda net: [net.relu()].clear()), path)
        assert run("inspect", path)[1].endswith("0 tensors, 0 weights in 0 bytes\n")

    def test_names_that_are_no_names(self, run: Any, tmp_path: Path) -> None:
        path = str(tmp_path / "odd.mlmodel")
        odd = inner_product([1.0])
        odd.neuralNetwork.layers[0].name = "two\nlines\x1b[31m"
        save(odd, path)
        lines = run("inspect", path)[1].splitlines()
        assert lines[1].startswith("two\\nlines\\x1b[31m  innerProduct  weights")
        assert len(lines) == 4


class TestCompare:
    def test_table(self, run: Any, model: str, out: str) -> None:
        run("quantize", model, out, "--nbits", "8")
        code, output, _ = run("compare", model, out)
        lines = output.splitlines()
        assert code == 0
        assert lines[0].split() == [
            "layer",
            "tensor",
            "weights",
            "max",
            "error",
            "mean",
            "error",
            "SNR",
            "dB",
        ]
        assert lines[1].split() == ["fc", "weights", "4", "0", "0", "inf"]

    def test_fused_and_json(self, run: Any, tmp_path: Path, out: str) -> None:
        path = str(tmp_path / "chain.mlmodel")
        save(network(ROWS["conv_scale"]), path)
        run("quantize", path, out, "--nbits", "8")
        output = run("compare", path, out)[1]
        assert output.splitlines()[1].split()[:3] == ["layer_0", "weights", "*"]
        assert "* fused" in output
        assert "only in A, or of another shape:\n  layer_1: scale, bias\n" in output
        assert "only in B, or of another shape:\n  layer_0: bias\n" in output
        found = json.loads(run("compare", path, path, "--json")[1])
        assert found["tensors"][0]["snr"] is None
        assert found["tensors"][0]["max_error"] == 0

    def test_nan_is_null(self, run: Any, tmp_path: Path) -> None:
        path = str(tmp_path / "nan.mlmodel")
        save(inner_product([1.0, math.nan]), path)
        assert "nan" in run("compare", path, path)[1]
        assert json.loads(run("compare", path, path, "--json")[1])["tensors"][0]["max_error"] is None


class TestDemo:
    def test_table_and_models(self, run: Any, tmp_path: Path) -> None:
        code, output, errors = run("demo", "--output", str(tmp_path / "models"))
        assert (code, errors) == (0, "")
        rows = [line.replace("half precision", "half_precision").split() for line in output.splitlines()]
        assert rows[1] == ["float32", "32", "121,441", "1.00", "0", "0", "inf"]
        assert [row[0] for row in rows[2:16]].count("linear") == 5
        assert len(rows) == 18
        for row in rows[2:16]:
            name, nbits, size = row[0], row[1], row[2]
            made = tmp_path / "models" / f"digits_{name}_{nbits}.mlmodel"
            assert f"{made.stat().st_size:,}" == size

    def test_nothing_is_overwritten(self, run: Any, tmp_path: Path) -> None:
        mine = tmp_path / "digits_linear_8.mlmodel"
        mine.touch()
        code, output, errors = run("demo", "--output", str(tmp_path))
        assert (code, output) == (1, "")
        assert errors == f"refquant: error: {mine} exists already; --force overwrites it\n"
        assert os.listdir(tmp_path) == [mine.name]
        assert run("demo", "--output", str(tmp_path), "--force")[::2] == (0, "")
        assert mine.stat().st_size > 0

    def test_every_mode_is_explained(self) -> None:
        assert set(cli.MODES) == set(MODES.values())

    def test_help_and_version(self, run: Any) -> None:
        assert run("--version") == (0, f"refquant {refquant.__version__}\n", "")
        for command in ([], *([name] for name in cli.COMMANDS)):
            code, output, _ = run(*command, "--help")
            assert code == 0
            assert max(map(len, output.splitlines())) <= 80


class TestLongNames:
    """A name as long as the file, of a layer with many tensors, is not shown whole with each of them."""

    LENGTH, TENSORS = 20_000, 500

    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        return self.saved(tmp_path, rawValue=b"x")

    def saved(self, folder: Path, **more: bytes) -> str:
        """Make the model; with more in its tensors, each of them has a fault."""
        made = network(ROWS["innerProduct"])
        layer = made.neuralNetwork.layers.add(name="\n" + "x" * (self.LENGTH - 2) + "y")
        layer.custom.className = "odd"
        for _ in range(self.TENSORS):
            layer.custom.weights.add(float16Value=b"xx", **more)
        path = folder / "long.mlmodel"
        save(made, path)
        return str(path)

    def test_tables(self, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        lengths = []

        def plain(text: str) -> str:
            lengths.append(len(text))
            return errors.plain(text)

        monkeypatch.setattr(terminal, "plain", plain)
        code, output, _ = run("inspect", self.saved(tmp_path))
        assert code == 0
        assert max(map(len, output.splitlines())) < errors.LONGEST_NAME + 100
        assert max(lengths) == errors.LONGEST_NAME

    @pytest.mark.parametrize("command", ["inspect", "validate"])
    def test_json(self, command: str, run: Any, path: str, tmp_path: Path) -> None:
        if command == "inspect":
            path = self.saved(tmp_path)
        _, output, _ = run(command, path, "--json")
        found = json.loads(output)
        last = (found["tensors"] if command == "inspect" else found["files"][0]["faults"])[-1]
        assert last["layer"] == errors.shorten("\n" + "x" * (self.LENGTH - 2) + "y", errors.LONGEST_NAME)
        assert len(output) < self.TENSORS * (errors.LONGEST_NAME + 400)

    def test_names_that_are_meant(self, run: Any, tmp_path: Path) -> None:
        """300 characters are exact, whatever they are."""
        name = "\u5c64\n" * 150
        made = inner_product([1.0])
        made.neuralNetwork.layers[0].name = name
        path = str(tmp_path / "name.mlmodel")
        save(made, path)
        for command in (["inspect", path], ["compare", path, path]):
            found = json.loads(run(*command, "--json")[1])
            assert [tensor["layer"] for tensor in found["tensors"]] == [name]

    def test_names_in_one_model_only(self, run: Any, path: str, model: str) -> None:
        made = inner_product([1.0])
        made.neuralNetwork.layers[0].name = "x" * self.LENGTH
        save(made, path)
        code, output, _ = run("compare", path, model)
        assert code == 0
        assert max(map(len, output.splitlines())) < errors.LONGEST_NAME + 20
        found = json.loads(run("compare", path, model, "--json")[1])
        assert found["only_in_first"] == [[errors.shorten("x" * self.LENGTH, errors.LONGEST_NAME), "weights"]]
        assert ["fc", "weights"] in found["only_in_second"]


class TestNamesFromAModel:
    """A name cannot speak to the terminal, whatever is shown of the model."""

    NAME = "red\x1b[31m\x07\u202e\nfc"

    @pytest.fixture
    def paths(self, tmp_path: Path) -> dict[str, str]:
        paths = {}
        for name, weights in {"GOOD": [1.0, 2.0, 4.0], "BAD": [1.0, math.nan, 4.0]}.items():
            made = inner_product(weights, [1.0])
            made.neuralNetwork.layers[0].name = self.NAME
            paths[name] = str(tmp_path / f"{name}.mlmodel")
            save(made, paths[name])
        paths["FOLDER"] = str(tmp_path / "folder")
        return {**paths, "SAMPLE": str(sample.model_path()), "OUT": str(tmp_path / "out.mlmodel")}

    @pytest.mark.parametrize(
        "command",
        [
            "inspect GOOD",
            "inspect GOOD --json",
            "validate BAD",
            "validate BAD --json",
            "compare GOOD SAMPLE",
            "compare GOOD GOOD --json",
            "quantize GOOD OUT --nbits 8 --verbose",
            "quantize GOOD OUT --nbits 2 --mode kmeans_lut --certify --timings",
            "quantize BAD OUT --nbits 8",
            "quantize BAD OUT --nbits 8 --debug",
            "quantize BAD SAMPLE FOLDER --nbits 8 --debug --quiet",
        ],
    )
    def test_shown_in_plain_characters(self, run: Any, paths: dict[str, str], command: str) -> None:
        _, out, errors = run(*(paths.get(word, word) for word in command.split()))
        shown = out + errors
        assert "red\\x1b[31m\\x07\\u202e\\nfc" in shown.replace("\\u001b", "\\x1b").replace(
            "\\u0007", "\\x07"
        )
        assert all(c.isprintable() or c == "\n" for c in shown)

    def test_in_the_texts_of_errors_and_warnings(self, paths: dict[str, str]) -> None:
        """Whoever prints them is as safe; the name itself is data of the error."""
        where = "layer 'red\\x1b[31m\\x07\\u202e\\nfc' (innerProduct), tensor weights"
        with pytest.raises(refquant.NonFiniteError) as caught:
            refquant.quantize_weights(paths["BAD"], 8)
        assert str(caught.value).startswith(f"{where}[1]: ")
        assert caught.value.layer == self.NAME
        (fault,) = refquant.validate_model(paths["BAD"])
        assert str(fault).startswith(f"{where}[1]: ")
        assert fault.layer == self.NAME
        with pytest.warns(refquant.RefquantWarning) as told:
            errors.warn("look", self.NAME, "innerProduct", "weights")
        assert str(told[0].message) == f"{where}: look"

    def test_no_line_of_its_own_in_a_traceback(self, capsys: pytest.CaptureFixture[str]) -> None:
        try:
            try:
                raise ValueError("cause\nrefquant: fake line")
            except ValueError as error:
                raise OSError("evil\n  File fake\nrefquant: fake line") from error
        except OSError:
            terminal.say_why()
        lines = capsys.readouterr().err.splitlines()
        assert "ValueError: cause\\nrefquant: fake line" in lines
        assert lines[-1] == "OSError: evil\\n  File fake\\nrefquant: fake line"
        assert "The above exception was the direct cause of the following exception:" in lines
        assert [line for line in lines if line.startswith("refquant")] == []


class TestAsAProgram:
    def test_streams(self) -> None:
        done = shell("quantize", "-", "-", "--nbits", "8", "--quiet", input=sample.model_bytes())
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout == refquant.quantize_weights(sample.model_bytes(), 8)

    @pytest.mark.parametrize("method", ["default", "spawn"])
    @pytest.mark.parametrize("jobs", ["1", "2"])
    def test_what_is_printed_beside_a_model(self, jobs: str, method: str, tmp_path: Path) -> None:
        """It goes to stderr: when the function is found, when it works, by whatever way."""
        (tmp_path / "loud.py").write_text(
            "import os\n"
            "print('imported')\n"
            "def f(nbits, weights):\n"
            "    print('works')\n"
            "    os.write(1, b'works\\n')\n"
            "    return [float(n) for n in range(1 << nbits)], [0] * len(weights)\n"
        )
        start = "" if method == "default" else "multiprocessing.set_start_method('spawn')"
        program = f"import multiprocessing\nif __name__ == '__main__':\n    {start or 'pass'}\n"
        program += "    from refquant.cli import main\n    raise SystemExit(main())\n"
        (tmp_path / "program.py").write_text(program)
        arguments = ["quantize", str(sample.model_path()), "-", "--nbits", "2", "--quiet", "--jobs", jobs]
        arguments += ["--mode", "custom_lut", "--lut-function", "loud:f"]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", str(tmp_path / "program.py"), *arguments],
            capture_output=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])},
        )
        assert done.returncode == 0, done.stderr
        assert refquant.validate_model(done.stdout) == []
        said = done.stderr.replace(b"imported", b"").replace(b"works", b"")  # two processes may share a line
        assert (b"imported" in done.stderr, b"works" in done.stderr, said.strip()) == (True, True, b"")

    @pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="no path for what is open")
    @pytest.mark.parametrize("target", ["/dev/stdout | cat > {out}", ">(cat > {out}); wait $!"])
    def test_pipes_of_a_shell(self, target: str, model: str, out: str) -> None:
        command = f"{sys.executable} -m refquant quantize {model} --nbits 8 --quiet --force"
        program = f"{command} {target.format(out=out)}"
        done = subprocess.run(["bash", "-c", program], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert load(out) == refquant.quantize_weights(load(model), 8)

    def test_nobody_reads(self) -> None:
        program = f"{sys.executable} -m refquant inspect {sample.model_path()} --json | head -c 1"
        done = subprocess.run(["bash", "-c", program], capture_output=True, check=False)
        assert (done.stdout, done.stderr) == (b"{", b"")

    def test_nobody_reads_what_is_longer_than_a_pipe(self) -> None:
        program = f"{sys.executable} -m refquant conformance list --family '*' | head -c 1"
        done = subprocess.run(["bash", "-c", program], capture_output=True, check=False)
        assert (len(done.stdout), done.stderr) == (1, b"")

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
    @pytest.mark.parametrize("arguments", [["inspect"], ["quantize", "--nbits", "8", "--quiet"]])
    def test_full_disk(self, arguments: list[str]) -> None:
        paths = [str(sample.model_path()), "-"][: 1 + (arguments[0] == "quantize")]
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "refquant", *arguments, *paths],
                stdout=full,
                stderr=subprocess.PIPE,
                check=False,
            )
        assert done.returncode == 1
        assert done.stderr == b"refquant: error: cannot write the output: No space left on device\n"

    @pytest.mark.skipif(os.name != "posix", reason="pipes as a shell makes them")
    @pytest.mark.parametrize("options", ["", "--verbose", "--timings", "--jobs 2"])
    @pytest.mark.parametrize("errors", ["2>/dev/full", "2>&1 >/dev/null | head -c 1", "2>&1 | true"])
    def test_nobody_reads_the_errors(self, errors: str, options: str, models: list[str], out: str) -> None:
        """What cannot be said is lost, and nothing else."""
        if "full" in errors and not os.path.exists("/dev/full"):
            pytest.skip("no device that is always full")
        command = f"{sys.executable} -m refquant quantize {models[2]} {out} --nbits 8 {options} {errors}"
        program = f"{command}; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", program], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert refquant.validate_model(out) == []

    def test_plain_output(self, tmp_path: Path) -> None:
        path = tmp_path / "層.mlmodel"
        foreign = inner_product([1.0])
        foreign.neuralNetwork.layers[0].name = "層"
        save(foreign, path)
        done = shell("inspect", str(path), env={**os.environ, "PYTHONIOENCODING": "ascii"})
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"\\u5c64" in done.stdout

    def test_error(self) -> None:
        done = shell("inspect", "/nowhere/nothing.mlmodel", text=True)
        assert (done.returncode, done.stdout) == (1, "")
        assert (
            done.stderr
            == "refquant: error: cannot read /nowhere/nothing.mlmodel: No such file or directory\n"
        )


class TestTerminal:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    def test_progress_bar(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        class Bar:
            """Stands in for tqdm's."""

            def __init__(self, **options: Any) -> None:
                self.n, self.total, self.seen = 0, 0, list[str]()

            def __enter__(self) -> Bar:
                return self

            def __exit__(self, *_: object) -> None:
                assert (self.seen, self.n, self.total) == (["a", "b"], 7, 7)

            def set_description(self, text: str, refresh: bool) -> None:
                assert not refresh  # a redraw that would not wait until the work proves long
                self.seen.append(text)

            def update(self, more: int) -> None:
                self.n += more

        monkeypatch.setitem(sys.modules, "tqdm", type(sys)("tqdm"))
        monkeypatch.setattr(sys.modules["tqdm"], "tqdm", Bar, raising=False)
        monkeypatch.setattr(sys, "stderr", self.Screen())
        with terminal.progress_bar(quiet=False) as moved:
            assert moved is not None
            moved(refquant.Progress("a", "gru", 3, 7))
            moved(refquant.Progress("b", "gru", 7, 7))
        with terminal.progress_bar(quiet=True) as none:
            assert none is None
        monkeypatch.setitem(sys.modules, "tqdm", None)
        with terminal.progress_bar(quiet=False) as none:
            assert none is None

    def test_long_names(self) -> None:
        assert errors.shorten("x" * 36, 36) == "x" * 36
        assert errors.shorten("a" * 30 + "b" * 30, 35) == "a" * 17 + "…" + "b" * 17
        assert errors.shorten("abcdef", 4) == "ab…f"

    def test_a_table_fits_the_screen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        columns = {"layer": terminal.NAME, "type": terminal.WORD, "bytes": terminal.NUMBER}
        rows = [["a" * 20 + "b" * 20, "gru", "7"], ["c", "gru", "1,234"]]

        def table(screen: io.StringIO, room: int) -> list[str]:
            monkeypatch.setenv("COLUMNS", str(room))
            monkeypatch.setattr(sys, "stdout", screen)
            terminal.print_table(columns, rows)
            return screen.getvalue().splitlines()

        assert table(self.Screen(), 30) == [
            "layer              type  bytes",
            "aaaaaaaa…bbbbbbbb  gru       7",
            "c                  gru   1,234",
        ]
        assert max(map(len, table(self.Screen(), 10))) == terminal.LEAST_NAME + 13  # no narrower
        assert max(map(len, table(io.StringIO(), 30))) == 53  # in a file, names are whole
        rows[0][0] = "x" * 10_000  # unless there is no end to them
        assert max(map(len, table(io.StringIO(), 30))) == errors.LONGEST_NAME + 13

    def test_a_line_beside_a_bar(self, monkeypatch: pytest.MonkeyPatch) -> None:
        written: list[str] = []

        class Bar:
            @staticmethod
            def write(text: str, file: Any) -> None:
                written.append(text)

        monkeypatch.setitem(sys.modules, "tqdm", type(sys)("tqdm"))
        monkeypatch.setattr(sys.modules["tqdm"], "tqdm", Bar, raising=False)
        monkeypatch.setattr(sys, "stderr", self.Screen())
        terminal.say("warning: ours")
        assert written == ["refquant: warning: ours"]

    def test_other_warnings_look_as_ever(self, capsys: pytest.CaptureFixture[str]) -> None:
        import warnings

        with terminal.warnings_as_lines():
            warnings.simplefilter("always")
            warnings.warn("ours", refquant.RefquantWarning, stacklevel=1)
            show = warnings.showwarning
        with pytest.warns(UserWarning, match="old"):
            show(UserWarning("old"), UserWarning, "file.py", 3)
        assert capsys.readouterr().err == "refquant: warning: ours\n"
