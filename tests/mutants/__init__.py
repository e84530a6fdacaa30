"""Mutation testing: small faults put into refquant one at a time, each of which some test must notice."""
