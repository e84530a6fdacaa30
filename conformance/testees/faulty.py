"""A testee with one fault, chosen by name: it shows that the suite catches what it should.

    refquant conformance run -- python conformance/testees/faulty.py half.truncates
    python conformance/testees/faulty.py             # the list of faults

Without the fault (`none`) it is a plain third implementation: every operation is the sentence of its rule,
in Python's floats. A fault replaces one small decision, as someone who misread the rule would have it.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

Fields = dict[str, Any]


class Refused(Exception):  # noqa: N818 -- an answer of the protocol
    """Bad input, with the index of the first bad element."""

    def __init__(self, index: int | None = None) -> None:
        super().__init__("refused")
        self.index = index


def f32(x: float) -> float:
    """Round to binary32; past its end, to an infinity."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", x))[0])
    except OverflowError:
        return math.copysign(math.inf, x)


def next_f32(x: float, steps: int) -> float:
    """Give the binary32 number so many steps further from zero."""
    (bits,) = struct.unpack("<I", struct.pack("<f", x))
    return float(struct.unpack("<f", struct.pack("<I", bits + steps))[0])


def away(x: float) -> int:
    """Round ties away from zero."""
    return int(math.copysign(math.floor(abs(x) + 0.5), x))


def half_bits(x: float, rounding: Callable[[float], float]) -> int:
    """Give the bits of the binary16 number that a rounding of units makes of |x|."""
    exponent = max(math.frexp(abs(x))[1] - 1, -14) if x else -14
    units = int(rounding(math.ldexp(abs(x), 10 - exponent)))
    return ((exponent + 14) << 10) + units


@cache
def joined_means(ordered: tuple[float, ...], entries: int) -> list[float]:
    """Put sorted weights together in the best way until there are as many clusters as entries."""
    spare = len(ordered) - entries

    def cost(a: int, b: int) -> float:
        mean = math.fsum(ordered[a:b]) / (b - a)
        return math.fsum((w - mean) ** 2 for w in ordered[a:b])

    # best[b][joined]: the least cost of the first b weights, with so many joined to the one before, and
    # where the last cluster begins.
    best: list[list[tuple[float, int]]] = [[(0.0, 0)] + [(math.inf, 0)] * spare]
    for b in range(1, len(ordered) + 1):
        costs = [cost(b - size, b) for size in range(1, min(b, spare + 1) + 1)]
        best.append(
            [
                min(
                    (best[b - size][joined - size + 1][0] + costs[size - 1], b - size)
                    for size in range(1, min(b, joined + 1) + 1)
                )
                for joined in range(spare + 1)
            ]
        )
    edges, joined = [len(ordered)], spare
    while edges[-1]:
        start = best[edges[-1]][joined][1]
        joined -= edges[-1] - start - 1
        edges.append(start)
    edges.reverse()
    return [math.fsum(ordered[a:b]) / (b - a) for a, b in zip(edges, edges[1:])]


