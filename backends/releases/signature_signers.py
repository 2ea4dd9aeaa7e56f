"""Whose signatures count: an OpenSSH allowed_signers file, and a list of keys that no longer do.

The lines are those of ssh-keygen(1), "ALLOWED SIGNERS". Unlike there, a line that cannot be read
is an error and not passed over: a misspelt option must not widen what a key may do.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from backends.domain.clean import line
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.releases.signature import KEY_TYPES, fingerprint, read_public

MAX_BYTES = 1 << 20

_PRINCIPALS = re.compile(r'(?:"([^"]+)"|([^\s"]+))\s+')
_OPTIONS = re.compile(r'(?:[^\s"]|"[^"]*")+')
_OPTION = re.compile(r'(?:[^",]|"[^"]*")+')
_KNOWN_OPTIONS = ("namespaces", "valid-after", "valid-before")
_TIMES = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}\Z")


@dataclass(frozen=True, slots=True)
class Signer:
    """One line of allowed_signers."""

    principals: str
    """Who it is, as the file says: one name or several, with commas."""

    key_type: str
    key: bytes
    namespaces: str | None
    """Patterns with commas of what the key may sign for; None: anything."""

    valid_after: float | None
    """Seconds since 1970, the first in which it counts."""

    valid_before: float | None
    """Seconds since 1970, the first in which it no longer counts."""

    place: str
    """File and line."""

    def may_sign_for(self, namespace: str) -> bool:
        """Whether the line is about this namespace, by OpenSSH's lists of patterns."""
        return self.namespaces is None or _matches(namespace, self.namespaces)

    def why_not_at(self, seconds: float) -> str:
        """Why the line does not count at that time (seconds since 1970); empty when it does."""
        if self.valid_after is not None and seconds < self.valid_after:
            return f"counts from {_day(self.valid_after)} on"
        if self.valid_before is not None and seconds >= self.valid_before:
            return f"counted until {_day(self.valid_before)}"
        return ""


def read_signers(path: Path) -> tuple[Signer, ...]:
    """The lines of an allowed_signers file.

    Raises:
        LiftlockError: `signers-unreadable`, `signers-invalid` (each line that is wrong, and why),
            `signers-empty`, exit 2.
    """
    found: list[Signer] = []
    wrong: list[str] = []
    for place, text in _lines(path, "signers-unreadable"):
        try:
            found.append(_signer(place, text))
        except ValueError as error:
            wrong.append(f"{place}: {error}")
    if wrong:
        raise _usage("signers-invalid", f"{path.name} cannot be read as a whole.", wrong)
    if not found:
        raise _usage("signers-empty", f"{path.name} names nobody whose signature counts.", [])
    return tuple(found)


def read_revoked(path: Path) -> frozenset[str]:
    """The fingerprints of revoked keys: a public key or a `SHA256:` fingerprint a line.

    Raises:
        LiftlockError: `revoked-unreadable`, `revoked-invalid`, exit 2. A list that cannot be read
            revokes nothing, so that nothing may be trusted by it.
    """
    found: set[str] = set()
    wrong: list[str] = []
    for place, text in _lines(path, "revoked-unreadable"):
        try:
            is_print = _FINGERPRINT.match(text.split()[0])
            found.add(is_print.group() if is_print else fingerprint(read_public(text)[1]))
        except ValueError as error:
            wrong.append(f"{place}: {error}")
    if wrong:
        raise _usage("revoked-invalid", f"{path.name} cannot be read as a whole.", wrong)
    return frozenset(found)


def _lines(path: Path, code: str) -> list[tuple[str, str]]:
    """Each line that says something, and where it is."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES} bytes")
        text = raw.decode("utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise _usage(code, f"{path} cannot be read.", [why or str(error)]) from error
    return [
        (f"{path.name}:{number}", each.strip())
        for number, each in enumerate(text.split("\n"), 1)
        if each.strip() and not each.strip().startswith("#")
    ]


def _signer(place: str, text: str) -> Signer:
    named = _PRINCIPALS.match(text)
    if named is None:
        raise ValueError("no principal, or no public key")
    rest = text[named.end() :]
    options: dict[str, str] = {}
    if rest.split(None, 1)[0] not in KEY_TYPES:
        given = _OPTIONS.match(rest)
        if given is None:
            raise ValueError("a quote that is not closed")
        options = _options(given.group())
        rest = rest[given.end() :]
    key_type, key = read_public(rest)
    return Signer(
        principals=line(named.group(1) or named.group(2)),
        key_type=key_type,
        key=key,
        namespaces=options.get("namespaces"),
        valid_after=_time(options, "valid-after"),
        valid_before=_time(options, "valid-before"),
        place=place,
    )


def _options(text: str) -> dict[str, str]:
    """The options in front of a key, by name."""
    found: dict[str, str] = {}
    for option in _OPTION.findall(text):
        name, _, quoted = option.partition("=")
        known = name.lower()
        if known == "cert-authority":
            raise ValueError("certificates are not taken; name the keys themselves")
        if known not in _KNOWN_OPTIONS:
            raise ValueError(f"neither a public key nor a known option: {line(name)[:60]}")
        value = quoted[1:-1]
        if f'"{value}"' != quoted or not value or "\\" in value or known in found:
            raise ValueError(f"{known} needs a value in quotes, once")
        found[known] = value
    return found


def _time(options: dict[str, str], name: str) -> float | None:
    """A moment as OpenSSH writes it, YYYYMMDD[HHMM[SS]][Z]: local time without the Z."""
    value = options.get(name)
    if value is None:
        return None
    digits = value.removesuffix("Z")
    form = _TIMES.get(len(digits))
    if form is None or not digits.isdigit():
        raise ValueError(f"{name} is YYYYMMDD[HHMM[SS]][Z], not {line(value)}")
    try:
        moment = datetime.strptime(digits, form)  # noqa: DTZ007 - local time is what is meant
    except ValueError as error:
        raise ValueError(f"{name}: {line(value)} is no such time") from error
    return (moment.replace(tzinfo=UTC) if value.endswith("Z") else moment).timestamp()


def _matches(word: str, patterns: str) -> bool:
    """OpenSSH's lists: any that fits, none with `!` that fits."""
    fits = False
    for pattern in patterns.split(","):
        refuses = pattern.startswith("!")
        if fnmatchcase(word, pattern.removeprefix("!").replace("[", "[[]")):
            if refuses:
                return False
            fits = True
    return fits


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _usage(code: str, summary: str, evidence: list[str]) -> LiftlockError:
    advice = "One a line: NAME [OPTIONS] KEY, as in ssh-keygen(1), ALLOWED SIGNERS."
    if code.startswith("revoked"):
        advice = "One a line: a public key, or its SHA256: fingerprint."
    return LiftlockError(Problem(code, summary, "\n".join(evidence[:20]), advice), Exit.USAGE)
