"""The file: kinds of models, pipelines, versions, updatable models, and what nobody knows."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

from conformance.cases.family import Family
from conformance.whole import (
    DEQUANTIZATION,
    LINEAR,
    SETTINGS,
    ask,
    chain,
    convolution,
    copied,
    exact_arrays,
    layer,
    params,
    product,
    quantized,
    scale,
)
from refquant.model.tensor import store_float32
from refquant.schema.coreml import Model
from tests.networks import LAYERS, Net, described, network, pipeline

INT8 = {"mode": "int8"}

PIPELINES = ("pipeline", "pipelineClassifier", "pipelineRegressor")

#: Kinds of models that are not networks and hold none.
OTHERS = (
    "mlProgram",
    "treeEnsembleClassifier",
    "treeEnsembleRegressor",
    "glmClassifier",
    "supportVectorRegressor",
    "featureVectorizer",
    "scaler",
    "identity",
    "customModel",
    "kNearestNeighborsClassifier",
)

#: A field of no message of the format: number 19999, a varint 1; and number 19998, the bytes "new".
UNKNOWN = b"\xf8\xe1\x09\x01\xf2\xe1\x09\x03new"


def file(family: Family) -> None:
    """Fill the family."""
    kinds(family)
    versions(family)
    unknown(family)
    updatable(family)
    survivors(family)


def kinds(family: Family) -> None:
    """Classifiers, regressors, pipelines of all kinds, and what is no network."""
    small: dict[str, Any] = {"nbits": 4, "mode": "linear"}
    classifier = network(LAYERS["innerProduct"], 1, "neuralNetworkClassifier")
    regressor = network(LAYERS["bias"], 2, "neuralNetworkRegressor")
    plain = chain(convolution(bias=False), scale())
    for title, model in (("a classifier", classifier), ("a regressor", regressor)):
        ask(family, title, "FILE-2 FILE-5", "layer", model, small)
    for kind in PIPELINES:
        row = "" if kind == "pipeline" else "DEP-3"
        for settings in (small, SETTINGS[-1]):
            title = f"a {kind}, {settings['nbits']} bits"
            model = pipeline(classifier, plain, kind=kind)
            ask(family, title, "FILE-2 FILE-5", f"layer {row}", model, settings)
        title = f"a {kind}, back"
        model = pipeline(quantized(classifier), kind=kind)
        ask(family, title, "FILE-2 DEQ-1", f"layer {row or 'DEP-24'}", model, DEQUANTIZATION)
        model = pipeline(exact_arrays(chain(product())), kind=kind)
        ask(family, f"a {kind}, dynamic int8", "FILE-2 INT8-1", f"layer {row}", model, INT8)
        model = pipeline(pipeline(regressor, kind=kind))
        title = f"a {kind} in a pipeline"
        ask(family, title, "FILE-2", f"layer {row}", model, small)
        model = pipeline(described("treeEnsembleClassifier"), kind=kind)
        # coremltools stumbles over the two others.
        flags = "invalid DEP-12" if kind == "pipeline" else "invalid"
        ask(family, f"a {kind} without a network", "FILE-3", flags, model, small)
    model = pipeline(described("treeEnsembleClassifier"), classifier, described("scaler"))
    ask(family, "a pipeline with other kinds", "FILE-3 FILE-5", "layer", model, small)
    for kind in OTHERS:
        ask(family, f"the kind {kind}", "FILE-3", "invalid DEP-12", described(kind), small)
    for settings, flags in ((DEQUANTIZATION, "invalid DEP-12"), (INT8, "invalid")):
        title = f"an ML program, {settings['mode']}"
        ask(family, title, "FILE-3", flags, described("mlProgram"), settings)
    ask(family, "an empty pipeline", "FILE-3", "invalid DEP-12", pipeline(), small)


def versions(family: Family) -> None:
    """Raise the version to what is needed, and never lower it."""
    for version in (1, 2, 3, 4, 6, 8):
        model = chain(product(bias=True))
        model.specificationVersion = version
        for settings in (LINEAR, SETTINGS[-1]):
            title = f"version {version}, {settings['nbits']} bits"
            ask(family, title, "FILE-1", "layer", model, settings)
        made = quantized(model)
        made.specificationVersion = version
        ask(family, f"version {version}, back", "FILE-1", "layer DEP-24", made, DEQUANTIZATION)
    inner = chain(product())
    inner.specificationVersion = 7
    model = pipeline(inner, chain(product()))
    model.specificationVersion = 6
    ask(family, "a pipeline of version 6 with a model of 7", "FILE-1 FILE-10 FILE-2", "layer", model, LINEAR)
    for kind in ("bias", "loadConstantND"):
        title = f"codes in {kind} alone, which some scans overlook"
        ask(family, title, "FILE-1", "layer", network(LAYERS[kind], 1), LINEAR)


def unknown(family: Family) -> None:
    """Fields of a newer format: kept, wherever they are."""
    places: list[tuple[str, Callable[[Model], Any]]] = [
        ("the model", lambda model: model),
        ("the description", lambda model: model.description),
        ("the network", lambda model: model.neuralNetwork),
        ("a layer", layer),
        ("the parameters of a layer", lambda model: layer(model).innerProduct),
        ("a tensor", params),
    ]
    for place, find in places:
        model = exact_arrays(chain(product(), Net.relu))
        find(model).MergeFromString(UNKNOWN)
        for settings in (LINEAR, SETTINGS[-1], INT8):
            title = f"unknown fields of {place}, {settings['mode']} {settings.get('nbits', '')}".rstrip()
            ask(family, title, "FILE-5", "layer", model, settings)
        title = f"unknown fields of {place}, back"
        ask(family, title, "FILE-5", "layer DEP-24", quantized(model), DEQUANTIZATION)
    fused = chain(convolution(bias=False), scale())
    params(fused).MergeFromString(UNKNOWN)
    layer(fused).MergeFromString(UNKNOWN)
    ask(family, "unknown fields of a producer that is fused", "FILE-5 FUS-9", "fusion", fused, LINEAR)
    model = chain(Net.relu)
    # Field 200 of a layer's oneof: a type that is not known.
    newer = model.neuralNetwork.layers.add(name="newer", input=["output"], output=["other"])
    newer.MergeFromString(b"\xda\xf0\x04\x02\x08\x01")
    ask(family, "a layer of an unknown type", "FILE-5 LAY-5", "layer", model, LINEAR)


def updatable(family: Family) -> None:
    """Layers that learn stay in floats, unfused; their neighbours do not."""

    def learning(*which: int, model_too: bool = True) -> Model:
        model = chain(product(4, 4, bias=True), Net.relu, product(3, 4, bias=True))
        model.isUpdatable = model_too
        for index in which:
            found = layer(model, index)
            found.isUpdatable = True
            for tensor in ("weights", "bias"):
                params(model, index, tensor).isUpdatable = True
        return model

    for nbits, mode in ((8, "linear"), (4, "linear_lut"), (8, "linear_symmetric")):
        settings = {"nbits": nbits, "mode": mode}
        title = f"the last layer learns, {nbits} bits {mode}"
        ask(family, title, "FILE-4", "layer DEP-20", learning(2), settings)
    ask(family, "all layers learn", "FILE-4", "layer DEP-20", learning(0, 2), LINEAR)
    ask(family, "no layer learns", "FILE-4", "layer", learning(), LINEAR)
    title = "layers marked in a model that is not updatable"
    ask(family, title, "FILE-4", "layer", learning(0, 2, model_too=False), LINEAR)
    for which, row in (((0,), "DEP-20"), ((1,), "DEP-20")):
        model = chain(convolution(bias=False), scale())
        model.isUpdatable = True
        layer(model, *which).isUpdatable = True
        title = f"the {'producer' if which == (0,) else 'consumer'} of a pair learns"
        ask(family, title, "FILE-4 FUS-1", f"fusion {row}", model, LINEAR)
    model = chain(convolution(bias=False), scale())
    model.isUpdatable = True
    ask(family, "a frozen pair of an updatable model", "FILE-4 FUS-1", "fusion", model, LINEAR)
    model = pipeline(learning(2), learning(0, model_too=False))
    ask(family, "one updatable model of a pipeline", "FILE-4 FILE-2", "layer DEP-20", model, LINEAR)
    for title, model in (("no layer learns", learning()), ("a layer learns", learning(2))):
        ask(family, f"{title}, to 16 bits", "FILE-4", "invalid", model, SETTINGS[-1])
    title = "an updatable model in a pipeline, to 16 bits"
    ask(family, title, "FILE-4", "invalid DEP-43", pipeline(learning(2)), SETTINGS[-1])
    made = quantized(learning(2))
    title = "an updatable model with codes in its frozen layers, back"
    ask(family, title, "DEQ-1 FILE-4", "layer DEP-24", made, DEQUANTIZATION)


def survivors(family: Family) -> None:
    """Descriptions, metadata, preprocessing and all the rest."""
    model = chain(product(bias=True))
    model.description.metadata.shortDescription = "a model"
    model.description.metadata.author = "someone"
    for index in range(9):
        model.description.metadata.userDefined[f"key {index}"] = str(index)
    preprocessing = model.neuralNetwork.preprocessing.add(featureName="input")
    preprocessing.scaler.channelScale = 0.5
    model.neuralNetwork.preprocessing.add(featureName="other").meanImage.meanImage.extend([1.0, 2.0])
    classifier = copied(network(LAYERS["innerProduct"], 3, "neuralNetworkClassifier"))
    classifier.neuralNetworkClassifier.stringClassLabels.vector.extend(["cat", "dog"])
    for title, given in (("a described model", model), ("a classifier with labels", classifier)):
        for settings in (LINEAR, SETTINGS[-1]):
            ask(family, f"{title}, {settings['nbits']} bits", "FILE-5", "layer", given, settings)
    model = chain(Net.relu)
    ask(family, "a network without weights", "FILE-10 FILE-5 TEN-8", "layer", model, LINEAR)
    model = chain(product(2, 2))
    store_float32(params(model), array("f", [-0.0, 0.0, -0.0, 0.0]))
    ask(family, "negative zeros to 16 bits", "HALF-1 FILE-5", "negative-zero", model, SETTINGS[-1])
