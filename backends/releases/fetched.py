"""Configuration that lies elsewhere: fetched by the operator's side, once for all nodes.

It wins over the packaged file. Nobody has signed it: what counts is who may write where it lies,
and that whoever starts an upgrade sees in the plan what came from where.
"""

import threading
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import replace
from http.client import HTTPException, HTTPMessage
from typing import IO
from urllib.parse import urlsplit

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.node.archive import ArchiveError, Tree
from backends.node.canonical import configured, files_digest
from backends.node.wire import MAX_CONFIGURATION
from backends.releases.read import Fetched, Release

WHOLE_SECONDS = 30.0
"""So long one file may take, whatever a server does."""

_STALL_SECONDS = 10.0

_NOT_FETCHED = (OSError, HTTPException, ValueError)
"""How a server, or the way to it, says that nothing comes."""

DEFAULT_MODE = 0o644
"""Of a file that the release does not have."""


def with_configuration(release: Release, wanted: Iterable[tuple[str, str]]) -> Release:
    """The release with these files, `(path, url)`, as they are there now.

    Raises LiftlockError, exit 4: `configuration-not-fetched`, `configuration-too-big`,
    `configuration-unfit` where the release has a directory or a program at such a path, or
    something above it that is no directory.
    """
    packaged = {entry.path: entry for entry in release.manifest.files if entry.type == "file"}
    found: list[Fetched] = []
    for path, url in wanted:
        left = MAX_CONFIGURATION - sum(len(each.content) for each in found)
        content = _fetched(path, url, left)
        mode = packaged[path].mode if path in packaged else DEFAULT_MODE
        found.append(Fetched(path, shown(url), mode, content))
    if not found:
        return release
    files = [entry.model_dump() for entry in release.manifest.files]
    try:
        _refuse_programs(found)
        whole = configured(files, [each.announced() for each in found])
        tree = Tree()
        for entry in whole:
            tree.add(entry["path"], entry["type"], entry["size"], entry["target"])
    except (ValueError, ArchiveError) as error:
        raise _refused(
            "configuration-unfit",
            "The configuration does not fit into the release.",
            f"{release.tarball.name}: {error}",
            "Correct its path in the profile, [[configuration]].",
        ) from error
    return replace(release, digest=files_digest(whole), fetched=tuple(found))


def _refuse_programs(found: Iterable[Fetched]) -> None:
    """Nobody has signed what comes from elsewhere: it is configuration, and never what runs."""
    for each in found:
        if each.mode & 0o111:
            raise ValueError(f"{each.path!r} is a program of the release")


def shown(url: str) -> str:
    """As it is shown and journaled: what is asked for may hold a secret."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    query = "..." if parts.query else ""
    return parts._replace(netloc=place, query=query, fragment="").geturl()


def _fetched(path: str, url: str, most: int) -> bytes:
    """One file, by a thread of its own: a server that lets each byte wait has an end, too."""
    found: list[bytes | Exception] = []

    def ask() -> None:
        try:
            found.append(_asked(url, most + 1))
        except Exception as error:  # raised again where it was asked for, unless it is an answer
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it holds its connection
            found.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(WHOLE_SECONDS)
    answer = found[0] if found else TimeoutError(f"not all of it came in {WHOLE_SECONDS:g} s")
    if isinstance(answer, Exception) and not isinstance(answer, _NOT_FETCHED):
        raise answer
    if isinstance(answer, Exception):
        raise _refused(
            "configuration-not-fetched",
            f"The configuration {path} could not be fetched.",
            f"{shown(url)}: {_in_words(answer)}",
            "Look at it from here, or correct it in the profile, [[configuration]].",
        ) from answer
    if len(answer) > most:
        raise _refused(
            "configuration-too-big",
            f"The configuration is larger than {MAX_CONFIGURATION} bytes.",
            f"{path}, from {shown(url)}",
            "Put large files into the release.",
        )
    return answer


def _asked(url: str, most: int) -> bytes:
    # The opener knows HTTP alone, and a profile no other URL.
    request = urllib.request.Request(url, headers={"User-Agent": "liftlock"})  # noqa: S310
    with _OPENER.open(request, timeout=_STALL_SECONDS) as answer:
        if answer.status != 200:
            raise ValueError(f"HTTP {answer.status}")
        encoding = answer.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise ValueError(f"it comes as {encoding}, which nobody asked for")
        content: bytes = answer.read(most)
        stated = answer.headers.get("Content-Length")
    if not content:
        raise ValueError("it is empty")
    if stated is not None and len(content) < min(int(stated), most):
        raise ConnectionError(f"it ended after {len(content)} of {stated} bytes")
    return content


class _Protected(urllib.request.HTTPRedirectHandler):
    """What was asked for over TLS is taken over TLS, wherever a server sends us."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            fp.close()
            raise ValueError(f"it sends us to {shown(newurl)}, unprotected")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and HTTPS, and nothing else that urllib could be sent to."""
    made = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
        _Protected,
    ):
        made.add_handler(handler())
    return made


_OPENER = _opener()


def _in_words(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"  # its reason may quote what was asked for
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error) or type(error).__name__


def _refused(code: str, summary: str, evidence: str, advice: str) -> LiftlockError:
    problem = Problem(code, summary, evidence, f"No node was contacted. {advice}")
    return LiftlockError(problem, Exit.REFUSED)
