"""Tests of backends/products."""
