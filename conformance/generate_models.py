"""Make the vectors of whole models: `python -m conformance.generate_models` (in a checkout, extra `test`).

What a good model must become is what coremltools makes of it, 9.0 or (for a batchnorm behind a
convolution) 8.1, in the virtualenvs of the parity run; each case names its source. What a bad model must
meet is an error, by the specification alone.
"""

from __future__ import annotations

import math
import sys
import tempfile
from array import array
from pathlib import Path
from typing import Any

from conformance.generate import HERE, Family, document, refusal
from refquant.model import tensor
from refquant.model.file import weights_within
from refquant.schema.coreml import Model
from tests.networks import BATCHNORMS, CHAINS, LAYERS, Net, described, network, pipeline
from tests.parity.conftest import Peer

#: Number of bits and mode of every layer's cases.
SETTINGS = [(8, "linear"), (3, "linear"), (8, "linear_symmetric"), (2, "linear_lut"), (16, "linear")]

#: Selectors, by their names in the protocol, and their classes in coremltools.
SELECTORS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "advanced",
        "AdvancedQuantizedLayerSelector",
        {
            "skip_layer_types": ["batchnorm", "bias", "depthwiseConv"],
            "minimum_conv_kernel_channels": 4,
            "minimum_conv_weight_count": 4096,
        },
    ),
    (
        "advanced",
        "AdvancedQuantizedLayerSelector",
        {"skip_layer_types": ["scale"], "minimum_conv_kernel_channels": 3, "minimum_conv_weight_count": 100},
    ),
    (
        "matrix_multiply",
        "MatrixMultiplyLayerSelector",
        {"minimum_weight_count": 10, "maximum_output_channels": 5},
    ),
]


#: Rules that some layers are about besides.
MORE_RULES = {"branch": "LAY-4", "loop": "LAY-4", "custom": "LAY-5"}


def hexed(model: Model) -> str:
    """Write a model with sorted maps."""
    return model.SerializeToString(deterministic=True).hex()


def by_peer(
    family: Family, peer: Peer, model: Model, title: str, rules: str, flags: str, **settings: Any
) -> None:
    """Add a case whose answer is the peer's."""
    theirs = {"nbits": settings.get("nbits", 8), "quantization_mode": settings["mode"]}
    selector = settings.get("selector")
    if selector:
        name = next(known for kind, known, arguments in SELECTORS if arguments == selector["arguments"])
        theirs["selector"] = {"name": name, "arguments": selector["arguments"]}
    if settings["mode"] == "int8":
        theirs = {"int8": True}
    made = peer.quantize(model, **theirs)
    assert not isinstance(made, str), (title, made)
    if settings["mode"] == "dequantization":
        for _, params in weights_within(made):
            # The peer leaves the message behind, without content: DEP-24.
            if not params.quantization.ByteSize():
                params.ClearField("quantization")
    given = {"model": hexed(model), "settings": settings}
    source = f"coremltools {peer.version}"
    family.add("model.quantize", title, rules, given, {"model": hexed(made)}, flags, source=source)


def layers(family: Family, peer: Peer) -> None:
    """Every row of the table of layers, in every kind of arithmetic, and back."""
    for name, build in LAYERS.items():
        model = network(build, 1)
        for nbits, mode in SETTINGS:
            title = f"{name}, {nbits} bits {mode}"
            rules = f"LAY-1 LAY-2 TEN-2 FILE-1 {MORE_RULES.get(name, '')}"
            by_peer(family, peer, model, title, rules, "layer", nbits=nbits, mode=mode)
        for nbits, mode in ((8, "linear"), (2, "linear_lut")):
            made = peer.quantize(model, nbits=nbits, quantization_mode=mode)
            assert isinstance(made, Model)
            again = f"{name}, {nbits} bits {mode}, is left as it is"
            by_peer(family, peer, made, again, "TEN-8", "layer", nbits=8, mode="linear")
            title = f"{name}, back from {nbits} bits {mode}"
            by_peer(family, peer, made, title, "DEQ-1", "layer", mode="dequantization")


def fusion(family: Family, peer: Peer, older: Peer) -> None:
    """Chains that fuse and chains that do not."""
    for name, build in {**CHAINS, **BATCHNORMS}.items():
        for seed in (1, 2):
            who = older if name in BATCHNORMS else peer
            model = network(build, seed)
            by_peer(
                family,
                who,
                model,
                f"{name}, {seed}",
                "FUS-1 FUS-2 FUS-4 FUS-9",
                "fusion",
                nbits=8,
                mode="linear",
            )
    model = network(CHAINS["conv_bias_scale_bias"], 1)
    by_peer(family, peer, model, "16 bits do not fuse", "FUS-1", "fusion", nbits=16, mode="linear")


def selectors(family: Family, peer: Peer) -> None:
    """Put the guide's selector and others to layers that they take and layers that they leave."""
    for kind, _, arguments in SELECTORS:
        for name in (
            "convolution",
            "depthwise_convolution",
            "innerProduct",
            "batchedMatmul",
            "loop",
            "scale",
        ):
            by_peer(
                family,
                peer,
                network(LAYERS[name], 5),
                f"{kind} on {name}",
                "SEL-1 SEL-2 SEL-5 SEL-6" if kind == "advanced" else "SEL-1 SEL-2 SEL-7",
                "selector",
                nbits=8,
                mode="linear",
                selector={"name": kind, "arguments": arguments},
            )


