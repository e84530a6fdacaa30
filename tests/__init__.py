"""The tests: the same chapters as spec/ and refquant/, and an oracle that shares no code with either."""
