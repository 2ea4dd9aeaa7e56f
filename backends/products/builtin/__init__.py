"""Profiles that come with the program: NAME.toml, found after the operator's own."""
