"""The models that are measured: built by name with seeded weights, or real ones found by a pattern.

`python -m tests.benchmarks.models NAME FILE` builds one.
"""

from __future__ import annotations

import os
import sys
from array import array
from functools import partial
from pathlib import Path
from typing import Callable

from refquant.model.tensor import store_float32
from refquant.schema.coreml import Model, WeightParams
from tests.networks import Net, described

#: Standard deviation of weights by half the distance of their bounds.
DEVIATION = 0.05

#: What the name of a real model begins with; the rest is a pattern of file names in REFQUANT_MODELS.
REAL = "real:"

#: The model of a task that reads none.
NO_MODEL = "-"


class Gaussian(Net):
    """A network under construction whose weights are normally distributed between the bounds."""

    def fill(self, params: WeightParams, count: int, least: float = -1.0, most: float = 1.0) -> None:
        """Put weights into a tensor."""
        gauss, mean, deviation = self.random.gauss, (least + most) / 2, DEVIATION * (most - least) / 2
        store_float32(params, array("f", [gauss(mean, deviation) for _ in range(count)]))


def convolutions(net: Net, count: int, outputs: int = 256, inputs: int = 256) -> None:
    """Add convolutions of 3 by 3 without bias."""
    for _ in range(count):
        net.convolution(outputs, inputs, bias=False, size=(3, 3))


def blocks(net: Net, count: int, channels: int = 8) -> None:
    """Add blocks of convolution, scale and ReLU."""
    for _ in range(count):
        net.convolution(channels, channels, size=(3, 3))
        net.fill(net.scale((channels,), (channels,)).scale.scale, channels, 0.5, 1.5)
        net.relu()


#: Name of a built model -> what adds its layers.
BUILT: dict[str, Callable[[Net], None]] = {
    "convolutions": partial(convolutions, count=7),
    "convolutions-25M": partial(convolutions, count=42),
    "tensor": partial(convolutions, count=1, outputs=7 * 256),
    "blocks-200": partial(blocks, count=200),
    "blocks-2000": partial(blocks, count=2000),
}

#: How many weights the built models have that a row counts by.
WEIGHTS = {"convolutions": 4_128_768, "tensor": 4_128_768, "convolutions-25M": 24_772_608}


def built(build: Callable[[Net], None], seed: int = 0) -> Model:
    """Make a model of one network of normally distributed weights; its last layer writes the output."""
    model = described()
    net = Gaussian(model.neuralNetwork.layers, seed)
    build(net)
    net.layers[-1].output[0] = "output"
    return model


def real(pattern: str) -> list[Path]:
    """Find the real models whose file names match a pattern; none where there is no folder of them."""
    return sorted(Path(os.environ.get("REFQUANT_MODELS") or "nowhere").glob(f"{pattern}.mlmodel"))


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(built(BUILT[sys.argv[1]]).SerializeToString())
