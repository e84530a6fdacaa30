"""Tests of refquant.codec."""
