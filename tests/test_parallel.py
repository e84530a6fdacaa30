"""Work spread over processes and executors: the results are those of one process, whatever happens.

A cluster is in tests/parity/test_dask.py, the option --jobs in tests/test_cli.py.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import reprlib
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import refquant
from refquant import crew, parallel
from refquant.model import tensor
from refquant.schema.coreml import Model
from tests.luts import ChoosyError, dies, ends, is_choosy, is_killed, raises, refuses
from tests.networks import BATCHNORMS, ROWS, Net, described, inner_product, network, pipeline
from tests.quantized import ALL_SETTINGS, quiet
from tests.waiting import start

#: A test may run beside threads, as those of pytest-xdist; newer versions of Python warn of forking then.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

#: The ways to start processes that differ for us: by copying this one, and anew.
METHODS = [method for method in multiprocessing.get_all_start_methods() if method != "forkserver"]

#: Every mode, and a few numbers of bits.
SETTINGS = [setting for setting in ALL_SETTINGS if setting[0] in (1, 6, 16) or "symmetric" in setting[1]]

on_posix = pytest.mark.skipif(os.name != "posix", reason="signals and process groups")


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> Iterator[str]:
    """Start processes in each way that the platform has."""
    multiprocessing.set_start_method(request.param, force=True)
    yield request.param
    multiprocessing.set_start_method(None, force=True)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send every tensor by itself, so that small models keep several processes busy."""
    monkeypatch.setattr(parallel, "BATCH", 1)


def mixed() -> Model:
    """A pipeline of networks with every kind of layer, one of them with a range that collapses."""
    tiny = inner_product([0.0, 1e-5, 0.0, 1.0], [1.0, 1.0], name="tiny")
    nets = [network({**ROWS, **BATCHNORMS}[name], 3) for name in ("convolution", "gru", "loop", "conv_bn")]
    return pipeline(nets[0], tiny, *nets[1:], inner_product([-1e-5, 1e-5], name="tinier"))


