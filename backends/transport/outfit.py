"""What an operator has to log in with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outfit:
    """What was found; texts are clean."""

    keys: tuple[str, ...]
    """Key files that can be read, those that need a passphrase said to."""

    unreadable: tuple[str, ...]
    """Key files that ssh config names and nobody can read."""

    agents: tuple[tuple[str, int | None, str], ...]
    """Where each agent listens, how many keys it has, and, with None, why that is not known."""

    known: tuple[str, ...]
    """Files of host keys that can be read."""

    known_mistakes: tuple[str, ...]
    """Lines of these that are passed over."""

    known_unreadable: tuple[str, ...]
