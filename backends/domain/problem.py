"""How every error reaches a person: as a value with a code, evidence and advice."""

from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """What a script can rely on (design.md, section 9)."""

    OK = 0
    """The asked-for state is reached."""

    ERROR = 1
    """An unexpected error: a defect in this program."""

    USAGE = 2
    """Usage or configuration. Nothing was contacted."""

    UNREACHABLE = 3
    """Node unreachable, login, host key, privilege, no python. Nothing changed."""

    REFUSED = 4
    """Refused by a gate or an integrity check. Nothing changed."""

    ROLLED_BACK = 5
    """Failed and rolled back, proven. No node is left on the new version."""

    NEEDS_PERSON = 6
    """Failed, inconsistent, mixed, or some nodes are on the new version."""

    LOCKED = 7
    """Locked by another run."""

    CONTACT_LOST = 8
    """Contact lost while nodes were changing. The text says who decides when."""

    WAITING = 10
    """Paused or in progress; waits for a person."""

    INTERRUPTED = 130
    """Interrupted here. The text says what the nodes do by themselves."""


PRECEDENCE = (
    Exit.NEEDS_PERSON,
    Exit.CONTACT_LOST,
    Exit.ROLLED_BACK,
    Exit.WAITING,
    Exit.LOCKED,
    Exit.REFUSED,
    Exit.UNREACHABLE,
)
"""Which exit code wins when several apply (design.md, section 9)."""


def worst(exits: "list[Exit] | tuple[Exit, ...]") -> Exit:
    """The one exit code for several results; `OK` for none."""
    for code in (Exit.INTERRUPTED, Exit.ERROR, Exit.USAGE, *PRECEDENCE):
        if code in exits:
            return code
    return Exit.OK


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, where, and what to do next."""

    code: str
    """Stable and kebab-case, e.g. "disk-too-small". Searchable, testable, never reused."""

    summary: str
    """One sentence."""

    evidence: str = ""
    """What was seen, verbatim."""

    advice: str = ""
    """The next thing a tired person should do."""


class LiftlockError(Exception):
    """Carries a `Problem` up to whoever can show it, and the exit code it stands for."""

    def __init__(self, problem: Problem, exit_code: Exit = Exit.REFUSED) -> None:
        super().__init__(f"{problem.code}: {problem.summary}")
        self.problem = problem
        self.exit_code = exit_code
        self.run = ""
        """The run that ended with it, where one was begun."""
