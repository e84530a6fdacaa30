"""What selectors take: every limit from both sides, every type, biases, names, inner networks."""

from __future__ import annotations

from typing import Any

from conformance.cases.family import Family
from conformance.whole import (
    LINEAR,
    SETTINGS,
    Step,
    ask,
    chain,
    convolution,
    copied,
    exact_arrays,
    layer,
    params,
    product,
    scale,
    selector,
)
from refquant.schema.coreml import Model
from tests.networks import LAYERS, Net, network

#: The user guide's, and two more.
COMMON: list[dict[str, Any]] = [
    selector(
        "advanced",
        skip_layer_types=["batchnorm", "bias", "depthwiseConv"],
        minimum_conv_kernel_channels=4,
        minimum_conv_weight_count=4096,
    ),
    selector(
        "advanced",
        skip_layer_types=["scale"],
        minimum_conv_kernel_channels=3,
        minimum_conv_weight_count=100,
    ),
    selector("matrix_multiply", minimum_weight_count=10, maximum_output_channels=5),
]


def selectors(family: Family) -> None:
    """Fill the family."""
    for chosen in COMMON:
        name = chosen["selector"]["name"]
        rules = "SEL-1 SEL-2 SEL-5 SEL-6" if name == "advanced" else "SEL-1 SEL-2 SEL-7"
        for kind in (
            "convolution",
            "depthwise_convolution",
            "innerProduct",
            "batchedMatmul",
            "loop",
            "scale",
        ):
            model = network(LAYERS[kind], 5)
            ask(family, f"{name} on {kind}", rules, "selector", model, {**LINEAR, **chosen})
    base(family)
    convolutions(family)
    skipping(family)
    biases(family)
    products(family)
    inside(family)
    elsewhere(family)
    unknown(family)


def base(family: Family) -> None:
    """Give the base selector other types; and take one that reads weights."""
    model = chain(product(3, 4, bias=True), Net.relu, Net.bias, seed=4)
    for types in (["innerProduct"], ["bias", "convolution"], []):
        title = f"the base selector with {' and '.join(types) or 'no types'}"
        chosen = selector("base", quantizable_layer_types=types)
        ask(family, title, "SEL-3", "selector", model, {"nbits": 4, "mode": "linear_lut", **chosen})
    model = chain(*[product(4, 4)] * 4)
    middle = sorted(params(model, index).floatValue[0] for index in range(4))[1]
    chosen = selector("reading", first_weight_above=middle)
    title = "a selector that reads weights"
    ask(family, title, "SEL-8", "selector", model, {"nbits": 4, "mode": "linear", **chosen})


def convolutions(family: Family) -> None:
    """Kernel channels and weights of a convolution, one below a limit, at it and above."""
    for channels in (3, 4, 5):
        model = chain(convolution(8, channels))
        for name, arguments in (
            ("at least 4 kernel channels", {"minimum_conv_weight_count": 1}),
            ("at least 4 kernel channels and one weight", {
                "minimum_conv_kernel_channels": 4, "minimum_conv_weight_count": 0
            }),
        ):  # fmt: skip
            title = f"{channels} of {name}"
            settings = {**LINEAR, **selector("advanced", **arguments)}
            ask(family, title, "SEL-5", "selector", model, settings)
        # 8 x channels x 3 x 2 weights.
        for limit in (48 * channels - 1, 48 * channels, 48 * channels + 1):
            arguments = {"minimum_conv_kernel_channels": 1, "minimum_conv_weight_count": limit}
            title = f"{48 * channels} of at least {limit} weights"
            settings = {**LINEAR, **selector("advanced", **arguments)}
            ask(family, title, "SEL-5", "selector", model, settings)
    # The limits that are there when none is given, on a convolution of 4 channels.
    for outputs in (1023, 1024):
        model = chain(convolution(outputs, 4, size=(1, 1), bias=False))
        title = f"{outputs * 4} weights, no limits given"
        settings = {"nbits": 1, "mode": "linear", **selector("advanced")}
        ask(family, title, "SEL-5 SEL-9", "selector", model, settings)
    wide = chain(convolution(2, 8, size=(1, 1), bias=False, deconvolution=True))
    for limit in (16, 17):
        arguments = {"minimum_conv_weight_count": limit}
        title = f"a deconvolution of 16 of at least {limit} weights"
        ask(family, title, "SEL-5", "selector", wide, {**LINEAR, **selector("advanced", **arguments)})
    small = {"minimum_conv_kernel_channels": 1, "minimum_conv_weight_count": 1}
    shapes: list[tuple[str, Step]] = [
        ("one kernel channel and six groups", convolution(6, 6, groups=6)),
        ("one kernel channel, twelve outputs in six groups", convolution(12, 6, groups=6)),
        ("one kernel channel and one group", convolution(6, 1)),
        ("two kernel channels and three groups", convolution(6, 6, groups=3)),
    ]
    for title, step in shapes:
        for skipped in ([], ["depthwiseConv"]):
            chosen = selector("advanced", skip_layer_types=skipped, **small)
            full_title = f"{title}, {'skipping' if skipped else 'with'} depthwise convolutions"
            ask(family, full_title, "SEL-5", "selector", chain(step), {**LINEAR, **chosen})


