"""Faults that other upgrade systems had, one test file for each: they must not become ours."""
