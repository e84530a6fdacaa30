"""Whole models in half precision: what it cannot hold, and layers that stay together."""

from __future__ import annotations

from array import array

from conformance.cases.family import Family
from conformance.whole import DEQUANTIZATION, SETTINGS, ask, chain, copied, params, product, quantized
from conformance.whole.tensor import row
from refquant.model.tensor import store_float32
from refquant.schema.coreml import Model
from tests.networks import LAYERS, Net, network

HALF = SETTINGS[-1]


def half(family: Family) -> None:
    """Fill the family."""
    limits(family)
    together(family)
    kept(family)


def limits(family: Family) -> None:
    """Ask for weights that half precision cannot hold, and for halves that cannot be read."""
    for value in (65504.0, -65504.0, 70000.0, -1e30):
        title = f"{value:g} to half precision"
        ask(family, title, "HALF-2", "limit invalid DEP-19", row(1.0, value), HALF)
    for size in (3, 5):
        model = row(1.0, 2.0)
        params(model).Clear()
        params(model).float16Value = b"\0" * size
        ask(family, f"{size} bytes of halves", "TEN-4", "invalid", model, DEQUANTIZATION)
    model = row(1.0, 2.0)
    params(model).Clear()
    params(model).float16Value = b"\0" * 6
    ask(family, "a half too many", "TEN-6", "invalid", model, DEQUANTIZATION)


def together(family: Family) -> None:
    """Take a bias along with its weights, though a selector leaves it. Rule: HALF-4."""
    leaving = {
        "selector": {
            "name": "advanced",
            "arguments": {
                "skip_layer_types": ["bias"],
                "minimum_conv_kernel_channels": 1,
                "minimum_conv_weight_count": 1,
            },
        }
    }
    for name in ("convolution", "innerProduct", "batchedMatmul"):
        model = next(m for m in (network(LAYERS[name], seed) for seed in range(99)) if biased(m))
        title = f"the bias of {name}, left out, follows its weights to half precision"
        ask(family, title, "HALF-4 SEL-6", "selector DEP-11", model, {**HALF, **leaving})
        back = {**DEQUANTIZATION, **leaving}
        made = quantized(model, nbits=16)
        title = f"the bias of {name}, left out, follows its weights back"
        ask(family, title, "HALF-4 SEL-6", "selector DEP-8", made, back)
        title = f"the bias of {name}, left out, stays in codes on the way back"
        ask(family, title, "SEL-6 DEQ-1", "selector DEP-24", quantized(model), back)


def kept(family: Family) -> None:
    """Keep layers that half precision cannot hold, whole. Rule: HALF-3."""
    keep = {**HALF, "half_overflow": "keep"}
    model = chain(product(3, 4, bias=True), product(2, 3, bias=True))
    for tensor_name in ("weights", "bias"):
        great = copied(model)
        values = list(params(great, 0, tensor_name).floatValue)
        store_float32(params(great, 0, tensor_name), array("f", [70000.0, *values[1:]]))
        title = f"a layer with {tensor_name} outside half precision is kept"
        ask(family, title, "HALF-3", "limit", great, keep)
    great = chain(Net.batchnorm, Net.relu)
    store_float32(params(great, 0, "variance"), array("f", [1.0, 1.0, 69141.0, 1.0, 1.0, 1.0]))
    ask(family, "a batchnorm with a great variance is kept", "HALF-3", "limit", great, keep)


def biased(model: Model) -> bool:
    """Tell whether a network's first layer has a bias."""
    found = model.neuralNetwork.layers[0]
    return bool(getattr(found, found.WhichOneof("layer") or "").hasBias)
