"""One way to write JSON, one strict way to read it, and the digest of a list of files.

The operator's side and the node compute the same digest with this very file, so what was
checked there and what lies here are compared by one value. Python 3.6, standard library only.
"""

import hashlib
import json
from typing import Any, Dict, Iterable, List, Mapping, Set, Tuple

FILE_KEYS = ("path", "type", "mode", "size", "sha256", "target")
"""What counts about a file: its name, kind ("file", "dir", "link"), mode, bytes and content."""

MAX_DEPTH = 16
"""Deepest nesting that is read (reliability requirement O6)."""

MAX_INTEGER = 2**53 - 1
"""Largest number every JSON reader keeps exact (reliability requirement O6)."""


class StrictError(ValueError):
    """The text is not the strict JSON that we exchange; says why."""


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, ASCII, no spaces, no newline at the end.

    Raises ValueError for NaN and infinities, TypeError for what JSON does not have.
    """
    text = json.dumps(
        value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), allow_nan=False
    )
    return text.encode("ascii")


def files_digest(files: Iterable[Mapping[str, Any]]) -> str:
    """The content digest: sha256 in hex over the canonical list of files, sorted by path.

    Each entry needs `path` and `type`; of the rest, only `FILE_KEYS` count and what is missing
    is null. A directory has size 0, neither sha256 nor target; a link has mode 0o777, size 0
    and a target. The order of the list and further keys change nothing.

    Raises ValueError when a path is listed twice.
    """
    chosen: List[Dict[str, Any]] = []
    seen: Set[str] = set()
    for entry in files:
        path = entry["path"]
        if path in seen:
            raise ValueError("listed twice: {!r}".format(path))
        seen.add(path)
        chosen.append({key: entry.get(key) for key in FILE_KEYS})
    chosen.sort(key=lambda entry: str(entry["path"]))
    return hashlib.sha256(canonical(chosen)).hexdigest()


def configured(
    files: Iterable[Mapping[str, Any]], configuration: Iterable[Mapping[str, Any]]
) -> List[Dict[str, Any]]:
    """A release's files with configuration from elsewhere in it, sorted by path.

    Each of the latter has `path`, `mode`, `size` and `sha256`; it wins over the file or link that
    the release has there, and directories above it that the release does not have come with it.

    Raises ValueError where it cannot be put: the release has a directory there, or something
    above it that is none.
    """
    found = {str(entry["path"]): dict(entry) for entry in files}
    for each in configuration:
        path = str(each["path"])
        if found.get(path, {}).get("type") == "dir":
            raise ValueError("the release has a directory {!r}".format(path))
        above = path.split("/")[:-1]
        for depth in range(1, len(above) + 1):
            folder = "/".join(above[:depth])
            if found.setdefault(folder, _directory(folder))["type"] != "dir":
                raise ValueError("the release has a file {!r}, no directory".format(folder))
        kept = {key: each[key] for key in ("path", "mode", "size", "sha256")}
        found[path] = dict(kept, type="file", target=None)
    return [found[path] for path in sorted(found)]


def _directory(path: str) -> Dict[str, Any]:
    return {
        "path": path,
        "type": "dir",
        "mode": 0o755,
        "size": 0,
        "sha256": None,
        "target": None,
    }


def parse(data: bytes, max_bytes: int) -> Any:
    """The value in a strict JSON text of at most `max_bytes` bytes.

    Raises StrictError for too many bytes, anything but UTF-8, a key given twice, NaN and
    infinities, integers beyond `MAX_INTEGER`, nesting beyond `MAX_DEPTH`, and bad JSON.
    """
    if len(data) > max_bytes:
        raise StrictError("{} bytes, more than the {} allowed".format(len(data), max_bytes))
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_integer,
        )
    except UnicodeDecodeError as error:
        raise StrictError("not UTF-8 at byte {}".format(error.start)) from error
    except RecursionError as error:
        raise StrictError("nested deeper than {}".format(MAX_DEPTH)) from error
    except StrictError:
        raise
    except ValueError as error:
        raise StrictError("not JSON: {}".format(error)) from error
    _check_depth(value)
    return value


def _object(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise StrictError("key given twice: {!r}".format(key[:80]))
        found[key] = value
    return found


def _constant(text: str) -> Any:
    raise StrictError("{} is not a number".format(text))


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise StrictError("number out of range: {}".format(text[:40]))
    return value


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        raise StrictError("integer out of range: {}".format(text[:40]))
    return int(text)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        below: List[Any] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return
        level = below
    if any(isinstance(item, (dict, list)) for item in level):
        raise StrictError("nested deeper than {}".format(MAX_DEPTH))
