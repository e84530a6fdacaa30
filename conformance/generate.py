"""Make the vectors: `python -m conformance.generate` (in a checkout, with the extra `test`).

Expected values come from the exact-rational oracle in tests/oracle, never from refquant; whole models are
made by `conformance.generate_models`. With `--check` nothing is written, and a difference
from what is checked in is an error.

A case's id is its family and a digest of what it asks, so that an id never changes its meaning and is
never used again for another case.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from conformance import departures
from refquant.conformance.operations import OPERATIONS, floats_to_hex
from refquant.schema.coreml import Model
from tests import bending, broken, oracle
from tests.hard import GREATEST, NORMAL, SUBNORMAL, TENSORS, TINY, after, f32
from tests.networks import described
from tests.oracle.tensor import Channels

HERE = Path(__file__).parent
SPEC = HERE.parent / "spec"

Case = dict[str, Any]

#: What kind of bug a flagged case catches: flag -> bug, effect, source.
FLAGS = {
    "tie": {
        "bug": "ties are rounded away from zero, up or down",
        "effect": "codes or weights off by one unit for weights that lie exactly between two",
        "source": "round() of most languages rounds ties away from zero",
    },
    "constant": {
        "bug": "division by a range of zero",
        "effect": "NaN, a crash, or codes other than 0",
        "source": "layers initialised with ones or zeros",
    },
    "threshold": {
        "bug": "the threshold of 1e-6 is left out, moved, or compared with <",
        "effect": "codes where the format's own tools write zeros, or zeros where they write codes",
        "source": "coremltools' guard against division by a small scale",
    },
    "subnormal": {
        "bug": "subnormal numbers are flushed to zero",
        "effect": "small weights vanish",
        "source": "fast-math compiler options, GPUs",
    },
    "negative-zero": {
        "bug": "the sign of zero is lost or invented",
        "effect": "bits differ, values do not",
        "source": "comparison of zeros as numbers",
    },
    "limit": {
        "bug": "the limit of half precision is moved",
        "effect": "infinities, or models refused that need not be",
        "source": "65504 is finite, and refused all the same",
    },
    "reciprocal": {
        "bug": "a division in place of a product with the reciprocal, or the other way round",
        "effect": "codes off by one near ties",
        "source": "an optimisation that compilers are not allowed to make, and people are",
    },
    "precision": {
        "bug": "arithmetic in binary32 where binary64 is due, or the stored scale in place of the exact one",
        "effect": "codes and scales off by one unit",
        "source": "numpy arrays of float32; GPUs",
    },
    "axis": {
        "bug": "channels taken along the wrong dimension",
        "effect": "each scale is applied to other weights than those it was made for",
        "source": "deconvolutions keep their output channels in the second dimension",
    },
    "length": {
        "bug": "codes at the end of a tensor that do not fill a byte or a lane",
        "effect": "the last codes are lost or doubled, or padding is not zero",
        "source": "loops over eight codes at a time",
    },
    "invalid": {
        "bug": "bad input is taken",
        "effect": "a model that cannot be loaded, or is wrong without a word",
        "source": "spec/14-departures.md",
    },
    "layer": {
        "bug": "a tensor is overlooked, or read by another shape",
        "effect": "weights left as they are, or scales for other weights",
        "source": "45 weight tensors in 16 layer types",
    },
    "fusion": {
        "bug": "a pair of layers is fused that must not be, or not fused, or to other values",
        "effect": "another function, or other bytes",
        "source": "spec/10-fusion.md",
    },
    "selector": {
        "bug": "a limit is compared otherwise, or a bias is not asked for",
        "effect": "layers quantized that should not be, or the other way round",
        "source": "the user guide's example of a selector",
    },
    "fault": {
        "bug": "a fault of a file is overlooked, named for another rule, or hides another",
        "effect": "a file that readers refuse, or read wrongly, is taken for good",
        "source": "readers stop at the first fault and look at no number",
    },
    "unusual": {
        "bug": "a good file that looks odd is taken for a broken one",
        "effect": "files of other writers are refused",
        "source": "what a layer does not use, or nobody states, is looked at",
    },
    "outlier": {
        "bug": "a start that leaves dense weights to one entry",
        "effect": "an inertia far above the least",
        "source": "evenly spread or random starts of k-means",
    },
}


class Family:
    """The cases of one file, as they are collected."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cases: dict[str, Case] = {}

    def add(
        self,
        operation: str,
        title: str,
        rules: str,
        given: dict[str, Any],
        expected: dict[str, Any],
        flags: str = "",
        level: str = "required",
        **more: Any,
    ) -> None:
        """Add a case; a second one that asks the same is left out."""
        asked = json.dumps([operation, given], sort_keys=True)
        identifier = f"{self.name}-{hashlib.sha256(asked.encode()).hexdigest()[:10]}"
        self.cases.setdefault(
            identifier,
            {
                "id": identifier,
                "title": title,
                "operation": operation,
                "level": level,
                "rules": rules.split(),
                "flags": flags.split(),
                "input": given,
                "expected": expected,
                **more,
            },
        )


