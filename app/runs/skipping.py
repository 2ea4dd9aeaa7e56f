"""What a person means by `--skip NAME=REASON`: one condition of a gate, by its name."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches

from app.session import Session
from backends.domain.gates import SKIPPABLE, may_be_skipped
from backends.domain.policy import Skip
from backends.domain.problem import Exit, LiftlockError, Problem


def skipping(session: Session, words: Sequence[str]) -> Session:
    """The session in which these conditions do not keep a gate shut.

    Raises:
        LiftlockError: One may not be skipped, or has no reason (exit 2).
    """
    skips = tuple(map(skip_of, words))
    return replace(session, policy=replace(session.policy, skips=skips))


def skip_of(words: str) -> Skip:
    """What `NAME=REASON` means.

    Raises:
        LiftlockError: No such condition may be skipped, or there is no reason (exit 2).
    """
    name, _, reason = (part.strip() for part in words.partition("="))
    if not may_be_skipped(name):
        near = get_close_matches(name, SKIPPABLE, 1)
        raise LiftlockError(
            Problem(
                "skip-unknown",
                f"No condition {name!r} may be skipped.",
                f"may be skipped: {', '.join(SKIPPABLE)}",
                f"Did you mean {near[0]!r}?" if near else "Settle what is refused instead.",
            ),
            Exit.USAGE,
        )
    if not reason:
        raise LiftlockError(
            Problem(
                "skip-without-reason",
                f"Why is {name!r} skipped?",
                advice=f'Say --skip "{name}=REASON"; it is kept in every journal.',
            ),
            Exit.USAGE,
        )
    return Skip(name, reason)