class Plain:
    """The operations, and the decisions in them that a fault may replace."""

    def named(self, index: int | None) -> int | None:
        return index

    # Packing.
    def bits(self, code: int, nbits: int) -> list[int]:
        return [code >> (nbits - 1 - i) & 1 for i in range(nbits)]

    def byte(self, bits: list[int]) -> int:
        return sum(bit << (7 - i) for i, bit in enumerate(bits))

    def unbits(self, bits: list[int]) -> int:
        return sum(bit << (len(bits) - 1 - i) for i, bit in enumerate(bits))

    def unbyte(self, byte: int) -> list[int]:
        return [byte >> (7 - i) & 1 for i in range(8)]

    padding = 0

    def packed(self, data: bytes) -> bytes:
        return data

    def order(self, codes: list[int]) -> list[int]:
        return codes

    def check_codes(self, codes: list[int], nbits: int) -> None:
        for i, code in enumerate(codes):
            if code >> nbits:
                raise Refused(i)

    def check_size(self, size: int, wanted: int) -> None:
        if size != wanted:
            raise Refused

    def check_nbits(self, nbits: int) -> None:
        if not 1 <= nbits <= 8:
            raise Refused

    def pack(self, f: Fields) -> Fields:
        self.check_nbits(f["nbits"])
        self.check_codes(f["codes"], f["nbits"])
        bits = [b for code in self.order(f["codes"]) for b in self.bits(code, f["nbits"])]
        bits += [self.padding] * (-len(bits) % 8)
        data = bytes(self.byte(bits[i : i + 8]) for i in range(0, len(bits), 8))
        return {"bytes": self.packed(data)}

    def unpack(self, f: Fields) -> Fields:
        self.check_nbits(f["nbits"])
        self.check_size(len(f["bytes"]), -(-f["count"] * f["nbits"] // 8))
        bits = [b for byte in f["bytes"] for b in self.unbyte(byte)]
        self.check_padding(bits[f["count"] * f["nbits"] :])
        bits += [0] * (f["count"] * f["nbits"] - len(bits))
        codes = [self.unbits(bits[i * f["nbits"] : (i + 1) * f["nbits"]]) for i in range(f["count"])]
        return {"codes": self.order(codes)}

    def check_padding(self, bits: list[int]) -> None:
        """Padding is ignored."""

    # Half precision.
    limit = 65504.0
    half_rounding: Callable[[float], float] = staticmethod(round)
    half_order = "<"
    half_sign = True
    half_decode_order = "<"

    def half_number(self, x: float) -> float:
        return x

    def outside(self, index: int, x: float) -> float:
        raise Refused(index)

    def looked_at(self, values: list[Any]) -> list[Any]:
        return values

    def check_any(self, values: list[Any]) -> None:
        """Nothing is as good as anything."""

    def half_encode(self, f: Fields) -> Fields:
        self.check_any(f["weights"])
        self.check_finite(f["weights"])
        words = []
        for i, w in enumerate(self.looked_at(f["weights"])):
            w = self.outside(i, w) if abs(w) >= self.limit else self.half_number(w)
            sign = 0x8000 if math.copysign(1, w) < 0 and (w or self.half_sign) else 0
            words.append(struct.pack(f"{self.half_order}H", half_bits(w, self.half_rounding) | sign))
        return {"bytes": b"".join(words)}

    def half_decode(self, f: Fields) -> Fields:
        if len(f["bytes"]) % 2:
            raise Refused
        found = list(struct.unpack(f"{self.half_decode_order}{len(f['bytes']) // 2}e", f["bytes"]))
        self.check_any(found)
        self.check_decoded(found)
        return {"weights": [self.half_number(x) for x in self.looked_at(found)]}

    def check_decoded(self, numbers: list[float]) -> None:
        self.check_finite(numbers)

    # Linear.
    whole: Callable[[float], int] = staticmethod(round)
    f64: Callable[[float], float] = staticmethod(float)
    stored: Callable[[float], float] = staticmethod(f32)
    threshold = 1e-6

    def check_finite(self, values: list[float]) -> None:
        for i, x in enumerate(values):
            if not math.isfinite(x):
                raise Refused(i)

    def members(self, f: Fields, values: list[Any]) -> list[list[int]]:
        """Positions of the weights of each channel."""
        outer, channels, inner = f["outer"], f["channels"], f["inner"]
        self.check_shape(len(values), outer * channels * inner)
        found: list[list[int]] = [[] for _ in range(channels)]
        for i in range(min(len(values), outer * channels * inner)):
            found[self.channel(i, outer, channels, inner)].append(i)
        return found

    def check_shape(self, size: int, wanted: int) -> None:
        if size != wanted:
            raise Refused

    def channel(self, i: int, outer: int, channels: int, inner: int) -> int:
        return i // inner % channels

    def scale(self, least: float, greatest: float, nbits: int) -> float:
        return self.f64((greatest - least) / ((1 << nbits) - 1))

    def bias(self, least: float, greatest: float) -> float:
        return least

    def is_small(self, scale: float, least: float, greatest: float) -> bool:
        return abs(scale) <= self.threshold

    def steps(self, w: float, least: float, scale: float) -> float:
        return self.f64(self.f64(w - least) * self.f64(1 / scale))

    def code(self, steps: float, nbits: int) -> int:
        return self.whole(steps) & 255

    def weight(self, w: float) -> float:
        return w

    def encode_channel(self, values: list[float], nbits: int) -> tuple[list[int], float, float]:
        values = [self.weight(w) for w in self.some(values)]
        least, greatest = min(values), max(values)
        scale = self.scale(least, greatest, nbits)
        if self.is_small(scale, least, greatest):
            return [0] * len(values), scale, self.bias(least, greatest)
        codes = [self.code(self.steps(w, least, scale), nbits) for w in values]
        return codes, scale, self.bias(least, greatest)

    def some(self, values: list[float]) -> list[float]:
        """Without weights there is no least one."""
        if not values:
            raise Refused
        return values

    def linear_encode(self, f: Fields) -> Fields:
        self.check_nbits(f["nbits"])
        top = (1 << f["nbits"]) - 1
        return self.by_channels(f, top, lambda values: self.encode_channel(values, f["nbits"]))

    def check_stored(self, index: int, numbers: list[float]) -> None:
        """Refuse a channel by its scale, its bias and what its greatest code stands for."""
        if not all(map(math.isfinite, numbers)):
            raise Refused(index)

    def by_channels(
        self, f: Fields, top: int, encode: Callable[[list[float]], tuple[list[int], float, float]]
    ) -> Fields:
        self.check_finite(f["weights"])
        codes, scales, biases = [0] * len(f["weights"]), [], []
        for index, members in enumerate(self.members(f, f["weights"])):
            found, scale, bias = encode([f["weights"][i] for i in members])
            self.check_stored(index, [f32(scale), f32(bias), f32(top * f32(scale) + f32(bias))])
            for i, code in zip(members, found):
                codes[i] = code
            scales.append(self.stored(scale))
            biases.append(self.stored(bias))
        return {"codes": codes, "scales": self.scales(scales), "biases": biases}

    def scales(self, scales: list[float]) -> list[float]:
        return scales

    # Symmetric.
    half_range = 127
    middle = 128

    def peak(self, values: list[float]) -> float:
        return max(abs(w) for w in values)

    def symmetric_steps(self, w: float, bias: float, scale: float) -> float:
        return (w - bias) / scale

    def symmetric_channel(self, values: list[float]) -> tuple[list[int], float, float]:
        values = [self.weight(w) for w in self.some(values)]
        peak = self.peak(values)
        scale = self.f64(peak / self.half_range)
        bias = -self.middle * scale
        if self.is_small(scale, -peak, peak):
            return [0] * len(values), scale, bias
        return [self.whole(self.symmetric_steps(w, bias, scale)) & 255 for w in values], scale, bias

    def symmetric_encode(self, f: Fields) -> Fields:
        return self.by_channels(f, 255, self.symmetric_channel)

    # Tables.
    def entry(self, i: int, scale: float, bias: float) -> float:
        return f32(i * scale + bias)

    def table(self, table: list[float]) -> list[float]:
        return table

    def linear_lut_encode(self, f: Fields) -> Fields:
        self.check_nbits(f["nbits"])
        self.check_finite(f["weights"])
        codes, scale, bias = self.encode_channel(f["weights"], f["nbits"])
        table = [self.entry(i, scale, bias) for i in range(1 << f["nbits"])]
        return {"codes": codes, "table": self.table(table)}

    def check_table(self, table: list[float], nbits: int) -> None:
        if len(table) != 1 << nbits:
            raise Refused
        self.check_finite(table)

    def check_given(self, codes: list[Any], table: list[float], count: int) -> None:
        if len(codes) != count:
            raise Refused
        for i, code in enumerate(codes):
            if code not in range(len(table)):
                raise Refused(i)

    def custom_lut_encode(self, f: Fields) -> Fields:
        self.check_nbits(f["nbits"])
        self.check_any(f["weights"])
        self.check_table(f["table"], f["nbits"])
        self.check_given(f["given_codes"], f["table"], len(f["weights"]))
        codes = [int(code) & 255 if isinstance(code, (int, float)) else 0 for code in f["given_codes"]]
        return {"codes": codes, "table": f["table"]}

    def look_up(self, table: list[float], code: int, index: int) -> float:
        if code >= len(table):
            raise Refused(index)
        return table[code]

    def lut_decode(self, f: Fields) -> Fields:
        self.check_any(f["codes"])
        self.check_decoded(f["table"])
        codes = self.looked_at(f["codes"])
        return {"weights": [self.look_up(f["table"], code, i) for i, code in enumerate(codes)]}

    # Dequantization.
    def decoded(self, code: int, scale: float, bias: float) -> float:
        return f32(code * scale + bias)

    def check_scales(self, scales: list[float], biases: list[float], channels: int) -> None:
        if len(scales) not in (1, channels) or len(biases) not in (0, len(scales)):
            raise Refused
        self.check_decoded(scales)
        self.check_decoded(biases)

    def broadcast(self, values: list[float], channels: int) -> list[float]:
        return values * channels if len(values) == 1 else values or [0.0] * channels

    def linear_decode(self, f: Fields) -> Fields:
        self.check_scales(f["scales"], f["biases"], f["channels"])
        scales = self.broadcast(f["scales"], f["channels"])
        biases = self.broadcast(f["biases"], f["channels"])
        weights = [0.0] * len(f["codes"])
        for members, scale, bias in zip(self.members(f, f["codes"]), scales, biases):
            for i in members:
                weights[i] = self.decoded(f["codes"][i], scale, bias)
        return {"weights": weights}

    # Dynamic int8.
    int8_whole: Callable[[float], int] = staticmethod(int)
    int8_range = 127

    def int8_steps(self, w: float, peak: float) -> float:
        return self.int8_range * (w / peak)

    def int8_encode(self, f: Fields) -> Fields:
        self.check_finite(f["weights"])
        peak = self.peak(f["weights"])
        weights = self.looked_at(f["weights"])
        codes = [self.int8_whole(self.int8_steps(w, peak)) if peak else self.no_peak() for w in weights]
        scale = f32(peak / self.int8_range)
        self.check_read_back(f32(127 * scale))
        return {"codes": [code & 255 for code in codes], "scales": [scale]}

    def check_read_back(self, greatest: float) -> None:
        if math.isinf(greatest):
            _refuse(None)

    def no_peak(self) -> int:
        return 0

    def signed(self, code: int) -> int:
        return code - 256 if code > 127 else code

    def int8_decode(self, f: Fields) -> Fields:
        self.check_any(f["codes"])
        self.check_decoded(f["scales"])
        return {"weights": [f32(self.signed(code) * f["scales"][0]) for code in self.looked_at(f["codes"])]}

    # k-means.
    def clusters(self, values: list[float], entries: int) -> list[float]:
        return joined_means(tuple(sorted(values)), entries)

    def finish(self, means: list[float], entries: int) -> list[float]:
        return means + means[-1:] * (entries - len(means))

    def check_kmeans_nbits(self, nbits: int) -> None:
        self.check_nbits(nbits)

    def nearest(self, w: float, table: list[float]) -> int:
        return min(range(len(table)), key=lambda i: (abs(w - table[i]), i))

    def kmeans_encode(self, f: Fields) -> Fields:
        self.check_kmeans_nbits(f["nbits"])
        self.check_finite(f["weights"])
        entries = 1 << f["nbits"]
        distinct = sorted({w + 0.0 for w in f["weights"]})
        means = distinct or [0.0] if len(distinct) <= entries else self.clusters(f["weights"], entries)
        table = self.finish(sorted(f32(mean) for mean in means), entries)
        return {"codes": [self.nearest(w, table) for w in f["weights"]], "table": table}


def _f32_result(self: Plain, w: float, least: float, scale: float) -> float:
    return f32(f32(w - least) * f32(1 / scale))


def _toward_zero(x: float) -> float:
    rounded = f32(x)
    return next_f32(rounded, -1) if abs(rounded) > abs(x) else rounded


def _unrounded(self: Plain, w: float, least: float, scale: float) -> Any:
    return Fraction(w - least) * Fraction(1 / scale)


def _fused(i: int, scale: float, bias: float) -> float:
    return float(Fraction(i) * Fraction(scale) + Fraction(bias))


def _once(code: int, scale: float, bias: float) -> float:
    """Round to binary32 alone: a tie that only binary64 made is none."""
    exact = Fraction(code) * Fraction(scale) + Fraction(bias)
    near = float(exact)
    return f32(near if near == exact else math.nextafter(near, math.inf if near < exact else -math.inf))


def _flush(self: Plain, w: float) -> float:
    return 0.0 if abs(w) < 2.0**-126 else w


#: Fault -> the decisions that it replaces. A function takes the testee first, as a method does.
FAULTS: dict[str, dict[str, Any]] = {
    "any.nine-bits": {"check_nbits": lambda self, n: None if n == 9 else Plain.check_nbits(self, n)},
    "any.sixteen-bits": {"check_nbits": lambda self, n: None if n == 16 else Plain.check_nbits(self, n)},
    "any.no-bits": {"check_nbits": lambda self, n: None if n == 0 else Plain.check_nbits(self, n)},
    "any.index-where-there-is-none": {"named": lambda self, index: index or 0},
    "any.no-index": {"named": lambda self, index: None},
    "pack.bits-lsb-first": {"bits": lambda self, code, n: [code >> i & 1 for i in range(n)]},
    "pack.bytes-lsb-first": {"byte": lambda self, bits: sum(bit << i for i, bit in enumerate(bits))},
    "pack.padding-of-ones": {"padding": 1},
    "pack.a-byte-for-each-code": {"bits": lambda self, code, n: [code >> (7 - i) & 1 for i in range(8)]},
    "pack.last-byte-lost": {"packed": lambda self, data: data[:-1]},
    "pack.byte-too-many": {"packed": lambda self, data: data + b"\0"},
    "pack.words-swapped": {
        "packed": lambda self, data: b"".join(data[i : i + 2][::-1] for i in range(0, len(data), 2))
    },
    "pack.codes-reversed": {"order": lambda self, codes: codes[::-1]},
    "pack.large-codes-masked": {
        "check_codes": lambda self, codes, n: None,
        "bits": lambda self, code, n: [code >> (n - 1 - i) & 1 for i in range(n)],
    },
    "pack.refuses-the-greatest-code": {
        "check_codes": lambda self, codes, n: [_refuse(i) for i, c in enumerate(codes) if c >= (1 << n) - 1]
    },
    "pack.names-another-code": {
        "check_codes": lambda self, codes, n: [_refuse(i + 1) for i, c in enumerate(codes) if c >> n]
    },
    "unpack.bits-lsb-first": {"unbits": lambda self, bits: sum(bit << i for i, bit in enumerate(bits))},
    "unpack.bytes-lsb-first": {"unbyte": lambda self, byte: [byte >> i & 1 for i in range(8)]},
    "unpack.padding-must-be-zero": {"check_padding": lambda self, bits: [_refuse(None) for b in bits if b]},
    "unpack.takes-too-few-bytes": {
        "check_size": lambda self, size, wanted: None if size <= wanted else _refuse(None)
    },
    "unpack.takes-surplus-bytes": {
        "check_size": lambda self, size, wanted: None if size >= wanted else _refuse(None)
    },
    "half.truncates": {"half_rounding": math.floor},
    "half.rounds-up": {"half_rounding": math.ceil},
    "half.ties-away": {"half_rounding": away},
    "half.flushes-subnormals": {
        "half_number": lambda self, x: math.copysign(0, x) if abs(x) < 2.0**-14 else x
    },
    "half.loses-the-sign-of-zero": {"half_sign": False},
    "half.big-endian": {"half_order": ">"},
    "half.reads-big-endian": {"half_decode_order": ">"},
    "half.takes-65504": {"limit": 65504.1},
    "half.takes-up-to-65520": {"limit": 65520.0},
    "half.refuses-65500": {"limit": 65500.0},
    "half.saturates": {"outside": lambda self, index, x: math.copysign(65504.0, x)},
    "half.takes-nan": {
        "check_finite": lambda self, values: [_refuse(i) for i, x in enumerate(values) if math.isinf(x)]
    },
    "half.first-only": {"looked_at": lambda self, values: values[:1]},
    "half.even-lengths-only": {"looked_at": lambda self, values: values[: len(values) // 2 * 2]},
    "half.needs-a-weight": {"check_any": lambda self, values: None if values else _refuse(None)},
    "half.drops-a-bit": {"half_rounding": lambda x: round(x / 2) * 2},
    "linear.ties-away": {"whole": away},
    "linear.ties-up": {"whole": lambda x: math.floor(x + 0.5)},
    "linear.truncates": {"whole": int},
    "linear.rounds-up": {"whole": math.ceil},
    "linear.divides-by-the-scale": {"steps": lambda self, w, least, scale: (w - least) / scale},
    "linear.fused": {"steps": _unrounded},
    "linear.greatest-code-unchecked": {
        "check_stored": lambda self, index, numbers: Plain.check_stored(self, index, numbers[:2])
    },
    "linear.scale-unchecked": {"check_stored": lambda self, index, numbers: None},
    "linear.takes-nothing": {"some": lambda self, values: values or [0.0]},
    "linear.stored-scale": {"steps": lambda self, w, least, scale: (w - least) * (1 / (f32(scale) or scale))},
    "linear.binary32-steps": {"steps": _f32_result},
    "linear.binary32-scale": {"f64": f32},
    "linear.divides-by-2^n": {"scale": lambda self, a, b, n: (b - a) / (1 << n)},
    "linear.threshold-1e-7": {"threshold": 1e-7},
    "linear.threshold-1e-5": {"threshold": 1e-5},
    "linear.threshold-a-bit-lower": {"threshold": 1e-6 * (1 - 2.0**-23)},
    "linear.threshold-a-bit-higher": {"threshold": 1e-6 * (1 + 2.0**-23)},
    "linear.threshold-exclusive": {"is_small": lambda self, scale, a, b: scale < 1e-6},
    "linear.threshold-of-zero": {"threshold": 0.0},
    "linear.threshold-relative": {
        "is_small": lambda self, scale, a, b: scale <= 1e-6 * max(abs(a), abs(b), 1e-300)
    },
    "linear.threshold-on-the-range": {"is_small": lambda self, scale, a, b: b - a <= 1e-6},
    "linear.bias-forgotten": {"bias": lambda self, a, b: 0.0},
    "linear.bias-is-the-greatest": {"bias": lambda self, a, b: b},
    "linear.bias-is-the-middle": {"bias": lambda self, a, b: (a + b) / 2},
    "linear.scale-a-step-off": {"stored": lambda x: next_f32(f32(x), 1) if x > 0 else f32(x)},
    "linear.stores-toward-zero": {"stored": _toward_zero},
    "linear.channel-last": {"channel": lambda self, i, outer, channels, inner: i % channels},
    "linear.channel-first": {
        "channel": lambda self, i, outer, channels, inner: i // (outer * inner) % channels
    },
    "linear.scales-reversed": {"scales": lambda self, scales: scales[::-1]},
    "linear.one-scale": {"scales": lambda self, scales: scales[:1]},
    "linear.top-code-cut": {
        "code": lambda self, steps, n: min(self.whole(steps), (1 << n) - 2) if n > 1 else self.whole(steps)
    },
    "linear.codes-signed": {"code": lambda self, steps, n: (self.whole(steps) - (1 << (n - 1))) & 255},
    "linear.flushes-subnormals": {"weight": _flush},
    "linear.takes-nan": {"check_finite": lambda self, values: None},
    "linear.names-the-last": {
        "check_finite": lambda self, values: [
            _refuse(len(values) - 1) for x in values if not math.isfinite(x)
        ]
    },
    "linear.takes-any-shape": {"check_shape": lambda self, size, wanted: None},
    "symmetric.128-steps": {"half_range": 128},
    "symmetric.bias-of-127": {"middle": 127},
    "symmetric.reciprocal": {"symmetric_steps": lambda self, w, bias, scale: (w - bias) * (1 / scale)},
    "symmetric.stored-scale": {
        "symmetric_steps": lambda self, w, bias, scale: (w - f32(bias)) / (f32(scale) or 1)
    },
    "symmetric.greatest-only": {"peak": lambda self, values: abs(max(values))},
    "symmetric.zero-plus-128": {"symmetric_steps": lambda self, w, bias, scale: round(w / scale) + 128.5},
    "lut.short-table": {"table": lambda self, table: table[:-1]},
    "lut.entries-from-the-stored-scale": {"entry": lambda self, i, scale, bias: f32(i * f32(scale) + bias)},
    "lut.entries-in-binary32": {"entry": lambda self, i, scale, bias: f32(f32(i * scale) + bias)},
    "lut.entries-in-the-middle": {"entry": lambda self, i, scale, bias: f32((i + 0.5) * scale + bias)},
    "lut.wraps-past-the-table": {"look_up": lambda self, table, code, index: table[code % len(table)]},
    "lut.fused": {"entry": lambda self, i, scale, bias: f32(_fused(i, scale, bias))},
    "lut.off-by-one": {"look_up": lambda self, table, code, index: table[code - 1]},
    "custom.takes-any-table": {"check_table": lambda self, table, n: None},
    "custom.takes-any-codes": {"check_given": lambda self, codes, table, count: None},
    "custom.takes-short-codes": {
        "check_given": lambda self, codes, table, count: [
            _refuse(i) for i, code in enumerate(codes) if code not in range(len(table))
        ]
    },
    "decode.binary32-product": {"decoded": lambda self, code, scale, bias: f32(f32(code * scale) + bias)},
    "decode.one-rounding": {"decoded": lambda self, code, scale, bias: _once(code, scale, bias)},
    "decode.bias-in-codes": {"decoded": lambda self, code, scale, bias: f32((code + bias) * scale)},
    "decode.bias-forgotten": {"decoded": lambda self, code, scale, bias: f32(code * scale)},
    "decode.signed-codes": {"decoded": lambda self, code, scale, bias: f32((code - 128) * scale + bias)},
    "decode.first-scale-only": {"broadcast": lambda self, values, channels: (values or [0.0])[:1] * channels},
    "decode.no-broadcast": {
        "check_scales": lambda self, s, b, channels: _refuse(None) if len(s) != channels else None
    },
    "decode.bias-must-be-there": {
        "check_scales": lambda self, s, b, channels: _refuse(None) if len(s) != len(b) else None
    },
    "decode.takes-nan": {"check_decoded": lambda self, numbers: None},
    "decode.takes-infinity": {
        "check_decoded": lambda self, numbers: [_refuse(i) for i, x in enumerate(numbers) if math.isnan(x)]
    },
    "decode.takes-anything": {
        "check_scales": lambda self, s, b, channels: None,
        "broadcast": lambda self, values, channels: (values * channels)[:channels] or [0.0] * channels,
    },
    "int8.rounds": {"int8_whole": round},
    "int8.floors": {"int8_whole": math.floor},
    "int8.128-steps": {"int8_range": 128},
    "int8.factor-first": {"int8_steps": lambda self, w, peak: w * (127 / peak)},
    "int8.divides-zero-by-zero": {"no_peak": lambda self: _refuse(None)},
    "int8.takes-the-greatest": {"check_read_back": lambda self, greatest: None},
    "int8.unsigned": {"signed": lambda self, code: code},
    "kmeans.even-table": {
        "clusters": lambda self, values, entries: [
            min(values) + (max(values) - min(values)) * (i + 0.5) / entries for i in range(entries)
        ]
    },
    "kmeans.equal-counts": {
        "clusters": lambda self, values, entries: [
            math.fsum(part) / len(part)
            for i in range(entries)
            for part in [sorted(values)[i * len(values) // entries : (i + 1) * len(values) // entries]]
            if part
        ]
    },
    "kmeans.short-table": {"finish": lambda self, means, entries: means},
    "kmeans.descending-table": {
        "finish": lambda self, means, entries: (means + means[-1:] * (entries - len(means)))[::-1]
    },
    "kmeans.padded-with-zeros": {
        "finish": lambda self, means, entries: means + [0.0] * (entries - len(means))
    },
    "kmeans.codes-swapped-near-an-edge": {
        "nearest": lambda self, w, table: min(
            range(len(table)), key=lambda i: (abs(w - table[i]) * (1.5 if i % 2 else 1), i)
        )
    },
    "kmeans.ties-to-the-higher": {
        "nearest": lambda self, w, table: min(range(len(table)), key=lambda i: (abs(w - table[i]), -i))
    },
    "kmeans.few-bits": {"check_kmeans_nbits": lambda self, n: _refuse(None) if n in (4, 6, 7, 8) else None},
    "kmeans.loses-a-weight": {
        "finish": lambda self, means, entries: (
            (means[1:] or means) + means[-1:] * (entries - len(means[1:] or means))
        )
    },
    "kmeans.empty-table": {"finish": lambda self, means, entries: []},
}


def _refuse(index: int | None) -> Any:
    raise Refused(index)


def testee(fault: str) -> Plain:
    """Make the testee with a fault, or without one (`none`)."""
    replaced = {} if fault == "none" else FAULTS[fault]
    wrapped = {
        name: staticmethod(value)
        if name in ("whole", "f64", "stored", "half_rounding", "int8_whole")
        else value
        for name, value in replaced.items()
    }
    made: Plain = type("Faulty", (Plain,), wrapped)()
    return made


def _floats(text: str) -> list[float]:
    return list(struct.unpack(f">{len(text) // 8}f", bytes.fromhex(text)))


#: Field -> how it is read, and how it is written.
READ: dict[str, Callable[[Any], Any]] = {
    "weights": _floats,
    "scales": _floats,
    "biases": _floats,
    "table": _floats,
    "codes": lambda text: list(bytes.fromhex(text)),
    "bytes": bytes.fromhex,
}
WRITE: dict[str, Callable[[Any], str]] = {
    **{
        name: lambda xs: struct.pack(f">{len(xs)}f", *map(f32, xs)).hex()
        for name in ("weights", "scales", "biases", "table")
    },
    "codes": lambda codes: bytes(codes).hex(),
    "bytes": lambda data: data.hex(),
}

OPERATIONS = [
    "pack", "unpack", "half.encode", "half.decode", "linear.encode", "linear.decode", "symmetric.encode",
    "linear_lut.encode", "custom_lut.encode", "lut.decode", "int8.encode", "int8.decode", "kmeans.encode",
]  # fmt: skip


def answer(plain: Plain, operation: str, given: Fields) -> Fields:
    """Answer one case."""
    fields = {name: READ.get(name, lambda value: value)(value) for name, value in given.items()}
    try:
        result = getattr(plain, operation.replace(".", "_"))(fields)
        return {"result": {name: WRITE[name](value) for name, value in result.items()}}
    except Refused as refused:
        return {"error": {"message": "refused", "index": plain.named(refused.index)}}
    except (ArithmeticError, ValueError, IndexError) as error:
        return {"error": {"message": repr(error)}}


def main(arguments: list[str]) -> int:
    """Answer requests with the fault that is named; without a name, list them."""
    if not arguments:
        sys.stdout.write("".join(f"{name}\n" for name in FAULTS))
        return 0
    plain = testee(arguments[0])
    for line in sys.stdin:
        request = json.loads(line)
        if request["command"] == "stop":
            break
        if request["command"] == "start":
            known = {"name": f"faulty ({arguments[0]})", "version": "1", "language": "Python"}
            reply: Fields = {"protocol": 1, "implementation": known, "operations": OPERATIONS}
        else:
            reply = answer(plain, request["operation"], request["input"])
        sys.stdout.write(json.dumps({"seq": request["seq"], **reply}) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