def refusal(rule: str, index: int | None = None) -> dict[str, Any]:
    """Expect an error; `index` is that of the first offending element, where there is one."""
    return {"error": {"rule": rule, "index": index}}


def hexed(values: list[float]) -> str:
    """Write binary32 numbers as their bits."""
    return floats_to_hex(values)


def hexed_model(model: Model) -> str:
    """Write a model with sorted maps."""
    return model.SerializeToString(deterministic=True).hex()


def shape(channels: Channels) -> dict[str, int]:
    """Give the fields of a case that say where its channels are."""
    return {"outer": channels.outer, "channels": channels.count, "inner": channels.inner}


def packing(family: Family) -> None:
    """Every length up to 17 at every number of bits, all codes at once, and what must be refused."""
    for nbits in range(1, 9):
        top = (1 << nbits) - 1
        for count in (*range(18), 63, 64, 65):
            for name, codes in (
                ("mixed", [(5 * i * i + 3 * i + count) % (top + 1) for i in range(count)]),
                ("greatest", [top] * count),
            ):
                packed = oracle.packing.pack(codes, nbits).hex()
                flags = "length" if count * nbits % 8 else ""
                title = f"{count} {name} codes of {nbits} bits"
                given = {"codes": bytes(codes).hex(), "nbits": nbits}
                family.add("pack", title, "PACK-1 PACK-2 PACK-3", given, {"bytes": packed}, flags)
                given = {"bytes": packed, "nbits": nbits, "count": count}
                family.add("unpack", title, "PACK-1 PACK-2", given, {"codes": bytes(codes).hex()}, flags)
        padding = -5 * nbits % 8
        if padding:
            packed_codes = oracle.packing.pack([top, 0, top, 0, top], nbits)
            noisy = packed_codes[:-1] + bytes([packed_codes[-1] | ((1 << padding) - 1)])
            given = {"bytes": noisy.hex(), "nbits": nbits, "count": 5}
            codes_hex = bytes([top, 0, top, 0, top]).hex()
            family.add(
                "unpack", "padding of ones is ignored", "PACK-3", given, {"codes": codes_hex}, "length"
            )
        if nbits < 8:
            for index in (0, 1, 4):
                codes = [0] * 5
                codes[index] = top + 1
                given = {"codes": bytes(codes).hex(), "nbits": nbits}
                title = f"code {top + 1} in {nbits} bits"
                family.add("pack", title, "PACK-4", given, refusal("PACK-4", index), "invalid")
        for size in (0, (5 * nbits + 7) // 8 - 1):
            given = {"bytes": "00" * size, "nbits": nbits, "count": 5}
            family.add("unpack", "too few bytes", "PACK-5", given, refusal("PACK-5"), "invalid")
        given = {"bytes": "00" * ((5 * nbits + 7) // 8 + 1), "nbits": nbits, "count": 5}
        family.add("unpack", "surplus bytes", "PACK-5", given, refusal("PACK-5"), "invalid", "recommended")


def half(family: Family) -> None:
    """Halfway cases of every exponent, both limits, subnormals; every class of number read back."""
    numbers: list[tuple[str, float, str]] = []
    for exponent in range(-14, 16):
        unit = 2.0 ** (exponent - 10)
        for k in (0, 1, 1022):
            middle = 2.0**exponent + (k + 0.5) * unit
            numbers.append((f"tie above 2^{exponent}", middle, "tie"))
            numbers += [("just below a tie", after(middle, -1), ""), ("just above a tie", after(middle), "")]
    for k in (0, 1, 2, 511, 1022):
        middle = (k + 0.5) * 2.0**-24
        numbers.append(("tie among subnormals", middle, "tie subnormal"))
        numbers += [("below it", after(middle, -1), "subnormal"), ("above it", after(middle), "subnormal")]
    numbers += [("zero", 0.0, ""), ("negative zero", -0.0, "negative-zero")]
    numbers += [("one third", f32(1 / 3), ""), ("least subnormal of binary32", TINY, "subnormal")]
    numbers += [("the greatest that is taken", after(65504.0, -1), "limit")]
    for title, number, flags in numbers:
        if abs(number) >= 65504:
            continue
        for sign in (1.0, -1.0):
            given = {"weights": hexed([sign * number])}
            expected = {"bytes": oracle.half.encode([sign * number]).hex()}
            family.add("half.encode", title, "HALF-1 TEN-4", given, expected, flags)
    for number in (65504.0, after(65504.0), 65519.0, 65520.0, 1e30, GREATEST):
        for sign in (1.0, -1.0):
            given = {"weights": hexed([1.0, f32(sign * number)])}
            family.add("half.encode", "outside", "HALF-2", given, refusal("HALF-2", 1), "limit invalid")
    for pattern in ("0000", "0080", "0100", "0180", "ff03", "0004", "003c", "ff7b", "fffb", "5535", "01bc"):
        (value,) = struct.unpack("<e", bytes.fromhex(pattern))
        given, expected = {"bytes": pattern}, {"weights": hexed([value])}
        family.add("half.decode", f"bits {pattern}", "HALF-5", given, expected)
    family.add(
        "half.decode", "odd number of bytes", "TEN-4", {"bytes": "000000"}, refusal("TEN-4"), "invalid"
    )
    for title, bad in BAD:
        given = {"weights": hexed([1.0, bad, 2.0])}
        family.add("half.encode", title, "TEN-7", given, refusal("TEN-7", 1), "invalid")


#: What no encoder takes.
BAD = [("NaN", float("nan")), ("infinity", float("inf")), ("minus infinity", float("-inf"))]


def flags_of(values: list[float]) -> str:
    """Say what is hard about a tensor."""
    found = []
    if len(set(values)) == 1:
        found.append("constant")
    if any(0 < abs(v) < NORMAL for v in values):
        found.append("subnormal")
    if any(v == 0 and str(v) == "-0.0" for v in values):
        found.append("negative-zero")
    return " ".join(found)


def tensors() -> Iterator[tuple[str, list[float], str]]:
    """Give hard tensors of one channel: title, weights, flags."""
    for values in TENSORS:
        yield "hard tensor", [f32(v) for v in values], flags_of(values)
    for count in range(1, 18):
        values = [f32(((i * 29) % 17 - 8) / 3) for i in range(count)]
        yield f"{count} weights", values, flags_of(values)
    maker = random.Random(4)
    for spread in (1e-5, 1e-3, 1.0, 1e3, 1e20):
        values = [f32(maker.uniform(-spread, spread)) for _ in range(23)]
        yield f"random within {spread:g}", values, "precision"
    for offset in (100.0, -1e4, 1e7):
        values = [f32(offset + maker.random()) for _ in range(19)]
        yield f"around {offset:g}", values, "precision"
    yield "subnormals", [0.0, TINY, SUBNORMAL, NORMAL], "subnormal threshold"


def threshold_pairs(steps: int) -> Iterator[tuple[str, list[float]]]:
    """Give ranges just below, at and just above `steps` times 1e-6."""
    edge = f32(1e-6 * steps)
    for offset in (-2, -1, 0, 1, 2):
        yield f"range {offset:+d} units from {steps} * 1e-6", [0.0, after(edge, offset)]
        yield f"range {offset:+d} units from {steps} * 1e-6, from below zero", [-after(edge, offset), 0.0]


def tie_tensors(nbits: int) -> Iterator[list[float]]:
    """Give tensors with weights exactly between two codes."""
    top = (1 << nbits) - 1
    for scale in (1.0, 0.5, 4.0):
        yield [0.0, scale * top, *(scale * (i + 0.5) for i in range(min(top, 12)))]


def reciprocal_tensors(nbits: int, wanted: int) -> Iterator[list[float]]:
    """Find weights whose code by a division is another than by the product with the reciprocal."""
    top, found = (1 << nbits) - 1, 0
    for step in range(1, 4000):
        greatest = f32(step / 64 + 0.1)
        scale = greatest / top
        for odd in range(1, 2 * top, 2):
            w = f32(odd * scale / 2)
            if 0 < w < greatest and round(w / scale) != round(w * (1 / scale)):
                yield [0.0, w, greatest]
                found += 1
                break
        if found == wanted:
            return


def symmetric_reciprocal_tensors(wanted: int) -> Iterator[list[float]]:
    """Find weights whose symmetric code by a division is another than by a product with the reciprocal."""
    maker, found = random.Random(11), 0
    while found < wanted:
        peak = f32(maker.uniform(0.5, 2))
        scale = peak / 127
        w = f32((maker.randrange(-126, 126) + 0.5) * scale)
        steps = w + 128 * scale
        if round(steps / scale) != round(steps * (1 / scale)):
            yield [peak, w]
            found += 1


LINEAR_RULES = "LIN-1 LIN-2 LIN-3 LIN-5"


def linear(family: Family) -> None:
    """Codes, scales and biases on an even grid."""

    def add(
        title: str, values: list[float], nbits: int, channels: Channels, flags: str, rules: str = LINEAR_RULES
    ) -> None:
        given = {"weights": hexed(values), "nbits": nbits, **shape(channels)}
        try:
            found = oracle.linear.encode(values, nbits, channels)
        except OverflowError:
            family.add("linear.encode", title, "LIN-9", given, refusal("LIN-9"), "invalid")
            return
        expected = {
            "codes": bytes(found.codes).hex(),
            "scales": hexed(found.scales),
            "biases": hexed(found.biases),
        }
        family.add("linear.encode", title, rules, given, expected, flags)

    for nbits in range(1, 9):
        for title, values, flags in tensors():
            add(title, values, nbits, Channels(1, 1, len(values)), flags)
        for title, values in threshold_pairs((1 << nbits) - 1):
            add(title, values, nbits, Channels(1, 1, 2), "threshold", f"{LINEAR_RULES} LIN-4")
        for values in tie_tensors(nbits):
            add("ties", values, nbits, Channels(1, 1, len(values)), "tie")
        for values in reciprocal_tensors(nbits, 4 if nbits > 2 else 1):
            add("near a tie", values, nbits, Channels(1, 1, 3), "reciprocal")
    # Two binary32 numbers whose difference is the binary64 number nearest to 1e-6, and its neighbours.
    first, rest = 0x10C6F7A0000000 / 2**72, 0xB5ED8D / 2**72
    for title, unit in (
        ("a unit below the threshold", -1),
        ("the threshold itself", 0),
        ("a unit above it", 1),
    ):
        values = [-rest - unit / 2**72, first]
        add(title, values, 1, Channels(1, 1, 2), "threshold", f"{LINEAR_RULES} LIN-4")
    maker = random.Random(5)
    for outer, count, inner in ((1, 3, 4), (1, 7, 1), (3, 2, 2), (2, 5, 1), (4, 3, 3), (1, 1, 9), (5, 1, 2)):
        for nbits in (1, 3, 4, 8):
            values = [f32(maker.uniform(-2, 2)) for _ in range(outer * count * inner)]
            flags = "axis" if outer > 1 else ""
            title = f"channels of ({outer}, {count}, {inner})"
            add(title, values, nbits, Channels(outer, count, inner), flags, f"{LINEAR_RULES} LIN-6 LAY-3")
    channels = Channels(2, 3, 2)
    for title, bad in BAD:
        for index in (0, 5, 11):
            values = [f32(0.1 * i) for i in range(12)]
            values[index] = bad
            given = {"weights": hexed(values), "nbits": 4, **shape(channels)}
            family.add("linear.encode", title, "TEN-7", given, refusal("TEN-7", index), "invalid")
    for count in (11, 13):
        given = {"weights": hexed([1.0] * count), "nbits": 4, **shape(channels)}
        title = f"{count} weights for 12 places"
        family.add("linear.encode", title, "TEN-6", given, refusal("TEN-6"), "invalid")
    add("range past binary32", [-GREATEST, GREATEST], 1, Channels(1, 1, 2), "invalid")


def symmetric(family: Family) -> None:
    """Codes, scales and biases on a grid around zero."""

    def add(title: str, values: list[float], channels: Channels, flags: str, rules: str) -> None:
        found = oracle.symmetric.encode(values, 8, channels)
        expected = {
            "codes": bytes(found.codes).hex(),
            "scales": hexed(found.scales),
            "biases": hexed(found.biases),
        }
        given = {"weights": hexed(values), **shape(channels)}
        family.add("symmetric.encode", title, rules, given, expected, flags)

    rules = "SYM-2 SYM-3 LIN-5"
    for title, values, flags in tensors():
        add(title, values, Channels(1, 1, len(values)), flags, rules)
    for title, values in threshold_pairs(127):
        add(title, values, Channels(1, 1, 2), "threshold", f"{rules} SYM-4")
    for scale in (1.0, 0.25, 8.0):
        values = [127 * scale, *(scale * (i + 0.5) for i in range(-20, 20))]
        add("ties", values, Channels(1, 1, len(values)), "tie", rules)
    maker = random.Random(6)
    for outer, count, inner in ((1, 3, 4), (3, 2, 2), (2, 5, 1), (4, 3, 3)):
        values = [f32(maker.uniform(-2, 2)) for _ in range(outer * count * inner)]
        add(f"channels of ({outer}, {count}, {inner})", values, Channels(outer, count, inner), "axis", rules)
    for values in symmetric_reciprocal_tensors(6):
        add("near a tie", values, Channels(1, 1, 2), "reciprocal", rules)
    for seed in range(30):
        maker = random.Random(seed)
        values = [f32(maker.gauss(0, 1)) for _ in range(12)]
        add("random", values, Channels(1, 1, 12), "precision", rules)
    for title, bad in BAD:
        given = {"weights": hexed([1.0, 2.0, bad]), **shape(Channels(1, 1, 3))}
        family.add("symmetric.encode", title, "TEN-7", given, refusal("TEN-7", 2), "invalid")


def lookup_tables(family: Family) -> None:
    """Even tables, tables from a caller, and looking up."""
    for nbits in range(1, 9):
        for title, values, flags in tensors():
            found = oracle.lut.encode_linear(values, nbits)
            expected = {"codes": bytes(found.codes).hex(), "table": hexed(found.table)}
            given = {"weights": hexed(values), "nbits": nbits}
            family.add("linear_lut.encode", title, "LUT-2 LUT-3", given, expected, flags)
        entries = 1 << nbits
        table = [f32(0.1 * i - 1) for i in range(entries)]
        codes = [(7 * i) % entries for i in range(11)]
        given = {"codes": bytes(codes).hex(), "table": hexed(table)}
        decoded = [table[code] for code in codes]
        family.add("lut.decode", f"{entries} entries", "LUT-6", given, {"weights": hexed(decoded)})
        given = {"codes": bytes([0, entries - 1]).hex(), "table": hexed([-0.0] * entries)}
        family.add(
            "lut.decode", "negative zeros", "LUT-6", given, {"weights": hexed([-0.0, -0.0])}, "negative-zero"
        )
    weights = [0.5, -0.5, 0.25, 1.0]
    good: dict[str, Any] = {"table": hexed([-1.0, 0.0, 0.5, 1.0]), "given_codes": [2, 1, 2, 3]}
    for title, change, rule, index in (
        ("as it should be", {}, None, None),
        ("codes as whole floats", {"given_codes": [2.0, 1.0, 2.0, 3.0]}, None, None),
        ("a table too short", {"table": hexed([0.0, 1.0])}, "LUT-5", None),
        ("a table too long", {"table": hexed([0.0] * 5)}, "LUT-5", None),
        ("an empty table", {"table": ""}, "LUT-5", None),
        ("a NaN in the table", {"table": "00000000" + "7fc00000" + "00000000" * 2}, "LUT-5", 1),
        ("an infinity in the table", {"table": "00000000" * 3 + "7f800000"}, "LUT-5", 3),
        ("too few codes", {"given_codes": [0, 1, 2]}, "LUT-5", None),
        ("too many codes", {"given_codes": [0, 1, 2, 3, 0]}, "LUT-5", None),
        ("a code past the table", {"given_codes": [0, 1, 4, 0]}, "LUT-5", 2),
        ("a negative code", {"given_codes": [0, 1, 2, -1]}, "LUT-5", 3),
        ("a code that is no whole number", {"given_codes": [0, 0.5, 2, 3]}, "LUT-5", 1),
        ("a code that is no number", {"given_codes": ["0", 1, 2, 3]}, "LUT-5", 0),
    ):
        given = {"weights": hexed(weights), "nbits": 2, **good, **change}
        expected = refusal(rule, index) if rule else {"codes": "02010203", "table": good["table"]}
        flags = "invalid" if rule else ""
        family.add("custom_lut.encode", title, "LUT-1 LUT-4 LUT-5", given, expected, flags)
    family.add(
        "lut.decode",
        "a code past the table",
        "LUT-5",
        {"codes": "000102", "table": hexed([1.0, 2.0])},
        refusal("PACK-4", 2),
        "invalid",
    )


def kmeans(family: Family) -> None:
    """Clusterings judged by their properties and by the least inertia there is."""
    maker = random.Random(8)
    pools: list[tuple[str, list[float], str]] = [
        (title, values, flags)
        for title, values, flags in tensors()
        if max(map(abs, values)) < 1e5 and len(values) < 40
    ]
    pools += [("bimodal", [f32(maker.gauss(sign, 0.1)) for sign in (-1, 1) for _ in range(12)], "")]
    pools += [("an outlier", [*(f32(maker.gauss(0, 0.01)) for _ in range(20)), 100.0], "outlier")]
    pools += [("duplicates", [0.0] * 9 + [1.0] * 5 + [1.5] * 3 + [9.0], "")]
    pools += [
        (f"random {seed}", [f32(random.Random(seed).gauss(0, 1)) for _ in range(26)], "")
        for seed in range(12)
    ]
    pools += [(f"evenly spread {n}", [f32(i / 7) for i in range(n)], "tie") for n in (29, 34)]
    for title, values, flags in pools:
        for nbits in (1, 2, 3, 5):
            least = oracle.kmeans.optimum(values, 1 << nbits).inertia
            expected = {"inertia": f"{least.numerator}/{least.denominator}"}
            given = {"weights": hexed(values), "nbits": nbits}
            family.add("kmeans.encode", title, "KM-1 KM-2 KM-4", given, expected, flags, "recommended")
    for seed in (20, 21):
        # Two clusters of equal weights on either side of their middle: which of them is split is a matter
        # of choice, and the choice has to be the same each time.
        values = [f32(random.Random(seed).gauss(0, 1)) for _ in range(13)]
        values += [-value for value in values]
        least = oracle.kmeans.optimum(values, 8).inertia
        family.add(
            "kmeans.encode",
            "asked for twice",
            "KM-3",
            {"weights": hexed(values), "nbits": 3},
            {"inertia": f"{least.numerator}/{least.denominator}"},
            level="recommended",
            repeat=2,
        )
    given = {"weights": hexed([1.0, float("nan")]), "nbits": 2}
    family.add("kmeans.encode", "NaN", "TEN-7", given, refusal("TEN-7", 1), "invalid", "recommended")


def dequantization(family: Family) -> None:
    """Codes, scales and biases turned into weights."""
    maker = random.Random(9)
    for case in range(60):
        channels = Channels(maker.choice([1, 1, 3]), maker.randint(1, 4), maker.randint(1, 5))
        size = channels.outer * channels.count * channels.inner
        codes = [maker.randrange(256) for _ in range(size)]
        scales = [f32(maker.uniform(0, 0.1)) for _ in range(channels.count)]
        biases = [f32(maker.uniform(-5, 5)) for _ in range(channels.count)]
        rules, title = "LIN-8", "scales and biases for each channel"
        if case % 4 == 1:
            scales, biases, rules, title = scales[:1], biases[:1], "LIN-8 DEQ-2", "one scale for all channels"
        elif case % 4 == 2:
            biases, rules, title = [], "LIN-8 DEQ-2", "no biases"
        given = {
            "codes": bytes(codes).hex(),
            "scales": hexed(scales),
            "biases": hexed(biases),
            **shape(channels),
        }
        weights = oracle.dequantization.linear(codes, scales, biases, channels)
        flags = "axis" if channels.outer > 1 else "precision"
        family.add("linear.decode", title, rules, given, {"weights": hexed(weights)}, flags)
    for scales, biases, title in (
        ([], [], "no scales"),
        ([1.0, 2.0], [], "two scales for three channels"),
        ([1.0] * 4, [], "four scales for three channels"),
        ([1.0] * 3, [1.0], "one bias beside three scales"),
        ([1.0, float("nan"), 1.0], [], "a scale that is NaN"),
        ([1.0] * 3, [0.0, float("inf"), 0.0], "an infinite bias"),
    ):
        given = {
            "codes": "000102",
            "scales": hexed(scales),
            "biases": hexed(biases),
            **shape(Channels(1, 3, 1)),
        }
        family.add("linear.decode", title, "DEQ-4", given, refusal("DEQ-4"), "invalid", "recommended")
    for scale in (1.0, f32(0.1), TINY, 0.0):
        codes = [0, 1, 127, 128, 129, 255]
        weights = oracle.dequantization.int8(bytes(codes), scale)
        given = {"codes": bytes(codes).hex(), "scales": hexed([scale])}
        family.add("int8.decode", f"scale {scale:g}", "DEQ-3", given, {"weights": hexed(weights)})


def int8(family: Family) -> None:
    """Signed codes for dynamic quantization."""
    maker = random.Random(10)
    pools = list(tensors())
    pools += [("truncated, not rounded", [127.0, 1.75, -1.75, 0.999, -0.999], "tie")]
    pools += [("random", [f32(maker.gauss(0, 1)) for _ in range(17)], "precision") for _ in range(12)]
    for title, values, flags in pools:
        found = oracle.int8.encode(values)
        expected = {"codes": found.data.hex(), "scales": hexed([found.scale])}
        family.add("int8.encode", title, "INT8-1 INT8-2", {"weights": hexed(values)}, expected, flags)
    given = {"weights": hexed([1.0, float("inf")])}
    family.add("int8.encode", "infinity", "TEN-7", given, refusal("TEN-7", 1), "invalid")


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


#: File -> what fills it. Whole models are made by conformance.generate_models.
FAMILIES: dict[str, Callable[[Family], None]] = {
    "packing": packing,
    "half": half,
    "linear": linear,
    "symmetric": symmetric,
    "lut": lookup_tables,
    "kmeans": kmeans,
    "dequantization": dequantization,
    "int8": int8,
    "validate": validation,
}


def sentences() -> dict[str, str]:
    """Read every rule of the specification: id -> sentence."""
    found: dict[str, str] = {}
    for chapter in sorted(SPEC.glob("[0-9]*.md")):
        text = chapter.read_text(encoding="utf-8")
        found.update(re.findall(r"^\* \*\*([A-Z0-9]+-\d+)\*\* (.+)$", text, re.MULTILINE))
    return found


def document(family: Family) -> str:
    """Write a family in its canonical form: sorted keys, one case a line."""
    rules = sentences()
    named = sorted({rule for case in family.cases.values() for rule in case["rules"]})
    flags = sorted({flag for case in family.cases.values() for flag in case["flags"]})
    head = {
        "family": family.name,
        "version": 1,
        "count": len(family.cases),
        "rules": {rule: rules[rule] for rule in named},
        "flags": {flag: {**FLAGS, **departures.flags()}[flag] for flag in flags},
    }
    lines = [json.dumps(case, sort_keys=True, ensure_ascii=False) for case in family.cases.values()]
    start = json.dumps(head, indent=1, ensure_ascii=False)[:-2]
    return start + ',\n "cases": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def collect() -> dict[str, Family]:
    """Make every family."""
    made = {}
    for name, fill in FAMILIES.items():
        made[name] = Family(name)
        fill(made[name])
        for case in made[name].cases.values():
            assert set(case["input"]) == set(OPERATIONS[case["operation"]].inputs), case["id"]
    return made


def main(arguments: list[str]) -> int:
    """Write the vectors, or check them."""
    stale = []
    for name, family in collect().items():
        path, text = HERE / "vectors" / f"{name}.json", document(family)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if "--check" not in arguments:
                path.write_text(text, encoding="utf-8")
    if stale and "--check" in arguments:
        raise SystemExit(f"stale: {', '.join(stale)}; run: python -m conformance.generate")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
