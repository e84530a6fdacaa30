"""placeholder"""
from array import array
from refquant.codec.lut import LutCodes
def encode(weights: "array[float]", nbits: int) -> LutCodes:
    raise NotImplementedError
