"""The updater gets everything it needs and nothing it cannot expand."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from backends.domain.policy import Accept, Limits, OnFailure, Pause, Policy, SecondLayer, Vanished
from backends.domain.problem import Exit, LiftlockError
from backends.node.expand import expand
from backends.products.node_document import node_document
from backends.products.policy import effective_policy
from backends.products.profile import Profile, read_profile
from backends.settings.cluster import Cluster, Node, load_cluster

FULL = """
[product]
name = "nats"
directory = "/opt/{role}/{vars.instance}"
pointer = "current"

[service]
kind = "command"
env = { PORT = "{vars.port}" }
pid_file = "{directory}/nats.pid"
commands = { start = ["bin/nats", "-n", "{node}"], stop = ["bin/stop", ""] }
stop_timeout = "12s"
request_timeout = "2s"
log = "none"

[[health]]
kind = "http"
url = "http://{address}:{vars.port}/varz"
version_field = "server.version"

[[health]]
kind = "command"
name = "routes"
level = "soft"
timeout = "500ms"
command = ["bin/check", "{directory}/{version}"]

[facts]
version = { command = ["bin/nats", "--version"], pattern = "v(.*)" }

[values]
streams = { http = "http://127.0.0.1:{vars.port}/jsz", field = "streams" }
peers = { file = "{directory}/peers", pattern = '(\\d+)' }

