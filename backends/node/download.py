"""One file over HTTP, taken up where it was cut, with an end to its size and to our patience.

Nothing that a server says is believed: whoever asked for the file holds its bytes against a digest
that came another way. Rules: reliability requirement N9; Uptane's slow retrieval.
"""

import http.client
import os
import re
import time
import urllib.parse
from functools import partial
from typing import Callable, Dict, Optional, Tuple, TypeVar

from backends.node import wire
from backends.node.places import write_all
from backends.node.probe import Limit, TimeIsUp
from backends.node.refusal import Refused

STALL_SECONDS = 30.0
"""So long nothing may come, whatever a server does instead."""

FLOOR_BYTES_PER_SECOND = 1024
"""Less than that, over `FLOOR_SECONDS`, is a server that holds us up."""

FLOOR_SECONDS = 60.0

_TRIES = 4
"""Connections that may break one after the other before there is more than there ever was."""

_PAUSE_SECONDS = 1.0
_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)

_SCHEMES = ("http", "https")

Found = TypeVar("Found")

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

        self._measured = 0.0, 0
        """Since when the rate is measured, and what had been received then."""

    def run(self) -> None:
        """Bring all of it.

        Raises:
            Refused: No such file, another size, too slow, or cut too often; what came is kept.
            OSError: The disk said no.
        """
        fd = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if os.fstat(fd).st_size > self._size:
                os.ftruncate(fd, 0)
            self._measured = time.monotonic(), 0
            broken, most = 0, os.fstat(fd).st_size
            while os.fstat(fd).st_size < self._size:
                try:
                    self._take(fd)
                except _Cut as error:
                    there = os.fstat(fd).st_size
                    broken = 0 if there > most else broken + 1
                    most = max(most, there)
                    if broken == _TRIES:
                        raise self._refused("pull-cut", str(error)) from error
                    time.sleep(_PAUSE_SECONDS)
                    self._refuse_slow()
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
                os.ftruncate(fd, 0)
                raise _Cut("it cannot go on from byte %d" % have)
            else:
                raise self._refused("pull-refused", "HTTP %d %s" % (answer.status, answer.reason))
            self._copy(answer, fd, have)
        finally:
            answer.close()
            connection.close()

    def _copy(self, answer: http.client.HTTPResponse, fd: int, have: int) -> None:
        while have < self._size:
            most = min(wire.CHUNK, self._size - have)
            piece = _in_time(partial(answer.read1, most))
            if not piece:
                raise _Cut("it ended after %d of %d bytes" % (have, self._size))
            write_all(fd, piece)
            have += len(piece)
            self.received += len(piece)
            self._tell(have)
            self._refuse_slow()

    def _refuse_slow(self) -> None:
        """Measured over the whole download: a server that cuts often is slow, too."""
        since, before = self._measured
        seconds = time.monotonic() - since
        if seconds <= FLOOR_SECONDS:
            return
        came = self.received - before
        if came < FLOOR_BYTES_PER_SECOND * FLOOR_SECONDS:
            raise self._refused("pull-slow", "%d bytes in %.0f s" % (came, seconds))
        self._measured = time.monotonic(), self.received

    def _asked(self, have: int) -> Tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """The answer, wherever the server sent us for it; close the connection in the end."""
        url = self._url
        for _ in range(_REDIRECTS + 1):
            connection = self._connection(url)
            try:
                answer = _in_time(partial(_answered, connection, url, have))
            except _Cut as error:
                connection.close()
                raise _Cut("%s: %s" % (url, error)) from error
            if answer.status not in _MOVED:
                return connection, answer
            answer.close()
            connection.close()
            url = self._moved(url, answer.getheader("Location") or "")
        raise self._refused("pull-refused", "it sends us on more than %d times" % _REDIRECTS)

    def _moved(self, url: str, location: str) -> str:
        try:
            goal = urllib.parse.urljoin(url, location)
        except ValueError as error:
            raise self._refused("pull-refused", "it sends us to %r" % location[:200]) from error
        if url.startswith("https:") and not goal.startswith("https:"):
            raise self._refused("pull-refused", "%s sends us to %s, unprotected" % (url, goal))
        return goal

    def _connection(self, url: str) -> http.client.HTTPConnection:
        try:
            parts = urllib.parse.urlsplit(url)
            where, port = parts.hostname, parts.port
        except ValueError as error:
            raise self._refused("pull-refused", "%s: %s" % (url, error)) from error
        if parts.scheme not in _SCHEMES or not where or not re.match(r"[!-~]+\Z", url):
            raise self._refused("pull-refused", "%s is no address of HTTP" % url)
        if parts.scheme == "http":
            return http.client.HTTPConnection(where, port, timeout=STALL_SECONDS)
        try:
            import ssl  # a Python that was built without it does everything else
        except ImportError as error:
            raise self._refused("pull-refused", "this Python has no TLS: %s" % error) from error
        trusted = ssl.create_default_context()
        return http.client.HTTPSConnection(where, port, timeout=STALL_SECONDS, context=trusted)

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
    found = re.match(r"bytes ([0-9]{1,18})-", answer.getheader("Content-Range") or "")
    return int(found.group(1)) if found else None


def _answered(
    connection: http.client.HTTPConnection, url: str, have: int
) -> http.client.HTTPResponse:
    connection.request("GET", _path(url), headers=_headers(have))
    return connection.getresponse()


def _in_time(work: Callable[[], Found]) -> Found:
    """Whatever a server does: each header and each piece has its time.

    Raises:
        _Cut: It broke, spoke no HTTP, or did not end.
    """
    limit = Limit(STALL_SECONDS)
    try:
        with limit:
            return work()
    except TimeIsUp:
        limit.end()  # it may have rung before the `with` could do that
        raise _Cut("nothing for %g s" % STALL_SECONDS) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Cut(str(error) or type(error).__name__) from error
