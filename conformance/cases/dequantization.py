"""Chapter 11: codes, scales and biases turned into weights."""

from __future__ import annotations

import random

from conformance.cases.family import Family, refusal
from conformance.cases.pools import LENGTHS, hexed, shapes, sizes
from tests import oracle
from tests.hard import TINY, f32
from tests.oracle.tensor import Channels

#: Title -> whether there is one scale for all channels, whether there are biases; with rules and flags.
FORMS = {
    "scales and biases for each channel": (False, True, "LIN-8 LIN-6", ""),
    "one scale and bias for all channels": (True, True, "LIN-8 DEQ-2", "broadcast"),
    "no biases": (False, False, "LIN-8 DEQ-2", "broadcast"),
    "one scale and no bias": (True, False, "LIN-8 DEQ-2", "broadcast"),
}


def dequantization(family: Family) -> None:
    """Every form over many shapes, every length, what breaks a rule; and signed codes."""

    def add(
        title: str, channels: Channels, maker: random.Random, one: bool, biased: bool, rules: str, flags: str
    ) -> None:
        size = channels.outer * channels.count * channels.inner
        codes = [maker.randrange(256) for _ in range(size)]
        count = 1 if one else channels.count
        scales = [f32(maker.uniform(0, 0.1)) for _ in range(count)]
        biases = [f32(maker.uniform(-5, 5)) for _ in range(count)] if biased else []
        given = {
            "codes": bytes(codes).hex(),
            "scales": hexed(scales),
            "biases": hexed(biases),
            **sizes(channels),
        }
        weights = oracle.dequantization.linear(codes, scales, biases, channels)
        family.add("linear.decode", title, rules, given, {"weights": hexed(weights)}, flags)

    for channels, shape, where in shapes():
        for form, (one, biased, rules, flags) in FORMS.items():
            maker = random.Random(f"{form} {shape}")
            add(f"{form}, {shape}", channels, maker, one, biased, rules, f"{where} {flags}")
    for count in LENGTHS[1:]:
        channels = Channels(1, 1, count)
        add(f"{count} codes", channels, random.Random(count), False, True, "LIN-8", "length precision")
    for code, scale in ((130, 16519105 / 2**55), (205, 5237765 / 2**54)):
        # With a bias of 1 or -1 the sum is a tie of binary32, but for a part that binary64 has no place for.
        for sign, title in ((1.0, "a sum"), (-1.0, "a sum below zero")):
            scales, biases, channels = [sign * scale], [sign], Channels(1, 1, 1)
            weights = oracle.dequantization.linear([code], scales, biases, channels)
            given = {
                "codes": bytes([code]).hex(),
                "scales": hexed(scales),
                "biases": hexed(biases),
                **sizes(channels),
            }
            title = f"{title} that is a tie only after it is rounded, code {code}"
            expected = {"weights": hexed(weights)}
            family.add("linear.decode", title, "LIN-8 LIN-10", given, expected, "contraction tie")
    faults: list[tuple[str, list[float], list[float], int | None]] = [
        ("no scales", [], [], None),
        ("two scales for three channels", [1.0, 2.0], [], None),
        ("four scales for three channels", [1.0] * 4, [], None),
        ("one bias beside three scales", [1.0] * 3, [1.0], None),
        ("three biases beside one scale", [1.0], [1.0] * 3, None),
        ("a scale that is NaN", [1.0, float("nan"), 1.0], [0.0] * 3, 1),
        ("an infinite scale", [1.0, 1.0, float("-inf")], [0.0] * 3, 2),
        ("an infinite bias", [1.0] * 3, [0.0, float("inf"), 0.0], 1),
        ("a bias that is NaN", [1.0] * 3, [float("nan"), 0.0, 0.0], 0),
    ]
    for title, scales, biases, index in faults:
        given = {
            "codes": "000102",
            "scales": hexed(scales),
            "biases": hexed(biases),
            **sizes(Channels(1, 3, 1)),
        }
        family.add("linear.decode", title, "DEQ-4", given, refusal("DEQ-4", index))
    for count in (0, 2, 4):
        given = {"codes": "00" * count, "scales": hexed([1.0]), "biases": "", **sizes(Channels(1, 3, 1))}
        family.add("linear.decode", f"{count} codes for 3 places", "TEN-6", given, refusal("TEN-6"), "length")

    def signed(title: str, codes: list[int], scale: float, flags: str) -> None:
        weights = oracle.dequantization.int8(bytes(codes), scale) if codes else []
        given = {"codes": bytes(codes).hex(), "scales": hexed([scale])}
        family.add("int8.decode", title, "DEQ-3", given, {"weights": hexed(weights)}, flags)

    for scale in (1.0, f32(0.1), TINY, 0.0):
        flags = "signed subnormal" if scale == TINY else "signed"
        signed(f"scale {scale:g}", [0, 1, 127, 128, 129, 255], scale, flags)
    for count in LENGTHS:
        codes = [(i * 83 + count) % 256 for i in range(count)]
        signed(f"{count} codes", codes, f32(0.3), "signed length" if count else "empty")
    for title, bad in (("NaN", float("nan")), ("infinite", float("inf")), ("infinite below", float("-inf"))):
        given = {"codes": "0001", "scales": hexed([bad])}
        family.add("int8.decode", f"a scale that is {title}", "DEQ-4", given, refusal("DEQ-4", 0))
