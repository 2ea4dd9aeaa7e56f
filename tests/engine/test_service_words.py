"""A plan says of each kind of service which command is run, and what becomes of its definition."""

from typing import Any

import pytest

from backends.engine import service_words


def document(**service: Any) -> dict[str, object]:
    settings = {
        "kind": "control",
        "control": "control",
        "commands": None,
        "unit": None,
        "triggers": [],
        "script": None,
        "definition": None,
    }
    return {
        "name": "p",
        "layout": "versions",
        "directory": "/opt/p",
        "pointer": "current",
        "keep": [],
        "values": {"node": "n1", "vars.port": "80"},
        "service": {**settings, **service},
        "data": {"directories": ["/var/lib/p", "{directory}/data"]},
        "hooks": [
            {"name": "a", "when": "before_stop", "command": ["lb", "{node}"], "undo": ["un", "a"]},
            {"name": "b", "when": "before_stop", "command": ["{version}"], "undo": None},
            {"name": "c", "when": "before_stop", "command": ["c"], "undo": ["un", "{version}"]},
            {"name": "d", "when": "after_start", "command": ["d"], "undo": None},
        ],
    }


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({}, "/opt/p/2/control stop"),
        ({"kind": "systemd", "unit": "p.service"}, "systemctl stop p.service"),
        (
            {"kind": "systemd", "unit": "p.service", "triggers": ["p.socket"]},
            "systemctl stop p.socket p.service",
        ),
        ({"kind": "sysv", "script": "p"}, "/etc/init.d/p stop"),
        (
            {"kind": "command", "commands": {"stop": ["{directory}/x", "{version}"]}},
            "/opt/p/x 2",
        ),
        ({"kind": "command", "commands": {}}, "(stop: no command)"),
    ],
)
def test_the_command_is_the_node_s(service: dict[str, Any], said: str) -> None:
    assert service_words.command(document(**service), "stop", "2") == said


def test_a_definition_is_named_with_its_way_back() -> None:
    assert service_words.definition(document(), "1") == ([], [])
    unit = document(kind="systemd", unit="p.service", definition="etc/p.service")
    assert service_words.definition(unit, "1") == (
        ["etc/p.service of the release becomes p.service, if they differ"],
        ["put the old p.service back"],
    )
    first, back = service_words.definition(unit, None)
    assert first == ["etc/p.service of the release becomes p.service; started at boot"]
    assert back == ["not started at boot any more; take p.service away"]


def test_data_that_is_copied_is_named() -> None:
    assert service_words.data(document()) == [
        "copy the data: /var/lib/p, /opt/p/data; kept until it is finalized"
    ]
    assert service_words.data({**document(), "data": {"directories": []}}) == []


def test_hooks_come_in_order_and_are_undone_in_reverse() -> None:
    forward, back = service_words.hooks(document(), "before_stop", "1")
    assert forward == ["hook a: lb n1", "hook b: 1", "hook c: c"]
    assert back == ["undo the hook c: un 1", "undo the hook a: un a"]
    assert service_words.hooks(document(), "after_start", "2") == (["hook d: d"], [])
