"""What every command of the command line can be told."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """What every acting command can be told."""

    cluster: str | None = None
    nodes: str | None = None
    product: str | None = None
    json: bool = False
    yes: bool = False
    note: str = ""
    reason: str = ""
    done: tuple[str, ...] = ()
    """Steps after a finalize that somebody says are done."""

    data: str | None = None
    """What a rollback does with copied data: `keep` what is newer, or `restore` the copy."""


@dataclass(frozen=True, slots=True)
class Meant:
    """What a person says for one upgrade, over what the files say."""

    batch: int | None = None
    pause: str | None = None
    downgrade: str = ""
    reinstall: str = ""
    skip: tuple[str, ...] = ()
    """Conditions that are not to keep a gate shut, each `NAME=REASON`."""
