"""What each command of `refquant` does, given its options."""

from __future__ import annotations

import argparse
import difflib
import importlib
import json
import math
import os
import sys
from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Callable

import refquant
from refquant.demo import results
from refquant.model.file import MLModel, load, save
from refquant.model.walk import all_layers, networks
from refquant.report import Comparison, TensorInfo, compare_weights, inspect_weights
from refquant.steps import ProgressCallback
from refquant.terminal import NAME, NUMBER, WORD, plain, print_table, progress_bar, say, write_line

#: Name that stands for standard input or standard output in place of a file.
STREAM = "-"


def quantize(options: argparse.Namespace) -> None:
    """Store float32 weights in fewer bits."""
    if options.nbits is None and options.mode != "dequantization":
        raise refquant.ArgumentError("--nbits is needed: 16, or 1 to 8")
    lut_function = _lut_function(options)
    _convert(
        options,
        lambda model, progress: refquant.quantize_weights(
            model,
            options.nbits,
            options.mode,
            selector=_selector(options, model),
            lut_function=lut_function,
            fuse=not options.no_fuse,
            half_overflow=options.half_overflow,
            progress=progress,
        ),
    )


def dequantize(options: argparse.Namespace) -> None:
    """Turn half-precision and quantized weights back into float32."""
    _convert(options, lambda model, progress: refquant.dequantize_weights(model, progress=progress))


def activate_int8(options: argparse.Namespace) -> None:
    """Make constant matrix products ready for int8 arithmetic (innerProduct and batchedMatmul layers)."""
    _convert(options, lambda model, progress: refquant.activate_int8_int8_matrix_multiplications(model))


def _convert(
    options: argparse.Namespace, convert: Callable[[MLModel, ProgressCallback | None], MLModel]
) -> None:
    """Read a model, convert it, write it, and say what that saved."""
    _check_output(options)
    before = _read(options.input)
    with progress_bar(options.quiet or options.verbose) as progress:
        spec = convert(before, progress).get_spec()
    if options.output == STREAM:
        sys.stdout.buffer.write(spec.SerializeToString())
        sys.stdout.buffer.flush()
    else:
        save(spec, options.output, overwrite=options.force)
    if not options.quiet:
        name = "stdin" if options.input == STREAM else Path(options.input).name
        say(f"{name}: {_change(before.get_spec().ByteSize(), spec.ByteSize())}")


def _check_output(options: argparse.Namespace) -> None:
    """Refuse an output that cannot be meant before any work is done for it."""
    if options.output == STREAM and sys.stdout.isatty():
        raise refquant.ArgumentError("a model is no text for a terminal: redirect the output, or name a file")
    if options.output != STREAM and not options.force and os.path.exists(options.output):
        raise refquant.FileError(f"{options.output} exists already; --force overwrites it")


def _change(old: int, new: int) -> str:
    ratio = f"{max(old, new) / min(old, new):.2f}"
    how = f"{ratio} times {'smaller' if new < old else 'larger'}"
    return f"{old:,} bytes -> {new:,} bytes ({'the same size' if ratio == '1.00' else how})"


def inspect(options: argparse.Namespace) -> None:
    """List the weight tensors of a model, as they are stored."""
    found = inspect_weights(_read(options.input))
    weights, stored = sum(info.weights for info in found), sum(info.bytes for info in found)
    if options.json:
        tensors = [info._asdict() for info in found]
        write_line(json.dumps({"tensors": tensors, "weights": weights, "bytes": stored}, indent=2))
        return
    names = {"layer": NAME, "type": WORD, "tensor": WORD, "shape": WORD, "format": WORD}
    print_table({**names, **dict.fromkeys(("bits", "scales", "bytes"), NUMBER)}, map(_inspect_row, found))
    ratio = f"{4 * weights / max(1, stored):.2f}"
    gain = "" if not found or ratio == "1.00" else f", {ratio} times smaller than in float32"
    write_line(f"\n{len(found)} tensors, {weights:,} weights in {stored:,} bytes{gain}")
    if not all(info.covered for info in found):
        write_line("* quantization leaves this tensor alone")


def _inspect_row(info: TensorInfo) -> list[str]:
    return [
        info.layer,
        info.layer_type,
        info.tensor + ("" if info.covered else " *"),
        "x".join(map(str, info.shape)) if info.covered else f"{info.weights}",
        info.form,
        f"{info.bits}",
        (f"{info.entries:,}" if info.entries else "") + (" (table)" if info.form == "lut" else ""),
        f"{info.bytes:,}",
    ]


