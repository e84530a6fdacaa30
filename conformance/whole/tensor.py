"""The tensor in its layer: forms of floats on the wire, what stays as it is, and what must be refused."""

from __future__ import annotations

import math
import struct
from array import array
from typing import Any

from conformance.cases.family import Family
from conformance.whole import DEQUANTIZATION, LINEAR, SETTINGS, ask, chain, copied, params, product, quantized
from refquant.model.tensor import store_float32
from refquant.schema.coreml import Model, WeightParams
from tests.networks import LAYERS, Net, network

HALF = SETTINGS[-1]

#: Numbers that nothing can be made of.
BAD = [("NaN", math.nan), ("infinity", math.inf), ("minus infinity", -math.inf)]


def row(*values: float) -> Model:
    """Make an innerProduct with one output channel and these weights."""
    model = chain(product(1, len(values)))
    store_float32(params(model), array("f", values))
    return model


def tensor(family: Family) -> None:
    """Fill the family."""
    wire(family)
    left(family)
    ranges(family)
    kmeans(family)
    not_finite(family)
    counts(family)
    kinds(family)
    codes(family)


def wire(family: Family) -> None:
    """Floats in several runs, or one by one."""
    model = chain(product(2, 3))
    words = [struct.pack("<f", value) for value in params(model).floatValue]
    for title, runs in (("two runs", [2, 4]), ("runs of one and of none", [1, 0, 1, 4])):
        cut, rest = copied(model), list(words)
        del params(cut).floatBytes[:]
        for count in runs:
            params(cut).floatBytes.append(b"".join(rest[:count]))
            rest = rest[count:]
        ask(family, f"floats in {title}", "TEN-3", "layer", cut.SerializeToString(), LINEAR)
        ask(family, f"floats in {title}, 16 bits", "TEN-3", "layer", cut.SerializeToString(), HALF)
    for title, first in (("floats one by one", 0), ("floats in a run, then one by one", 2)):
        cut = copied(model)
        del params(cut).floatBytes[:]
        if first:
            params(cut).floatBytes.append(b"".join(words[:first]))
        params(cut).MergeFromString(b"".join(b"\x0d" + word for word in words[first:]))
        ask(family, title, "TEN-3", "layer", cut.SerializeToString(), LINEAR)
    for surplus in (1, 2, 3):
        cut = copied(model)
        params(cut).floatBytes[0] += b"\0" * surplus
        title = f"{surplus} bytes more than whole floats"
        ask(family, title, "TEN-2", "invalid", cut.SerializeToString(), LINEAR)


def left(family: Family) -> None:
    """Leave as it is what holds no floats."""
    for name, build in LAYERS.items():
        model = network(build, 1)
        for stored in (*SETTINGS[1:4:2], HALF):
            made = quantized(model, **stored)
            title = f"{name}, {stored['nbits']} bits {stored['mode']}, is left as it is"
            # The pair inside the branch: a scale behind halves.
            flags = "layer DEP-17" if (name, stored) == ("branch", HALF) else "layer"
            ask(family, title, "TEN-8", flags, made, LINEAR)
        title = f"{name} in codes is left as it is by 16 bits"
        ask(family, title, "TEN-8", "layer", quantized(model), HALF)
    model = chain(product(2, 3, bias=True))
    params(model).CopyFrom(params(quantized(model)))
    ask(
        family, "codes beside a bias of floats", "TEN-8 TEN-1", "layer", model, {"nbits": 4, "mode": "linear"}
    )
    ask(family, "codes beside a bias of floats, 16 bits", "TEN-8 TEN-1", "layer", model, HALF)
    for field, value, row_id in (("rawValue", b"\1\2", ""), ("int8RawValue", b"\3", "DEP-46")):
        model = row(1.0, 2.0, 4.0)
        setattr(params(model), field, value)
        title = f"{field} without a quantization message counts as empty"
        ask(family, title, "TEN-1", f"layer {row_id}", model, LINEAR)
    model = row(1.0, 2.0, 4.0)
    params(model).quantization.numberOfBits = 3
    params(model).quantization.linearQuantization.scale.append(9.0)
    for settings in (LINEAR, HALF):
        title = f"a quantization message beside floats says nothing, {settings['nbits']} bits"
        ask(family, title, "TEN-1", "layer DEP-46", model, settings)
    model = chain(product(2, 3))
    params(model).Clear()
    ask(family, "no weights at all", "TEN-8", "layer", model, LINEAR)
    params(model).rawValue = b"\1\2"
    ask(family, "raw bytes alone are no weights", "TEN-8 TEN-1", "layer", model, LINEAR)
    model = row(1.0, 2.0)
    params(model).isUpdatable = True
    ask(family, "isUpdatable of a tensor stays", "FILE-5", "layer", model, LINEAR)