def skipping(family: Family) -> None:
    """Every type left out by its name, beside one that stays."""
    for name, build in LAYERS.items():
        model = network(build, 2)
        kind = layer(model).WhichOneof("layer")
        if kind not in ("custom", "convolution") or name == "convolution":
            skipped = [] if kind == "custom" else [kind]
            chosen = selector(
                "advanced",
                skip_layer_types=skipped,
                minimum_conv_kernel_channels=1,
                minimum_conv_weight_count=1,
            )
            title = f"{name}, skipping {kind}"
            ask(family, title, "SEL-1 SEL-4 SEL-10", "selector", model, {**LINEAR, **chosen})


def biases(family: Family) -> None:
    """Biases are asked for in three types of layers, and only there."""
    for name in ("convolution", "innerProduct", "batchedMatmul", "embedding", "embeddingND", "scale", "gru"):
        model = next(m for m in (network(LAYERS[name], seed) for seed in range(99)) if has_bias(m))
        for skipped in ([], ["bias"]):
            chosen = selector(
                "advanced",
                skip_layer_types=skipped,
                minimum_conv_kernel_channels=1,
                minimum_conv_weight_count=1,
            )
            title = f"{name} with {'no' if skipped else 'its'} bias"
            ask(family, title, "SEL-2 SEL-6", "selector", model, {**LINEAR, **chosen})
    model = chain(convolution(), Net.relu)
    chosen = selector("advanced", minimum_conv_kernel_channels=9)
    title = "a convolution that is left out is not asked about its bias"
    ask(family, title, "SEL-1 SEL-2 SEL-5", "selector", model, {**LINEAR, **chosen})


def has_bias(model: Model) -> bool:
    """Tell whether a network's first layer has a bias, by either name of the flag."""
    found = layer(model)
    stated = getattr(found, found.WhichOneof("layer"))
    return bool(getattr(stated, "hasBias", False) or getattr(stated, "hasBiasVectors", False))


def matmul(net: Net) -> None:
    """Add a batchedMatmul of 5 inputs and 3 outputs, with a bias."""
    m = net.add().batchedMatmul
    m.weightMatrixFirstDimension, m.weightMatrixSecondDimension, m.hasBias = 5, 3, True
    net.fill(m.weights, 15)
    net.fill(m.bias, 3)


