"""Health: each check passes only for the right answer of the right version."""

from pathlib import Path
from typing import Any

import pytest

from backends.node import health
from backends.node.places import Places
from backends.node.services import service_of
from tests.node.test_probe import Peer, peer

__all__ = ["peer"]


def check(top: Path, facts: dict[str, Any] | None = None, **settings: Any) -> health.Check:
    """The result of one check of 2.0."""
    (top / "opt" / "2.0").mkdir(parents=True, exist_ok=True)
    found = {"name": "one", "level": "hard", "timeout": 1.0, "status": 200, **settings}
    document: dict[str, Any] = {
        "service": {
            "kind": "command",
            "env": {"GREETING": "hi {version}"},
            "commands": {},
            "pid_file": None,
            "request_timeout": 1.0,
        },
        "values": {"port": "1"},
        "health": [found],
        "facts": {"version": facts},
    }
    places = Places(str(top / "state"), "demo", str(top / "opt"))
    (result,) = health.run_all(document, service_of(document, places, "2.0"))
    return result


def test_http_passes_for_status_and_version(tmp_path: Path, peer: Peer) -> None:
    peer.says(b'{"version": "2.0"}')
    assert check(tmp_path, kind="http", url=peer.url, version_field="version").ok
    assert check(tmp_path, kind="http", url=peer.url).ok


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"version": "1.0"}', b"200 OK"),  # row 42: the old process answers
        (b'{"version": "2.0"}', b"503 No"),
        (b'{"version": "2.0"}', b"302 Elsewhere"),
        (b'{"version": "2.0.1"}', b"200 OK"),
        (b'{"version": null}', b"200 OK"),
        (b'{"other": "2.0"}', b"200 OK"),
        (b'{"version": "2.0\xff"}', b"200 OK"),
        (b"2.0", b"200 OK"),
        (b"", b"200 OK"),
    ],
)
def test_http_fails_for_any_other_answer(
    tmp_path: Path, peer: Peer, body: bytes, status: bytes
) -> None:
    peer.says(body, status)
    found = check(tmp_path, kind="http", url=peer.url, version_field="version")
    assert not found.ok
    assert found.evidence


def test_http_fails_where_nobody_answers(tmp_path: Path) -> None:
    assert not check(tmp_path, kind="http", url="http://127.0.0.1:1/").ok


@pytest.mark.parametrize("url", ["http://[::1/", "http://{nothing}/", "http://127.0.0.1:{/"])
def test_a_check_that_cannot_be_asked_fails(tmp_path: Path, url: str) -> None:
    assert not check(tmp_path, kind="http", url=url).ok


def test_a_command_passes_by_its_exit_code_alone(tmp_path: Path) -> None:
    assert check(tmp_path, kind="command", command=["sh", "-c", "test '{version}' = 2.0"]).ok
    assert check(tmp_path, kind="command", command=["sh", "-c", 'test "$GREETING" = "hi 2.0"']).ok
    found = check(tmp_path, kind="command", command=["sh", "-c", "echo started; exit 1"])
    assert (found.ok, found.evidence) == (False, "exit 1: started")


@pytest.mark.parametrize(
    "command", [["sleep", "30"], ["/no/such/command"], ["sh", "-c", "kill -9 $$"]]
)
def test_row_40_a_command_that_hangs_is_missing_or_dies_fails(
    tmp_path: Path, command: list[str]
) -> None:
    assert not check(tmp_path, kind="command", command=command, timeout=0.2).ok


def test_the_service_itself_must_be_started(tmp_path: Path) -> None:
    assert not check(tmp_path, kind="control").ok


def test_the_version_must_be_the_new_one(tmp_path: Path) -> None:
    how = {"command": ["echo", "2.0"]}
    assert check(tmp_path, how, kind="version").ok
    assert not check(tmp_path, {"command": ["echo", "1.0"]}, kind="version").ok
    assert not check(tmp_path, {"command": ["false"]}, kind="version").ok
    assert not check(tmp_path, None, kind="version").ok


def test_the_first_failure_of_a_level_is_found() -> None:
    checks = [
        health.Check("a", "soft", False, ""),
        health.Check("b", "hard", True, ""),
        health.Check("c", "hard", False, ""),
    ]
    assert (health.first_failure(checks) or checks[0]).name == "c"
    assert (health.first_failure(checks, "soft") or checks[1]).name == "a"
    assert health.first_failure(checks[:2]) is None


def test_evidence_is_bounded() -> None:
    assert len(health.Check("a", "hard", False, "x" * 9999).row()["evidence"]) == 2000
