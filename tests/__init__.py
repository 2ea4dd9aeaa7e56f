"""The proof. Mirrors the folders; may import everything; is never shipped."""
