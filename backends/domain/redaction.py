"""Secrets are taken out of a text before it is written down: by where they stand, and by name.

What stands where a secret stands is one: after `password=`, in an address before the `@` or behind
the `?`, after `Authorization:`, in a private key. What a profile gives to a service under a name
that sounds secret is known word for word, and is taken out wherever it appears. More is taken out
than would be needed: a report is sent to people who know less (notes on peers, I7).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

HIDDEN: Final = "[hidden]"

_SHORTEST = 4
"""Letters of a value that is looked for everywhere: a shorter one would be found in every text."""

_WORDS: Final = (
    r"passw(?:or)?d|passphrase|pwd|secret|token|credentials?|cookie|apikey"
    r"|(?:api|access|private|signing|encryption|auth)[_.-]?key"
)
_NAME: Final = re.compile(rf"(?:{_WORDS})", re.IGNORECASE)
_STEMS: Final = ("pass", "pwd", "secret", "token", "credential", "cookie", "key")
"""One of them is in every such name: most texts have none, and are not looked at further."""

_VALUE: Final = (
    r"""(?:\[hidden\](?![^\s"',;}\])])|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|["'][^\n]*|[^\s"']+)"""
)
"""One word, or a quoted text; up to the end of the line where the quote has no end."""

# Every repetition before a value has a limit: a node may send any text, and nobody waits for it.
_ASSIGNED: Final = re.compile(
    rf"""(?P<name>(?:{_WORDS})[\w.-]{{0,40}}["']?\s?[=:]\s?)(?P<value>{_VALUE})""", re.IGNORECASE
)
_OPTION: Final = re.compile(
    rf"""(?P<name>(?<![^\s"'])--?[\w-]{{0,40}}(?:{_WORDS})[\w-]{{0,40}}["']?,?\s{{1,3}})"""
    rf"(?P<value>{_VALUE})",
    re.IGNORECASE,
)
_LISTED: Final = re.compile(
    rf"""(?P<name>["']--?[\w-]{{0,40}}(?:{_WORDS})[\w-]{{0,40}}["'],)(?P<value>{_VALUE})""",
    re.IGNORECASE,
)
_LOGIN: Final = re.compile(r"""(?P<name>://)(?P<value>[^/\s?#"']{1,500})@""")
_QUERY: Final = re.compile(r"""(?P<name>://[^\s?"'<>]{0,1000}\?)(?P<value>[^\s"'<>]+)""")
_HEADER: Final = re.compile(
    r"""(?P<name>authorization["']?\s{0,3}[:=]\s{0,3}["']?)(?P<value>[^\n"']+)""", re.IGNORECASE
)
_SCHEME: Final = re.compile(
    r"(?P<name>\b(?:bearer|basic)\s{1,3})(?P<value>[A-Za-z0-9+/=._~-]{8,})", re.IGNORECASE
)
_KEY: Final = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}KEY-----|\Z)", re.S
)


def sounds_secret(name: str) -> bool:
    """Whether a value of this name is one that nobody else should read."""
    return _NAME.search(name) is not None


class Redaction:
    """Takes secrets out of texts; twice is as once."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        """`values` are secrets that are known, and are taken out wherever they appear."""
        self._values: tuple[str, ...] = ()
        self.learn(values)

    def learn(self, values: Iterable[str]) -> None:
        """Take these out from now on, too."""
        found = {value for value in values if len(value) >= _SHORTEST and value != HIDDEN}
        self._values = tuple(sorted({*self._values, *found}, key=len, reverse=True))

    def text(self, text: str) -> str:
        """The text without secrets."""
        for value in self._values:
            text = text.replace(value, HIDDEN)
        small = text.casefold()
        if "-----begin" in small:
            text = _KEY.sub(HIDDEN, text)
        if "://" in small:
            text = _LOGIN.sub(rf"\g<name>{HIDDEN}@", text)
            text = _QUERY.sub(_without_value, text)
        if "authorization" in small:
            text = _HEADER.sub(_without_value, text)
        if "bearer" in small or "basic" in small:
            text = _SCHEME.sub(_without_value, text)
        if any(stem in small for stem in _STEMS):
            for pattern in (_ASSIGNED, _OPTION, _LISTED):
                text = pattern.sub(_without_value, text)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value without secrets: in each text of it, and under each name that sounds so."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self._named(str(name), it) for name, it in value.items()}
        if isinstance(value, list | tuple):
            return self._words(value)
        return value

    def _named(self, name: str, value: Any) -> Any:
        if sounds_secret(name) and isinstance(value, str | int | float) and value is not True:
            return HIDDEN if value not in ("", False) else value
        return self.value(value)

    def _words(self, words: Iterable[Any]) -> list[Any]:
        """A list; in a command's arguments, what follows `--password` is hidden."""
        found: list[Any] = []
        is_next = False
        for word in words:
            found.append(HIDDEN if is_next and isinstance(word, str) else self.value(word))
            is_next = (
                isinstance(word, str)
                and word.startswith("-")
                and "=" not in word
                and sounds_secret(word)
            )
        return found


def _without_value(found: re.Match[str]) -> str:
    return found["name"] + HIDDEN