def outcome(model: Any, *settings: Any, **more: Any) -> tuple[Any, list[str]]:
    """Quantize; give the bytes or the error, and the warnings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        try:
            made: Any = refquant.quantize_weights(model, *settings, **more).SerializeToString()
        except refquant.RefquantError as error:
            made = type(error), str(error), vars(error), type(error.__cause__)
    return made, [str(warning.message) for warning in seen]


class AtOnce(Executor):
    """Does what it is given at once, in this process; `given` counts."""

    def __init__(self) -> None:
        self.given = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.given += 1
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class TestSameResults:
    """Results, warnings and errors do not depend on jobs, nor on the executor."""

    def test_every_mode(self) -> None:
        model = mixed()
        with ThreadPoolExecutor(3) as executor:
            for settings in SETTINGS:
                expected = outcome(model, *settings, lut_function=ends)
                assert outcome(model, *settings, lut_function=ends, executor=executor) == expected
        assert expected[1] == []
        assert len(outcome(model, 8)[1]) == 2

    def test_processes(self, method: str) -> None:
        model = mixed()
        for settings in ((4, "kmeans_lut"), (2, "custom_lut")):
            expected = outcome(model, *settings, lut_function=ends)
            assert outcome(model, *settings, lut_function=ends, jobs=2) == expected
        assert multiprocessing.active_children() == []

    @pytest.mark.parametrize("method", METHODS)
    def test_process_pool(self, method: str) -> None:
        if method == "spawn" and sys.implementation.name == "pypy":
            pytest.skip("a ProcessPoolExecutor that spawns starts nothing there")
        context = multiprocessing.get_context(method)
        model = mixed()
        with ProcessPoolExecutor(2, context) as executor:
            for settings in ((8, "linear"), (2, "custom_lut")):
                expected = outcome(model, *settings, lut_function=ends)
                assert outcome(model, *settings, lut_function=ends, executor=executor) == expected

    def test_dequantization_and_int8(self) -> None:
        halved, codes = quiet(mixed(), 16), quiet(mixed(), 5)
        matrix = inner_product([1.0, -2.0])
        matrix.neuralNetwork.arrayInputShapeMapping = 1  # type: ignore[assignment] # EXACT_ARRAY_MAPPING
        active = refquant.activate_int8_int8_matrix_multiplications(matrix)
        for jobs in (1, 2):
            assert refquant.activate_int8_int8_matrix_multiplications(matrix, jobs=jobs) == active
            for model in (halved, codes, active):
                assert refquant.dequantize_weights(model, jobs=jobs) == refquant.dequantize_weights(model)
        back = refquant.quantize_weights(codes, 8, "dequantization", executor=AtOnce())
        assert back == refquant.dequantize_weights(codes)

    def test_progress(self) -> None:
        """Progress is told in the parent, once for each layer; done grows up to total."""
        seen: list[refquant.Progress] = []
        quiet(mixed(), 8, jobs=2, progress=seen.append)
        alone: list[refquant.Progress] = []
        quiet(mixed(), 8, progress=alone.append)
        assert sorted(step[:2] for step in seen) == sorted(step[:2] for step in alone)
        assert [step.done for step in seen] == sorted({step.done for step in seen})
        assert seen[-1].done == seen[-1].total == alone[-1].total

    def test_half_overflow_is_a_matter_of_the_layer(self) -> None:
        """HALF-3: On request a writer MAY leave a whole layer in float32 when one of its tensors falls under
        HALF-2; it MUST then warn.
        """
        model = network(ROWS["gru"], 5)
        gru = model.neuralNetwork.layers[0].gru
        weights = tensor.float32_weights(gru.resetGateRecursionMatrix)
        weights[0] = 1e6
        tensor.store_float32(gru.resetGateRecursionMatrix, weights)
        model = pipeline(model, mixed())
        expected = outcome(model, 16, half_overflow="keep")
        assert ["resetGateRecursionMatrix[0]" in line for line in expected[1]] == [True]
        assert outcome(model, 16, half_overflow="keep", executor=AtOnce()) == expected
        assert outcome(model, 16, executor=AtOnce()) == outcome(model, 16)

    def test_first_error_of_the_model(self) -> None:
        """The great tensor is done before the small ones; still it is the first error that counts."""
        model = described()
        net = Net(model.neuralNetwork.layers, 1)
        for name, size in (("a", 2), ("b", 3), ("c", 100), ("d", 4)):
            net.inner_product(size, size, name=name)
        for layer in model.neuralNetwork.layers[1:3]:
            weights = tensor.float32_weights(layer.innerProduct.weights)
            weights[5] = math.nan
            tensor.store_float32(layer.innerProduct.weights, weights)
        net.convolution(name="e").convolution.kernelSize.pop()
        expected = outcome(model, 8)
        assert expected[0][1].startswith("layer 'b' (innerProduct), tensor weights[5]: ")
        for more in ({"jobs": 2}, {"executor": AtOnce()}):
            assert outcome(model, 8, **more) == expected

    def test_no_warnings_of_what_comes_after_an_error(self) -> None:
        model = pipeline(
            inner_product([-1e-5, 1e-5], name="before"),
            inner_product([1.0, math.inf], name="error"),
            inner_product([-1e-5, 1e-5] * 50, name="after"),
        )
        expected = outcome(model, 8)
        assert [line.split()[1] for line in expected[1]] == ["'before'"]
        assert outcome(model, 8, executor=AtOnce()) == expected


class Number(NamedTuple):
    """A source of work: its size, and whether loading it fails."""

    size: int
    fails: bool = False

    @property
    def where(self) -> dict[str, Any]:
        return {"layer": f"{self.size}", "layer_type": "gru", "tensor": "t"}

    def load(self) -> int:
        if self.fails:
            raise refquant.ShapeError(f"{self.size} has no shape")
        return self.size


def doubled(number: int) -> int:
    if number % 10 == 3:
        raise refquant.TensorError(f"{number} ends in 3")
    return 2 * number


class TestSpread:
    """Whatever fails, wherever it stands: what comes of a plain map comes of work that is spread."""

    def result(self, sources: list[Number], executor: Executor | None) -> tuple[list[Any], str]:
        found: list[Any] = []
        try:
            found.extend(parallel.spread(doubled, sources, 1, executor))
        except refquant.RefquantError as error:
            return found, str(error)
        return found, ""

    @given(st.lists(st.builds(Number, st.integers(0, 200_000), st.sampled_from([False] * 9 + [True]))))
    def test_law(self, sources: list[Number]) -> None:
        expected, message = self.result(sources, None)
        found, error = self.result(sources, AtOnce())
        assert error == message
        assert sorted(found)[: len(expected)] == expected
        assert message or len(found) == len(expected)

    def test_batches(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parallel, "BATCH", 1 << 16)
        sizes = [random.Random(n).randrange(100) for n in range(800)] + [1 << 20, 1 << 24]
        made = parallel.batches(sizes)
        assert sorted(number for batch in made for number in batch.numbers) == list(range(802))
        assert [batch.numbers for batch in made[:2]] == [[801], [800]]
        assert all(batch.numbers == sorted(batch.numbers) for batch in made)
        assert len(made) == 2 + 800 // 16
        assert parallel.batches([]) == []

    def test_little_work_stays_here(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parallel, "BATCH", 1 << 16)
        monkeypatch.setattr(multiprocessing, "get_context", None)
        model = inner_product([1.0, 2.0], [1.0])
        assert refquant.quantize_weights(model, 8, jobs=2) == refquant.quantize_weights(model, 8)

    def test_a_large_model_is_not_sent_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(crew, "AHEAD", 5000)
        with ThreadPoolExecutor(1) as executor:
            hired = crew.Hired(executor)
            sent = 0
            while hired.has_room():
                hired.send(crew.Batch([sent], 1000), doubled, 2)
                sent += 1
            assert sent == max(5, crew.AHEAD_EACH * (os.cpu_count() or 1))
            assert next(answer for _, answer in hired.receive()) == 4


class TestWorkersDie:
    """A worker that dies is an error with the tensors that it had, and no process is left."""

    def test_exit(self, method: str) -> None:
        model = inner_product([float(n) for n in range(9)], [1.0, 2.0, 3.0])
        with pytest.raises(refquant.WorkerError, match="exit code 3 at work on this tensor") as caught:
            refquant.quantize_weights(model, 8, "custom_lut", lut_function=dies, jobs=2)
        assert caught.value.layer == "fc"
        assert multiprocessing.active_children() == []

    @on_posix
    def test_signal_while_others_work(self) -> None:
        model = inner_product([float(n) for n in range(9)], [1.0, 2.0, 3.0])
        with pytest.raises(refquant.WorkerError, match="was ended by signal 9") as caught:
            refquant.quantize_weights(model, 8, "custom_lut", lut_function=is_killed, jobs=2)
        assert str(caught.value).startswith("layer 'fc' (innerProduct), tensor weights: a worker process")
        assert multiprocessing.active_children() == []

    def test_batch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parallel, "BATCH", parallel.ITEM * 8)
        model = pipeline(*(inner_product([1.0, 2.0], [3.0], name=name) for name in "abcdefgh"))
        with pytest.raises(refquant.WorkerError) as caught:
            refquant.quantize_weights(model, 8, "custom_lut", lut_function=dies, jobs=2)
        text = str(caught.value)
        # There are two batches, one of weights and one of biases: either may be the first to die.
        tensor = "weights" if "weights" in text else "bias"
        assert text.startswith(f"layer 'a' (innerProduct), tensor {tensor}: a worker process ended")
        assert f"tensor {tensor}; layer 'd' (innerProduct), tensor {tensor}; " in text
        assert text.endswith("; 2 more")

    def test_executor(self) -> None:
        model = inner_product([1.0, 2.0], [3.0])
        with ProcessPoolExecutor(1) as executor, pytest.raises(refquant.WorkerError) as caught:
            refquant.quantize_weights(model, 8, "custom_lut", lut_function=dies, executor=executor)
        assert ": the executor failed at work on this tensor" in str(caught.value)
        assert " (BrokenProcessPool: A " in str(caught.value)
        assert "tensor bias" in str(caught.value)
        assert caught.value.__cause__ is not None

    def test_executor_that_takes_nothing(self) -> None:
        executor = ThreadPoolExecutor(1)
        executor.shutdown()
        with pytest.raises(refquant.WorkerError) as caught:
            refquant.quantize_weights(inner_product([1.0]), 8, executor=executor)
        assert str(caught.value) == (
            "layer 'fc' (innerProduct), tensor weights: the executor did not take the work on this tensor "
            "(RuntimeError: cannot schedule new futures after shutdown)"
        )

    def test_executor_that_loses_work(self) -> None:
        class Careless(AtOnce):
            def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
                return super().submit(int, "no number")

        with pytest.raises(refquant.WorkerError, match=r"failed at work .* \(ValueError: inv") as caught:
            refquant.quantize_weights(inner_product([1.0]), 8, executor=Careless())
        assert isinstance(caught.value.__cause__, ValueError)

    def test_executor_that_takes_work_back(self) -> None:
        class Withdrawn(AtOnce):
            def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
                future: Future[Any] = Future()
                future.cancel()
                future.set_running_or_notify_cancel()
                return future

        with pytest.raises(refquant.WorkerError, match=r"at work on this tensor \(CancelledError\)$"):
            refquant.quantize_weights(inner_product([1.0]), 8, executor=Withdrawn())

    @pytest.mark.parametrize("given", [[], None, 5, [1.0], "junk" * 99, parallel.Outcomes(), [[]]])
    def test_executor_that_gives_anything(self, given: object) -> None:
        """Neither what is no result, nor nothing, is taken for the results."""

        class Inventive(AtOnce):
            def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
                return super().submit(lambda: given)

        with pytest.raises(
            refquant.WorkerError, match=r"the executor gave back .* for this tensor"
        ) as caught:
            refquant.quantize_weights(inner_product([1.0]), 8, executor=Inventive())
        assert f"gave back {reprlib.repr(given)} in place of results for" in str(caught.value)

    @pytest.mark.parametrize("outcomes", [(), (1.0,), (1.0, 2.0), (1.0, 2.0, 3.0, 4.0)])
    def test_executor_that_loses_some(self, outcomes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parallel, "BATCH", parallel.ITEM * 8)

        class Forgetful(AtOnce):
            def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
                return super().submit(parallel.Outcomes, outcomes)

        sources = [Number(2), Number(4), Number(6)]
        with pytest.raises(refquant.WorkerError, match="in place of results for this tensor, or another"):
            list(parallel.spread(doubled, sources, 1, Forgetful()))

    def test_executor_without_futures(self) -> None:
        class Hasty(AtOnce):
            def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
                return fn(*args, **kwargs)

        with pytest.raises(refquant.WorkerError, match="in place of a future of its own for this tensor"):
            refquant.quantize_weights(inner_product([1.0]), 8, executor=Hasty())

    def test_executor_with_one_future(self) -> None:
        class Thrifty(AtOnce):
            future: Future[Any] = Future()

            def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
                return self.future

        with pytest.raises(refquant.WorkerError, match="in place of a future of its own for this tensor"):
            quiet(mixed(), 8, executor=Thrifty())

    def test_no_process_to_be_had(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(self: Any) -> None:
            raise BlockingIOError(11, "Resource temporarily unavailable")

        monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", full)
        with pytest.raises(refquant.WorkerError, match=r"cannot start a worker process: .*unavailable"):
            quiet(mixed(), 8, jobs=2)

    def test_no_pipe_to_be_had(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def none_left(self: Any) -> None:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(type(multiprocessing.get_context()), "Pipe", none_left)
        with pytest.raises(refquant.WorkerError, match=r"cannot start a worker process: .*Too many open"):
            quiet(mixed(), 8, jobs=2)

    def test_callback_that_raises(self) -> None:
        with pytest.raises(ZeroDivisionError):
            quiet(mixed(), 8, jobs=2, progress=lambda progress: 1 / 0)
        assert multiprocessing.active_children() == []


class TestCustomFunctions:
    """A function goes to another process by its name; where it cannot, an error says so."""

    def test_errors_are_the_same(self) -> None:
        model = inner_product([1.0, 2.0], [3.0])
        for function in (refuses, partial(raises, "value")):
            expected = outcome(model, 1, "custom_lut", lut_function=function)
            assert outcome(model, 1, "custom_lut", lut_function=function, jobs=2) == expected

    def test_cause_that_does_not_travel(self) -> None:
        model = inner_product([1.0, 2.0], [3.0])
        with pytest.raises(refquant.LutFunctionError, match="raised OddError: 1 and 2") as caught:
            quantize_with(model, partial(raises, "odd"), jobs=2)
        assert caught.value.__cause__ is None

    def test_error_that_does_not_travel(self, method: str) -> None:
        """It comes as one of the nearest class of refquant's own, and says the same."""
        model = inner_product([1.0, 2.0], [3.0])
        made, seen = outcome(model, 1, "custom_lut", lut_function=is_choosy)
        assert made[0] is ChoosyError
        expected = (refquant.LutFunctionError, *made[1:]), seen
        assert outcome(model, 1, "custom_lut", lut_function=is_choosy, jobs=2) == expected
        with ProcessPoolExecutor(1, multiprocessing.get_context(METHODS[0])) as pool:
            assert outcome(model, 1, "custom_lut", lut_function=is_choosy, executor=pool) == expected

    def test_function_that_is_not_called(self) -> None:
        """It need not travel; for one that is called, see TestArguments."""
        model = inner_product([1.0, 2.0], [3.0])
        made = refquant.quantize_weights(model, 8, lut_function=lambda nbits, weights: None, jobs=2)
        assert made == refquant.quantize_weights(model, 8)

    def test_function_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        multiprocessing.set_start_method("spawn", force=True)
        module = ModuleType("only_here")
        exec("def function(nbits, weights): return [0.0, 1.0], [0] * len(weights)", module.__dict__)
        monkeypatch.setitem(sys.modules, "only_here", module)
        model = inner_product([1.0, 2.0], [3.0])
        try:
            with pytest.raises(refquant.ArgumentError, match=r"cannot load lut_function: .*'only_here'"):
                quantize_with(model, module.function, jobs=2)
        finally:
            multiprocessing.set_start_method(None, force=True)