def products(family: Family) -> None:
    """Every limit of the matrix-multiply selector, from both sides, on both types."""
    steps: list[tuple[str, Step]] = [
        ("innerProduct", product(3, 5, bias=True)),
        ("batchedMatmul", matmul),
    ]
    for kind, step in steps:
        for argument, size in (
            ("minimum_weight_count", 15),
            ("minimum_input_channels", 5),
            ("minimum_output_channels", 3),
            ("maximum_input_channels", 5),
            ("maximum_output_channels", 3),
        ):
            for limit in (size - 1, size, size + 1):
                chosen = selector("matrix_multiply", **{argument: limit})
                title = f"{kind} of {size}, {argument} {limit}"
                ask(family, title, "SEL-7", "selector", chain(step), {**LINEAR, **chosen})
    model = chain(product(), Net.relu, product(2, 3), matmul)
    for title, names, flags in (
        ("one of several names", ["layer_2"], "selector DEP-4"),
        ("two names", ["layer_3", "layer_0", "no such layer"], "selector DEP-4"),
        ("a name that there is not", ["layer_9"], "selector DEP-4"),
        ("a part of a name", ["layer"], "selector DEP-4"),
        ("no names is all names", [], "selector DEP-4"),
    ):
        chosen = selector("matrix_multiply", include_layers_with_names=names)
        ask(family, title, "SEL-7", flags, model, {**LINEAR, **chosen})
    chosen = selector("matrix_multiply", include_layers_with_names=["layer_0"], minimum_weight_count=13)
    title = "a name, and a limit that the layer misses"
    ask(family, title, "SEL-7", "selector DEP-4", model, {**LINEAR, **chosen})
    chosen = selector("matrix_multiply")
    model = chain(convolution(), Net.relu, scale(), Net.batchnorm, product())
    ask(family, "other layers are left", "SEL-7", "selector", model, {**LINEAR, **chosen})


def inside(family: Family) -> None:
    """Leave branches and loops as they are, all the way down, or enter them."""
    for name in ("branch", "loop"):
        model = network(LAYERS[name], 3)
        for chosen in (
            selector("base", quantizable_layer_types=["convolution", "innerProduct", "scale"]),
            selector("base", quantizable_layer_types=[name, "convolution"]),
            selector("base", quantizable_layer_types=[name]),
            selector("matrix_multiply"),
        ):
            arguments = chosen["selector"]["arguments"]
            taken = ", ".join(arguments.get("quantizable_layer_types", ["matrix products"]))
            title = f"a {name} by a selector of {taken}"
            ask(family, title, "SEL-1 LAY-4", "selector", model, {**LINEAR, **chosen})


def elsewhere(family: Family) -> None:
    """Select for half precision, and for dynamic int8."""
    only = selector("base", quantizable_layer_types=["innerProduct"])
    model = chain(product(3, 4, bias=True), Net.relu, Net.bias)
    ask(family, "16 bits for some layers", "SEL-3 SEL-1", "selector", model, {**SETTINGS[-1], **only})
    model = chain(product(bias=True), convolution(4, 3), scale((4,)))
    chosen = selector("base", quantizable_layer_types=["scale"])
    title = "a layer that was worked into another is not asked about"
    ask(family, title, "SEL-1 FUS-1", "selector DEP-13", model, {**LINEAR, **chosen})
    model = exact_arrays(chain(product(3, 4), matmul_without_bias, product(2, 3)))
    for arguments in ({}, {"minimum_weight_count": 12}, {"maximum_output_channels": 2}):
        chosen = selector("matrix_multiply", **arguments)
        title = f"dynamic int8 by {arguments or 'default'}"
        ask(family, title, "SEL-7 SEL-9 INT8-1", "selector", model, {"mode": "int8", **chosen})
    chosen = selector("matrix_multiply", include_layers_with_names=["layer_1"])
    title = "dynamic int8 by name"
    ask(family, title, "SEL-7 INT8-1", "selector DEP-4", model, {"mode": "int8", **chosen})


def matmul_without_bias(net: Net) -> None:
    """Add a batchedMatmul of 3 inputs and 3 outputs."""
    m = net.add().batchedMatmul
    m.weightMatrixFirstDimension, m.weightMatrixSecondDimension = 3, 3
    net.fill(m.weights, 9)


def unknown(family: Family) -> None:
    """Types that do not exist cannot be skipped."""
    model = chain(product(1, 1))
    for types in (["convolutions"], ["depthwise"], ["innerProduct", "Bias"], ["relu"], ["convolution3d"]):
        chosen = selector("advanced", skip_layer_types=types)
        title = f"skipping {types[-1]}, which is no type"
        ask(family, title, "SEL-4", "selector invalid", copied(model), {**LINEAR, **chosen})
