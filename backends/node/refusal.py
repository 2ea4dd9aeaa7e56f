"""What is raised for an order that is not carried out."""

from backends.node import wire


class Refused(Exception):
    """The order cannot be carried out, and nothing was changed; carries a problem."""

    def __init__(self, code: str, summary: str, evidence: str = "", advice: str = "") -> None:
        super().__init__(summary)
        self.problem = wire.problem(code, summary, evidence, advice)
