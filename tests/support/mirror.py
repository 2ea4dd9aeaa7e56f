"""A mirror on loopback: serves releases over HTTP, as well or as badly as a test wants."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirror:
    """What is served, and how."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        """Path -> content."""

        self.moved: dict[str, str] = {}
        """Path -> where it is instead."""

        self.knows_ranges = True
        self.cuts: list[int] = []
        """After so many bytes of a body the connection breaks, once each."""

        self.drips = False
        """Whether it sends headers without end."""

        self.length: int | None = None
        """What it says of the length of a body, instead of the truth; -1: nothing."""

        self.asked: list[tuple[str, str | None]] = []
        """Paths and the `Range` that was asked for."""

        self.sent = 0
        """Bytes of bodies."""

        self._ends = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        """Serve no more; whoever asks is refused."""
        self._ends.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return Handler

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """One GET."""
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        request.close_connection = True
        if request.path in self.moved:
            request.send_response(302)
            request.send_header("Location", self.moved[request.path])
            request.end_headers()
            return
        if self.drips:
            request.send_response(200)
            request.flush_headers()
            with suppress(OSError):
                while not self._ends.wait(0.05):
                    request.wfile.write(b"X-More: more\r\n")
            return
        content = self.files.get(request.path)
        if content is None:
            request.send_error(404)
            return
        start = 0
        if wanted and self.knows_ranges:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                request.send_error(416)
                return
        body = content[start:]
        request.send_response(206 if start else 200)
        if start:
            request.send_header(
                "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
            )
        if self.length != -1:
            stated = len(body) if self.length is None else self.length
            request.send_header("Content-Length", str(stated))
        request.end_headers()
        if self.cuts:
            body = body[: self.cuts.pop(0)]
        self.sent += len(body)
        request.wfile.write(body)


@contextmanager
def a_mirror() -> Iterator[Mirror]:
    """A mirror that is gone afterwards."""
    made = Mirror()
    try:
        yield made
    finally:
        made.stop()