[limits]
min_healthy = "20s"
health_poll = "2s"
"""

NODE = Node("n1", "10.0.0.1", role="voter", vars={"port": "8222", "instance": "a"})


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    path = tmp_path / "nats.toml"
    path.write_text(FULL)
    return read_profile(path)


def cluster(folder: Path, policy: str = "") -> Cluster:
    path = folder / "c.toml"
    path.write_text(
        '[cluster]\nname = "c"\nproduct = "nats"\n[nodes]\nn1 = { address = "a" }\n'
        f"[policy]\n{policy}"
    )
    return load_cluster(path, today=date(2026, 11, 20))


def test_the_document_is_exactly_what_the_updater_reads(profile: Profile, tmp_path: Path) -> None:
    _, limits = effective_policy(cluster(tmp_path), profile)

    assert node_document(profile, NODE, limits) == {
        "name": "nats",
        "directory": "/opt/voter/a",
        "layout": "versions",
        "pointer": "current",
        "directories": [],
        "keep": [],
        "config": [],
        "owner": "",
        "values": {
            "node": "n1",
            "address": "10.0.0.1",
            "role": "voter",
            "directory": "/opt/voter/a",
            "vars.port": "8222",
            "vars.instance": "a",
        },
        "service": {
            "kind": "command",
            "control": None,
            "env": {"PORT": "{vars.port}"},
            "pid_file": "{directory}/nats.pid",
            "commands": {"start": ["bin/nats", "-n", "{node}"], "stop": ["bin/stop", ""]},
            "unit": None,
            "triggers": [],
            "script": None,
            "definition": None,
            "on_stop_timeout": "abort",
            "stop_timeout": 12,
            "start_timeout": 60,
            "request_timeout": 2,
            "log": None,
        },
        "health": [
            {
                "name": "http-1",
                "kind": "http",
                "level": "hard",
                "timeout": 5,
                "url": "http://{address}:{vars.port}/varz",
                "status": 200,
                "version_field": "server.version",
                "command": None,
                "address": None,
                "path": None,
                "package": None,
            },
            {
                "name": "routes",
                "kind": "command",
                "level": "soft",
                "timeout": 0.5,
                "url": None,
                "status": None,
                "version_field": None,
                "command": ["bin/check", "{directory}/{version}"],
                "address": None,
                "path": None,
                "package": None,
            },
        ],
        "check": {"parse": None, "directory": None, "timeout": 20.0, "contract": "exit"},
        "hooks": [],
        "data": {"directories": [], "old_can_read": None, "unattended": "keep", "timeout": 60},
        "facts": {
            "version": {"command": ["bin/nats", "--version"], "pattern": "v(.*)"},
        },
        "named": {
            "streams": {"http": "http://127.0.0.1:{vars.port}/jsz", "field": "streams"},
            "peers": {"file": "{directory}/peers", "pattern": "(\\d+)"},
        },
        "leader": None,
        "limits": {
            "healthy_deadline": 300,
            "min_healthy": 20,
            "accept_window": 600,
            "health_poll": 2,
            "max_restarts": 2,
            "max_flaps": 3,
            "install_step": 600,
        },
    }


def templates(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for each in inner for text in templates(each)]


def test_the_document_is_json_and_all_of_it_can_be_expanded_on_the_node(profile: Profile) -> None:
    document: dict[str, Any] = node_document(profile, NODE, Limits())

    assert json.loads(json.dumps(document)) == document
    values = {**document["values"], "version": "2.10"}
    for part in ("service", "health", "facts", "named"):
        for text in templates(document[part]):
            assert "{" not in expand(text, values)


def test_a_missing_variable_names_node_key_and_every_place(profile: Profile) -> None:
    node = Node("n3", "a", vars={"prot": "1", "instance": "x"})
    with pytest.raises(LiftlockError) as caught:
        node_document(profile, node, Limits())

    problem = caught.value.problem
    assert caught.value.exit_code == Exit.USAGE
    assert problem.code == "profile-var-missing"
    assert "n3 has no vars.port" in problem.summary
    assert "nats.toml: [service] env.PORT uses {vars.port}" in problem.evidence
    assert "nats.toml: [[health]] http-1 url uses {vars.port}" in problem.evidence
    assert "{vars.prot}" in problem.advice


@pytest.mark.parametrize("instance", ["../etc", "..", "a/../../b", "", "a//b"])
def test_o23_a_nodes_values_cannot_lead_the_directory_elsewhere(
    profile: Profile, instance: str
) -> None:
    node = Node("n1", "a", role="r", vars={"port": "1", "instance": instance})
    with pytest.raises(LiftlockError) as caught:
        node_document(profile, node, Limits())
    assert caught.value.problem.code == "profile-directory"


def test_the_policy_overrides_the_profile_and_the_profile_the_defaults(
    profile: Profile, tmp_path: Path
) -> None:
    policy, limits = effective_policy(cluster(tmp_path), profile)
    assert policy == Policy()
    assert limits == Limits(
        min_healthy_seconds=20, health_poll_seconds=2, stop_seconds=12, node_request_seconds=2
    )

    written = """
    batch = 3
    pause = "after_role"
    accept = "manual"
    if_operator_vanishes = "keep_if_healthy"
    on_failure = "hold"
    second_layer = "none"
    max_failed = 2
    max_unreachable = 3
    max_timed_out = 4
    max_refused = 5
    min_healthy = "10s"
    stop_timeout = "1m"
    connect = "3s"
    healthy_deadline = "1m"
    accept_window = "2m"
    health_poll = "500ms"
    node_request = "1s"
    operator_request = "4s"
    install_step = "5m"
    max_restarts = 0
    max_flaps = 1
    uploads = 2
    handshakes = 4
    handshakes_per_gateway = 1
    """
    policy, limits = effective_policy(cluster(tmp_path, written), profile)
    assert policy == Policy(
        batch=3,
        pause=Pause.AFTER_ROLE,
        accept=Accept.MANUAL,
        if_operator_vanishes=Vanished.KEEP_IF_HEALTHY,
        on_failure=OnFailure.HOLD,
        second_layer=SecondLayer.NONE,
        limit_failed=2,
        limit_unreachable=3,
        limit_timed_out=4,
        limit_refused=5,
    )
    assert limits == Limits(
        healthy_deadline_seconds=60,
        min_healthy_seconds=10,
        accept_window_seconds=120,
        health_poll_seconds=0.5,
        max_restarts=0,
        max_flaps=1,
        connect_seconds=3,
        node_request_seconds=1,
        operator_request_seconds=4,
        stop_seconds=60,
        install_step_seconds=300,
        uploads=2,
        handshakes=4,
        handshakes_per_gateway=1,
    )


def test_every_key_of_the_policy_table_has_an_effect(profile: Profile, tmp_path: Path) -> None:
    text = {"batch": "7", "pause": '"none"', "accept": '"manual"', "on_failure": '"hold"'}
    text |= {"if_operator_vanishes": '"hold"', "second_layer": '"none"'}
    before = effective_policy(cluster(tmp_path), profile)

    for key, info in type(cluster(tmp_path).policy).model_fields.items():
        is_time = "float" in str(info.annotation)
        value = text.get(key, '"7s"' if is_time else "7")
        assert effective_policy(cluster(tmp_path, f"{key} = {value}"), profile) != before, key
