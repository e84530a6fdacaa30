"""Weights that break quantizers, picked by hand, and hypothesis strategies that mix them with random ones."""

from __future__ import annotations

import struct
from array import array

from hypothesis import strategies as st


def f32(x: float) -> float:
    """Round to binary32."""
    return float(struct.unpack("<f", struct.pack("<f", x))[0])


def after(x: float, steps: int = 1) -> float:
    """Give the binary32 number so many steps from a positive one."""
    (bits,) = struct.unpack("<I", struct.pack("<f", x))
    return float(struct.unpack("<f", struct.pack("<I", bits + steps))[0])


#: Least subnormal, greatest subnormal and least normal binary32 number, and the greatest.
TINY, SUBNORMAL, NORMAL, GREATEST = 2.0**-149, 2.0**-126 - 2.0**-149, 2.0**-126, (2 - 2.0**-23) * 2.0**127

#: Single numbers that stand for a class: zeros, ties of binary16, its limits, subnormals of both formats.
NUMBERS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    f32(0.1),
    f32(1 / 3),
    1 + 2.0**-11,
    1 + 3 * 2.0**-11,
    65504.0,
    -65504.0,
    after(65504.0, -1),
    65519.0,
    2.0**-14,
    2.0**-24,
    2.0**-25,
    3 * 2.0**-26,
    TINY,
    -TINY,
    SUBNORMAL,
    NORMAL,
    1e6,
    f32(1e-6),
    f32(1.2e-6),
    f32(1e30),
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

#: Around the threshold: ranges at which 2^n - 1 steps are about 1e-6 each.
near_threshold = st.tuples(st.integers(1, 255), st.integers(-3, 3)).map(
    lambda pick: [0.0, after(f32(1e-6 * pick[0]), pick[1])]
)

tensors = st.one_of(st.sampled_from(TENSORS), near_threshold, st.lists(numbers, min_size=1, max_size=40))


def weights(values: list[float]) -> array[float]:
    """Give numbers as the codec takes them."""
    return array("f", values)


def bits(values: array[float]) -> list[str]:
    """Give float32 numbers as hexadecimal bits, so that zeros are told apart."""
    return [struct.pack(">f", value).hex() for value in values]
