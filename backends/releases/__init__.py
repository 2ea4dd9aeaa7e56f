"""One version of a product as a tarball and a manifest: build it, read it, prove it."""
