"""Asking the product something: over HTTP, by a command, or from a file, with hard limits."""

import http.client
import json
import re
import signal
import socket
import urllib.parse
from types import FrameType
from typing import Any, Dict, Optional, Tuple, Union

from backends.node import processes
from backends.node.canonical import MAX_INTEGER
from backends.node.service import Service

BODY_LIMIT = 65536

_RING_AGAIN_SECONDS = 0.2


Plain = Union[None, bool, int, float, str]
"""What a field of a JSON answer may be."""


class NoAnswer(Exception):
    """Nothing that can be read as a value came back; the text says what did."""


class TimeIsUp(Exception):
    """What `Limit` ends something with."""


class Limit:
    """Ends whatever runs inside after some seconds, also a peer that drips a byte now and then.

    It uses the alarm signal, of which the updater's processes have no other use; signals go to the
    main thread, so it is used there alone.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._is_on = False

    def __enter__(self) -> None:
        self._is_on = True
        self._before = signal.signal(signal.SIGALRM, self._ring)
        # Again and again: what rings while Python clears up an object is swallowed.
        signal.setitimer(signal.ITIMER_REAL, self._seconds, _RING_AGAIN_SECONDS)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.end()

    def end(self) -> None:
        """Disarm; may be said twice."""
        self._is_on = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def _ring(self, number: int, frame: Optional[FrameType]) -> None:
        if self._is_on:
            raise TimeIsUp


def get(url: str, seconds: float) -> Tuple[int, bytes]:
    """Status and body (at most `BODY_LIMIT` bytes) of one GET; redirects are not followed.

    Raises:
        NoAnswer: Nothing that is HTTP came back in time.
    """
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    limit = Limit(seconds)
    try:
        with limit:
            connection = kind(parts.hostname or "", parts.port, timeout=seconds)
            try:
                connection.request("GET", path, headers={"Connection": "close"})
                answer = connection.getresponse()
                return answer.status, answer.read(BODY_LIMIT)
            finally:
                connection.close()
    except TimeIsUp:
        limit.end()  # it may have rung before the `with` could do that
        raise NoAnswer("%s: no answer within %g s" % (url, seconds)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoAnswer("%s: %s" % (url, str(error) or type(error).__name__)) from error


def connect(address: str, seconds: float) -> Tuple[bool, str]:
    """Whether somebody takes a connection at `host:port`; nothing is said there.

    Raises:
        ValueError: It is no such address.
    """
    name, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError("%r is no host:port" % address)
    limit = Limit(seconds)
    try:
        with limit:
            socket.create_connection((name.strip("[]"), int(port)), seconds).close()
            return True, "%s takes connections" % address
    except TimeIsUp:
        limit.end()
        return False, "%s: no answer within %g s" % (address, seconds)
    except (OSError, OverflowError) as error:
        return False, "%s: %s" % (address, error)


def field_of(body: bytes, name: str) -> str:
    """One field of a JSON object as text; `a.b` goes into objects inside it.

    Raises:
        NoAnswer: No such field, or no JSON, or not a plain value.
    """
    value = _field(body, name)
    if value is None:
        raise NoAnswer("field %s is no plain value: %s" % (name, shown(body)))
    return value if isinstance(value, str) else json.dumps(value)


def _field(body: bytes, name: str) -> Plain:
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise NoAnswer("no JSON: %s" % shown(body)) from error
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            raise NoAnswer("no field %s in %s" % (name, shown(body)))
        value = value[part]
    if isinstance(value, (dict, list)):
        raise NoAnswer("field %s is no plain value: %s" % (name, shown(body)))
    found: Plain = value
    return found


def read(how: Dict[str, Any], service: Service, seconds: float) -> str:
    """The value that a `[facts]` entry of the profile names.

    Raises:
        NoAnswer: It could not be read; unknown, not empty.
    """
    if how.get("http"):
        body = _body(how, service, seconds)
        text = (
            field_of(body, how["field"]) if how.get("field") else body.decode("utf-8", "replace")
        )
    elif how.get("command"):
        text = _from_command(how, service, seconds)
    else:
        text = _from_file(how, service, seconds)
    return _short(text)


def plain(how: Dict[str, Any], service: Service, seconds: float) -> Plain:
    """As `read`; a field of a JSON answer as what it is there, `None` for null.

    Raises:
        NoAnswer: It could not be read; unknown, not empty.
    """
    if not how.get("field"):
        return read(how, service, seconds)
    found = _field(_body(how, service, seconds), how["field"])
    if isinstance(found, str):
        return _short(found)
    if isinstance(found, (int, float)) and not abs(found) <= MAX_INTEGER:
        raise NoAnswer("no number that everybody reads alike: %s" % json.dumps(found)[:80])
    return found


def _short(text: str) -> str:
    text = text.strip()
    if not text or len(text) > 200 or "\n" in text:
        raise NoAnswer("this is no value: %r" % text[:200])
    return text


def _body(how: Dict[str, Any], service: Service, seconds: float) -> bytes:
    status, body = get(service.expand(how["http"]), seconds)
    if status != 200:
        raise NoAnswer("HTTP %d: %s" % (status, shown(body)))
    return body


def _from_command(how: Dict[str, Any], service: Service, seconds: float) -> str:
    argv = [service.expand(word) for word in how["command"]]
    ran = processes.run(argv, seconds, service.tree, service.environment())
    if ran.status != 0:
        raise NoAnswer(ran.said())
    return _picked(how, ran.text, seconds)


def _from_file(how: Dict[str, Any], service: Service, seconds: float) -> str:
    path = service.expand(how["file"])
    limit = Limit(seconds)
    try:
        with limit, open(path, "rb") as stream:  # a pipe would have us wait
            text = stream.read(BODY_LIMIT).decode("utf-8", "replace")
    except TimeIsUp:
        limit.end()
        raise NoAnswer("%s: nothing to read within %g s" % (path, seconds)) from None
    except (OSError, ValueError) as error:
        raise NoAnswer("%s: %s" % (path, error)) from error
    return _picked(how, text, seconds)


def _picked(how: Dict[str, Any], text: str, seconds: float) -> str:
    """What the pattern means of a text; a pattern that never comes to an end is ended."""
    if not how.get("pattern"):
        return text
    limit = Limit(seconds)
    try:
        with limit:
            found = re.search(how["pattern"], text)
    except TimeIsUp:
        limit.end()
        raise NoAnswer("%r was looked for for %g s" % (how["pattern"], seconds)) from None
    if not found:
        said = shown(text.encode("utf-8", "replace"))
        raise NoAnswer("%r is not in %s" % (how["pattern"], said))
    return (found.group(1) if found.groups() else found.group(0)) or ""


def shown(body: bytes) -> str:
    """The first 300 bytes of an answer as text, for evidence."""
    text = body[:300].decode("utf-8", "backslashreplace").strip()
    return text + ("..." if len(body) > 300 else "")


def version_probe(document: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """How the product tells its version: `[facts] version`, else a health check's field."""
    how: Optional[Dict[str, Any]] = document["facts"].get("version")
    if how:
        return how
    for check in document["health"]:
        if check["kind"] == "http" and check.get("version_field"):
            return {"http": check["url"], "field": check["version_field"]}
    return None
