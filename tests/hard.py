"""Weights that break quantizers, picked by hand, and hypothesis strategies that mix them with random ones."""

from __future__ import annotations

import struct
from array import array

from hypothesis import strategies as st


def f32(x: float) -> float:
    """Round to binary32."""
    return float(struct.unpack("<f", struct.pack("<f", x))[0])


def after(x: float, steps: int = 1) -> float:
    """Give the binary32 number so many steps farther from zero than one that is not zero."""
    (bits,) = struct.unpack("<I", struct.pack("<f", x))
    return float(struct.unpack("<f", struct.pack("<I", bits + steps))[0])


#: Least subnormal, greatest subnormal and least normal binary32 number, and the greatest.
TINY, SUBNORMAL, NORMAL, GREATEST = 2.0**-149, 2.0**-126 - 2.0**-149, 2.0**-126, (2 - 2.0**-23) * 2.0**127

#: Single numbers that stand for a class: zeros, ties and ends of binary16, subnormal numbers of both formats.
NUMBERS = [
    *(0.0, -0.0, 1.0, -1.0, 0.5, f32(0.1), f32(-1 / 3), f32(1 / 3), 255.0, f32(1e-6), f32(1.2e-6), 1e6),
    *(1 + 2.0**-11, 1 + 3 * 2.0**-11, after(1 + 2.0**-11), after(1 + 2.0**-11, -1), 2049.0, -2051.0),
    *(65504.0, -65504.0, after(65504.0), after(65504.0, -1), -after(65504.0, -1), 65488.0, 65519.0, 65520.0),
    *(2.0**-14, 2.0**-14 - 2.0**-25, 2.0**-24, 2.0**-25, after(2.0**-25), 3 * 2.0**-25, -(2.0**-26)),
    *(3 * 2.0**-26, TINY, -TINY, 3 * TINY, SUBNORMAL, NORMAL, -NORMAL, f32(1e30), 2.0**100),
]

#: Whole tensors: constants, one weight, a single step of the last bit, ties, outliers, huge offsets.
TENSORS = [
    [0.0],
    [-0.0],
    [3.25],
    [0.0, -0.0, 0.0],
    [-0.0, 0.0, 1.0],
    [7.0] * 9,
    [1.0, after(1.0)],
    [TINY, -TINY, 0.0],
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    [0.5 * i for i in range(16)],
    [i - 127.0 for i in range(255)],
    [f32(0.001 * i * i) for i in range(-20, 21)],
    [0.0] * 16 + [1e6],
    [1e6, after(1e6), after(1e6, 2), after(1e6, 3)],
    [f32(1e-6 * i) for i in range(8)],
    [f32(1e20), f32(-1e20), 1.0],
]

numbers = st.one_of(
    st.sampled_from(NUMBERS),
    st.floats(-4, 4, width=32),
    st.floats(allow_nan=False, allow_infinity=False, width=32, min_value=-(2.0**100), max_value=2.0**100),
)


@st.composite
def near_threshold(draw: st.DrawFn) -> list[float]:
    """Weights whose scale is a hair from the threshold for some number of bits."""
    range_ = after(f32(1e-6 * (2 ** draw(st.integers(1, 8)) - 1)), draw(st.integers(-3, 3)))
    least = draw(st.sampled_from([0.0, f32(-range_ / 3), -range_ / 2, range_, f32(1e-9)]))
    inner = draw(st.lists(st.floats(0, 1), max_size=6))
    return [f32(least + part * range_) for part in [0.0, 1.0, *inner]]


tensors = st.one_of(st.sampled_from(TENSORS), near_threshold(), st.lists(numbers, min_size=1, max_size=40))


def weights(values: list[float]) -> array[float]:
    """Give numbers as the codec takes them."""
    return array("f", values)


def bits(values: array[float]) -> list[str]:
    """Give float32 numbers as hexadecimal bits, so that zeros are told apart."""
    return [struct.pack(">f", value).hex() for value in values]