def quantize_with(model: Model, function: Any, **more: Any) -> Any:
    return refquant.quantize_weights(model, 1, "custom_lut", lut_function=function, **more)


class TestArguments:
    @pytest.mark.parametrize("jobs", [0, -1, 2.0, True, "2", None])
    def test_jobs(self, jobs: Any) -> None:
        model = inner_product([1.0])
        for function in (
            partial(refquant.quantize_weights, model, 8),
            partial(refquant.dequantize_weights, model),
            partial(refquant.activate_int8_int8_matrix_multiplications, model),
        ):
            with pytest.raises(refquant.ArgumentError, match="jobs must be a whole number from 1"):
                function(jobs=jobs)

    @pytest.mark.parametrize("platform", ["emscripten", "wasi"])
    def test_jobs_where_there_are_no_processes(self, platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
        model = inner_product([1.0])
        monkeypatch.setattr(sys, "platform", platform)
        with pytest.raises(refquant.ArgumentError, match=f"jobs must be 1 on {platform}, which has no proc"):
            refquant.quantize_weights(model, 8, jobs=2)
        assert refquant.quantize_weights(model, 8, jobs=1) == refquant.quantize_weights(model, 8)

    def test_executor(self) -> None:
        with pytest.raises(refquant.ArgumentError, match=r"concurrent.futures.Executor, not str"):
            refquant.quantize_weights(inner_product([1.0]), 8, executor="dask")  # type: ignore[arg-type]
        with pytest.raises(refquant.ArgumentError, match="one or the other"):
            refquant.quantize_weights(inner_product([1.0]), 8, jobs=2, executor=AtOnce())

    def test_executor_is_given_the_work(self) -> None:
        matrix = inner_product([1.0, -2.0])
        matrix.neuralNetwork.arrayInputShapeMapping = 1  # type: ignore[assignment] # EXACT_ARRAY_MAPPING
        halved = refquant.quantize_weights(matrix, 16)
        executor = AtOnce()
        for number, function in enumerate(
            (
                partial(refquant.quantize_weights, matrix, 8),
                partial(refquant.quantize_weights, halved, 8, "dequantization"),
                partial(refquant.dequantize_weights, halved),
                partial(refquant.activate_int8_int8_matrix_multiplications, matrix),
            )
        ):
            assert function(executor=executor) == function()
            assert executor.given == number + 1

    def test_lut_function_without_a_name(self) -> None:
        """It cannot go to another process; a thread can call it."""
        model = inner_product([1.0, 2.0], [3.0])

        def function(nbits: int, weights: Any) -> Any:
            return ends(nbits, weights)

        with pytest.raises(refquant.ArgumentError, match="lut_function does not pickle"):
            quantize_with(model, function, jobs=2)
        with ProcessPoolExecutor(1) as executor, pytest.raises(refquant.ArgumentError, match="not pickle"):
            quantize_with(model, function, executor=executor)
        with ThreadPoolExecutor(1) as threads:
            made = quantize_with(model, function, executor=threads)
        assert made == quantize_with(model, ends)


PROGRAM = """
import multiprocessing, sys
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    from refquant.cli import main
    sys.exit(main(sys.argv[2:]))
"""


def group(leader: int) -> list[str]:
    """List the processes of a group that run still."""
    done = subprocess.run(["ps", "-A", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True)
    lines = (line.split(None, 2) for line in done.stdout.splitlines())
    return [args for pgid, state, args in lines if int(pgid) == leader and not state.startswith("Z")]


@on_posix
@pytest.mark.skipif(not shutil.which("ps"), reason="a list of processes")
class TestInterrupts:
    """Ctrl-C ends the command and all of its processes, without a word, and nothing is half-written."""

    def start(self, folder: Path, method: str) -> subprocess.Popen[str]:
        (folder / "program.py").write_text(PROGRAM)
        return start(folder, "--jobs", "2", processes=2, program=["program.py", method])

    def wait_for_silence(self, leader: int) -> None:
        deadline = time.monotonic() + 60
        while group(leader):
            assert time.monotonic() < deadline, group(leader)
            time.sleep(0.02)

    @pytest.mark.parametrize("method", METHODS)
    def test_at_work(self, method: str, tmp_path: Path) -> None:
        process = self.start(tmp_path, method)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to the parent and its children
        assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == 130
        self.wait_for_silence(process.pid)
        assert not list(tmp_path.glob("*out.mlmodel*"))

    def test_parent_that_is_killed(self, tmp_path: Path) -> None:
        """Workers end with their parent, even if it has no time to tell them."""
        process = self.start(tmp_path, METHODS[0])
        process.kill()
        process.communicate(timeout=60)
        self.wait_for_silence(process.pid)


class TestImports:
    def test_one_job_needs_no_processes(self) -> None:
        script = (
            "import sys, refquant; from refquant import sample, cli\n"
            "refquant.quantize_weights(sample.model_path(), 8)\n"
            "print({'multiprocessing', 'concurrent'} & set(sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("set()\n", "")
