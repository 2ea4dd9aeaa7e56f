"""The embedded cluster, tried with real clients and real processes."""
