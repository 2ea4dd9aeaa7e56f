"""Drift: what lies in place is not what was recorded of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drift:
    """How what lies in place differs from what was recorded of it, as a watch found it."""

    version: str
    files: int
    """Paths that are recorded, but for those that live on across versions."""

    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    """The first ones of each."""

    count: int = 0
    """All that are changed or missing."""

    read: str = ""
    """When every byte was read last, as text with its zone."""

    def in_words(self) -> str:
        """What differs, on one line."""
        named = [
            f"{word} {', '.join(paths[:3])}"
            for word, paths in (("changed", self.changed), ("missing", self.missing))
            if paths
        ]
        more = self.count - min(3, len(self.changed)) - min(3, len(self.missing))
        return "; ".join([*named, *([f"{more} more"] if more > 0 else [])])
