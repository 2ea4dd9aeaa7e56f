"""Tests of backends/node."""
