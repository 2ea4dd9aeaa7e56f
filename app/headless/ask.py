"""Asking a person on the terminal. `--yes` answers confirmations; it never answers a pause."""

import sys

from app.headless.options import Options
from backends.domain.problem import Exit, LiftlockError, Problem


def refuse_silence(options: Options, kind: str) -> None:
    """Raises LiftlockError, exit 2, where nobody could be asked: nothing was contacted."""
    if options.yes or sys.stdin.isatty():
        return
    raise LiftlockError(
        Problem(
            "nobody-to-ask",
            f"{kind} asks before it acts, and there is no terminal.",
            advice="Say --yes to agree in advance.",
        ),
        Exit.USAGE,
    )


def agreed(options: Options, question: str) -> bool:
    """Whether a person said yes; Enter alone is no."""
    if options.yes:
        return True
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def typed(word: str, what: str) -> None:
    """Raises LiftlockError unless a person typed the word."""
    print(f"Type {what} to go on ({word}): ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != word:
        raise declined()


def declined() -> LiftlockError:
    """What to raise when a person said no."""
    return LiftlockError(
        Problem("declined", "Nothing was changed: it was not agreed to."), Exit.REFUSED
    )
