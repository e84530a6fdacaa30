"""The commands that make a model of another: quantize, dequantize, activate-int8."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Callable

import refquant
from refquant import timing
from refquant.choices import NoLayerError, chosen_layers, named_function, warn_of_fused
from refquant.errors import counted
from refquant.model import disk
from refquant.model.disk import PACKAGE
from refquant.model.file import Given, MLModel, load
from refquant.steps import ProgressCallback, TensorCertificate
from refquant.terminal import (
    NAME,
    NUMBER,
    WORD,
    print_table,
    printing_to_stderr,
    progress_bar,
    say,
    say_why,
    warnings_as_lines,
)

#: Name that stands for standard input or standard output in place of a file.
STREAM = "-"

#: What makes one model of another, which is given away.
Conversion = Callable[[Given, "ProgressCallback | None"], MLModel]


def quantize(options: argparse.Namespace) -> int:
    """Store float32 weights in fewer bits."""
    if options.nbits is None and options.mode != "dequantization":
        raise refquant.ArgumentError("--nbits is needed: 16, or 1 to 8")
    with printing_to_stderr(options.output == STREAM):
        lut_function = named_function(options)
    certificates: list[TensorCertificate] = []

    def convert(model: Given, progress: ProgressCallback | None) -> MLModel:
        made: MLModel = refquant.quantize_weights(
            model,
            options.nbits,
            options.mode,
            selector=chosen_layers(options, model.model),
            lut_function=lut_function,
            fuse=not options.no_fuse,
            half_overflow=options.half_overflow,
            progress=progress,
            jobs=options.jobs,
            exact=options.exact,
            certify=certificates.append if options.certify else None,
        )
        warn_of_fused(options.skip_layer or [], model.model)
        return made

    return _convert(options, convert, report=lambda: _print_certificates(certificates))


def dequantize(options: argparse.Namespace) -> int:
    """Turn half-precision and quantized weights back into float32."""
    return _convert(
        options,
        lambda model, progress: refquant.dequantize_weights(model, progress=progress, jobs=options.jobs),
    )


def activate_int8(options: argparse.Namespace) -> int:
    """Make constant matrix products ready for int8 arithmetic (innerProduct and batchedMatmul layers)."""
    return _convert(
        options,
        lambda model, progress: refquant.activate_int8_int8_matrix_multiplications(
            model, progress=progress, jobs=options.jobs
        ),
    )


def _convert(
    options: argparse.Namespace, conversion: Conversion, report: Callable[[], None] = lambda: None
) -> int:
    """Convert one model, or many into a folder, with a report after each; give the exit code."""
    disk.check_names(*options.inputs, options.output)

    def convert(source: str, target: str) -> None:
        _convert_one(options, conversion, source, target)
        report()

    if not _into_folder(options):
        convert(options.inputs[0], options.output)
        return 0
    targets = _targets(options.inputs, options.output)
    done = [_tried(convert, *pair, debug=options.debug) for pair in zip(options.inputs, targets)]
    if len(done) > 1 and not all(done):
        say(f"{done.count(False)} of {len(done)} models failed")
    return int(not all(done))


def _tried(convert: Callable[[str, str], None], source: str, target: str, debug: bool) -> bool:
    """Convert one model of many; report its failure, unless it would be that of all, and answer False."""
    try:
        with warnings_as_lines(f"{source}: "):
            convert(source, target)
    except (refquant.RefquantError, MemoryError) as error:
        if isinstance(error, refquant.ArgumentError) and not isinstance(error, NoLayerError):
            raise refquant.ArgumentError(f"{source}: {error}") from error
        if debug:
            say_why()
        say_error(error, source)
        return False
    return True


def _into_folder(options: argparse.Namespace) -> bool:
    """Whether the output is a folder to put models into, and not a model or a stream."""
    if len(options.inputs) > 1:
        return True
    path = Path(options.output)
    is_folder = path.is_dir() or options.output.endswith(("/", os.sep))
    return options.output != STREAM and path.suffix != PACKAGE and is_folder


def _targets(inputs: list[str], folder: str) -> list[str]:
    """Name the output of each input in a folder. Raises ArgumentError where two would be one file."""
    if inputs == [STREAM]:
        raise refquant.ArgumentError(f"a model from stdin has no name to have in {folder}: name a file")
    if STREAM in (*inputs, folder):
        raise refquant.ArgumentError("- stands for one model alone: several go from files to a folder")
    path = Path(folder)
    named_so = path.suffix in (".mlmodel", PACKAGE)
    if named_so and len(inputs) == 1:
        raise refquant.ArgumentError(f"{folder} is a folder with the name of a model")
    if named_so or (path.exists() and not path.is_dir()):
        need = "several models need a folder to go to" if len(inputs) > 1 else "a folder is to be named"
        raise refquant.ArgumentError(
            f"{need}; {folder} {'has the name of a model' if named_so else 'is a file'}"
        )
    taken: dict[str, str] = {}
    for source in inputs:
        name = Path(os.path.abspath(source)).name
        if name in taken:
            raise refquant.ArgumentError(f"{taken[name]} and {source} would both become {path / name}")
        taken[name] = source
    return [str(path / name) for name in taken]


def _convert_one(options: argparse.Namespace, conversion: Conversion, source: str, target: str) -> None:
    """Read a model, convert it, write it, and say what that saved and where the time went."""
    check_output(target, options.force)
    started = perf_counter()
    with timing.recording(options.timings) as record:
        before = read_model(source)
        size = before.model.ByteSize()
        bar = progress_bar(options.quiet or options.verbose)
        with printing_to_stderr(target == STREAM), bar as progress:
            after = conversion(before, progress)
        with timing.phase("write"):
            data = bytes(after)
            if target == STREAM:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            else:
                if _into_folder(options):
                    Path(options.output).mkdir(parents=True, exist_ok=True)
                disk.write(target, data, overwrite=options.force)
    seconds = perf_counter() - started
    if not options.quiet:
        say(f"{Path(called(source)).name}: {_change(size, len(data))}")
    if record is not None:
        _print_timings(record, seconds, options.jobs)


def check_output(target: str, force: bool) -> None:
    """Refuse an output that cannot be meant, or written, before any work is done for it."""
    if target == STREAM and not sys.stdout.writable():
        raise refquant.FileError("stdout is closed")
    if target == STREAM and sys.stdout.isatty():
        raise refquant.ArgumentError("a model is no text for a terminal: redirect the output, or name a file")
    if target != STREAM and not force and os.path.exists(target):
        raise refquant.FileError(f"{target} exists already; --force overwrites it")


def _change(old: int, new: int) -> str:
    ratio = f"{max(old, new) / min(old, new):.2f}"
    how = f"{ratio} times {'smaller' if new < old else 'larger'}"
    if ratio == "1.00":
        how = "the same size" if new == old else "about the same size"
    return f"{counted(old, 'byte')} -> {counted(new, 'byte')} ({how})"


def _print_timings(record: timing.Record, seconds: float, jobs: int) -> None:
    """Print where the time went, on stderr; the times of processes side by side are added up."""
    times = record.summary()
    work = sum(time.seconds for time in times)
    if jobs == 1:
        times.append(timing.Time("other", seconds - work))
        work = seconds
    rows = [
        (
            time.phase,
            time.layer,
            time.layer_type,
            f"{time.seconds:.3f}",
            f"{100 * time.seconds / work:.1f}",
            f"{1e9 * time.seconds / time.weights:.0f}" if time.weights and time.seconds else "",
        )
        for time in times
    ]
    columns = {
        "phase": WORD,
        "layer": NAME,
        "type": WORD,
        "seconds": NUMBER,
        "%": NUMBER,
        "ns/weight": NUMBER,
    }
    print_table(columns, rows, sys.stderr)
    say(f"{seconds:.3f} seconds" + (f", and {work:.3f} of work by {jobs} jobs" if jobs > 1 else ""))


def _print_certificates(certificates: list[TensorCertificate]) -> None:
    """Print how near each k-means table is to the best, on stderr, and forget it."""
    rows = [
        (c.layer, c.tensor, f"{c.inertia:.6g}", f"{c.bound:.6g}", "0" if c.gap == 0 else f"{100 * c.gap:.2g}")
        for c in certificates
    ]
    if rows:
        columns = {"layer": NAME, "tensor": WORD, "inertia": NUMBER, "bound": NUMBER, "gap %": NUMBER}
        print_table(columns, rows, sys.stderr)
        say("bound: no table of as many entries has less inertia")
    certificates.clear()


def called(name: str) -> str:
    """Say what a model is read from."""
    return "stdin" if name == STREAM else name


def say_error(error: Exception, name: str) -> None:
    """Say what is wrong with one model of perhaps several, and with which."""
    text = reason(error)
    about = "" if called(name) in text else f"{called(name)}: "
    say(f"error: {about}{text}")


def reason(error: Exception) -> str:
    """Put an error into words."""
    return "not enough memory" if isinstance(error, MemoryError) else str(error)


def read_model(name: str) -> Given:
    """Read a model from a file or standard input. Raises FileError."""
    with timing.phase("read"):
        return Given(load(source(name)))


def source(name: str) -> str | bytes:
    """Give what a model is read from: the path, or the bytes of standard input."""
    disk.check_names(name)
    if name != STREAM:
        return name
    if sys.stdin is None:
        raise refquant.FileError("stdin is closed")
    return disk.read_stream(sys.stdin.buffer, "stdin")
