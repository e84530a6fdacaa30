"""What the commands do that look at models, given their options."""

from __future__ import annotations

import argparse
import json
import math
import sys
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import refquant
from refquant.conversions import STREAM, called, check_output, read_model, say_error, source
from refquant.demo import results
from refquant.errors import LONGEST_NAME, counted, plain, shorten
from refquant.model import disk
from refquant.model.validate import validation
from refquant.report import Comparison, TensorInfo, compare_weights, inspect_weights
from refquant.terminal import NAME, NUMBER, WORD, print_table, write_line


def inspect(options: argparse.Namespace) -> None:
    """List the weight tensors of a model, as they are stored."""
    found = inspect_weights(read_model(options.input))
    weights, stored = sum(info.weights for info in found), sum(info.bytes for info in found)
    if options.json:
        tensors = [{**info._asdict(), "layer": _name(info.layer)} for info in found]
        _write_json({"tensors": tensors, "weights": weights, "bytes": stored})
        return
    names = {"layer": NAME, "type": WORD, "tensor": WORD, "shape": WORD, "format": WORD}
    print_table(
        {**names, **dict.fromkeys(("bits", "scales/entries", "bytes"), NUMBER)}, map(_inspect_row, found)
    )
    ratio = f"{4 * weights / max(1, stored):.2f}"
    gain = "" if not found or ratio == "1.00" else f", {ratio} times smaller than in float32"
    what = f"{counted(len(found), 'tensor')}, {counted(weights, 'weight')}"
    write_line(f"\n{what} in {counted(stored, 'byte')}{gain}")
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
        f"{info.entries:,}" if info.entries else "",
        f"{info.bytes:,}",
    ]


def compare(options: argparse.Namespace) -> None:
    """Compare the weights of two models, tensor by tensor."""
    if options.first == options.second == STREAM:
        raise refquant.ArgumentError("only one of the two models can come from stdin")
    comparison = compare_weights(read_model(options.first), read_model(options.second))
    if options.json:
        _write_json(_comparison_data(comparison))
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
                write_line(f"  {plain(_name(layer))}: {', '.join(tensor for _, tensor in tensors)}")


def _comparison_data(comparison: Comparison) -> dict[str, Any]:
    """Give a comparison as JSON can hold it: null for what is not a finite number."""
    tensors = [
        {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row}
        for row in ({**t._asdict(), "layer": _name(t.layer)}.items() for t in comparison.tensors)
    ]
    first, second = (
        [(_name(layer), tensor) for layer, tensor in names]
        for names in (comparison.only_in_first, comparison.only_in_second)
    )
    return {"tensors": tensors, "only_in_first": first, "only_in_second": second}


def _name(layer: str) -> str:
    """Give a layer's name, without its middle if it is longer than any that is meant to be read."""
    return shorten(layer, LONGEST_NAME)


def _write_json(data: dict[str, Any]) -> None:
    """Print JSON, piece by piece: of a file of many small parts it may be long."""
    for piece in json.JSONEncoder(indent=2, allow_nan=False).iterencode(data):
        sys.stdout.write(piece)
    sys.stdout.write("\n")


def validate(options: argparse.Namespace) -> int:
    """Look for faults in the weights of models. The exit code is 1 where there is one."""
    if options.inputs.count(STREAM) > 1:
        raise refquant.ArgumentError("only one of the models can come from stdin")
    disk.check_names(*options.inputs)
    results = [_validated(name, quiet=options.json) for name in options.inputs]
    good = sum(result["valid"] for result in results)
    if options.json:
        _write_json({"files": results})
    elif len(results) > 1:
        write_line(f"\n{len(results)} files: {good} valid, {len(results) - good} not")
    return 0 if good == len(results) else 1


def _validated(name: str, quiet: bool) -> dict[str, Any]:
    """Validate one file and, unless quiet, show what came of it; one that cannot be read has an error."""
    result = {"file": name, "valid": False, "tensors": 0, "weights": 0, "faults": [], "error": None}
    try:
        faults, tensors, weights = validation(source(name))
    except refquant.RefquantError as error:
        if not quiet:
            say_error(error, name)
        return {**result, "error": str(error)}
    if not quiet:
        what = [counted(len(faults), "fault") if faults else "valid"]
        what += [counted(tensors, "tensor"), counted(weights, "weight")]
        write_line(plain(f"{called(name)}: {', '.join(what)}"))
        for fault in faults:
            write_line(plain(f"  {fault}"))
        return {**result, "valid": not faults}
    return {**result, "valid": not faults, "tensors": tensors, "weights": weights, "faults": _data(faults)}


def _data(faults: list[refquant.Fault]) -> list[dict[str, Any]]:
    """Give faults as JSON has them."""
    return [{**f._asdict(), "layer": None if f.layer is None else _name(f.layer)} for f in faults]


def demo(options: argparse.Namespace) -> None:
    """Quantize the embedded sample, a classifier of handwritten digits, in every mode."""
    rows: list[list[str]] = []
    original = 0
    models: dict[str, bytes] = {}
    for made in results():
        size = len(made.model)
        original = original or size
        errors = [f"{made.max_error:.2g}", f"{made.mean_error:.2g}", f"{made.snr:.1f}"]
        rows.append([made.name, f"{made.nbits}", f"{size:,}", f"{original / size:.2f}", *errors])
        models[f"digits_{made.name}_{made.nbits}.mlmodel".replace(" ", "_")] = made.model
    if options.output is not None:
        _write_all(models, options.output, options.force)
    numbers = ("bits", "bytes", "ratio", "worst error", "mean error", "SNR dB")
    print_table({"mode": WORD, **dict.fromkeys(numbers, NUMBER)}, rows)
    if options.output is not None:
        write_line(f"\nThe models are in {options.output}.")


def _write_all(models: dict[str, bytes], folder: str, force: bool) -> None:
    """Write models to a folder under their names or, where one would be overwritten unasked, none."""
    disk.check_names(folder)
    paths = [Path(folder, name) for name in models]
    for path in paths:
        check_output(str(path), force)
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path, model in zip(paths, models.values()):
        disk.write(path, model, overwrite=force)
