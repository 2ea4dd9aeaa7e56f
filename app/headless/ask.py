"""Asking a person on the terminal. `--yes` answers confirmations; it never answers a pause."""

import getpass
import sys
from collections.abc import Sequence

from app.headless.foreground import in_foreground
from app.headless.options import Options
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.transport.prompt import Question


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


async def agreed(options: Options, question: str) -> bool:
    """Whether a person said yes; Enter alone is no."""
    return options.yes or await says_yes(question)


async def says_yes(question: str) -> bool:
    """Whether a person says yes now, whatever was agreed to in advance."""
    return (await _answer(f"{question} [y/N] ")).lower() in ("y", "yes")


async def typed(word: str, what: str) -> None:
    """Raises LiftlockError unless a person typed the word."""
    if await _answer(f"Type {what} to go on ({word}): ") != word:
        raise declined()


async def one_of(words: Sequence[str], question: str) -> str:
    """The word that a person typed.

    Raises:
        LiftlockError: It was none of them (exit 4).
    """
    answer = await _answer(f"{question} [{'/'.join(words)}] ")
    if answer not in words:
        raise declined()
    return answer


def declined(text: str = "Nothing was changed: it was not agreed to.") -> LiftlockError:
    """What to raise when a person said no."""
    return LiftlockError(Problem("declined", text), Exit.REFUSED)


class Terminal:
    """A person at the terminal, who is asked for secrets (transport.prompt.Prompt)."""

    async def ask(self, question: Question) -> str | None:
        """The answer, which is not shown; None without a terminal, or for Enter alone."""
        return await in_foreground(lambda: _secret(question))


async def _answer(question: str) -> str:
    return await in_foreground(lambda: _read(question))


def _read(question: str) -> str:
    print(question, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline()
    if not line.endswith("\n"):
        print(file=sys.stderr)  # Ctrl-D leaves the cursor behind the question
    return line.strip()


def _secret(question: Question) -> str | None:
    if not sys.stdin.isatty():
        return None
    if question.again:
        print("That was refused.", file=sys.stderr)
    where = f" ({question.node})" if question.node else ""
    text = question.text or f"{question.secret.capitalize()} of {question.about}"
    try:
        return getpass.getpass(f"{text}{where}: ") or None
    except EOFError:
        return None
