"""Make the vectors of whole models: `python -m conformance.generate_models` (in a checkout, extra `test`).

What a good model must become is what coremltools makes of it, 9.0 or (for a batchnorm behind a
convolution) 8.1, in the virtualenvs of the parity run; each case names its source. What a bad model must
meet is an error, by the specification alone.
"""

from __future__ import annotations

import math
import struct
import sys
import tempfile
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from conformance.generate import HERE, Family, document, hexed_model, refusal
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
    given = {"model": hexed_model(model), "settings": settings}
    source = f"coremltools {peer.version}"
    family.add("model.quantize", title, rules, given, {"model": hexed_model(made)}, flags, source=source)


def apart(
    family: Family,
    peer: Peer,
    model: Model,
    title: str,
    rules: str,
    flags: str,
    given: bytes = b"",
    untouched: tuple[str, ...] = (),
    quantized_as: Mapping[str, Any] | None = None,
    **settings: Any,
) -> None:
    """Add a case of a network whose layers stay apart: the answer is the peer's for each layer alone.

    So the peer has nothing to fuse, which it does where it must not. Layers named in `untouched` stay as
    they are. `given` is what the case asks, where that is not the model itself; `quantized_as` has other
    settings for the peer, without what it does wrong or does not know.
    """
    theirs = {"nbits": settings.get("nbits", 8), "quantization_mode": settings["mode"]}
    theirs.update(quantized_as or {})
    expected = Model.FromString(model.SerializeToString())
    for index, layer in enumerate(model.neuralNetwork.layers):
        if layer.name in untouched:
            continue
        alone = Model.FromString(model.SerializeToString())
        del alone.neuralNetwork.layers[:]
        alone.neuralNetwork.layers.add().CopyFrom(layer)
        made = peer.quantize(alone, **theirs)
        assert not isinstance(made, str), (title, layer.name, made)
        expected.neuralNetwork.layers[index].CopyFrom(made.neuralNetwork.layers[0])
        expected.specificationVersion = made.specificationVersion
    asked = {"model": given.hex() or hexed_model(model), "settings": settings}
    source = f"coremltools {peer.version}, layer by layer"
    family.add("model.quantize", title, rules, asked, {"model": hexed_model(expected)}, flags, source=source)


