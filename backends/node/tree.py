"""Which names may stand together in a release's tree: the rules for archives and manifests.

Rules: reliability requirement N9. Python 3.6, standard library only.
"""

import unicodedata
from typing import Dict, List, NamedTuple, Optional, Tuple

_INVISIBLE = frozenset(["Cc", "Cf", "Cs", "Zl", "Zp"])
"""Unicode categories that no name may hold: control, format, surrogate, line and paragraph end."""


class Caps(NamedTuple):
    """What an archive may ask of us; the defaults are reliability requirement N9."""

    members: int = 200000
    total_bytes: int = 8 << 30
    ratio: int = 200
    path_bytes: int = 1024
    component_bytes: int = 255
    name_bytes: int = 64 << 20


DEFAULT_CAPS = Caps()


class ArchiveError(Exception):
    """The archive is refused: a stable code, the member at fault ("" for none), and why.

    Codes: not-gzip truncated damaged trailing header type name long-name duplicate parent
    link too-many too-big ratio.
    """

    def __init__(self, code: str, member: str, text: str) -> None:
        super().__init__("{}: {}".format(shown(member), text) if member else text)
        self.code = code
        self.member = member
        self.text = text


class Tree:
    """The names of an archive or manifest so far: `add` refuses what does not fit together."""

    def __init__(self, caps: Caps = DEFAULT_CAPS) -> None:
        self._caps = caps
        self._bytes = 0
        self._name_bytes = 0
        self._known: Dict[str, Tuple[str, str, bool]] = {}

    def add(self, path: str, kind: str, size: int = 0, target: Optional[str] = None) -> None:
        """Take in one member of type "file", "dir" or "link"; sizes in bytes.

        Raises ArchiveError for an unsafe name or target, a second member of the same name
        (also one that differs only in case or in Unicode form), a member below something
        that is no directory, and when a cap is reached.
        """
        check_path(path, self._caps)
        self._bytes += size
        if self._bytes > self._caps.total_bytes:
            raise ArchiveError(
                "too-big", path, "more than {} bytes".format(self._caps.total_bytes)
            )
        if kind == "link":
            _check_target(path, target or "", self._caps)
        self._add_parents(path)
        key = _folded(path)
        known = self._known.get(key)
        if known is None or (known == (path, "dir", False) and kind == "dir"):
            self._enter(key, path, kind, True)
        elif known[0] != path:
            raise ArchiveError(
                "duplicate", path, "differs from {} only in case or form".format(shown(known[0]))
            )
        elif known[2]:
            raise ArchiveError("duplicate", path, "is in the archive twice")
        else:
            raise ArchiveError("parent", path, "is no directory, but has members below it")

    def implied(self) -> List[str]:
        """The directories that have members but are no members themselves, sorted."""
        return sorted(path for path, _, stated in self._known.values() if not stated)

    def _add_parents(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        while parent:
            key = _folded(parent)
            known = self._known.get(key)
            if known is not None and known[0] != parent:
                raise ArchiveError(
                    "duplicate",
                    path,
                    "{} differs from {} only in case or form".format(
                        shown(parent), shown(known[0])
                    ),
                )
            if known is not None and known[1] != "dir":
                raise ArchiveError(
                    "parent", path, "lies below {}, a {}".format(shown(parent), known[1])
                )
            if known is not None:
                return  # then everything above it is known and fits, too
            self._enter(key, parent, "dir", False)
            parent = parent.rpartition("/")[0]

    def _enter(self, key: str, path: str, kind: str, stated: bool) -> None:
        if key not in self._known:
            self._name_bytes += len(path)
        self._known[key] = (path, kind, stated)
        if len(self._known) > self._caps.members:
            raise ArchiveError("too-many", path, "more than {} members".format(self._caps.members))
        if self._name_bytes > self._caps.name_bytes:
            raise ArchiveError(
                "too-many", path, "more than {} bytes of names".format(self._caps.name_bytes)
            )


def check_path(path: str, caps: Caps = DEFAULT_CAPS) -> None:
    """Refuse a name that is not a plain relative path of visible characters.

    Raises ArchiveError with the code name or long-name.
    """
    if path.startswith("/"):
        raise ArchiveError("name", path, "an absolute name")
    _check_text(path, path, caps)
    for part in path.split("/"):
        if part in ("", ".", ".."):
            raise ArchiveError("name", path, "a name with an empty, '.' or '..' component")


def shown(name: str) -> str:
    """A name for a message: one line, at most 200 characters, nothing invisible."""
    text = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii")
        for each in name[:201]
    )
    return text if len(text) <= 200 else text[:199] + "…"


def _check_text(text: str, member: str, caps: Caps) -> None:
    try:
        size = len(text.encode("utf-8"))
        longest = max(len(part.encode("utf-8")) for part in text.split("/"))
    except UnicodeEncodeError as error:
        raise ArchiveError("name", member, "a name that is not UTF-8") from error
    if size > caps.path_bytes or longest > caps.component_bytes:
        raise ArchiveError("long-name", member, "a name of {} bytes".format(size))
    for each in text:
        if not each.isprintable() and unicodedata.category(each) in _INVISIBLE:
            raise ArchiveError("name", member, "a name with an invisible or control character")


def _check_target(path: str, target: str, caps: Caps) -> None:
    """Allow only targets that stay inside, whatever the other links are.

    `..` may stand only in front: up from the link's own, real directory, then down. What lies
    below may be a link again, which was checked in the same way, and nothing goes up from there.
    """
    if not target or target.startswith("/"):
        raise ArchiveError("link", path, "a link to {!r}".format(shown(target)))
    _check_text(target, path, caps)
    parts = [part for part in target.split("/") if part not in ("", ".")]
    ups = 0
    while ups < len(parts) and parts[ups] == "..":
        ups += 1
    if ups > path.count("/") or ".." in parts[ups:]:
        raise ArchiveError(
            "link", path, "a link that may leave the tree: {}".format(shown(target))
        )


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