def ranges(family: Family) -> None:
    """Ask for steps too small, and numbers too great."""
    for settings in SETTINGS[:4]:
        model = row(1e-7, 0.0, -1e-7, 5e-8)
        title = f"a step below the threshold, {settings['nbits']} bits {settings['mode']}"
        rules = "SYM-4 LIN-4" if settings["mode"] == "linear_symmetric" else "LIN-4"
        ask(family, title, rules, "threshold", model, settings)
    ask(family, "4 bits, symmetric", "SYM-1", "invalid", row(1.0), {"nbits": 4, "mode": "linear_symmetric"})
    greatest = (2 - 2.0**-23) * 2.0**127
    model = row(greatest, -greatest)
    settings = {"nbits": 1, "mode": "linear"}
    ask(family, "a scale past binary32", "LIN-9", "invalid DEP-34", model, settings)


def kmeans(family: Family) -> None:
    """As many distinct weights as entries: there is one table."""
    for nbits in (1, 2, 3, 8):
        entries = [(i * 37 % (1 << nbits)) / 16 - 1 for i in range(1 << nbits)]
        model = row(*entries, *entries[::3])
        settings = {"nbits": nbits, "mode": "kmeans_lut"}
        title = f"{1 << nbits} distinct weights"
        ask(family, title, "KM-1 KM-2 LUT-1", "layer DEP-2", model, settings)
    ask(
        family, "by its other name", "KM-1", "layer DEP-2", row(2.0, 1.0, 2.0), {"nbits": 1, "mode": "kmeans"}
    )


def not_finite(family: Family) -> None:
    """In any position, any tensor and any mode."""
    for name, bad in BAD:
        for index in (0, 1, 3):
            values = [1.0, 2.0, 3.0, 4.0]
            values[index] = bad
            title = f"{name} among the weights"
            ask(family, title, "TEN-7", "invalid DEP-7", row(*values), LINEAR)
        for settings in SETTINGS[2:]:
            title = f"{name}, {settings['nbits']} bits {settings['mode']}"
            ask(family, title, "TEN-7", "invalid DEP-7", row(1.0, bad), settings)
    for tensor_name in ("weights", "bias"):
        model = chain(product(2, 2, bias=True))
        values = list(params(model, 0, tensor_name).floatValue)
        values[1] = math.nan
        store_float32(params(model, 0, tensor_name), array("f", values))
        ask(family, f"NaN in the {tensor_name}", "TEN-7", "invalid DEP-7", model, LINEAR)
    model = chain(Net.batchnorm)
    store_float32(params(model, 0, "variance"), array("f", [1.0, 1.0, math.inf, 1.0, 1.0, 1.0]))
    ask(family, "infinity among the variances", "TEN-7", "invalid DEP-7", model, LINEAR)


def counts(family: Family) -> None:
    """Take a weight away, or add one, in each row of the table of layers."""
    seen = set()
    for build in LAYERS.values():
        model = network(build, 1)
        for index, found in enumerate(model.neuralNetwork.layers):
            kind = found.WhichOneof("layer") or ""
            stated = getattr(found, kind)
            for field, value in stated.ListFields():
                if isinstance(value, WeightParams) and value.floatBytes and (kind, field.name) not in seen:
                    seen.add((kind, field.name))
                    for change in (-1, 1):
                        wrong = copied(model)
                        held = params(wrong, index, field.name)
                        values = list(held.floatValue)
                        store_float32(held, array("f", values[:-1] if change < 0 else [*values, 0.5]))
                        title = f"{kind}.{field.name} has a weight too {'few' if change < 0 else 'many'}"
                        if form_empty(held):
                            continue
                        ask(family, title, "TEN-6", "invalid", wrong, LINEAR)


def form_empty(held: WeightParams) -> bool:
    """Tell whether a tensor has become one without weights, which is left as it is."""
    return not any(held.floatBytes)


