"""Tests of the specification itself."""
