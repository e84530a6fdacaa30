"""Tests of refquant.model."""
