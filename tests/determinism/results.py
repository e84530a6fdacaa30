"""What is compared: models, the settings each is quantized with, and digests of the bytes that come of it.

Needs nothing but refquant, so that it runs in any interpreter that has protobuf.
"""

from __future__ import annotations

import hashlib
from array import array
from typing import Any, Callable

import refquant
from refquant.model.tensor import store_float32
from refquant.sample import model_path
from tests.networks import Net, all_networks, network, pipeline

#: Bytes of a model and settings -> bytes of a model. The settings are `mode` and, but for two, `nbits`.
Quantizer = Callable[[bytes, dict[str, Any]], bytes]

#: How many bits codes have.
EVERY = tuple(range(1, 9))

#: Name of a line of digests -> the settings, each of which is applied to what the one before gave.
CHAINS: dict[str, tuple[dict[str, Any], ...]] = {
    "half": ({"mode": "linear", "nbits": 16},),
    **{f"linear {nbits}": ({"mode": "linear", "nbits": nbits},) for nbits in EVERY},
    "linear_symmetric 8": ({"mode": "linear_symmetric", "nbits": 8},),
    **{f"linear_lut {nbits}": ({"mode": "linear_lut", "nbits": nbits},) for nbits in EVERY},
    **{f"kmeans_lut {nbits}": ({"mode": "kmeans_lut", "nbits": nbits},) for nbits in EVERY},
    "kmeans_lut 3, exact": ({"mode": "kmeans_lut", "nbits": 3, "exact": True},),
    "int8": ({"mode": "int8"},),
    "half and back": ({"mode": "linear", "nbits": 16}, {"mode": "dequantization"}),
    "linear 5 and back": ({"mode": "linear", "nbits": 5}, {"mode": "dequantization"}),
    "linear_lut 3 and back": ({"mode": "linear_lut", "nbits": 3}, {"mode": "dequantization"}),
}

#: Of a large model, every so many chains are done.
STEP_OF_LARGE = 4


def models() -> dict[str, bytes]:
    """Make the models: a real network, one worth several jobs, and all small ones in a pipeline."""
    return {
        "digits": model_path().read_bytes(),
        "large": network(_large).SerializeToString(deterministic=True),
        "small": pipeline(*all_networks(1).values()).SerializeToString(deterministic=True),
    }


def _large(net: Net) -> None:
    """Add two tensors of 64 KiB and more; one has ties, zeros of both signs, subnormals and great numbers."""
    net.convolution(32, 64, size=(3, 3))
    net.relu()
    matrix = net.inner_product(128, 150).innerProduct
    values = [(-1) ** n * (n % 151) * 2.0 ** (n % 158 - 149) for n in range(128 * 150)]
    store_float32(matrix.weights, array("f", values))


def digests(quantizer: Quantizer) -> dict[str, str]:
    """Give the SHA-256 of each model, and of what each chain makes of it."""
    found = {}
    for name, model in models().items():
        found[name] = hashlib.sha256(model).hexdigest()
        for number, (title, chain) in enumerate(CHAINS.items()):
            if name == "large" and number % STEP_OF_LARGE:
                continue
            made = model
            for settings in chain:
                made = quantizer(made, settings)
            found[f"{name}: {title}"] = hashlib.sha256(made).hexdigest()
    return found


def refquant_quantizer(jobs: int) -> Quantizer:
    """Make the quantizer that is put to the test."""

    def quantizer(model: bytes, settings: dict[str, Any]) -> bytes:
        made: bytes
        if settings["mode"] == "int8":
            made = refquant.activate_int8_int8_matrix_multiplications(model, jobs=jobs)
            return made
        options = {key: value for key, value in settings.items() if key not in ("mode", "nbits")}
        nbits = settings.get("nbits", 16)
        made = refquant.quantize_weights(model, nbits, settings["mode"], jobs=jobs, **options)
        return made

    return quantizer
