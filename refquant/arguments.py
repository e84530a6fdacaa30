"""The arguments of quantize, dequantize and activate int8: what they may be, and what is said of others."""

from __future__ import annotations

import sys
from typing import Callable

from refquant import parallel
from refquant.errors import ArgumentError
from refquant.model.stored import ENCODERS, LutFunction
from refquant.model.walk import Selector
from refquant.steps import Workers

#: Names by which a mode can be asked for -> the mode.
MODES = {**{mode: mode for mode in ENCODERS}, "kmeans": "kmeans_lut", "dequantization": "dequantization"}

#: Numbers of bits that a weight can be stored in.
NBITS = (1, 2, 3, 4, 5, 6, 7, 8, 16)

#: What `half_overflow` can be: refuse the model, or keep the layer in float32. Rule: HALF-2, HALF-3.
HALF_OVERFLOW = ("error", "keep")

#: Platforms without processes, as `sys.platform` has them: those of WebAssembly.
NO_PROCESSES = ("emscripten", "wasi")


def checked_mode(mode: object) -> str:
    """Give the mode that a name stands for."""
    if not isinstance(mode, str) or mode not in MODES:
        raise ArgumentError(f"unknown quantization mode {mode!r}: the modes are {', '.join(MODES)}")
    return MODES[mode]


def checked_nbits(nbits: object, mode: str) -> int:
    """Give a number of bits that a mode takes. Rule: SYM-1."""
    # True is an int, and 8.0 == 8: neither is a number of bits that someone meant.
    if type(nbits) is not int or nbits not in NBITS:
        raise ArgumentError(f"nbits must be 16 or 1 to 8, not {nbits!r}")
    if mode == "linear_symmetric" and nbits != 8:
        raise ArgumentError(f"linear_symmetric takes 8 bits only, not {nbits}", rule="SYM-1")
    return nbits


def checked_lut_function(lut_function: LutFunction | None, mode: str, workers: Workers) -> LutFunction | None:
    """Give a function as the workers can take it; None where the mode has no use for one. Rule: LUT-4."""
    if mode != "custom_lut":
        return None
    if not callable(lut_function):
        raise ArgumentError(f"custom_lut needs a lut_function to call, not {lut_function!r}", rule="LUT-4")
    if workers.need_parcels:
        return parallel.parcel("lut_function", lut_function)
    return lut_function


def checked_workers(jobs: object, executor: object) -> Workers:
    """Give those who do the work: a number of jobs, or an executor."""
    # True is an int; and no number of jobs means all processors: tools disagree about 0 and -1.
    if type(jobs) is not int or jobs < 1:
        raise ArgumentError(f"jobs must be a whole number from 1, not {jobs!r}")
    if jobs != 1 and sys.platform in NO_PROCESSES:
        raise ArgumentError(f"jobs must be 1 on {sys.platform}, which has no processes, not {jobs}")
    if executor is None:
        return Workers(jobs, None)
    from concurrent.futures import Executor

    if not isinstance(executor, Executor):
        raise ArgumentError(f"executor must be a concurrent.futures.Executor, not {type(executor).__name__}")
    if jobs != 1:
        raise ArgumentError("an executor knows its own number of jobs: pass one or the other")
    return Workers(jobs, executor)


def check_callbacks(**callbacks: object) -> None:
    """Refuse what cannot be called before there is something to tell it."""
    for name, callback in callbacks.items():
        if callback is not None and not callable(callback):
            raise ArgumentError(f"{name} must be a function to call, not {callback!r}")


def checked_selector(selector: Selector | None, default: Callable[[], Selector]) -> Selector:
    """Give a selector, or the default in place of none. Rule: SEL-1."""
    if selector is None:
        return default()
    if isinstance(selector, type) or not callable(getattr(selector, "do_quantize", None)):
        raise ArgumentError(f"a selector needs a do_quantize method; {selector!r} is none", rule="SEL-1")
    return selector
