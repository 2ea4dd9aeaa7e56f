"""The harness that breaks the updater on purpose, at every call, and judges what is left."""
