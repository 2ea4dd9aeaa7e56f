"""What is raised for an order that is not carried out, and what is said when others work."""

import time
from typing import Any, Dict

from backends.node import wire


class Refused(Exception):
    """The order cannot be carried out, and nothing was changed; carries a problem."""

    def __init__(self, code: str, summary: str, evidence: str = "", advice: str = "") -> None:
        super().__init__(summary)
        self.problem = wire.problem(code, summary, evidence, advice)


def busy(owner: Dict[str, Any]) -> Dict[str, str]:
    """Who works here, on what, since when (P12)."""
    since = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(float(owner.get("since", 0))))
    return wire.problem(
        "locked",
        "another run works on this node",
        "run %s of %s, %s, since %s"
        % (owner.get("run"), owner.get("operator"), owner.get("command"), since),
        "wait for it, or watch it with status",
    )
