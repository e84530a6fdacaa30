"""The demonstration: the embedded sample in every mode, and what each costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from refquant import sample
from refquant.quantize import quantize_weights
from refquant.report import compare_weights, decibels

#: Bits and modes, from the most faithful to the smallest.
SETTINGS = (
    *((nbits, "linear") for nbits in (16, 8, 6, 4, 2, 1)),
    (8, "linear_symmetric"),
    *((nbits, mode) for mode in ("linear_lut", "kmeans_lut") for nbits in (8, 4, 2)),
    (2, "custom_lut"),
)


class Result(NamedTuple):
    """The sample in one mode, and how far its weights are from what they were."""

    name: str
    nbits: int
    model: bytes
    max_error: float
    mean_error: float
    snr: float


def results() -> Iterator[Result]:
    """Give the sample as it is, and quantized in every setting.

    Without fusion, so that each difference is one of quantization alone.
    """
    original = sample.model_bytes()
    yield Result("float32", 32, original, 0.0, 0.0, decibels(1.0, 0.0))
    for nbits, mode in SETTINGS:
        made = quantize_weights(original, nbits, mode, lut_function=even_steps_about_zero, fuse=False)
        found = compare_weights(original, made).tensors
        yield Result(
            name="half precision" if nbits == 16 else mode,
            nbits=nbits,
            model=made,
            max_error=max(t.max_error for t in found),
            mean_error=sum(t.mean_error * t.weights for t in found) / sum(t.weights for t in found),
            snr=decibels(sum(t.signal for t in found), sum(t.noise for t in found)),
        )


def even_steps_about_zero(nbits: int, weights: Sequence[float]) -> tuple[list[float], list[int]]:
    """Show what a custom table can be: zero, and as many even steps to either side as there is room for."""
    reach = (1 << nbits) // 2
    step = max(map(abs, weights)) / reach
    table = [step * (i - reach) for i in range(1 << nbits)]
    codes = [min(round(w / step) + reach, len(table) - 1) if step else reach for w in weights]
    return table, codes
