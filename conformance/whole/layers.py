"""Every row of the table of layers, in every kind of arithmetic, with each flag on and off."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any

from conformance.cases.family import Family
from conformance.whole import LINEAR, SETTINGS, ask, chain, convolution, copied, layer, params
from refquant.schema.coreml import Model
from tests.networks import LAYERS, Net, network

#: Networks of tests/networks.py whose layer has a flag -> the flag. Rule: LAY-2.
FLAGS = {
    "convolution": "hasBias",
    "grouped_convolution": "hasBias",
    "deconvolution": "hasBias",
    "innerProduct": "hasBias",
    "batchedMatmul": "hasBias",
    "embedding": "hasBias",
    "embeddingND": "hasBias",
    "scale": "hasBias",
    "simpleRecurrent": "hasBiasVector",
    "gru": "hasBiasVectors",
    "uniDirectionalLSTM": "params.hasPeepholeVectors",
    "biDirectionalLSTM": "params.hasPeepholeVectors",
}

#: Rules that some layers are about besides.
MORE_RULES = {
    "branch": "LAY-4",
    "loop": "LAY-4",
    "custom": "LAY-5",
    "convolution": "LAY-3",
    "deconvolution": "LAY-3",
}


def stated(model: Model) -> Any:
    """Give the parameters of a network's first layer."""
    found = layer(model)
    return getattr(found, found.WhichOneof("layer"))


def with_flag(name: str, value: bool) -> Model:
    """Find the first seed that makes a layer with its flag like this, and more than one output channel."""
    for seed in itertools.count(1):
        model = network(LAYERS[name], seed)
        parameters = stated(model)
        sizes = ("outputChannels", "embeddingSize", "outputVectorSize", "weightMatrixSecondDimension")
        large = any(getattr(parameters, size, 2) < 2 for size in sizes)
        if bool(attrgetter(FLAGS[name])(parameters)) is value and not large:
            return model
    raise AssertionError


def without_flag(model: Model, flag: str) -> Model:
    """Switch a flag off, and leave the values where they are."""
    changed = copied(model)
    holder, _, name = flag.rpartition(".")
    parameters = stated(changed)
    setattr(attrgetter(holder)(parameters) if holder else parameters, name, False)
    return changed


def variants(name: str) -> Iterator[tuple[str, Model]]:
    """Give a layer with its flag on, off, and off beside values; the first has all its tensors."""
    if name not in FLAGS:
        yield name, network(LAYERS[name], 1)
        return
    flag = FLAGS[name]
    full = with_flag(name, True)
    yield f"{name} with {flag}", full
    yield f"{name} without {flag}", with_flag(name, False)
    yield f"{name} without {flag}, but with values", without_flag(full, flag)


def layers(family: Family) -> None:
    """Fill the family."""
    for name in LAYERS:
        rules = f"LAY-1 LAY-2 TEN-2 FILE-1 {MORE_RULES.get(name, '')}"
        for index, (title, model) in enumerate(variants(name)):
            for settings in SETTINGS if index == 0 else (LINEAR, SETTINGS[-1]):
                full_title = f"{title}, {settings['nbits']} bits {settings['mode']}"
                ask(family, full_title, rules, "layer", model, settings)
    groups(family)
    recurrent(family)
    nested(family)
    untouched(family)
    default_kernel(family)
    too_little(family)


#: Deconvolution or not, and number of groups -> rows of the departure table.
GROUPED = {(True, 0): " DEP-45", (True, 2): " DEP-10", (True, 3): " DEP-10"}


def groups(family: Family) -> None:
    """Convolutions of every number of groups, which for a deconvolution decides the number of scales."""
    for count in (0, 1, 2, 3):
        for deconvolution in (False, True):
            made = convolution(
                6, 6, groups=max(count, 1), bias=True, deconvolution=deconvolution, size=(2, 2)
            )
            model = chain(made)
            layer(model).convolution.nGroups = count
            flags = "layer axis" if deconvolution else "layer"
            linear_flags = flags + GROUPED.get((deconvolution, count), "")
            title = f"{'de' if deconvolution else ''}convolution of {count} groups"
            for settings in (LINEAR, {"nbits": 5, "mode": "linear"}, SETTINGS[2]):
                ask(family, title, "LIN-7 LAY-3 LAY-1", linear_flags, model, settings)
            if deconvolution and count == 0:
                flags += " DEP-45"
            ask(family, title, "LUT-2 LAY-3 LAY-1", flags, model, {"nbits": 4, "mode": "linear_lut"})


