"""Drills: the program against the real thing. Run by `make drill`, not by `make test`."""
