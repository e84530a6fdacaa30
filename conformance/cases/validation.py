"""Chapter 13: what a validator finds in models with a fault, with many, and with none."""

from __future__ import annotations

from conformance.cases.family import Family, hexed_model, refusal
from tests import bending, broken, oracle
from tests.networks import described
from tests.oracle.tensor import Channels


def validation(family: Family) -> None:
    """Models with a fault, with many, and with none; what a quantizer makes of one with a fault elsewhere."""
    for case in broken.CASES:
        given = {"model": hexed_model(case.model)}
        expected = {"faults": [fault._asdict() for fault in case.faults]}
        flags = "fault" if case.faults else "unusual"
        family.add("model.validate", case.title, f"{case.rules} FILE-8", given, expected, flags)
    for kind in ("mlProgram", "treeEnsembleRegressor", "pipeline"):
        given = {"model": hexed_model(described(kind))}
        family.add(
            "model.validate", f"{kind} without a network", "FILE-3", given, refusal("FILE-3"), "invalid"
        )
    values = [1.0, -2.0, 0.5, 0.0, 4.0, -0.25]
    found = oracle.linear.encode(values, 8, Channels(1, 2, 3))
    quantized = bending.linear(bytes(found.codes), 8, found.scales, found.biases)
    plain = bending.bent(bending.FLOATS, {"weights": bending.floats(*values), "hasBias": False, "bias": None})
    for case in broken.LAYER:
        if case.rules in ("LAY-9", "LAY-11"):
            layers = [*plain.neuralNetwork.layers, case.model.neuralNetwork.layers[0]]
            before = bending.bent(plain, {"/neuralNetwork.layers": layers})
            after = bending.bent(before, {"weights": quantized})
            asked = {"model": hexed_model(before), "settings": {"nbits": 8, "mode": "linear"}}
            title = f"{case.title}, and stays as it is"
            family.add("model.quantize", title, "FILE-9 LAY-5", asked, {"model": hexed_model(after)}, "fault")
