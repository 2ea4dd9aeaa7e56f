"""Tests of backends/releases."""
