"""A second implementation of the specification's arithmetic, in exact rationals: slow, plain, independent.

It imports nothing of refquant. Every operation that the specification rounds is a `Fraction` operation
followed by an explicit rounding (`rounding.py`), and every loop is the definition: no tables, no tricks.
Weights are lists of Python floats, each exactly a binary32 number; codes are lists of ints.
"""
