"""The whole serialized model, byte for byte, beside coremltools: every layer, mode and number of bits.

What refquant does otherwise on purpose is in test_departures.py. Models are compared as written by one
serializer with sorted maps, since the order of a map's keys is free.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import pytest

import refquant
from refquant.model.walk import all_layers
from refquant.model.within import weights_within
from refquant.schema.coreml import Model
from tests.conftest import TALLY
from tests.networks import BATCHNORMS, ROWS, network, pipeline, random_network
from tests.parity.conftest import Peer
from tests.parity.peer import even_table

pytestmark = pytest.mark.parity

MODELS = sorted(Path(os.environ.get("REFQUANT_MODELS") or "nowhere").glob("*.mlmodel"))

#: Every deterministic mode and number of bits.
SETTINGS: list[tuple[int, str]] = [
    *((nbits, mode) for mode in ("linear", "linear_lut", "custom_lut") for nbits in range(1, 9)),
    (8, "linear_symmetric"),
    (16, "linear"),
]

#: One setting for each kind of arithmetic.
FEW = [
    (8, "linear"),
    (8, "linear_symmetric"),
    (8, "linear_lut"),
    (4, "linear"),
    (3, "linear_lut"),
    (16, "linear"),
]

#: The user guide's selector, and two more.
SELECTORS: list[tuple[str, dict[str, Any]]] = [
    (
        "AdvancedQuantizedLayerSelector",
        {
            "skip_layer_types": ["batchnorm", "bias", "depthwiseConv"],
            "minimum_conv_kernel_channels": 4,
            "minimum_conv_weight_count": 4096,
        },
    ),
    (
        "AdvancedQuantizedLayerSelector",
        {
            "skip_layer_types": ["innerProduct"],
            "minimum_conv_kernel_channels": 2,
            "minimum_conv_weight_count": 20,
        },
    ),
    ("MatrixMultiplyLayerSelector", {"minimum_weight_count": 10, "maximum_output_channels": 5}),
]


def without_empty_quantization(model: Model) -> Model:
    """Drop `quantization` messages without content, which the peer leaves beside dequantized floats."""
    for _, params in weights_within(model):
        if params.HasField("quantization") and not params.quantization.ByteSize():
            params.ClearField("quantization")
    return model


def mine(model: Model, nbits: int, mode: str, **more: Any) -> Model:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", refquant.RefquantWarning)
        found: Model = refquant.quantize_weights(model, nbits, mode, lut_function=even_table, **more)
    return found


def compare(found: Model, expected: Model | str, what: str) -> None:
    assert not isinstance(expected, str), f"{what}: the peer raised {expected}"
    same = found.SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)
    TALLY["identical" if same else "DIFFERENT"] += 1
    assert same, f"{what}: the models differ"


def compare_all(model: Model, peer: Peer, settings: list[tuple[int, str]]) -> None:
    """Compare every setting, and the way back from each result."""
    for nbits, mode in settings:
        found = mine(model, nbits, mode)
        compare(found, peer.quantize(model, nbits=nbits, quantization_mode=mode), f"{nbits} {mode}")
        if nbits < 16:
            back = peer.quantize(found, nbits=8, quantization_mode="dequantization")
            assert not isinstance(back, str)
            compare(
                mine(found, 8, "dequantization"),
                without_empty_quantization(back),
                f"back from {nbits} {mode}",
            )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ROWS)
def test_every_row_every_mode(name: str, seed: int, coremltools_9: Peer) -> None:
    compare_all(network(ROWS[name], seed), coremltools_9, SETTINGS)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", BATCHNORMS)
def test_convolution_and_batchnorm(name: str, seed: int, coremltools_8: Peer) -> None:
    compare_all(network(BATCHNORMS[name], seed), coremltools_8, SETTINGS)


@pytest.mark.parametrize("name", [*ROWS])
def test_selectors(name: str, coremltools_9: Peer) -> None:
    for class_name, arguments in SELECTORS:
        model = network(ROWS[name], 7)
        found = mine(model, 8, "linear", selector=getattr(refquant, class_name)(**arguments))
        selector = {"name": class_name, "arguments": arguments}
        compare(found, coremltools_9.quantize(model, nbits=8, selector=selector), class_name)


@pytest.mark.parametrize("hundred", range(3))
def test_random_networks(hundred: int, coremltools_9: Peer) -> None:
    for seed in range(100 * hundred, 100 * hundred + 100):
        model = random_network(seed)
        nbits, mode = SETTINGS[seed % len(SETTINGS)]
        expected = coremltools_9.quantize(model, nbits=nbits, quantization_mode=mode)
        compare(mine(model, nbits, mode), expected, f"random network {seed}")


def test_classifier_and_pipeline(coremltools_9: Peer) -> None:
    classifier = network(ROWS["innerProduct"], 1, "neuralNetworkClassifier")
    regressor = network(ROWS["conv_scale"], 2, "neuralNetworkRegressor")
    for model in (classifier, regressor, pipeline(classifier, pipeline(regressor))):
        compare_all(model, coremltools_9, FEW)


@pytest.mark.parametrize("name", ["innerProduct", "batchedMatmul", "loop"])
def test_int8(name: str, coremltools_9: Peer) -> None:
    for seed in range(6):
        model = network(ROWS[name], seed)
        # The format refuses a bias, and arrays mapped to rank 5: see the departures.
        for layer in all_layers(model.neuralNetwork):
            if layer.HasField("innerProduct"):
                layer.innerProduct.hasBias = False
            if layer.HasField("batchedMatmul"):
                layer.batchedMatmul.hasBias = False
        model.neuralNetwork.arrayInputShapeMapping = 1  # type: ignore[assignment] # EXACT_ARRAY_MAPPING
        found = refquant.activate_int8_int8_matrix_multiplications(model)
        compare(found, coremltools_9.quantize(model, int8=True), f"int8 {name} {seed}")


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_published_models(path: Path, coremltools_9: Peer, coremltools_8: Peer) -> None:
    model = refquant.MLModel(path).get_spec()
    for nbits, mode in [*SETTINGS, (8, "kmeans_lut")]:
        if nbits < 16 or not model.isUpdatable:
            # coremltools' own definition of the format reads what refquant writes, and writes it the same.
            found = mine(model, nbits, mode, half_overflow="keep")
            again = coremltools_9.quantize(found, reload=True)
            assert not isinstance(again, str)
            assert again.SerializeToString(deterministic=True) == found.SerializeToString(deterministic=True)
        if mode == "kmeans_lut":
            continue
        if model.isUpdatable:
            TALLY["not compared: an updatable model, whose updatable layers the peer quantizes too"] += 1
            continue
        expected = coremltools_9.quantize(model, nbits=nbits, quantization_mode=mode)
        if (
            isinstance(expected, str)
            and expected.startswith("TypeError")
            and "PoseEstimation" not in path.name
        ):
            # A convolution with a batchnorm, which 9.0 does not survive.
            expected = coremltools_8.quantize(model, nbits=nbits, quantization_mode=mode)
        if isinstance(expected, str):
            TALLY[f"not compared: the peer raised {expected.split(':')[0]} for {path.stem}"] += 1
            continue
        compare(mine(model, nbits, mode), expected, f"{nbits} {mode}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", [path for path in MODELS if "PoseEstimation" in path.name], ids=lambda p: p.stem
)
def test_many_batchnorms(path: Path, coremltools_8: Peer) -> None:
    model = refquant.MLModel(path).get_spec()
    compare(mine(model, 8, "linear"), coremltools_8.quantize(model, nbits=8), path.name)
