"""Whole models on the way back to floats."""

from __future__ import annotations

from conformance.cases.family import Family
from conformance.whole import DEQUANTIZATION, SETTINGS, ask, chain, convolution, params, product, quantized
from conformance.whole.layers import FLAGS, holders, stated, with_flag
from refquant.schema.coreml import Model
from tests.networks import LAYERS, Net, network


def dequantization(family: Family) -> None:
    """Fill the family."""
    for name, build in LAYERS.items():
        model = with_flag(name, True) if name in FLAGS else network(build, 1)
        for settings in SETTINGS:
            half = settings["nbits"] == 16
            rules, row = ("DEQ-1 HALF-5", "DEP-8") if half else ("DEQ-1 LIN-8", "DEP-24")
            if settings["mode"] == "linear_lut":
                rules = "DEQ-1 LUT-6"
            title = f"{name}, back from {settings['nbits']} bits {settings['mode']}"
            ask(family, title, rules, f"layer {row}", quantized(model, **settings), DEQUANTIZATION)
        title = f"{name} in floats, dequantized"
        ask(family, title, "DEQ-1 FILE-1", "layer", model, DEQUANTIZATION)
    numbers(family)
    rows(family)
    absent(family)
    signed(family)


def change_scales(model: Model, count: int, biases: int, tensor: str = "weights") -> Model:
    """Keep so many scales and biases of a linear tensor."""
    held = params(model, 0, tensor).quantization.linearQuantization
    del held.scale[count:]
    del held.bias[biases:]
    return model


def numbers(family: Family) -> None:
    """One scale for all channels, and biases left out."""
    for name, step in (
        ("innerProduct", product(4, 3)),
        ("convolution", convolution(4, 3, bias=False)),
        ("deconvolution", convolution(4, 3, bias=False, deconvolution=True)),
    ):
        for count, biases in ((1, 1), (1, 0), (4, 0)):
            model = change_scales(quantized(chain(step), nbits=5), count, biases)
            title = f"{name}, {count} of 4 scales and {biases} biases"
            ask(family, title, "DEQ-2", "layer DEP-9", model, DEQUANTIZATION)
        for count, biases in ((2, 2), (3, 3), (4, 1), (4, 3)):
            model = change_scales(quantized(chain(step), nbits=5), count, biases)
            title = f"{name}, {count} scales and {biases} biases for 4 channels"
            ask(family, title, "DEQ-4", "layer invalid", model, DEQUANTIZATION)
    model = quantized(chain(convolution(6, 4, groups=2, bias=False, deconvolution=True)))
    ask(family, "a grouped deconvolution with one scale", "LIN-7 DEQ-2", "axis DEP-9", model, DEQUANTIZATION)


def rows(family: Family) -> None:
    """Constants of rank 3 from writers that have a scale for each row."""
    for name, tensor in (("bias", "bias"), ("loadConstant", "data"), ("scale", "scale")):
        model = network(LAYERS[name], 4)
        count = next(iter(getattr(stated(model), "shape", ()) or stated(model).shapeScale))
        model = quantized(model)
        held = params(model, 0, tensor).quantization.linearQuantization
        del held.scale[:], held.bias[:]
        held.scale.extend(0.25 * (i + 1) for i in range(count))
        held.bias.extend(-0.5 * i for i in range(count))
        title = f"{name} of {count} rows with a scale each"
        ask(family, title, "DEQ-5 LAY-1", "layer DEP-42", model, DEQUANTIZATION)


def absent(family: Family) -> None:
    """Tensors that are not there, or are floats, beside ones in codes."""
    for name in ("uniDirectionalLSTM", "biDirectionalLSTM"):
        model = with_flag(name, False)
        stated(model).params.hasBiasVectors = False
        for held in holders(stated(model)):
            for gate in ("inputGate", "forgetGate", "blockInput", "outputGate"):
                held.ClearField(f"{gate}BiasVector")
        title = f"{name} without biases, back"
        ask(family, title, "DEQ-1", "layer DEP-25", quantized(model), DEQUANTIZATION)
    model = chain(product(2, 3, bias=True), Net.relu, Net.bias)
    params(model).CopyFrom(params(quantized(model)))
    ask(family, "codes beside floats, back", "DEQ-1", "layer DEP-24", model, DEQUANTIZATION)


def signed(family: Family) -> None:
    """Signed codes, as far as they go."""
    good = quantized(chain(product(2, 3)))
    held = params(good)
    held.rawValue, held.int8RawValue = b"", bytes(range(125, 131))
    del held.quantization.linearQuantization.scale[1:], held.quantization.linearQuantization.bias[:]
    stated(good).int8DynamicQuantize = True
    ask(family, "signed codes, back", "DEQ-3", "layer DEP-9", good, DEQUANTIZATION)
