"""Train the sample network and write it: `python -m refquant.sample.train` (extra `train`).

The network is evaluated from the bytes that are to be written, by code that shares nothing with the
training (`evaluate.py`), and is kept only if it reads 97 % of the held-back images. The seed is fixed, but
matrix products may round differently from one machine to the next: a new run gives a network as good,
perhaps not the same bytes. The sample is the files as they are checked in.
"""

from __future__ import annotations

import sys
from array import array
from typing import Any

from refquant.model.file import load, save
from refquant.model.tensor import store_float32
from refquant.sample import Image, images_path, model_path
from refquant.sample.evaluate import classify
from refquant.schema.coreml import (
    ArrayFeatureType,
    FlattenLayerParams,
    Model,
    NeuralNetworkLayer,
    PoolingLayerParams,
)

#: Images held back from training, the last after shuffling.
HELD_BACK = 200
#: Least share of held-back images that the network must read.
GOOD_ENOUGH = 0.97
#: Passes over the training images, images in a step, and the step's size.
EPOCHS, BATCH, RATE = 40, 64, 2e-3
#: Added to a variance, so that its root is not zero.
EPSILON = 1e-3


def columns(x: Any, np: Any) -> Any:
    """Lay out the 3 x 3 neighbourhoods of (N, C, H, W) images as (N, C, 9, H * W), with zeros outside."""
    n, c, h, w = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    parts = [padded[:, :, i : i + h, j : j + w].reshape(n, c, h * w) for i in range(3) for j in range(3)]
    return np.stack(parts, axis=2)


