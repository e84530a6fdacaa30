"""How fast refquant is, and how much memory it takes: `python -m tests.benchmarks`."""
