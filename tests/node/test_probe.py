"""Asking the product: every question ends, and no wrong answer passes for a right one."""

import functools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.node import probe
from backends.node.places import Places
from backends.node.probe import NoAnswer
from backends.node.service import Service
from backends.node.services import service_of

Talk = Callable[[socket.socket], None]


class Peer:
    """A server that says what a test wants."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/health"
        self.talk: Talk = lambda line: None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        self._socket.settimeout(0.1)
        while not self._over.is_set():
            try:
                line, _ = self._socket.accept()
            except TimeoutError:
                continue
            with line:
                line.settimeout(5)
                try:
                    line.recv(65536)
                    self.talk(line)
                except OSError:
                    continue

    def says(self, body: bytes, status: bytes = b"200 OK") -> None:
        """One whole answer."""
        head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        self.talk = lambda line: line.sendall(head + body)

    def drips(self, first: bytes) -> None:
        """A byte every now and then, for ever."""

        def talk(line: socket.socket) -> None:
            line.sendall(first)
            while not self._over.wait(0.05):
                line.sendall(b"x")

        self.talk = talk

    def floods(self) -> None:
        """Bytes without an end."""

        def talk(line: socket.socket) -> None:
            line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not self._over.is_set():
                line.sendall(b"x" * 65536)

        self.talk = talk

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


def test_an_answer_is_status_and_body(peer: Peer) -> None:
    peer.says(b"hello", b"503 No")
    assert probe.get(peer.url, 5) == (503, b"hello")


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"])
def test_row_40_a_peer_that_drips_is_left_at_the_limit(peer: Peer, first: bytes) -> None:
    peer.drips(first)
    began = time.monotonic()
    with pytest.raises(NoAnswer):
        probe.get(peer.url, 0.4)
    assert time.monotonic() - began < 5


def test_row_40_a_peer_that_says_nothing_is_left_at_the_limit(peer: Peer) -> None:
    peer.talk = lambda line: time.sleep(1)
    with pytest.raises(NoAnswer, match=r"no answer|timed out"):
        probe.get(peer.url, 0.3)


def test_row_41_a_flood_is_read_only_so_far(peer: Peer) -> None:
    peer.floods()
    assert len(probe.get(peer.url, 5)[1]) == probe.BODY_LIMIT


@pytest.mark.parametrize("said", [b"", b"\0" * 50, b"SSH-2.0-x\r\n", b"HTTP/9 x\r\n\r\n"])
def test_what_is_no_http_is_no_answer(peer: Peer, said: bytes) -> None:
    peer.talk = lambda line: line.sendall(said)
    with pytest.raises(NoAnswer):
        probe.get(peer.url, 2)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "http://127.0.0.1:x/", "http://127.0.0.1:99999/", "nonsense"]
)
def test_a_place_that_is_none_is_no_answer(url: str) -> None:
    with pytest.raises(NoAnswer):
        probe.get(url, 2)


def test_no_alarm_is_left_behind(peer: Peer) -> None:
    import signal

    peer.says(b"ok")
    before = signal.getsignal(signal.SIGALRM)
    probe.get(peer.url, 5)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_alarm_at_any_moment_is_no_answer_and_nothing_else(peer: Peer) -> None:
    peer.says(b"ok")
    for number in range(60):
        try:
            assert probe.get(peer.url, 0.00005 * (number + 1)) == (200, b"ok")
        except NoAnswer:
            continue


# --- fields -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "name", "value"),
    [
        (b'{"version": "2.0"}', "version", "2.0"),
        (b'{"a": {"b": "2.0"}}', "a.b", "2.0"),
        (b'{"version": 2}', "version", "2"),
        (b'{"version": 2.50}', "version", "2.5"),
        (b'{"up": true}', "up", "true"),
    ],
)
def test_a_field_is_read(body: bytes, name: str, value: str) -> None:
    assert probe.field_of(body, name) == value


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"2.0",
        b'"2.0"',
        b"[]",
        b"{}",
        b'{"Version": "2.0"}',
        b'{"version": null}',
        b'{"version": {"is": "2.0"}}',
        b'{"version": ["2.0"]}',
        b'{"version": "\xff"}',
        b"[" * 100_000,
    ],
)
def test_what_has_no_such_field_is_no_answer(body: bytes) -> None:
    with pytest.raises(NoAnswer):
        probe.field_of(body, "version")


# --- values -------------------------------------------------------------------------------------


@pytest.fixture
def service(tmp_path: Path) -> Service:
    tree = tmp_path / "opt" / "1.0"
    tree.mkdir(parents=True)
    settings: dict[str, Any] = {"kind": "command", "env": {}, "commands": {}}
    document = {"service": settings, "values": {}}
    places = Places(str(tmp_path / "state"), "demo", str(tmp_path / "opt"))
    return service_of(document, places, "1.0")


def read(service: Service, **how: Any) -> str:
    return probe.read(how, service, 2.0)


def test_a_value_comes_from_http_a_command_or_a_file(service: Service, peer: Peer) -> None:
    peer.says(b'{"version": " 1.0 "}')
    assert read(service, http=peer.url, field="version") == "1.0"
    peer.says(b"1.0\n")
    assert read(service, http=peer.url) == "1.0"
    assert read(service, command=["echo", "v{version}"], pattern="v(.*)") == "1.0"
    assert read(service, command=["echo", "{version}"]) == "1.0"
    path = Path(service.tree) / "VERSION"
    path.write_text("1.0\n")
    assert read(service, file=str(path)) == "1.0"


def test_what_is_no_value_is_no_answer(service: Service, peer: Peer) -> None:
    ask = functools.partial(read, service)
    path = Path(service.tree) / "VERSION"
    for content in (b"", b"\n\n", b"a\nb", b"x" * 201):
        path.write_bytes(content)
        with pytest.raises(NoAnswer):
            ask(file=str(path))
    peer.says(b"1.0", b"500 Oh")
    for how in (
        {"file": "/no/such/file"},
        {"file": service.tree},
        {"command": ["false"]},
        {"command": ["/no/such/command"]},
        {"command": ["echo", "x"], "pattern": "y"},
        {"http": peer.url},
    ):
        with pytest.raises(NoAnswer):
            ask(**how)


def test_row_40_a_command_that_hangs_is_no_answer(service: Service) -> None:
    with pytest.raises(NoAnswer, match="no end within"):
        probe.read({"command": ["sleep", "30"]}, service, 0.2)


def test_bytes_that_are_no_text_are_no_version_that_anybody_wanted(service: Service) -> None:
    path = Path(service.tree) / "VERSION"
    path.write_bytes(b"1.0\xff")
    assert read(service, file=str(path)) != "1.0"
