"""refquant beside coremltools, each in an interpreter of its own: run with `-m parity`."""