def uncolumns(grad: Any, h: int, w: int, np: Any) -> Any:
    """Add up gradients of neighbourhoods into gradients of images: the transpose of `columns`."""
    n, c = grad.shape[:2]
    padded = np.zeros((n, c, h + 2, w + 2))
    for k in range(9):
        padded[:, :, k // 3 : k // 3 + h, k % 3 : k % 3 + w] += grad[:, :, k].reshape(n, c, h, w)
    return padded[:, :, 1:-1, 1:-1]


class Network:
    """The network while it is trained: parameters by name, a pass forward and a pass back."""

    def __init__(self, np: Any) -> None:
        self.np = np
        rng = np.random.default_rng(20)

        def normal(*shape: int, fan: int) -> Any:
            return rng.normal(0, (2 / fan) ** 0.5, shape)

        self.rng = rng
        self.parameters = {
            "conv_1": normal(16, 9, fan=9),
            "gamma": np.ones(16),
            "beta": np.zeros(16),
            "depthwise": normal(16, 9, fan=9),
            "depthwise_bias": np.zeros(16),
            "conv_2": normal(32, 144, fan=144),
            "conv_2_bias": np.zeros(32),
            "dense_1": normal(48, 512, fan=512),
            "dense_1_bias": np.zeros(48),
            "dense_2": normal(10, 48, fan=48),
            "dense_2_bias": np.zeros(10),
        }
        self.mean, self.variance = np.zeros(16), np.ones(16)

    def gradients(self, x: Any, digits: Any) -> dict[str, Any]:
        """Give the gradient of the mean cross-entropy of a batch for every parameter."""
        np, p = self.np, self.parameters
        n = len(x)
        # Forward.
        c1 = columns(x, np)
        a1 = np.einsum("ok,nkp->nop", p["conv_1"], c1[:, 0])
        mean, variance = a1.mean((0, 2)), a1.var((0, 2))
        self.mean += 0.1 * (mean - self.mean)
        self.variance += 0.1 * (variance - self.variance)
        root = np.sqrt(variance + EPSILON)
        unit = (a1 - mean[:, None]) / root[:, None]
        r1 = np.maximum(p["gamma"][:, None] * unit + p["beta"][:, None], 0)
        c2 = columns(r1.reshape(n, 16, 8, 8), np)
        r2 = np.maximum(np.einsum("ck,nckp->ncp", p["depthwise"], c2) + p["depthwise_bias"][:, None], 0)
        c3 = columns(r2.reshape(n, 16, 8, 8), np).reshape(n, 144, 64)
        r3 = np.maximum(np.einsum("ok,nkp->nop", p["conv_2"], c3) + p["conv_2_bias"][:, None], 0)
        tiles = r3.reshape(n, 32, 4, 2, 4, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, 32, 4, 4, 4)
        winner = tiles.argmax(-1)[..., None]
        flat = np.take_along_axis(tiles, winner, -1).reshape(n, 512)
        keep = self.rng.random(flat.shape) > 0.3
        flat = flat * keep / 0.7
        r4 = np.maximum(flat @ p["dense_1"].T + p["dense_1_bias"], 0)
        logits = r4 @ p["dense_2"].T + p["dense_2_bias"]
        share = np.exp(logits - logits.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
        # Back.
        g: dict[str, Any] = {}
        d = share.copy()
        d[np.arange(n), digits] -= 1
        d /= n
        g["dense_2"], g["dense_2_bias"] = d.T @ r4, d.sum(0)
        d = (d @ p["dense_2"]) * (r4 > 0)
        g["dense_1"], g["dense_1_bias"] = d.T @ flat, d.sum(0)
        d = (d @ p["dense_1"]) * keep / 0.7
        back = np.zeros_like(tiles)
        np.put_along_axis(back, winner, d.reshape(n, 32, 4, 4, 1), -1)
        d = back.reshape(n, 32, 4, 4, 2, 2).transpose(0, 1, 2, 4, 3, 5).reshape(n, 32, 64) * (r3 > 0)
        g["conv_2"], g["conv_2_bias"] = np.einsum("nop,nkp->ok", d, c3), d.sum((0, 2))
        d = np.einsum("ok,nop->nkp", p["conv_2"], d).reshape(n, 16, 9, 64)
        d = uncolumns(d, 8, 8, np).reshape(n, 16, 64) * (r2 > 0)
        g["depthwise"], g["depthwise_bias"] = np.einsum("ncp,nckp->ck", d, c2), d.sum((0, 2))
        d = uncolumns(p["depthwise"][None, :, :, None] * d[:, :, None], 8, 8, np).reshape(n, 16, 64) * (
            r1 > 0
        )
        g["gamma"], g["beta"] = (d * unit).sum((0, 2)), d.sum((0, 2))
        d = d * p["gamma"][:, None]
        centred = d - d.mean((0, 2))[:, None] - unit * (d * unit).mean((0, 2))[:, None]
        g["conv_1"] = np.einsum("nop,nkp->ok", centred / root[:, None], c1[:, 0])
        return g

    def train(self, x: Any, digits: Any) -> None:
        """Fit the parameters by Adam."""
        np = self.np
        first = {name: np.zeros_like(value) for name, value in self.parameters.items()}
        second = {name: np.zeros_like(value) for name, value in self.parameters.items()}
        step = 0
        for epoch in range(EPOCHS):
            rate = RATE * (1 - epoch / EPOCHS)
            order = self.rng.permutation(len(x))
            for start in range(0, len(x), BATCH):
                chosen = order[start : start + BATCH]
                step += 1
                for name, slope in self.gradients(x[chosen], digits[chosen]).items():
                    first[name] += 0.1 * (slope - first[name])
                    second[name] += 0.001 * (slope**2 - second[name])
                    move = (first[name] / (1 - 0.9**step)) / (
                        np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8
                    )
                    self.parameters[name] -= rate * move


def build(network: Network) -> Model:
    """Make the Core ML model of a trained network."""
    model = Model(specificationVersion=1)
    description = model.description
    description.metadata.shortDescription = "Reads a handwritten digit from an 8 x 8 grey image."
    description.metadata.author = "The refquant developers"
    description.metadata.license = "Apache-2.0"
    description.metadata.versionString = "1"
    image = description.input.add(name="image", shortDescription="Ink from 0 to 1: channel, row, column.")
    image.type.multiArrayType.shape.extend([1, 8, 8])
    image.type.multiArrayType.dataType = ArrayFeatureType.FLOAT32
    label = description.output.add(name="digit", shortDescription="The most likely digit.")
    label.type.stringType.SetInParent()
    shares = description.output.add(name="probabilities", shortDescription="How likely each digit is.")
    shares.type.dictionaryType.stringKeyType.SetInParent()
    description.predictedFeatureName = "digit"
    description.predictedProbabilitiesName = "probabilities"
    classifier = model.neuralNetworkClassifier
    classifier.labelProbabilityLayerName = "probabilities"
    classifier.stringClassLabels.vector.extend("0123456789")

    blob = "image"

    def add(name: str) -> NeuralNetworkLayer:
        nonlocal blob
        layer = classifier.layers.add(name=name, input=[blob], output=[name])
        blob = name
        return layer

    def store(params: Any, values: Any) -> None:
        store_float32(params, array("f", values.reshape(-1).tolist()))

    p = network.parameters

    def convolution(name: str, inputs: int, groups: int, bias: str | None) -> None:
        layer = add(name).convolution
        layer.outputChannels, layer.kernelChannels, layer.nGroups = len(p[name]), inputs, groups
        layer.kernelSize.extend([3, 3])
        layer.stride.extend([1, 1])
        layer.dilationFactor.extend([1, 1])
        layer.same.SetInParent()
        store(layer.weights, p[name])
        if bias:
            layer.hasBias = True
            store(layer.bias, p[bias])

    def relu(name: str) -> None:
        add(name).activation.ReLU.SetInParent()

    def dense(name: str) -> None:
        layer = add(name).innerProduct
        layer.outputChannels, layer.inputChannels = p[name].shape
        layer.hasBias = True
        store(layer.weights, p[name])
        store(layer.bias, p[f"{name}_bias"])

    convolution("conv_1", 1, 1, None)
    norm = add("batchnorm").batchnorm
    norm.channels, norm.epsilon = 16, EPSILON
    for params, values in zip(
        (norm.gamma, norm.beta, norm.mean, norm.variance),
        (p["gamma"], p["beta"], network.mean, network.variance),
    ):
        store(params, values)
    relu("relu_1")
    convolution("depthwise", 1, 16, "depthwise_bias")
    relu("relu_2")
    convolution("conv_2", 16, 1, "conv_2_bias")
    relu("relu_3")
    pool = add("pool").pooling
    pool.type = PoolingLayerParams.MAX
    pool.kernelSize.extend([2, 2])
    pool.stride.extend([2, 2])
    pool.valid.SetInParent()
    add("flatten").flatten.mode = FlattenLayerParams.CHANNEL_FIRST
    dense("dense_1")
    relu("relu_4")
    dense("dense_2")
    add("probabilities").softmax.SetInParent()
    return model


def main() -> int:
    """Train, check and write the sample."""
    try:
        import numpy as np
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise SystemExit(f"training needs the extra 'train': {error}") from None
    data = load_digits()
    order = np.random.default_rng(7).permutation(len(data.target))
    pixels, digits = data.data[order], data.target[order]
    network = Network(np)
    network.train(pixels[:-HELD_BACK].reshape(-1, 1, 8, 8) / 16, digits[:-HELD_BACK])
    held_back = [Image(bytes(map(int, ink)), int(digit)) for ink, digit in zip(pixels, digits)][-HELD_BACK:]

    model = load(build(network).SerializeToString())
    read = [classify(model, np.array([*image.pixels]).reshape(1, 8, 8) / 16, np) for image in held_back]
    share = sum(label == str(image.digit) for label, image in zip(read, held_back)) / HELD_BACK
    sys.stdout.write(f"reads {share:.1%} of {HELD_BACK} held-back images\n")
    if share < GOOD_ENOUGH:
        raise SystemExit("not good enough; nothing was written")
    save(model, model_path())
    images_path().write_bytes(b"".join(image.pixels + bytes([image.digit]) for image in held_back))
    return 0


if __name__ == "__main__":
    sys.exit(main())
