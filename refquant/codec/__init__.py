"""The arithmetic: floats in, codes out, and back. Knows nothing of protobuf or of models."""

from refquant.codec import binary64

binary64.ensure()