def recurrent(family: Family) -> None:
    """Leave out the biases of an LSTM: what is absent stays so, and what is there counts."""
    for name in ("uniDirectionalLSTM", "biDirectionalLSTM"):
        model = with_flag(name, True)
        stated(model).params.hasBiasVectors = False
        ask(family, f"{name}, biases without their flag", "LAY-1 LAY-2", "layer", model, LINEAR)
        for held in holders(stated(model)):
            for gate in ("inputGate", "forgetGate", "blockInput", "outputGate"):
                held.ClearField(f"{gate}BiasVector")
        ask(family, f"{name} without biases", "LAY-1 TEN-8", "layer", model, LINEAR)


def holders(parameters: Any) -> list[Any]:
    """Give the messages with an LSTM's tensors."""
    held = parameters.weightParams
    return [held] if hasattr(held, "DESCRIPTOR") else list(held)


def nested(family: Family) -> None:
    """Networks inside networks inside networks; and one that is not there."""
    model = chain(Net.relu)
    outer = model.neuralNetwork.layers.add(name="outer", input=["input"], output=["outer_out"])
    inner = outer.branch.ifBranch.layers.add(name="inner", input=["input"], output=["inner_out"])
    inner.loop.maxLoopIterations = 2
    net = Net(inner.loop.bodyNetwork.layers, 6)
    net.convolution(4, 3, bias=False, name="deep")
    net.scale((4,), None)
    net.inner_product(2, 3, name="deeper")
    for settings in (LINEAR, SETTINGS[-1]):
        title = f"a convolution in a loop in a branch, {settings['nbits']} bits"
        ask(family, title, "LAY-4 FUS-1", "layer", model, settings)


def untouched(family: Family) -> None:
    """Layers with weights that are no business of quantization."""

    def activation(net: Net) -> None:
        net.fill(net.add().activation.PReLU.alpha, 3)

    def softplus(net: Net) -> None:
        parametric = net.add().activation.parametricSoftplus
        net.fill(parametric.alpha, 3)
        net.fill(parametric.beta, 3)

    def normalization(net: Net) -> None:
        normalized = net.add().layerNormalization
        normalized.normalizedShape.extend([2, 3])
        net.fill(normalized.gamma, 6)
        net.fill(normalized.beta, 6)

    def volume(net: Net) -> None:
        c = net.add().convolution3d
        c.outputChannels, c.inputChannels, c.nGroups, c.hasBias = 2, 3, 1, True
        c.kernelDepth = c.kernelHeight = c.kernelWidth = 2
        net.fill(c.weights, 48)
        net.fill(c.bias, 2)

    kinds: list[tuple[str, Callable[[Net], None]]] = [
        ("PReLU", activation),
        ("parametric softplus", softplus),
        ("layerNormalization", normalization),
        ("convolution3d", volume),
    ]
    for title, build in kinds:
        model = chain(build, lambda net: net.inner_product(3, 4))
        for settings in (LINEAR, SETTINGS[-1]):
            full_title = f"{title} is left alone, {settings['nbits']} bits"
            ask(family, full_title, "LAY-5 FILE-5", "layer", model, settings)


def default_kernel(family: Family) -> None:
    """Convolutions that do not state their kernel: it is 3 by 3."""
    for deconvolution in (False, True):
        model = chain(convolution(6, 3, size=(3, 3), deconvolution=deconvolution))
        del layer(model).convolution.kernelSize[:]
        for settings in (LINEAR, SETTINGS[-1]):
            title = f"no kernel size, {'deconvolution, ' * deconvolution}{settings['nbits']} bits"
            ask(family, title, "LAY-3", "layer DEP-49", model, settings)


def too_little(family: Family) -> None:
    """Convolutions whose kernel is not two numbers."""
    for count in (1, 3):
        model = chain(convolution(6, 3, size=(2, 2)))
        size = layer(model).convolution.kernelSize
        del size[:]
        size.extend([2] * count)
        flags = "layer invalid DEP-40" if count == 3 else "layer invalid"
        ask(family, f"{count} kernel sizes", "LAY-3", flags, model, LINEAR)
    model = chain(convolution(bias=False))
    assert params(model).floatValue
    layer(model).convolution.kernelChannels = 0
    ask(family, "no kernel channels", "TEN-6", "layer invalid", model, LINEAR)
