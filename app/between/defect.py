"""What nobody expected, at the boundary between the threads: shown whole, never lost."""

import traceback

from backends.domain.clean import clean
from backends.domain.problem import Exit, LiftlockError, Problem


def defect(error: Exception) -> LiftlockError:
    """An exception that nobody expected, as a problem."""
    return LiftlockError(
        Problem(
            "unexpected",
            "A defect of this program: it did not expect this.",
            clean("".join(traceback.format_exception(error))),
            "What was begun on nodes they finish by themselves; the status tells. Report this.",
        ),
        Exit.ERROR,
    )
