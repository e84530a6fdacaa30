"""What the layers of the sample network compute, with numpy: the check that training ends with.

It knows the format and not the training: weights come from the model's messages, shapes from its layers.
Each function takes a layer, the array that it reads and numpy itself, which only the extra `train` brings.
"""

from __future__ import annotations

from typing import Any, Callable

from refquant.schema.coreml import Model, NeuralNetworkLayer


def convolve(layer: NeuralNetworkLayer, x: Any, np: Any) -> Any:
    """Convolve (C, H, W) with stride 1, an odd kernel, and zeros outside; each group has its own inputs."""
    p = layer.convolution
    kh, kw = p.kernelSize
    _, h, w = x.shape
    kernels = np.array(p.weights.floatValue).reshape(p.nGroups, -1, p.kernelChannels, kh, kw)
    padded = np.pad(x, ((0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2)))
    grouped = padded.reshape(p.nGroups, p.kernelChannels, h + kh - 1, w + kw - 1)
    taps = (
        np.einsum("gok,gkhw->gohw", kernels[..., i, j], grouped[:, :, i : i + h, j : j + w])
        for i in range(kh)
        for j in range(kw)
    )
    y = sum(taps).reshape(p.outputChannels, h, w)
    return y + np.array(p.bias.floatValue)[:, None, None] if p.hasBias else y


def normalise(layer: NeuralNetworkLayer, x: Any, np: Any) -> Any:
    """Normalise every channel of (C, H, W) by the stored mean and variance."""
    p = layer.batchnorm
    gamma, beta, mean, variance = (
        np.array(params.floatValue)[:, None, None] for params in (p.gamma, p.beta, p.mean, p.variance)
    )
    return gamma * (x - mean) / np.sqrt(variance + p.epsilon) + beta


def pool(layer: NeuralNetworkLayer, x: Any, np: Any) -> Any:
    """Take the greatest of each tile of (C, H, W); tiles do not overlap."""
    kh, kw = layer.pooling.kernelSize
    c, h, w = x.shape
    return x.reshape(c, h // kh, kh, w // kw, kw).max((2, 4))


def multiply(layer: NeuralNetworkLayer, x: Any, np: Any) -> Any:
    """Multiply a vector with the matrix of an innerProduct, and add the bias."""
    p = layer.innerProduct
    matrix = np.array(p.weights.floatValue).reshape(p.outputChannels, p.inputChannels)
    return matrix @ x + np.array(p.bias.floatValue)


def softmax(layer: NeuralNetworkLayer, x: Any, np: Any) -> Any:
    """Turn a vector into shares of one."""
    powers = np.exp(x - x.max())
    return powers / powers.sum()


#: What each type of layer does, as the format says, for the settings that `build` writes.
EVALUATORS: dict[str | None, Callable[[NeuralNetworkLayer, Any, Any], Any]] = {
    "convolution": convolve,
    "batchnorm": normalise,
    "activation": lambda layer, x, np: np.maximum(x, 0),
    "pooling": pool,
    "flatten": lambda layer, x, np: x.reshape(-1),
    "innerProduct": multiply,
    "softmax": softmax,
}


def classify(model: Model, image: Any, np: Any) -> str:
    """Evaluate a network layer by layer, from blob to blob, and give the label of the greatest share."""
    classifier = model.neuralNetworkClassifier
    blobs = {"image": image}
    for layer in classifier.layers:
        (source,), (target,) = layer.input, layer.output
        blobs[target] = EVALUATORS[layer.WhichOneof("layer")](layer, blobs[source], np)
    shares = blobs[classifier.labelProbabilityLayerName]
    return classifier.stringClassLabels.vector[int(shares.argmax())]
