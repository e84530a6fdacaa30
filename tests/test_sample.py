"""The embedded sample really is a classifier of digits: a plain evaluation of its layers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from refquant import sample
from refquant.model.file import load
from refquant.model.tensor import float32_weights
from refquant.model.walk import all_sites

Plane = list[list[float]]


def convolve(planes: list[Plane], layer: Any) -> list[Plane]:
    """Convolve 3 x 3 with zeros outside; the kernel of an output has its group's inputs."""
    weights = float32_weights(layer.weights).tolist()
    biases = float32_weights(layer.bias).tolist() if layer.hasBias else [0.0] * layer.outputChannels
    per_group = len(planes) // layer.nGroups
    outputs_per_group = layer.outputChannels // layer.nGroups
    size = len(planes[0])
    made = []
    for output in range(layer.outputChannels):
        total = [[biases[output]] * size for _ in range(size)]
        first = output // outputs_per_group * per_group
        for k in range(per_group):
            plane = planes[first + k]
            for di in range(3):
                for dj in range(3):
                    w = weights[((output * per_group + k) * 3 + di) * 3 + dj]
                    for i in range(max(0, 1 - di), min(size, size + 1 - di)):
                        row, out = plane[i + di - 1], total[i]
                        for j in range(max(0, 1 - dj), min(size, size + 1 - dj)):
                            out[j] += w * row[j + dj - 1]
        made.append(total)
    return made


def classify(model: Any, pixels: bytes) -> int:
    planes = [[[pixels[8 * i + j] / 16 for j in range(8)] for i in range(8)]]
    flat: list[float] = []
    for layer in model.neuralNetworkClassifier.layers:
        kind = layer.WhichOneof("layer")
        if kind == "convolution":
            planes = convolve(planes, layer.convolution)
        elif kind == "batchnorm":
            b = layer.batchnorm
            vectors = [float32_weights(params).tolist() for params in (b.gamma, b.beta, b.mean, b.variance)]
            for plane, gamma, beta, mean, variance in zip(planes, *vectors):
                for row in plane:
                    row[:] = [gamma * (x - mean) / (variance + b.epsilon) ** 0.5 + beta for x in row]
        elif kind == "activation":
            planes = [[[max(x, 0.0) for x in row] for row in plane] for plane in planes]
            flat = [max(x, 0.0) for x in flat]
        elif kind == "pooling":
            planes = [
                [
                    [max(p[i][j], p[i][j + 1], p[i + 1][j], p[i + 1][j + 1]) for j in (0, 2, 4, 6)]
                    for i in (0, 2, 4, 6)
                ]
                for p in planes
            ]
        elif kind == "flatten":
            flat = [x for plane in planes for row in plane for x in row]
        elif kind == "innerProduct":
            weights = float32_weights(layer.innerProduct.weights).tolist()
            biases = float32_weights(layer.innerProduct.bias).tolist()
            inputs = layer.innerProduct.inputChannels
            flat = [
                bias + sum(w * x for w, x in zip(weights[row * inputs : (row + 1) * inputs], flat))
                for row, bias in enumerate(biases)
            ]
    return flat.index(max(flat))


def test_reads_held_back_digits() -> None:
    model = load(sample.model_path())
    chosen = sample.images()[::5]
    right = sum(classify(model, image.pixels) == image.digit for image in chosen)
    assert len(chosen) == 40
    assert right >= 38


def test_images() -> None:
    found = sample.images()
    assert len(found) == 200
    assert {len(image.pixels) for image in found} == {64}
    assert max(max(image.pixels) for image in found) == 16
    digits = Counter(image.digit for image in found)
    assert set(digits) == set(range(10))
    assert min(digits.values()) >= 5


def test_model() -> None:
    assert load(sample.model_bytes()) == load(sample.model_path())
    assert len(sample.model_bytes()) + 200 * sample.RECORD < 300_000
    model = load(sample.model_path())
    types = [layer.WhichOneof("layer") for layer in model.neuralNetworkClassifier.layers]
    assert types[:3] == ["convolution", "batchnorm", "activation"]
    assert types[-2:] == ["innerProduct", "softmax"]
    assert any(layer.convolution.nGroups == 16 for layer in model.neuralNetworkClassifier.layers)
    assert list(model.neuralNetworkClassifier.stringClassLabels.vector) == list("0123456789")
    blobs = {"image"}
    for layer in model.neuralNetworkClassifier.layers:
        assert set(layer.input) <= blobs
        assert not set(layer.output) & blobs
        blobs |= set(layer.output)
    weights = sum(len(float32_weights(site.params)) for site in all_sites(model))
    assert weights == 144 + 4 * 16 + 144 + 16 + 4608 + 32 + 24576 + 48 + 480 + 10
