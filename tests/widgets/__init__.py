"""The widgets, on a screen of their own, read as a person reads it."""
