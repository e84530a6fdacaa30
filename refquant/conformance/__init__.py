"""The conformance kit: vectors, the protocol by which a testee answers them, and the runner that judges."""
