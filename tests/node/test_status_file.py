"""Health by BindPlane's status file, ports, and soft checks: features B11 to B14 and B25."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from backends.node import health_file
from backends.node.places import Places
from backends.node.services import service_of
from tests.node.test_health import check
from tests.support.beacon import Beacon
from tests.support.node import Node, settled, wait_until

STATUS = {"kind": "status_file", "package": "collector"}


def said(path: Path, *, torn: int = 0, **state: Any) -> Path:
    """What a new version writes; `torn` bytes of it are missing."""
    content = json.dumps({"package_states": {"collector": {"name": "collector", **state}}})
    path.write_text(content[: len(content) - torn])
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "package_statuses.json"


def test_b11_only_installed_in_the_right_version_is_success(tmp_path: Path, file: Path) -> None:
    said(file, status=0, agent_version="2.0")
    assert check(tmp_path, path=str(file), **STATUS).ok


@pytest.mark.parametrize(
    ("state", "is_final"),
    [
        ({"status": 1, "agent_version": "2.0"}, False),
        ({"status": 2, "agent_version": "2.0"}, False),
        ({"status": 4, "agent_version": "2.0"}, False),
        ({"status": 3, "agent_version": "2.0", "error_message": "no pipeline"}, True),
        ({"status": 0, "agent_version": "1.0"}, True),  # B14
        ({"status": 0}, True),
        # B13: a missing or unknown status is not yet, never success.
        ({"agent_version": "2.0"}, False),
        ({"status": None, "agent_version": "2.0"}, False),
        ({"status": False, "agent_version": "2.0"}, False),
        ({"status": "0", "agent_version": "2.0"}, False),
        ({"status": 5, "agent_version": "2.0"}, False),
        ({"status": -1, "agent_version": "2.0"}, False),
        ({"status": 0.0, "agent_version": "2.0"}, False),
    ],
)
def test_b13_b14_everything_else_is_not_yet_or_failed(
    tmp_path: Path, file: Path, state: dict[str, Any], is_final: bool
) -> None:
    said(file, **state)
    found = check(tmp_path, path=str(file), **STATUS)
    assert (found.ok, found.is_final) == (False, is_final)
    assert found.evidence


def test_b14_a_mismatch_names_what_is_and_what_was_wanted(tmp_path: Path, file: Path) -> None:
    said(file, status=0, agent_version="1.9")
    assert check(tmp_path, path=str(file), **STATUS).evidence == (
        "installed, version 1.9, wanted 2.0"
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b"{}", b'{"package_states": []}', b"\xff", b"[" * 100000]
    + [b'{"package_states": {"other": {"status": 0, "agent_version": "2.0"}}}']
    + [b'{"package_states": {"collector": 0}}', b'{"package_states": {"collector": null}}'],
)
def test_b12_what_cannot_be_read_is_not_yet(tmp_path: Path, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    found = check(tmp_path, path=str(file), **STATUS)
    assert (found.ok, found.is_final) == (False, False)
    assert found.evidence.startswith("not yet")


@pytest.mark.parametrize("torn", [1, 2, 10, 40])
def test_b12_a_half_written_file_is_not_yet(tmp_path: Path, file: Path, torn: int) -> None:
    said(file, torn=torn, status=0, agent_version="2.0")
    assert check(tmp_path, path=str(file), **STATUS).evidence.startswith("not yet")


def test_b12_a_file_that_is_not_there_is_not_yet(tmp_path: Path, file: Path) -> None:
    assert "is not there" in check(tmp_path, path=str(file), **STATUS).evidence


def test_what_was_there_before_the_start_says_nothing_about_it(tmp_path: Path, file: Path) -> None:
    said(file, status=0, agent_version="2.0")
    settings = {"name": "one", "path": str(file), **STATUS}
    document: dict[str, Any] = {
        "service": {"kind": "command", "env": {}, "commands": {}, "pid_file": None},
        "values": {},
        "health": [settings],
    }
    service = service_of(document, Places(str(tmp_path), "demo", str(tmp_path)), "2.0")
    stale = health_file.signatures(document, service)
    assert not health_file.look(settings, service, stale["one"]).ok
    os.utime(file, ns=(1, 1))
    assert health_file.look(settings, service, stale["one"]).ok


# --- in a trial ---------------------------------------------------------------------------------


def with_status_file(node: Node, writes: str) -> Beacon:
    """A release whose start writes this into its status file, once somebody says go (or never)."""
    file = node.top / "statuses.json"
    node.document["health"].append(
        dict.fromkeys(node.document["health"][0])
        | {"name": "file", "level": "hard", "timeout": 1.0, "path": str(file), **STATUS}
    )
    release = Beacon("2.0")
    waits = f"for _ in $(seq 600); do [ -e {node.top / 'go'} ] && break; sleep 0.05; done"
    script = release.content["control"][1].decode()
    written = script.replace(
        "start) start ;;",
        f"start) ({waits}; printf '%s' '{writes}' >{file}) >/dev/null 2>&1 & start ;;",
    )
    assert written != script
    release.content["control"] = (0o755, written.encode())
    return release


def states(status: int, version: str, message: str = "") -> str:
    state = {"status": status, "agent_version": version, "error_message": message}
    return json.dumps({"package_states": {"collector": state}})


def looks_at_the_file(node: Node) -> list[tuple[bool, str]]:
    checks = [record for record in node.records() if record["t"] == "CHECK"]
    return [(each["ok"], each["evidence"]) for each in checks if each["name"] == "file"]


@pytest.mark.drill
def test_b11_the_trial_waits_for_the_file_and_accepts_what_it_says(node: Node) -> None:
    said(node.top / "statuses.json", status=0, agent_version="2.0")  # of another day
    node.begin(with_status_file(node, states(0, "2.0")))
    wait_until(lambda: looks_at_the_file(node))
    (node.top / "go").touch()
    node.wait_for(settled)
    about_file = looks_at_the_file(node)
    assert about_file[0] == (
        False,
        f"not yet: {node.top / 'statuses.json'} was not written since the start",
    )
    assert about_file[-1][0] is True
    assert node.ask("accept", run="1120-aaa", how="auto").outcome == "ok"


@pytest.mark.drill
@pytest.mark.parametrize(
    ("writes", "why"),
    [
        (states(3, "2.0", "no pipeline"), "failed, version 2.0, wanted 2.0: no pipeline"),
        (states(0, "9.9"), "installed, version 9.9, wanted 2.0"),
    ],
)
def test_b11_what_the_file_calls_failed_goes_back_at_once(
    node: Node, writes: str, why: str
) -> None:
    before = node.product()
    node.document["limits"].update(healthy_deadline=60.0, accept_window=60.0)
    (node.top / "go").touch()
    node.begin(with_status_file(node, writes))
    facts = node.wait_for(lambda facts: facts["transaction"] is None, seconds=15)
    assert why in facts["last"]["why"]
    assert node.product() == before


# --- ports --------------------------------------------------------------------------------------


def test_tcp_passes_where_somebody_takes_connections(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert not check(tmp_path, kind="tcp", address=f"127.0.0.1:{port}").ok
        listener.listen()
        assert check(tmp_path, kind="tcp", address=f"127.0.0.1:{port}").ok
    assert not check(tmp_path, kind="tcp", address=f"127.0.0.1:{port}").ok


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999999", ":"])
def test_tcp_fails_for_what_is_no_address(tmp_path: Path, address: str) -> None:
    assert not check(tmp_path, kind="tcp", address=address).ok


# --- soft checks --------------------------------------------------------------------------------


def with_soft_check(node: Node, mark: Path) -> None:
    """A soft check that passes where a file is."""
    node.document["health"].append(
        dict.fromkeys(node.document["health"][0])
        | {"name": "mark", "kind": "command", "level": "soft", "timeout": 1.0}
        | {"command": ["test", "-e", str(mark)]}
    )


def healthy(node: Node) -> list[dict[str, Any]]:
    return [record for record in node.records() if record["t"] == "HEALTHY"]


@pytest.mark.drill
def test_b25_a_soft_check_that_failed_before_asks_nobody(node: Node) -> None:
    with_soft_check(node, node.top / "mark")
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    (baseline,) = (record for record in node.records() if record["t"] == "BASELINE")
    assert baseline["failing"] == ["mark"]
    (said_healthy,) = healthy(node)
    assert (said_healthy["soft"], said_healthy["as_before"]) == ([], ["mark"])


@pytest.mark.drill
def test_b25_a_soft_check_that_fails_only_now_is_named_and_said_again_when_it_passes(
    node: Node,
) -> None:
    mark = node.top / "mark"
    mark.touch()
    with_soft_check(node, mark)
    node.document["limits"].update(accept_window=30.0, healthy_deadline=20.0)
    release = Beacon("2.0")
    script = release.content["control"][1].decode()
    lost = script.replace("start) start ;;", f'start) rm "{mark}"; start ;;')
    release.content["control"] = (0o755, lost.encode())
    node.begin(release)
    node.wait_for(settled)
    assert healthy(node)[-1]["soft"] == ["mark"]
    mark.touch()
    wait_until(lambda: healthy(node)[-1]["soft"] == [])
    assert [record["soft"] for record in healthy(node)] == [["mark"], []]