def models(family: Family, peer: Peer) -> None:
    """Classifiers, regressors, pipelines, dynamic int8."""
    classifier = network(LAYERS["innerProduct"], 1, "neuralNetworkClassifier")
    regressor = network(LAYERS["bias"], 2, "neuralNetworkRegressor")
    tree = described("treeEnsembleClassifier")
    for title, model in (
        ("a classifier", classifier),
        ("a regressor", regressor),
        ("a pipeline in a pipeline", pipeline(classifier, pipeline(regressor))),
        ("a pipeline with a tree ensemble", pipeline(tree, classifier)),
    ):
        by_peer(family, peer, model, title, "FILE-2 FILE-5", "layer", nbits=4, mode="linear")
    for seed in range(4):
        model = network(lambda net: _matmul(net), seed)
        model.neuralNetwork.arrayInputShapeMapping = 1  # type: ignore[assignment] # EXACT_ARRAY_MAPPING
        by_peer(family, peer, model, "dynamic int8", "INT8-1 INT8-2 FILE-1", "layer", mode="int8")
        made = peer.quantize(model, nbits=8, quantization_mode="linear")
        assert isinstance(made, Model)
        by_peer(family, peer, made, "dynamic int8 of codes", "INT8-4", "layer", mode="int8")


def _matmul(net: Net) -> None:
    net.inner_product(net.pick(1, 5), net.pick(2, 9), bias=False)


def invalid(family: Family) -> None:
    """One fault a case."""

    def add(title: str, rule: str, model: Model, index: int | None = None, **settings: Any) -> None:
        given = {"model": hexed(model), "settings": {"nbits": 8, "mode": "linear", **settings}}
        family.add("model.quantize", title, rule, given, refusal(rule, index), "invalid")

    def single(values: list[float]) -> Model:
        model = network(lambda net: _drop(net.inner_product(1, len(values), bias=False)))
        layer = model.neuralNetwork.layers[0].innerProduct
        tensor.store_float32(layer.weights, array("f", values))
        return model

    add("NaN among the weights", "TEN-7", single([1.0, math.nan]), 1)
    add("infinity among the weights", "TEN-7", single([math.inf, 1.0]), 0)
    short = single([1.0, 2.0])
    short.neuralNetwork.layers[0].innerProduct.inputChannels = 3
    add("weights that do not fill their shape", "TEN-6", short)
    both = single([1.0, 2.0])
    both.neuralNetwork.layers[0].innerProduct.weights.float16Value = b"\0\0\0\0"
    add("two kinds of values", "TEN-1", both)
    kernel = network(LAYERS["convolution"], 1)
    del kernel.neuralNetwork.layers[0].convolution.kernelSize[:]
    add("no kernel size", "LAY-3", kernel)
    add("outside half precision", "HALF-2", single([1.0, 70000.0]), 1, nbits=16)
    add("symmetric with 4 bits", "SYM-1", single([1.0]), nbits=4, mode="linear_symmetric")
    add("an ML program", "FILE-3", described("mlProgram"))
    add("a tree ensemble", "FILE-3", described("treeEnsembleRegressor"))
    updatable = single([1.0, 2.0])
    updatable.isUpdatable = True
    add("an updatable model to 16 bits", "FILE-4", updatable, nbits=16)
    changes: list[tuple[str, str, dict[str, Any]]] = [
        ("too few raw bytes", "PACK-5", {"rawValue": b"\0"}),
        ("numberOfBits 0", "TEN-5", {"bits": 0}),
        ("numberOfBits 9", "TEN-5", {"bits": 9}),
        ("two scales for one channel", "DEQ-4", {"scales": [1.0, 2.0]}),
        ("no scales", "DEQ-4", {"scales": []}),
    ]
    for title, rule, change in changes:
        broken = single([1.0, 2.0])
        params = broken.neuralNetwork.layers[0].innerProduct.weights
        params.Clear()
        params.rawValue = change.get("rawValue", b"\0\0")
        params.quantization.numberOfBits = change.get("bits", 8)
        params.quantization.linearQuantization.scale.extend(change.get("scales", [1.0]))
        add(title, rule, broken, mode="dequantization")


def _drop(layer: object) -> None:
    """Builders return nothing."""


def main(arguments: list[str]) -> int:
    """Write the vectors of whole models, or check them."""
    family = Family("models")
    with tempfile.TemporaryDirectory() as scratch:
        peer, older = Peer("9.0", Path(scratch)), Peer("8.1", Path(scratch))
        try:
            layers(family, peer)
            fusion(family, peer, older)
            selectors(family, peer)
            models(family, peer)
        finally:
            peer.stop()
            older.stop()
    invalid(family)
    path, text = HERE / "vectors" / "models.json", document(family)
    if "--check" in arguments:
        if path.read_text(encoding="utf-8") != text:
            raise SystemExit("stale: models.json; run: python -m conformance.generate_models")
    else:
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
