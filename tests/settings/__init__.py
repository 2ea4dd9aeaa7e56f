"""Tests of backends/settings."""
