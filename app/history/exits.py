"""Exit codes in a word, for lists and reports (design.md, section 9)."""

from backends.domain.problem import Exit

_WORDS = {
    Exit.OK: "done",
    Exit.ERROR: "unexpected error",
    Exit.USAGE: "usage",
    Exit.UNREACHABLE: "unreachable",
    Exit.REFUSED: "refused",
    Exit.ROLLED_BACK: "rolled back",
    Exit.NEEDS_PERSON: "needs a person",
    Exit.LOCKED: "locked",
    Exit.CONTACT_LOST: "contact lost",
    Exit.WAITING: "waiting",
    Exit.INTERRUPTED: "interrupted",
}


def word_of(code: int) -> str:
    """The word of an exit code; one that this version does not know is unknown."""
    return _WORDS[Exit(code)] if code in set(Exit) else "unknown"