def departures(family: Family, peer: Peer) -> None:
    """Whole models that the peer gets wrong, put together from what it gets right."""
    linear: dict[str, Any] = {"nbits": 8, "mode": "linear"}

    def chain(*steps: Callable[[Net], object]) -> Model:
        def build(net: Net) -> None:
            for step in steps:
                step(net)

        return network(build, 4)

    # Fusion that must not be.
    model = chain(Net.convolution, Net.scale)
    shown = model.description.output.add()
    shown.CopyFrom(model.description.output[0])
    shown.name = model.neuralNetwork.layers[0].output[0]
    apart(family, peer, model, "what lies between is an output", "FUS-3", "fusion", **linear)
    model = chain(Net.convolution, lambda net: net.scale((6, 8, 8), None))
    apart(family, peer, model, "a scale over space", "FUS-10", "fusion", **linear)
    model = chain(Net.convolution, lambda net: net.bias((1, 2, 3)))
    title = "a bias over space with as many numbers as there are channels"
    apart(family, peer, model, title, "FUS-10", "fusion", **linear)
    model = chain(Net.convolution, Net.bias)
    weights = model.neuralNetwork.layers[0].convolution.weights
    halves = peer.quantize(model, nbits=16)
    assert isinstance(halves, Model)
    weights.CopyFrom(halves.neuralNetwork.layers[0].convolution.weights)
    bias = halves.neuralNetwork.layers[0].convolution.bias
    model.neuralNetwork.layers[0].convolution.bias.CopyFrom(bias)
    apart(family, peer, model, "a producer in half precision", "FUS-10 TEN-8", "fusion", **linear)
    model = chain(Net.convolution, Net.scale)
    reader = model.neuralNetwork.layers.add(name="branch", input=["input"], output=["branch_out"])
    inner = reader.branch.ifBranch.layers.add(name="inner", output=["branch_out"])
    inner.input.append(model.neuralNetwork.layers[0].output[0])
    inner.activation.ReLU.SetInParent()
    apart(family, peer, model, "read inside a branch", "FUS-2", "fusion", **linear)

    # A bias that follows its weights: what the peer does without a selector.
    leaving = {
        "skip_layer_types": ["bias"],
        "minimum_conv_kernel_channels": 1,
        "minimum_conv_weight_count": 1,
    }
    for build in (Net.convolution, Net.inner_product):
        apart(
            family,
            peer,
            chain(build, Net.relu),
            "a bias left out follows its weights to half precision",
            "HALF-4 SEL-6",
            "selector",
            nbits=16,
            mode="linear",
            selector={"name": "advanced", "arguments": leaving},
        )
    model = chain(lambda net: net.inner_product(3, 4), lambda net: net.inner_product(2, 3))
    params = model.neuralNetwork.layers[0].innerProduct.weights
    tensor.store_float32(params, array("f", [70000.0, *params.floatValue[1:]]))
    kept = (model.neuralNetwork.layers[0].name,)
    apart(
        family,
        peer,
        model,
        "a layer outside half precision is kept",
        "HALF-3",
        "limit",
        untouched=kept,
        nbits=16,
        mode="linear",
        half_overflow="keep",
    )

    # One scale for a grouped deconvolution: as many weights in a matrix of one row.
    for nbits in (8, 5):
        model = chain(lambda net: net.convolution(6, 4, groups=2, bias=False, deconvolution=True))
        params = model.neuralNetwork.layers[0].convolution.weights
        count = len(params.floatValue)
        row = chain(lambda net, count=count: net.inner_product(1, count, bias=False))  # type: ignore[misc]
        row.neuralNetwork.layers[0].innerProduct.weights.CopyFrom(params)
        made = peer.quantize(row, nbits=nbits)
        assert isinstance(made, Model)
        asked = {"model": hexed_model(model), "settings": {"nbits": nbits, "mode": "linear"}}
        params.CopyFrom(made.neuralNetwork.layers[0].innerProduct.weights)
        model.specificationVersion = made.specificationVersion
        expected = {"model": hexed_model(model)}
        source = f"coremltools {peer.version}, as a matrix of one row"
        family.add(
            "model.quantize", "grouped deconvolution", "LIN-7 LAY-3", asked, expected, "layer", source=source
        )

    # Dynamic int8 that the format refuses: nothing happens.
    with_bias = chain(lambda net: net.inner_product(3, 4))
    with_bias.neuralNetwork.arrayInputShapeMapping = 1  # type: ignore[assignment] # EXACT_ARRAY_MAPPING
    inexact = chain(lambda net: net.inner_product(3, 4, bias=False))
    no_weights = chain(Net.relu)
    no_weights.neuralNetwork.arrayInputShapeMapping = 1  # type: ignore[assignment]
    matmul = no_weights.neuralNetwork.layers.add(name="two inputs", input=["a", "b"], output=["c"])
    matmul.batchedMatmul.SetInParent()
    for title, model in (
        ("a layer with a bias", with_bias),
        ("no exact mapping of arrays", inexact),
        ("a product of two inputs", no_weights),
    ):
        same = {"model": hexed_model(model), "settings": {"mode": "int8"}}
        family.add(
            "model.quantize",
            f"no dynamic int8 for {title}",
            "INT8-3",
            same,
            {"model": hexed_model(model)},
            "layer",
            source="the rule: the layer stays as it is",
        )

    # Floats in several runs, or one by one: what the peer makes of them in one run.
    model = chain(lambda net: net.inner_product(2, 3, bias=False))
    params = model.neuralNetwork.layers[0].innerProduct.weights
    words = [struct.pack("<f", value) for value in params.floatValue]
    for title, runs in (("two runs", [2, 4]), ("runs of one and of none", [1, 0, 1, 4])):
        cut = Model.FromString(model.SerializeToString())
        cut_params = cut.neuralNetwork.layers[0].innerProduct.weights
        del cut_params.floatBytes[:]
        rest = list(words)
        for count in runs:
            cut_params.floatBytes.append(b"".join(rest[:count]))
            rest = rest[count:]
        apart(family, peer, model, f"floats in {title}", "TEN-3", "layer", cut.SerializeToString(), **linear)
    cut_params = cut.neuralNetwork.layers[0].innerProduct.weights
    del cut_params.floatBytes[:]
    cut_params.MergeFromString(b"".join(b"\x0d" + word for word in words))
    apart(family, peer, model, "floats one by one", "TEN-3", "layer", cut.SerializeToString(), **linear)

    # Selectors of the caller's.
    model = chain(lambda net: net.inner_product(3, 4), Net.relu, Net.bias)
    (product, _, shift) = (layer.name for layer in model.neuralNetwork.layers)
    for types, left in ((["innerProduct"], shift), (["bias", "convolution"], product)):
        apart(
            family,
            peer,
            model,
            f"the base selector with {' and '.join(types)}",
            "SEL-3",
            "selector",
            untouched=(left,),
            nbits=4,
            mode="linear_lut",
            selector={"name": "base", "arguments": {"quantizable_layer_types": types}},
        )
    model = chain(*[lambda net: net.inner_product(4, 4, bias=False)] * 4)
    first = {n.name: n.innerProduct.weights.floatValue[0] for n in model.neuralNetwork.layers}
    middle = sorted(first.values())[1]
    apart(
        family,
        peer,
        model,
        "a selector that reads weights",
        "SEL-8",
        "selector",
        untouched=tuple(name for name, value in first.items() if not value > middle),
        nbits=4,
        mode="linear",
        selector={"name": "reading", "arguments": {"first_weight_above": middle}},
    )


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
        given = {"model": hexed_model(model), "settings": {"nbits": 8, "mode": "linear", **settings}}
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
    for types in (["convolutions"], ["depthwise"], ["innerProduct", "Bias"]):
        selector = {"name": "advanced", "arguments": {"skip_layer_types": types}}
        add(f"skipping {types[-1]}, which is no type", "SEL-4", single([1.0]), selector=selector)
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
            departures(family, peer)
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
