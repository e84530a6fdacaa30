"""The arithmetic: floats in, codes out, and back. Knows nothing of protobuf or of models."""
