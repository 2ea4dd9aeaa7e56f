"""Which of two versions is the newer one, under the scheme that a product's profile names."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class VersionOrder(StrEnum):
    """The schemes that a profile may name (design.md, section 4)."""

    DEBIAN = "debian"
    """Debian's algorithm: epoch, upstream, revision; `~` before everything. The default."""

    SEMVER = "semver"
    """Precedence of semver 2.0; a leading `v` is tolerated, missing parts are 0."""

    INTEGER = "integer"
    """Decimal integers."""

    SEQUENCE = "sequence"
    """The position in an explicit list."""


Part = tuple[tuple[int, ...], ...]
Key = tuple[Part, ...]
"""Orders like the version that it was made from."""

MAX_EPOCH: Final = 2**31 - 1
"""The largest epoch that dpkg accepts."""

_SEMVER: Final = re.compile(
    r"v?(?P<major>0|[1-9]\d*)(?:\.(?P<minor>0|[1-9]\d*))?(?:\.(?P<patch>0|[1-9]\d*))?"
    r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)


def compare(order: VersionOrder, a: str, b: str, sequence: Sequence[str] = ()) -> int | None:
    """-1, 0 or 1 as `a` is older than, level with or newer than `b`.

    None when one of the two does not order under the scheme, also when they are the same string.
    None is never a reason to forbid anything; an explicit path rule is (design.md, section 4).
    `sequence` lists the versions, oldest first, and is used by `VersionOrder.SEQUENCE` alone.
    """
    if order is VersionOrder.SEQUENCE:
        left, right = _position(a, sequence), _position(b, sequence)
    else:
        left, right = _KEYS[order](a), _KEYS[order](b)
    if left is None or right is None:
        return None
    return (left > right) - (left < right)


@dataclass(frozen=True, slots=True)
class Ordering:
    """How the versions of one product order, and which step from one to another is allowed."""

    order: VersionOrder = VersionOrder.DEBIAN
    sequence: tuple[str, ...] = ()
    """The versions, oldest first, for `VersionOrder.SEQUENCE`."""

    only_successor: bool = False
    """Only from a version to the very next one: of the sequence, or the number plus one."""

    def compare(self, a: str, b: str) -> int | None:
        """-1, 0 or 1 as `a` is older than, level with or newer than `b`; None: no order."""
        return compare(self.order, a, b, self.sequence)

    def is_successor(self, old: str, new: str) -> bool:
        """Whether `new` comes directly after `old`; not, where one of them does not order."""
        if self.order is VersionOrder.SEQUENCE:
            known = old in self.sequence and new in self.sequence
            return known and self.sequence.index(new) == self.sequence.index(old) + 1
        digits = old.isascii() and old.isdigit() and new.isascii() and new.isdigit()
        if self.order is not VersionOrder.INTEGER or not digits:
            return False
        return _number(new) == _number(_plus_one(old))


AS_DEBIAN: Final = Ordering()
"""What a product without a word about it has."""


def debian_key(version: str) -> Key | None:
    """Orders as `dpkg --compare-versions` does.

    None for what dpkg refuses to compare: empty, with a space in it, an epoch that is no number
    or above `MAX_EPOCH`, nothing after the epoch, nothing before or after the hyphen. What it
    compares with a mere warning (`v1.2`, `1_0`) is compared here too. Stricter than dpkg in two
    places: surrounding spaces and a signed epoch do not order; nor does anything but printable
    ASCII, whose order in dpkg depends on the machine.
    """
    if not version or not all("!" <= letter <= "~" for letter in version):
        return None
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    if not epoch.isdigit() or _number(epoch) > _number(str(MAX_EPOCH)):
        return None
    upstream, hyphen, revision = rest.rpartition("-")
    if not hyphen:
        upstream, revision = rest, "0"
    if not upstream or not revision:
        return None
    return ((_number(epoch),), _debian_part(upstream), _debian_part(revision))


def semver_key(version: str) -> Key | None:
    """Orders by the precedence rules of semver 2.0; None for anything else.

    Two liberties: a leading `v`, and `4.12` or `4` for `4.12.0` and `4.0.0`. Build metadata does
    not order, so two versions that differ in nothing else are level.
    """
    found = _SEMVER.fullmatch(version)
    if found is None:
        return None
    core = tuple(_number(found[part] or "0") for part in ("major", "minor", "patch"))
    if found["pre"] is None:
        return (core, ((1,),))
    words = found["pre"].split(".")
    if any(word.isdigit() and len(word) > 1 and word[0] == "0" for word in words):
        return None
    return (core, ((0,), *map(_identifier, words)))


def integer_key(version: str) -> Key | None:
    """Orders as decimal integers without a sign; None for anything else."""
    return ((_number(version),),) if re.fullmatch(r"[0-9]+", version) else None


_KEYS: Final[Mapping[VersionOrder, Callable[[str], Key | None]]] = {
    VersionOrder.DEBIAN: debian_key,
    VersionOrder.SEMVER: semver_key,
    VersionOrder.INTEGER: integer_key,
}


def _position(version: str, sequence: Sequence[str]) -> Key | None:
    return (((sequence.index(version),),),) if version in sequence else None


def _number(digits: str) -> tuple[int, ...]:
    """Orders as the number does, however long: `int()` refuses more than 4300 digits."""
    significant = digits.lstrip("0")
    return (len(significant), *map(ord, significant))


def _plus_one(digits: str) -> str:
    """The next number, however long: `int()` refuses more than 4300 digits."""
    head = digits.rstrip("9")
    nines = len(digits) - len(head)
    raised = head[:-1] + str(int(head[-1]) + 1) if head else "1"
    return raised + "0" * nines


def _identifier(word: str) -> tuple[int, ...]:
    return (0, *_number(word)) if word.isdigit() else (1, *map(ord, word))


def _debian_part(text: str) -> Part:
    """Words and numbers in turn, each as it orders. `text` is not empty.

    The last word and number are always empty: what a `~` of the other version is compared with.
    """
    key: list[tuple[int, ...]] = []
    for word, digits in re.findall(r"([^0-9]*)([0-9]*)", text):
        key += [(*map(_weight, word), 0), _number(digits)]
    return tuple(key)


def _weight(letter: str) -> int:
    """`~` before the end of a word, which is 0; letters before everything else."""
    if letter == "~":
        return -1
    return ord(letter) if letter.isalpha() else ord(letter) + 256
