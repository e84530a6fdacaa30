"""The command `refquant`: the public functions, from a shell."""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import math
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Callable

import refquant
from refquant import sample
from refquant.model.file import MLModel, load, save
from refquant.model.walk import all_layers, networks
from refquant.quantize import HALF_OVERFLOW, MODES, ProgressCallback
from refquant.report import Comparison, TensorInfo, compare_weights, decibels, inspect_weights
from refquant.terminal import (
    log_as_lines,
    print_table,
    progress_bar,
    say,
    shorten,
    warnings_as_lines,
    write_line,
)

#: Name that stands for standard input or standard output in place of a file.
STREAM = "-"

#: Exit codes: bad input; bad usage, as argparse has it; and what shells use for an interrupted command.
BAD_INPUT, BAD_USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0, 1 for a bad input, 2 for bad usage."""
    options = _parser().parse_args(arguments)
    try:
        with warnings_as_lines(), log_as_lines(options.verbose):
            options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has seen enough; keep the interpreter from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return INTERRUPTED
    except refquant.RefquantError as error:
        if options.debug:
            raise
        say(f"error: {error}")
        return BAD_USAGE if isinstance(error, refquant.ArgumentError) else BAD_INPUT
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="refquant",
        description="Store the weights of a Core ML neural network in fewer bits.",
        epilog="`refquant COMMAND --help` explains a command. `refquant demo` shows them at work.",
    )
    parser.add_argument("--version", action="version", version=f"refquant {refquant.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (run, help_text, add_options) in COMMANDS.items():
        command = commands.add_parser(name, help=help_text, description=f"{run.__doc__}")
        command.set_defaults(run=run)
        add_options(command)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.add_argument("--verbose", action="store_true", help="say what is done, layer by layer")
    return parser


def _input_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("input", metavar="IN", help="model: an .mlmodel file, an .mlpackage, or - for stdin")


def _conversion_options(command: argparse.ArgumentParser) -> None:
    _input_options(command)
    command.add_argument("output", metavar="OUT", help="where to write the result, or - for stdout")
    command.add_argument("--force", action="store_true", help="overwrite OUT where it exists")
    command.add_argument("--quiet", action="store_true", help="no summary, no progress bar")


def _quantize_options(command: argparse.ArgumentParser) -> None:
    _conversion_options(command)
    command.add_argument(
        "--nbits", type=int, metavar="N", help="bits a weight: 16 (half precision) or 1 to 8"
    )
    modes = ", ".join(MODES)
    command.add_argument("--mode", default="linear", metavar="M", help=f"one of {modes} (default: linear)")
    choice = command.add_argument_group("which layers (default: all that have weights)")
    choice.add_argument(
        "--skip-layer-types",
        action="append",
        metavar="T[,T]",
        help="leave these types alone, such as batchnorm,bias,depthwiseConv",
    )
    choice.add_argument("--skip-layer", action="append", metavar="NAME", help="leave this layer alone")
    choice.add_argument(
        "--min-conv-kernel-channels",
        type=int,
        metavar="N",
        help="only convolutions with at least N kernel channels",
    )
    choice.add_argument(
        "--min-conv-weight-count", type=int, metavar="N", help="only convolutions with at least N weights"
    )
    command.add_argument(
        "--lut-function",
        metavar="MODULE:FUNCTION",
        help="for custom_lut: a function (nbits, weights) -> (table, codes), found from this folder",
    )
    command.add_argument(
        "--no-fuse", action="store_true", help="do not fuse batchnorm, scale and bias layers"
    )
    command.add_argument(
        "--half-overflow",
        choices=HALF_OVERFLOW,
        default="error",
        help="a weight too great for 16 bits: refuse the model, or keep its layer in float32",
    )


def _json_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _inspect_options(command: argparse.ArgumentParser) -> None:
    _input_options(command)
    _json_option(command)


def _compare_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("first", metavar="A", help="the model before, or - for stdin")
    command.add_argument("second", metavar="B", help="the model after")
    _json_option(command)


def _demo_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--output", type=Path, metavar="DIR", help="also write the models to this folder")


def _quantize(options: argparse.Namespace) -> None:
    """Store float32 weights in fewer bits: half precision, or 1 to 8 bits by one of the modes."""
    nbits = options.nbits
    if nbits is None:
        if options.mode != "dequantization":
            raise refquant.ArgumentError("--nbits is needed: 16, or 1 to 8")
        nbits = 16
    _convert(
        options,
        lambda model, progress: refquant.quantize_weights(
            model,
            nbits,
            options.mode,
            selector=_selector(options, model),
            lut_function=_lut_function(options.lut_function),
            fuse=not options.no_fuse,
            half_overflow=options.half_overflow,
            progress=progress,
        ),
    )


def _dequantize(options: argparse.Namespace) -> None:
    """Turn half-precision and quantized weights back into float32."""
    _convert(options, lambda model, progress: refquant.dequantize_weights(model, progress=progress))


def _activate_int8(options: argparse.Namespace) -> None:
    """Make constant matrix products ready for int8 arithmetic (innerProduct and batchedMatmul layers)."""
    _convert(options, lambda model, progress: refquant.activate_int8_int8_matrix_multiplications(model))


def _convert(
    options: argparse.Namespace, convert: Callable[[MLModel, ProgressCallback | None], MLModel]
) -> None:
    """Read a model, convert it, write it, and say what that saved."""
    _check_output(options)
    before = _read(options.input)
    with progress_bar(options.quiet) as progress:
        after = convert(before, progress)
    spec = after.get_spec()
    if options.output == STREAM:
        sys.stdout.buffer.write(spec.SerializeToString())
        sys.stdout.buffer.flush()
    else:
        save(spec, options.output, overwrite=options.force)
    if not options.quiet:
        old, new = before.get_spec().ByteSize(), spec.ByteSize()
        change = f"{old / new:.2f} times smaller" if new <= old else f"{new / old:.2f} times larger"
        say(f"{old:,} bytes -> {new:,} bytes: {change}")


def _check_output(options: argparse.Namespace) -> None:
    """Refuse an output that exists before any work is done for it."""
    if options.output != STREAM and not options.force and os.path.exists(options.output):
        raise refquant.FileError(f"{options.output} exists already; --force overwrites it")


def _inspect(options: argparse.Namespace) -> None:
    """List the weight tensors of a model: shape, format, bits, bytes."""
    found = inspect_weights(_read(options.input))
    if options.json:
        write_line(json.dumps({"tensors": [info._asdict() for info in found]}, indent=2))
        return
    header = ("layer", "type", "tensor", "shape", "format", "bits", "scales", "bytes")
    print_table(header, map(_inspect_row, found), left=5)
    weights, stored = sum(info.weights for info in found), sum(info.bytes for info in found)
    ratio = f", {4 * weights / stored:.2f} times less than in float32" if stored else ""
    write_line(f"\n{len(found)} tensors, {weights:,} weights in {stored:,} bytes{ratio}")
    if not all(info.covered for info in found):
        write_line("* quantization leaves this tensor alone")


def _inspect_row(info: TensorInfo) -> list[str]:
    shape = " x ".join(map(str, info.shape)) if info.covered else f"{info.weights}"
    entries = f"{info.entries:,}" if info.entries else ""
    if info.form == "lut":
        entries += " (table)"
    return [
        shorten(info.layer),
        info.layer_type,
        info.tensor + ("" if info.covered else " *"),
        shape,
        info.form,
        str(info.bits),
        entries,
        f"{info.bytes:,}",
    ]


def _compare(options: argparse.Namespace) -> None:
    """Compare the weights of two models, tensor by tensor: greatest error, mean error, SNR."""
    comparison = compare_weights(_read(options.first), _read(options.second))
    if options.json:
        write_line(json.dumps(_comparison_data(comparison), indent=2, allow_nan=False))
        return
    rows = (
        [
            shorten(t.layer),
            t.tensor,
            f"{t.weights:,}",
            f"{t.max_error:.3g}",
            f"{t.mean_error:.3g}",
            _db(t.snr),
        ]
        for t in comparison.tensors
    )
    print_table(("layer", "tensor", "weights", "max error", "mean error", "SNR dB"), rows, left=2)
    for model, names in (("A", comparison.only_in_first), ("B", comparison.only_in_second)):
        if names:
            write_line(f"\nonly in {model}: {', '.join(names)}")
    if comparison.only_in_first or comparison.only_in_second:
        write_line(
            "Fused layers are in one model only, and their weights are worked into the layer before them."
        )


def _comparison_data(comparison: Comparison) -> dict[str, Any]:
    """Give a comparison as JSON can hold it: null for an infinite ratio."""
    tensors = [{**t._asdict(), "snr": t.snr if math.isfinite(t.snr) else None} for t in comparison.tensors]
    return {**comparison._asdict(), "tensors": tensors}


def _demo(options: argparse.Namespace) -> None:
    """Quantize the embedded sample, a classifier of handwritten digits, in every mode."""
    original = sample.model_bytes()
    settings = [(16, "linear"), *((n, "linear") for n in (8, 6, 4, 2, 1)), (8, "linear_symmetric")]
    settings += [(n, mode) for mode in ("linear_lut", "kmeans_lut") for n in (8, 4, 2)]
    settings += [(2, "custom_lut")]
    rows = [["float32", "32", f"{len(original):,}", "1.00", "0", "0", "inf"]]
    for nbits, mode in settings:
        made = refquant.quantize_weights(original, nbits, mode, lut_function=_signs, fuse=False)
        name = "half precision" if nbits == 16 else mode
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
            save(load(made), options.output / f"digits_{name.replace(' ', '_')}_{nbits}.mlmodel")
        found = compare_weights(original, made).tensors
        weights = sum(t.weights for t in found)
        rows.append(
            [
                name,
                str(nbits),
                f"{len(made):,}",
                f"{len(original) / len(made):.2f}",
                f"{max(t.max_error for t in found):.2g}",
                f"{sum(t.mean_error * t.weights for t in found) / weights:.2g}",
                _db(decibels(sum(t.signal for t in found), sum(t.noise for t in found))),
            ]
        )
    print_table(("mode", "bits", "bytes", "ratio", "worst error", "mean error", "SNR dB"), rows, left=1)
    if options.output:
        write_line(f"\nThe models are in {options.output}.")


def _signs(nbits: int, weights: Sequence[float]) -> tuple[list[float], list[int]]:
    """Show what a custom table can be: zero, and as many even steps to either side as there is room for."""
    reach = (1 << nbits) // 2
    step = max(map(abs, weights)) / reach
    table = [step * (i - reach) for i in range(1 << nbits)]
    codes = [min(round(w / step) + reach, len(table) - 1) if step else reach for w in weights]
    return table, codes


#: Name -> what runs, a line of help, and what adds the options.
COMMANDS: dict[
    str, tuple[Callable[[argparse.Namespace], None], str, Callable[[argparse.ArgumentParser], None]]
] = {
    "quantize": (_quantize, "store weights in fewer bits", _quantize_options),
    "dequantize": (_dequantize, "turn weights back into float32", _conversion_options),
    "activate-int8": (_activate_int8, "prepare matrix products for int8", _conversion_options),
    "inspect": (_inspect, "list the weight tensors of a model", _inspect_options),
    "compare": (_compare, "compare the weights of two models", _compare_options),
    "demo": (_demo, "quantize the embedded sample in every mode", _demo_options),
}


class _NameSelector(refquant.QuantizedLayerSelector):
    """What another selector takes, less the layers of these names."""

    def __init__(self, inner: refquant.QuantizedLayerSelector, names: Iterable[str]) -> None:
        super().__init__()
        self.inner = inner
        self.names = set(names)

    def do_quantize(self, layer: Any, **kwargs: Any) -> bool:
        return layer.name not in self.names and self.inner.do_quantize(layer, **kwargs)


def _selector(options: argparse.Namespace, model: MLModel) -> refquant.QuantizedLayerSelector:
    """Make the selector that the options describe; only the limits that were given apply."""
    types = [name.strip() for given in options.skip_layer_types or [] for name in given.split(",")]
    limits = {
        "minimum_conv_kernel_channels": options.min_conv_kernel_channels or 0,
        "minimum_conv_weight_count": options.min_conv_weight_count or 0,
    }
    selector = refquant.AdvancedQuantizedLayerSelector(types, **limits)
    names = options.skip_layer or []
    known = [layer.name for owned in networks(model.get_spec()) for layer in all_layers(owned.network)]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3)
            hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise refquant.ArgumentError(f"the model has no layer {name!r}{hint}")
    return _NameSelector(selector, names)


def _lut_function(name: str | None) -> Any:
    """Find the function that `module:function` names, in the current folder first."""
    if name is None:
        return None
    module_name, _, function_name = name.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise refquant.ArgumentError(f"cannot find --lut-function {name}: {reason}") from error
    finally:
        sys.path.remove(os.getcwd())
    if not callable(function):
        raise refquant.ArgumentError(f"--lut-function {name} is not a function")
    return function


def _read(name: str) -> MLModel:
    return MLModel(sys.stdin.buffer if name == STREAM else name)


def _db(ratio: float) -> str:
    return f"{ratio:.1f}"
