"""The embedded sample really is a classifier of digits: a plain evaluation of its layers."""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import Any

import pytest

from refquant import sample
from refquant.model.file import load
from refquant.sample import train

Plane = list[list[float]]

#: The layers in order: name, type, what each reads, and its tensors with their shapes. Written out by hand.
LAYERS: list[tuple[str, str, str, dict[str, tuple[int, ...]]]] = [
    ("conv_1", "convolution", "image", {"weights": (16, 1, 3, 3)}),
    ("batchnorm", "batchnorm", "conv_1", dict.fromkeys(["gamma", "beta", "mean", "variance"], (16,))),
    ("relu_1", "activation", "batchnorm", {}),
    ("depthwise", "convolution", "relu_1", {"weights": (16, 1, 3, 3), "bias": (16,)}),
    ("relu_2", "activation", "depthwise", {}),
    ("conv_2", "convolution", "relu_2", {"weights": (32, 16, 3, 3), "bias": (32,)}),
    ("relu_3", "activation", "conv_2", {}),
    ("pool", "pooling", "relu_3", {}),
    ("flatten", "flatten", "pool", {}),
    ("dense_1", "innerProduct", "flatten", {"weights": (48, 32 * 4 * 4), "bias": (48,)}),
    ("relu_4", "activation", "dense_1", {}),
    ("dense_2", "innerProduct", "relu_4", {"weights": (10, 48), "bias": (10,)}),
    ("probabilities", "softmax", "dense_2", {}),
]


def convolve(planes: list[Plane], layer: Any) -> list[Plane]:
    """Convolve 3 x 3 with zeros outside; the kernel of an output has its group's inputs."""
    weights = layer.weights.floatValue.tolist()
    biases = layer.bias.floatValue.tolist() if layer.hasBias else [0.0] * layer.outputChannels
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
            vectors = [params.floatValue.tolist() for params in (b.gamma, b.beta, b.mean, b.variance)]
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
            weights = layer.innerProduct.weights.floatValue.tolist()
            biases = layer.innerProduct.bias.floatValue.tolist()
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
    assert len(found) == len(set(found)) == 200
    assert {len(image.pixels) for image in found} == {64}
    assert {ink for image in found for ink in image.pixels} == set(range(17))
    digits = Counter(image.digit for image in found)
    assert set(digits) == set(range(10))
    assert min(digits.values()) >= 5


def test_small() -> None:
    assert len(sample.model_bytes()) + sample.images_path().stat().st_size < 300_000


def test_description() -> None:
    model = load(sample.model_bytes())
    assert model == load(sample.model_path())
    (image,) = model.description.input
    assert (image.name, list(image.type.multiArrayType.shape)) == ("image", [1, 8, 8])
    assert [output.name for output in model.description.output] == ["digit", "probabilities"]
    assert model.description.predictedFeatureName == "digit"
    assert model.description.predictedProbabilitiesName == "probabilities"
    assert model.description.metadata.author == "The refquant developers"
    assert model.description.metadata.license == "Apache-2.0"
    classifier = model.neuralNetworkClassifier
    assert list(classifier.stringClassLabels.vector) == list("0123456789")
    assert classifier.labelProbabilityLayerName == classifier.layers[-1].name


def test_layers() -> None:
    layers = load(sample.model_path()).neuralNetworkClassifier.layers
    assert [(layer.name, layer.WhichOneof("layer"), *layer.input) for layer in layers] == [
        row[:3] for row in LAYERS
    ]
    assert all(list(layer.output) == [layer.name] for layer in layers)
    depthwise = layers[3].convolution
    assert depthwise.nGroups == depthwise.outputChannels == 16


def test_weights_fill_their_shapes() -> None:
    model = load(sample.model_path())
    total = 0
    for layer, (name, kind, _, shapes) in zip(model.neuralNetworkClassifier.layers, LAYERS):
        fields = getattr(layer, kind).ListFields()
        stored = {field.name: value.floatValue for field, value in fields if hasattr(value, "floatValue")}
        assert {tensor: len(weights) for tensor, weights in stored.items()} == {
            tensor: math.prod(shape) for tensor, shape in shapes.items()
        }, name
        total += sum(map(len, stored.values()))
    assert total == 30_122


def test_training_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(SystemExit, match="needs the extra 'train'"):
        train.main()
