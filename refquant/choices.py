"""What the options of `refquant quantize` choose: layers of a model, and a function that makes tables."""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Iterable
from typing import Any

import refquant
from refquant.errors import warn
from refquant.model.selectors import AdvancedQuantizedLayerSelector, QuantizedLayerSelector
from refquant.model.walk import all_layers, networks
from refquant.schema.coreml import Model


class NoLayerError(refquant.ArgumentError):
    """A model has no layer of a name that was given; another may have it."""


class _NameSelector(QuantizedLayerSelector):
    """What another selector takes, less the layers of these names."""

    def __init__(self, inner: QuantizedLayerSelector, names: Iterable[str]) -> None:
        super().__init__()
        self.inner = inner
        self.names = set(names)

    def do_quantize(self, layer: Any, **kwargs: Any) -> bool:
        return layer.name not in self.names and self.inner.do_quantize(layer, **kwargs)


def chosen_layers(options: argparse.Namespace, model: Model) -> QuantizedLayerSelector:
    """Make the selector that the options describe; only the limits that were given apply."""
    types = [name.strip() for given in options.skip_layer_types or [] for name in given.split(",")]
    channels, count = options.min_conv_kernel_channels or 0, options.min_conv_weight_count or 0
    selector = QuantizedLayerSelector()
    if types or channels or count:  # it asks for the kernelSize of each convolution, which may be wrong
        selector = AdvancedQuantizedLayerSelector(types, channels, count)
    names = options.skip_layer or []
    if not names:
        return selector
    known = _layer_names(model)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3)
            hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
            raise NoLayerError(f"the model has no layer {name!r}{hint}")
    return _NameSelector(selector, names)


def _layer_names(model: Model) -> list[str]:
    return [layer.name for owned in networks(model) for layer in all_layers(owned.network)]


def warn_of_fused(names: list[str], made: Model) -> None:
    """Warn of layers that were to be left alone, and are gone."""
    left = set(_layer_names(made)) if names else set()
    for name in names:
        if name not in left:
            warn("fusion, which comes first, has worked it into another; --no-fuse keeps it", layer=name)


def named_function(options: argparse.Namespace) -> Any:
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
