"""One file over HTTP, taken up where it was cut, with an end to its size and to our patience.

Nothing that a server says is believed: whoever asked for the file holds its bytes against a digest
that came another way. Rules: reliability requirement N9; Uptane's slow retrieval.
"""

import http.client
import os
import ssl
import time
import urllib.parse
from typing import Callable, Dict, Optional, Tuple

from backends.node import wire
from backends.node.places import write_all
from backends.node.refusal import Refused

STALL_SECONDS = 30.0
"""So long nothing may come."""

FLOOR_BYTES_PER_SECOND = 1024
"""Less than that, over `FLOOR_SECONDS`, is a server that holds us up."""

FLOOR_SECONDS = 60.0

_TRIES = 4
"""Connections that may break while nothing has come over them."""

_PAUSE_SECONDS = 1.0
_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)

Tell = Callable[[int], None]
"""Is told how many bytes there are by now."""


class _Cut(Exception):
    """The connection broke; what came is kept, and the rest may come over another one."""


class Download:
    """Appends to a file what is lacking of it."""

    def __init__(self, url: str, part: str, size: int, tell: Tell) -> None:
        """`part` is where it comes; `size` is what the whole has, in bytes."""
        self._url = url
        self._part = part
        self._size = size
        self._tell = tell
        self.received = 0
        """Bytes that came over the network."""

    def run(self) -> None:
        """Bring all of it.

        Raises:
            Refused: No such file, another size, too slow, or cut too often; what came is kept.
            OSError: The disk said no.
        """
        broken = 0
        fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.fstat(fd).st_size > self._size:
                os.ftruncate(fd, 0)
            while os.fstat(fd).st_size < self._size:
                before = self.received
                try:
                    self._take(fd)
                except _Cut as error:
                    broken = 0 if self.received > before else broken + 1
                    if broken == _TRIES:
                        raise self._refused("pull-cut", str(error)) from error
                    time.sleep(_PAUSE_SECONDS)
            os.fsync(fd)
        finally:
            os.close(fd)

    def _take(self, fd: int) -> None:
        """Take what one connection brings."""
        have = os.lseek(fd, 0, os.SEEK_END)
        connection, answer = self._asked(have)
        try:
            if answer.status == 206 and _first_byte(answer) == have:
                self._refuse_other_size(answer, self._size - have)
            elif answer.status == 200:
                self._refuse_other_size(answer, self._size)
                os.ftruncate(fd, 0)
                have = os.lseek(fd, 0, os.SEEK_SET)
            elif answer.status in (206, 416) and have:
                os.ftruncate(fd, 0)  # it cannot go on from there: from the beginning
                return
            else:
                raise self._refused("pull-refused", "HTTP %d %s" % (answer.status, answer.reason))
            self._copy(answer, fd, have)
        finally:
            answer.close()
            connection.close()

    def _copy(self, answer: http.client.HTTPResponse, fd: int, have: int) -> None:
        began, since = time.monotonic(), 0
        while have < self._size:
            try:
                piece = answer.read1(min(wire.CHUNK, self._size - have))
            except (OSError, http.client.HTTPException) as error:
                raise _Cut(_words(error)) from error
            if not piece:
                raise _Cut("it ended after %d of %d bytes" % (have, self._size))
            write_all(fd, piece)
            have += len(piece)
            since += len(piece)
            self.received += len(piece)
            self._tell(have)
            if time.monotonic() - began > FLOOR_SECONDS:
                if since < FLOOR_BYTES_PER_SECOND * FLOOR_SECONDS:
                    text = "%d bytes in %.0f s" % (since, time.monotonic() - began)
                    raise self._refused("pull-slow", text)
                began, since = time.monotonic(), 0

    def _asked(self, have: int) -> Tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """The answer, wherever the server sent us for it; close the connection in the end."""
        url = self._url
        for _ in range(_REDIRECTS + 1):
            connection = self._connection(url)
            try:
                connection.request("GET", _path(url), headers=_headers(have))
                answer = connection.getresponse()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                raise _Cut("%s: %s" % (url, _words(error))) from error
            if answer.status not in _MOVED:
                return connection, answer
            answer.close()
            connection.close()
            goal = urllib.parse.urljoin(url, answer.getheader("Location") or "")
            if url.startswith("https:") and not goal.startswith("https:"):
                raise self._refused("pull-refused", "%s sends us to %s, unprotected" % (url, goal))
            url = goal
        raise self._refused("pull-refused", "it sends us on more than %d times" % _REDIRECTS)

    def _connection(self, url: str) -> http.client.HTTPConnection:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise self._refused("pull-refused", "%s is no address of HTTP" % url)
        if parts.scheme == "https":
            trusted = ssl.create_default_context()
            return http.client.HTTPSConnection(
                parts.hostname, parts.port, timeout=STALL_SECONDS, context=trusted
            )
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=STALL_SECONDS)

    def _refuse_other_size(self, answer: http.client.HTTPResponse, wanted: int) -> None:
        stated = answer.getheader("Content-Length")
        if stated is not None and stated != str(wanted):
            text = "it offers %s bytes, the release has %d" % (stated[:20], wanted)
            raise self._refused("tarball-size", text)

    def _refused(self, code: str, text: str) -> Refused:
        return Refused(
            code,
            "%s was not fetched" % self._url,
            text,
            "look at the mirror from this node; what has arrived is kept",
        )


def _path(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    return (parts.path or "/") + ("?" + parts.query if parts.query else "")


def _headers(have: int) -> Dict[str, str]:
    plain = {"User-Agent": "liftlock", "Accept-Encoding": "identity", "Connection": "close"}
    return dict(plain, Range="bytes=%d-" % have) if have else plain


def _first_byte(answer: http.client.HTTPResponse) -> Optional[int]:
    """Where a part begins, by its header; None when that says nothing."""
    words = (answer.getheader("Content-Range") or "").split("-")[0].split()
    return int(words[1]) if len(words) == 2 and words[1].isdigit() else None


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
