"""The models that are bent: small ones of every kind, in every form, and the embedded sample."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import refquant
from refquant.sample import model_bytes
from refquant.schema.coreml import Model
from tests import bending
from tests.broken import CASES
from tests.fuzz.wire import MODEL, Field, decode
from tests.networks import BATCHNORMS, ROWS, described, network, pipeline

#: Form in which networks are bent, besides float32 -> what makes it.
FORMS: dict[str, Callable[[Model], Model]] = {
    "half": lambda model: refquant.quantize_weights(model, 16, fuse=False),
    "linear": lambda model: refquant.quantize_weights(model, 3, fuse=False),
    "lut": lambda model: refquant.quantize_weights(model, 2, "linear_lut", fuse=False),
}


def _classifier() -> Model:
    """A classifier with a few labels, which names the blob of its probabilities."""
    model = network(ROWS["ip_scale"], 1, "neuralNetworkClassifier")
    model.neuralNetworkClassifier.stringClassLabels.vector.extend(["one", "two", "three"])
    model.neuralNetworkClassifier.labelProbabilityLayerName = "output"
    model.description.predictedFeatureName = "label"
    model.description.metadata.userDefined["key"] = "value"
    return model


def _pipelines() -> Model:
    inner = pipeline(network(ROWS["gru"]), described("treeEnsembleRegressor"), kind="pipelineRegressor")
    return pipeline(network(ROWS["conv_scale"]), inner, kind="pipelineClassifier")


@cache
def _makers() -> dict[str, Callable[[], Model]]:
    """Give what makes each base, by its name: a row of the table of layers, a chain, a validator's case."""
    networks = {**ROWS, **BATCHNORMS}
    made: dict[str, Callable[[], Model]] = {
        name: partial(network, build, 1) for name, build in networks.items()
    }
    for form, make in FORMS.items():
        for name, model in tuple(made.items()):
            if name in networks:
                made[f"{name} {form}"] = lambda make=make, model=model: make(model())  # type: ignore[misc]
    made["classifier"], made["pipelines"] = _classifier, _pipelines
    made["learning"], made["signed"] = lambda: bending.LEARNING, lambda: bending.SIGNED
    made["sample"] = lambda: Model.FromString(model_bytes())
    for case in CASES:
        made[f"case: {case.title}"] = lambda model=case.model: model  # type: ignore[misc]
    return made


def names() -> list[str]:
    """List the names of all bases."""
    return list(_makers())


@cache
def model(name: str) -> bytes:
    """Give the bytes of a base."""
    return _makers()[name]().SerializeToString(deterministic=True)


@cache
def tree(name: str) -> list[Field]:
    """Give the tree of a base, which nobody may change."""
    return decode(model(name), MODEL)
