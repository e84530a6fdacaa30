"""A second implementation of the specification's arithmetic: slow, plain, and sharing no code with refquant.

Every number is an exact rational (`fractions.Fraction`); every operation that the specification rounds is
an exact operation followed by an explicit rounding (`rounding.py`, `binary64.py`). No rounding is left to
the machine, and every loop is the definition.

A module a chapter, with the chapter's name: `packing`, `half`, `linear`, `symmetric`, `lut`, `kmeans`,
`dequantization`, `int8`, `fusion`. They take and return plain data: weights, scales, biases and table
entries as lists of floats (each exactly a binary32 number), codes as lists of ints, packed codes as bytes.
What a rule says MUST be refused raises `Refused`, which names the rule. What the specification does not
speak of (a stored number too great for binary32) raises `OverflowError`.

Chapters 8 to 13 are about whole models: `layers`, `selectors`, `rewriting` (which pairs of layers fuse) and
`stored` (a tensor as a message) work on messages of the format's own definition, and `models.quantize` takes
bytes of a model and gives bytes of a model. The definition is all that they take from refquant.
"""

from tests.oracle import (
    dequantization,
    fusion,
    half,
    int8,
    kmeans,
    linear,
    lut,
    packing,
    symmetric,
)
from tests.oracle.refusal import Refused
from tests.oracle.tensor import Channels

__all__ = [
    "Channels",
    "Refused",
    "dequantization",
    "fusion",
    "half",
    "int8",
    "kmeans",
    "linear",
    "lut",
    "packing",
    "symmetric",
]
