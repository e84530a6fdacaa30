"""Every setting of `quantize_weights`, and a call of it that warns of nothing."""

from __future__ import annotations

import warnings
from typing import Any

import refquant
from refquant.arguments import NBITS
from tests.luts import ends

#: Every number of bits with every mode that goes with it.
ALL_SETTINGS = [
    *(
        (nbits, mode)
        for mode in ("linear", "linear_lut", "kmeans_lut", "custom_lut")
        for nbits in NBITS
        if nbits < 16
    ),
    (8, "linear_symmetric"),
    (16, "linear"),
]


def quiet(model: Any, nbits: int, mode: str = "linear", **more: Any) -> Any:
    """Quantize without the warnings, which tests of their own look at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", refquant.RefquantWarning)
        return refquant.quantize_weights(model, nbits, mode, lut_function=ends, **more)
