"""Tests of refquant.schema."""
