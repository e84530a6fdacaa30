"""Testees: implementations, good and bad, that answer the protocol."""
