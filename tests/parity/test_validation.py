"""The validator against what coremltools writes: faults where it departs from the format, and only there."""

from __future__ import annotations

import warnings
from typing import Any, Callable

import pytest

import refquant
from refquant.model import tensor
from refquant.model.stored import Stored
from refquant.schema.coreml import Model
from tests.networks import LAYERS, Net, network
from tests.parity.conftest import Peer

pytestmark = pytest.mark.parity


def chain(*steps: Callable[[Net], object]) -> Model:
    def build(net: Net) -> None:
        for step in steps:
            step(net)

    return network(build, 3)


def mine(model: Model, **settings: Any) -> Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", refquant.RefquantWarning)
        if settings.pop("int8", False):
            found: Model = refquant.activate_int8_int8_matrix_multiplications(model)
        else:
            found = refquant.quantize_weights(model, **settings)
    return found


def grouped() -> Model:
    return chain(lambda net: net.convolution(6, 4, groups=2, bias=False, deconvolution=True))


def half_producer() -> Model:
    model = chain(lambda net: net.convolution(bias=False), lambda net: net.scale((6,), None))
    params = model.neuralNetwork.layers[0].convolution.weights
    tensor.store(params, Stored("float16", b"\0\x3c" * 108))
    return model


def updatable() -> Model:
    model = network(LAYERS["innerProduct"])
    model.isUpdatable = model.neuralNetwork.layers[0].isUpdatable = True
    return model


def with_bias() -> Model:
    return chain(lambda net: net.inner_product())


@pytest.mark.parametrize(
    ("row", "make", "settings", "rules"),
    [
        ("DEP-10", grouped, {"nbits": 8}, {"DEQ-4"}),
        ("DEP-17", half_producer, {"nbits": 8}, {"TEN-1"}),
        ("DEP-20", updatable, {"nbits": 8}, {"FILE-7"}),
        ("DEP-21", with_bias, {"int8": True}, {"INT8-6"}),
    ],
)
def test_faults(
    row: str, make: Callable[[], Model], settings: dict[str, Any], rules: set[str], coremltools_9: Peer
) -> None:
    model = make()
    theirs = coremltools_9.quantize(model, **settings)
    assert isinstance(theirs, Model), row
    assert {fault.rule for fault in refquant.validate_model(theirs)} == rules, row
    assert refquant.validate_model(mine(model, **settings)) == [], row
