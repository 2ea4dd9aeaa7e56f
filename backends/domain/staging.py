"""How a release comes to the nodes; all ways end in one staged tree (design.md, section 7)."""

from dataclasses import dataclass
from enum import StrEnum


class How(StrEnum):
    """Who moves the bytes."""

    PUSH = "push"
    """This program, over SSH: only what a node lacks."""

    PULL = "pull"
    """Each node, from a mirror."""

    PRESENT = "present"
    """Nobody: the tarball lies on each node already."""


@dataclass(frozen=True, slots=True)
class Staging:
    """What the cluster file says of it."""

    how: How = How.PUSH
    url: str = ""
    """Of the mirror, for `PULL`."""

    directory: str = ""
    """On each node, for `PRESENT`."""

    bytes_per_second: int | None = None
    """For `PUSH`, to all nodes together; None: as fast as it goes."""

    fresh: bool = False
    """Whether everything is brought and verified anew, whatever is there."""

    def source(self, product: str, version: str) -> str:
        """Where a node gets the tarball; `{arch}` is the node's own word, such as linux_amd64.

        As in ops-updater: `{url}/{arch}/{name}-{version}.tar.gz`.
        """
        name = f"{product}-{version}.tar.gz"
        if self.how is How.PULL:
            return f"{self.url.rstrip('/')}/{{arch}}/{name}"
        return f"{self.directory.rstrip('/')}/{name}" if self.how is How.PRESENT else ""

    def way(self, product: str, version: str) -> dict[str, str]:
        """What a node is told."""
        source = self.source(product, version)
        key = {How.PULL: "url", How.PRESENT: "path"}.get(self.how)
        return {"how": self.how.value, **({key: source} if key else {})}


PUSHED = Staging()
"""Where nothing is said."""
