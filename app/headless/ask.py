"""Asking a person on the terminal. `--yes` answers confirmations; it never answers a pause."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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
    return options.yes or _answer(f"{question} [y/N] ").lower() in ("y", "yes")


def typed(word: str, what: str) -> None:
    """Raises LiftlockError unless a person typed the word."""
    if _answer(f"Type {what} to go on ({word}): ") != word:
        raise declined()


def declined(text: str = "Nothing was changed: it was not agreed to.") -> LiftlockError:
    """What to raise when a person said no."""
    return LiftlockError(Problem("declined", text), Exit.REFUSED)


def _answer(question: str) -> str:
    print(question, end="", file=sys.stderr, flush=True)
    with _interruptible():
        line = sys.stdin.readline()
    if not line.endswith("\n"):
        print(file=sys.stderr)  # Ctrl-D leaves the cursor behind the question
    return line.strip()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C at a question ends the program at once: asyncio would only note it for later."""
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    except ValueError:  # not the main thread: nobody can press Ctrl-C here
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