def compare(options: argparse.Namespace) -> None:
    """Compare the weights of two models, tensor by tensor."""
    if options.first == options.second == STREAM:
        raise refquant.ArgumentError("only one of the two models can come from stdin")
    comparison = compare_weights(_read(options.first), _read(options.second))
    if options.json:
        write_line(json.dumps(_comparison_data(comparison), indent=2, allow_nan=False))
        return
    rows = (
        (
            t.layer,
            t.tensor + (" *" if t.fused else ""),
            f"{t.weights:,}",
            f"{t.max_error:.3g}",
            f"{t.mean_error:.3g}",
            f"{t.snr:.1f}",
        )
        for t in comparison.tensors
    )
    numbers = ("weights", "max error", "mean error", "SNR dB")
    print_table({"layer": NAME, "tensor": WORD, **dict.fromkeys(numbers, NUMBER)}, rows)
    if any(t.fused for t in comparison.tensors):
        write_line("* fused: in one model this layer has the layers after it worked into its weights")
    for model, names in (("A", comparison.only_in_first), ("B", comparison.only_in_second)):
        if names:
            write_line(f"\nonly in {model}, or of another shape:")
            for layer, tensors in groupby(names, key=itemgetter(0)):
                write_line(plain(f"  {layer}: {', '.join(tensor for _, tensor in tensors)}"))


def _comparison_data(comparison: Comparison) -> dict[str, Any]:
    """Give a comparison as JSON can hold it: null for what is not a finite number."""
    tensors = [
        {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row}
        for row in (t._asdict().items() for t in comparison.tensors)
    ]
    return {**comparison._asdict(), "tensors": tensors}


def demo(options: argparse.Namespace) -> None:
    """Quantize the embedded sample, a classifier of handwritten digits, in every mode."""
    rows: list[list[str]] = []
    original = 0
    for made in results():
        size = len(made.model)
        original = original or size
        errors = [f"{made.max_error:.2g}", f"{made.mean_error:.2g}", f"{made.snr:.1f}"]
        rows.append([made.name, f"{made.nbits}", f"{size:,}", f"{original / size:.2f}", *errors])
        if options.output:
            options.output.mkdir(parents=True, exist_ok=True)
            save(
                load(made.model),
                options.output / f"digits_{made.name}_{made.nbits}.mlmodel".replace(" ", "_"),
            )
    numbers = ("bits", "bytes", "ratio", "worst error", "mean error", "SNR dB")
    print_table({"mode": WORD, **dict.fromkeys(numbers, NUMBER)}, rows)
    if options.output:
        write_line(f"\nThe models are in {options.output}.")


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
    if not names:
        return selector
    known = [layer.name for owned in networks(model.get_spec()) for layer in all_layers(owned.network)]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3)
            hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise refquant.ArgumentError(f"the model has no layer {name!r}{hint}")
    return _NameSelector(selector, names)


def _lut_function(options: argparse.Namespace) -> Any:
    """Find the function that `module:function` names, in the current folder first."""
    name, wanted = options.lut_function, options.mode == "custom_lut" and options.nbits != 16
    if name is None and wanted:
        raise refquant.ArgumentError("--mode custom_lut needs --lut-function MODULE:FUNCTION")
    if name is None:
        return None
    if options.mode != "custom_lut":
        raise refquant.ArgumentError("--lut-function goes with --mode custom_lut only")
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise refquant.ArgumentError(f"--lut-function takes MODULE:FUNCTION, not {name!r}")
    # It stays on the path: the function may import its neighbours when it is called.
    sys.path.insert(0, os.getcwd())
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise refquant.ArgumentError(f"cannot find --lut-function {name}: {reason}") from error
    if not callable(function):
        raise refquant.ArgumentError(f"--lut-function {name} is not a function")
    return function


def _read(name: str) -> MLModel:
    if name != STREAM:
        return MLModel(name)
    if sys.stdin is None:
        raise refquant.FileError("stdin is closed")
    try:
        data = sys.stdin.buffer.read()
    except OSError as error:
        raise refquant.FileError(f"cannot read stdin: {error.strerror or error}") from error
    return MLModel(data)
