"""What `doctor` asks of a node besides preflight: each row says what it saw, and only looks."""

from pathlib import Path
from typing import Any

import pytest

from backends.node import second_layer, second_layer_cron, second_layer_systemd, systemd
from backends.node.checks_fitness import CHECKS
from backends.node.places import Places
from tests.support.node import Answer, Node

WORDS = ["/usr/bin/python3", "/state/x.pyz"]


def rows(answer: Answer) -> dict[str, tuple[str, str]]:
    return {row["name"]: (row["result"], row["evidence"]) for row in answer.all("row")}


def asked(node: Node) -> dict[str, tuple[str, str]]:
    return rows(node.ask("check", scope="fitness", now=0.0))


def test_every_row_is_there_with_evidence_and_nothing_is_changed(node: Node) -> None:
    before = node.product(), node.facts()["start_id"]
    found = asked(node)
    assert list(found) == [name for name, _ in CHECKS]
    assert all(evidence for _, evidence in found.values())
    assert {result for result, _ in found.values()} <= {"ok", "warn"}
    assert (node.product(), node.facts()["start_id"]) == before


def test_on_a_bare_node_what_comes_with_the_release_is_not_missed(bare: Node) -> None:
    bare.document["check"]["parse"] = ["./bin/check"]
    found = asked(bare)
    assert found["service tools"] == ("ok", "control comes with the release; nothing is installed")
    assert found["profile commands"][0] == "ok"


@pytest.mark.parametrize(
    ("service", "result", "says"),
    [
        (
            {"kind": "sysv", "script": "no-such", "definition": None},
            "refused",
            "/etc/init.d/no-such",
        ),
        ({"kind": "sysv", "script": "no-such", "definition": "x"}, "ok", "/etc/init.d/no-such"),
        (
            {"kind": "command", "commands": {"start": ["/no/such"], "stop": ["true"]}},
            "refused",
            "/no/such: not there",
        ),
        ({"kind": "command", "commands": {"start": ["true"], "stop": ["sh"]}}, "ok", "true, sh"),
    ],
)
def test_tools_of_each_kind_of_service(
    bare: Node, service: dict[str, Any], result: str, says: str
) -> None:
    bare.document["service"].update(service)
    assert asked(bare)["service tools"][0] == result
    assert says in asked(bare)["service tools"][1]


def test_what_is_armed_of_cron_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_layer_cron, "_FOLDER", str(tmp_path))
    monkeypatch.setattr(systemd, "UNITS", str(tmp_path / "units"))
    where = Places(str(tmp_path / "state"), "beacon", "/opt")
    assert second_layer.standing_of(where) == ("", False, "nothing of it is there")
    second_layer_cron.arm(where, WORDS)
    monkeypatch.setattr(second_layer_cron, "_is_running", lambda: True)
    assert second_layer.standing_of(where)[:2] == ("cron", True)
    monkeypatch.setattr(second_layer_cron, "_is_running", lambda: False)
    found = second_layer.standing_of(where)
    assert found[:2] == ("", True)
    assert "a cron that runs is missing" in found.text


def test_what_is_armed_of_systemd_is_seen_and_what_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = ["active"]
    monkeypatch.setattr(systemd, "UNITS", str(tmp_path / "units"))
    monkeypatch.setattr(second_layer_cron, "_FOLDER", str(tmp_path))
    monkeypatch.setattr(systemd, "order", lambda *_, **__: systemd.processes.Ran(0, b"", ""))
    monkeypatch.setattr(systemd, "show", lambda unit, names: dict.fromkeys(names, state[0]))
    (tmp_path / "units").mkdir()
    where = Places(str(tmp_path / "state"), "beacon", "/opt")
    second_layer_systemd.arm(where, WORDS, ["beacon.service"])
    assert second_layer.standing_of(where)[:2] == ("systemd", True)
    state[:] = ["inactive"]
    found = second_layer.standing_of(where)
    assert found[:2] == ("", True)
    assert "active state of" in found.text
    state[:] = ["active"]
    (boot,) = (tmp_path / "units").glob("*-boot.service")
    boot.unlink()
    assert f"{boot} is missing" in second_layer.standing_of(where).text
