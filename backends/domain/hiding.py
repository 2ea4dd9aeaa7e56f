"""Settings made fit to show: what logs somebody in, or looks like it, is `***`."""

import re
from collections.abc import Sequence

HIDDEN = "***"

_SECRET = re.compile(
    r"pass(?:w(?:or)?d|phrase|code)?$|secret|token|credential|(?:api|access|private|signing).?key"
    r"|(?:^|[_.-])(?:key|keys|auth|authorization|bearer|cookie|pwd|pass|pat|sas)(?:[_.-]|$)"
    r"|pass(?:w(?:or)?d|phrase)",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"(?P<way>[A-Za-z][A-Za-z0-9+.-]*://)(?P<who>[^/\s@]*(?:@[^/\s@]*)*@)?")
_BEHIND = re.compile(r"(?P<address>[A-Za-z][A-Za-z0-9+.-]*://[^\s?#]*)[?#]\S*")
_PLACEHOLDER = re.compile(r"\{[A-Za-z_][A-Za-z0-9_.-]*\}")


def is_secret(name: str) -> bool:
    """Whether what is called so is better not shown; rather once too often."""
    return _SECRET.search(name) is not None


def without_secrets(text: str) -> str:
    """A text in which addresses have neither user and password nor what stands behind a `?`."""
    bare = _ADDRESS.sub(_without_user, text)
    return _BEHIND.sub(rf"\g<address>?{HIDDEN}", bare)


def value_of(name: str, text: str) -> str:
    """The value of a name, as it may be shown. A placeholder alone is nobody's secret."""
    if is_secret(name) and text and not _PLACEHOLDER.fullmatch(text):
        return HIDDEN
    return without_secrets(text)


def words(command: Sequence[str]) -> list[str]:
    """A command: the values of options with secret names are hidden."""
    shown: list[str] = []
    hide_next = False
    for word in command:
        option, equals, value = word.partition("=")
        if hide_next:
            shown.append(word if _PLACEHOLDER.fullmatch(word) else HIDDEN)
        elif equals and is_secret(option):
            shown.append(f"{option}={value_of(option, value)}")
        else:
            shown.append(without_secrets(word))
        hide_next = word.startswith("-") and not equals and is_secret(word.lstrip("-"))
    return shown


def _without_user(found: re.Match[str]) -> str:
    who = found["who"] or ""
    is_bare = not who or (found["way"].lower() == "ssh://" and ":" not in who)
    return found["way"] + (who if is_bare else f"{HIDDEN}@")