def kinds(family: Family) -> None:
    """Two kinds of values in one tensor."""
    fields: dict[str, Any] = {
        "floatBytes": [b"\0\0\x80\x3f" * 2],
        "float16Value": b"\0\x3c\0\x3c",
        "rawValue": b"\1\2",
        "int8RawValue": b"\1\2",
    }
    names = list(fields)
    for first in range(4):
        for second in range(first + 1, 4):
            model = row(1.0, 1.0)
            held = params(model)
            held.Clear()
            for name in (names[first], names[second]):
                value = fields[name]
                if isinstance(value, list):
                    getattr(held, name).extend(value)
                else:
                    setattr(held, name, value)
            held.quantization.numberOfBits = 8
            held.quantization.linearQuantization.scale.append(1.0)
            title = f"{names[first]} and {names[second]}".replace("floatBytes", "floatValue")
            ask(family, f"{title}, linear", "TEN-1", "invalid DEP-35", model, LINEAR)
            # Back, coremltools stumbles over all but floats.
            flags = "invalid DEP-35" if first == 0 else "invalid"
            ask(family, f"{title}, dequantization", "TEN-1", flags, model, DEQUANTIZATION)


def stored(raw: bytes = b"\0\1", bits: int = 8, **numbers: Any) -> Model:
    """Make a matrix of two weights in codes: `scales` and `biases`, or a `table`."""
    model = row(1.0, 2.0)
    held = params(model)
    held.Clear()
    held.rawValue = raw
    held.quantization.numberOfBits = bits
    if "table" in numbers:
        held.quantization.lookupTableQuantization.floatValue.extend(numbers["table"])
        held.quantization.lookupTableQuantization.SetInParent()
    elif "scales" in numbers:
        held.quantization.linearQuantization.SetInParent()
        held.quantization.linearQuantization.scale.extend(numbers["scales"])
        held.quantization.linearQuantization.bias.extend(numbers.get("biases", []))
    return model


def codes(family: Family) -> None:
    """Codes that cannot be read."""
    one: dict[str, Any] = {"scales": [1.0], "biases": [0.0]}
    cases: list[tuple[str, str, str, Model]] = [
        ("too few raw bytes", "PACK-5", "", stored(b"\0", **one)),
        ("surplus raw bytes", "PACK-5", "", stored(b"\0\0\0", **one)),
        ("surplus raw bytes of 4 bits", "PACK-5", "DEP-31", stored(b"\0\0", 4, **one)),
        ("numberOfBits 0", "TEN-5", "DEP-44", stored(bits=0, **one)),
        ("numberOfBits 9", "TEN-5", "", stored(bits=9, **one)),
        ("numberOfBits 16", "TEN-5", "", stored(bits=16, **one)),
        ("neither scales nor a table", "TEN-5", "", stored()),
        ("no scales", "DEQ-4", "", stored(scales=[])),
        ("two scales for one channel", "DEQ-4", "", stored(scales=[1.0, 2.0], biases=[0.0, 0.0])),
        ("two biases beside one scale", "DEQ-4", "", stored(scales=[1.0], biases=[0.0, 1.0])),
        ("a scale that is NaN", "DEQ-4", "DEP-44", stored(scales=[math.nan], biases=[0.0])),
        ("a scale that is infinite", "DEQ-4", "DEP-44", stored(scales=[math.inf], biases=[0.0])),
        ("a bias that is infinite", "DEQ-4", "DEP-44", stored(scales=[1.0], biases=[-math.inf])),
        ("an empty table", "LUT-1", "", stored(b"\x40", 1, table=[])),
        ("a table too short", "LUT-1", "DEP-44", stored(b"\x10", 2, table=[1.0, 2.0, 3.0])),
        ("a table too long", "LUT-1", "DEP-44", stored(b"\x40", 1, table=[1.0, 2.0, 3.0])),
        ("a table with a NaN", "LUT-1", "DEP-44", stored(b"\x40", 1, table=[1.0, math.nan])),
    ]
    for title, rule, departure, model in cases:
        ask(family, title, rule, f"invalid {departure}", model, DEQUANTIZATION)
    model = stored(**one)
    params(model).quantization.ClearField("linearQuantization")
    ask(family, "neither scales nor a table, quantized again", "TEN-5", "invalid DEP-41", model, LINEAR)
    dynamic = stored(scales=[1.0])
    params(dynamic).int8RawValue, params(dynamic).rawValue = b"\1\2", b""
    for title, nbits, scales, biases in (
        ("no scale", 8, [], []),
        ("two scales", 8, [1.0, 2.0], []),
        ("a bias", 8, [1.0], [0.5]),
        ("numberOfBits 7", 7, [1.0], []),
    ):
        model = copied(dynamic)
        quantization = params(model).quantization
        quantization.numberOfBits = nbits
        held = quantization.linearQuantization
        held.scale[:], held.bias[:] = scales, biases
        ask(family, f"{title} beside signed codes", "INT8-2 DEQ-3", "invalid", model, DEQUANTIZATION)
    model = copied(dynamic)
    params(model).int8RawValue = b"\1\2\3"
    ask(family, "a signed code too many", "TEN-6", "invalid", model, DEQUANTIZATION)
