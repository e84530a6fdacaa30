"""The flags of cases: what kind of bug a case catches, what the bug does, and where it comes from."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import NamedTuple

from conformance.departures import KNOWN, rows

#: An id of the departure table; as a flag, it is on every case on which coremltools is known to fail.
ROW = re.compile(r"DEP-\d+")


class Flag(NamedTuple):
    """What a flag means."""

    #: What is got wrong: one of KINDS.
    kind: str
    bug: str
    effect: str
    source: str


#: Kind of bug -> what is got wrong.
KINDS = {
    "arithmetic": "a formula, or the precision that it is computed in",
    "rounding": "which of two neighbours a number becomes",
    "range": "numbers that are small, large or zero",
    "order": "which bit, byte, code or channel comes first",
    "length": "how much there is of something",
    "input": "what is taken, and what is refused",
    "network": "which tensors of a model are changed",
    "quality": "how good a choice is, where several are right",
    "departure": "what coremltools does otherwise",
}

FLAGS = {
    "bits": Flag(
        "order",
        "bits or bytes are taken in another order",
        "every code is another, or those that cross a byte",
        "processors number bits from the least significant",
    ),
    "nearest": Flag(
        "rounding",
        "numbers are cut, or rounded up or down",
        "bytes off by one unit",
        "conversions that round toward zero, as bit shifts do",
    ),
    "tie": Flag(
        "rounding",
        "ties are rounded away from zero, up or down",
        "codes or weights off by one unit for weights that lie exactly between two",
        "round() of most languages rounds ties away from zero",
    ),
    "constant": Flag(
        "range",
        "division by a range of zero",
        "NaN, a crash, or codes other than 0",
        "layers initialised with ones or zeros",
    ),
    "threshold": Flag(
        "range",
        "the threshold of 1e-6 is left out, moved, or compared with <",
        "codes where the format's own tools write zeros, or zeros where they write codes",
        "coremltools' guard against division by a small scale",
    ),
    "subnormal": Flag(
        "range",
        "subnormal numbers are flushed to zero",
        "small weights vanish",
        "fast-math compiler options, GPUs",
    ),
    "negative-zero": Flag(
        "range",
        "the sign of zero is lost or invented",
        "bits differ, values do not",
        "comparison of zeros as numbers",
    ),
    "limit": Flag(
        "range",
        "the limit of half precision is moved",
        "infinities, or models refused that need not be",
        "65504 is finite, and refused all the same",
    ),
    "overflow": Flag(
        "range",
        "a number past binary32 is stored, or a great one is refused that fits",
        "infinities in the model, or models refused that need not be",
        "checks of weights that forget what is made of them",
    ),
    "grid": Flag(
        "arithmetic",
        "scale, bias or codes are made by another formula",
        "another grid, or codes that do not belong to it",
        "formats that store a zero point, or 2^n steps in place of 2^n - 1",
    ),
    "reciprocal": Flag(
        "arithmetic",
        "a division in place of a product with the reciprocal, or the other way round",
        "codes off by one near ties",
        "an optimisation that compilers are not allowed to make, and people are",
    ),
    "contraction": Flag(
        "arithmetic",
        "a product and a sum are computed as one, with one rounding",
        "codes or entries off by one unit near ties",
        "compilers that make fused multiply-adds of them unless told otherwise",
    ),
    "precision": Flag(
        "arithmetic",
        "arithmetic in binary32 where binary64 is due, or the stored scale in place of the exact one",
        "codes and scales off by one unit",
        "numpy arrays of float32; GPUs",
    ),
    "signed": Flag(
        "arithmetic",
        "codes are read without their sign, or rounded",
        "negative weights become positive ones, or codes are off by one",
        "bytes are unsigned in most languages",
    ),
    "axis": Flag(
        "order",
        "channels taken along the wrong dimension",
        "each scale is applied to other weights than those it was made for",
        "deconvolutions keep their output channels in the second dimension",
    ),
    "length": Flag(
        "length",
        "what is at the end of a tensor, and does not fill a byte or a lane, is treated apart",
        "the last codes or weights are lost or doubled, or padding is not zero",
        "loops over four or eight numbers at a time",
    ),
    "empty": Flag(
        "length",
        "nothing is taken for a fault, or a fault for nothing",
        "a crash, a byte too many, or a scale made of no weights",
        "loops that do something before they look whether there is anything to do",
    ),
    "broadcast": Flag(
        "length",
        "one scale for all channels, or no bias, is not understood",
        "models of other writers are refused, or read as other weights",
        "refquant and coremltools write one of each for every channel",
    ),
    "table": Flag(
        "length",
        "a table is too short or too long, or looked up beside the entry",
        "weights that are others, or a model that cannot be loaded",
        "tables of as many entries as are in use",
    ),
    "nbits": Flag(
        "input",
        "a number of bits that codes cannot have is taken",
        "a model that cannot be loaded, or codes that are cut",
        "16 bits stand for half precision at the entry of the format's tools",
    ),
    "invalid": Flag(
        "input",
        "bad input is taken",
        "a model that cannot be loaded, or is wrong without a word",
        "spec/14-departures.md",
    ),
    "fault": Flag(
        "input",
        "a fault of a file is overlooked, named for another rule, or hides another",
        "a file that readers refuse, or read wrongly, is taken for good",
        "readers stop at the first fault and look at no number",
    ),
    "unusual": Flag(
        "input",
        "a good file that looks odd is taken for a broken one",
        "files of other writers are refused",
        "what a layer does not use, or nobody states, is looked at",
    ),
    "layer": Flag(
        "network",
        "a tensor is overlooked, or read by another shape",
        "weights left as they are, or scales for other weights",
        "45 weight tensors in 16 layer types",
    ),
    "fusion": Flag(
        "network",
        "a pair of layers is fused that must not be, or not fused, or to other values",
        "another function, or other bytes",
        "spec/10-fusion.md",
    ),
    "selector": Flag(
        "network",
        "a limit is compared otherwise, or a bias is not asked for",
        "layers quantized that should not be, or the other way round",
        "the user guide's example of a selector",
    ),
    "clustering": Flag(
        "quality",
        "a table without order, or weights that are not on their nearest entry",
        "an error that is greater than it need be, or codes that differ from run to run",
        "random starts of k-means, stopped before nothing moves",
    ),
    "outlier": Flag(
        "quality",
        "a start that leaves dense weights to one entry",
        "an inertia far above the least",
        "evenly spread or random starts of k-means",
    ),
}

#: Operation -> the flag of a case that is about nothing in particular.
PLAIN = {
    "pack": "bits",
    "unpack": "bits",
    "half.encode": "nearest",
    "half.decode": "bits",
    "linear.encode": "grid",
    "linear.decode": "grid",
    "symmetric.encode": "grid",
    "linear_lut.encode": "grid",
    "custom_lut.encode": "table",
    "lut.decode": "table",
    "kmeans.encode": "clustering",
    "int8.encode": "signed",
    "int8.decode": "signed",
    "model.quantize": "layer",
    "model.validate": "fault",
}


@cache
def departures() -> dict[str, Flag]:
    """Give the rows of the departure table: row -> what it means as a flag."""
    return {
        name: Flag(
            "departure",
            f"{row.case}: {row.theirs}",
            f"not what {row.rule} {'ask' if ',' in row.rule else 'asks'} for: {row.ours}",
            f"coremltools {row.since}; spec/14-departures.md, {name}",
        )
        for name, row in rows().items()
    }


@cache
def known_failures() -> dict[str, str]:
    """Read on which cases coremltools is known to fail: id -> row of the departure table."""
    entries = json.loads(KNOWN.read_text(encoding="utf-8"))["known_failures"]
    return {entry["cases"]: entry["reason"].partition(":")[0] for entry in entries}


def departures_of(identifier: str) -> list[str]:
    """Give the row of the departure table that a case shows, if there is one."""
    return [known_failures()[identifier]] if identifier in known_failures() else []


def flag(name: str) -> Flag:
    """Give what a flag means."""
    return departures()[name] if ROW.fullmatch(name) else FLAGS[name]
