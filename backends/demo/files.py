"""The files by which programs find the demo: cluster file, profile, ssh_config, known_hosts.

A path in here is plain (`places_in` saw to that): quotes are enough in every format.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backends.demo.places import MARK, Places, login, write_private
from backends.demo.sshd import ADDRESS

NAME = "demo"
PRODUCT = "beacon"


@dataclass(frozen=True, slots=True)
class Ports:
    """The two ports of one node."""

    ssh: int
    beacon: int


def read_ports(places: Places, nodes: Iterable[str]) -> dict[str, Ports]:
    """The ports that the cluster file gives to these nodes.

    Nothing, when it is not there, does not name them all, or was made for another directory.
    """
    try:
        lines = tomllib.loads(places.cluster_file.read_text("utf-8"))["nodes"]
        if any(lines[node]["state_dir"] != str(places.state(node)) for node in nodes):
            return {}
        return {node: Ports(_port(lines[node]), _port(lines[node]["vars"])) for node in nodes}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _port(table: Mapping[str, object]) -> int:
    port = table["port"]
    if not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError(f"{port!r} is no port")
    return port


def write_files(places: Places, ports: Mapping[str, Ports], known_hosts: Iterable[str]) -> None:
    """Write all four; the cluster file last, for it is what the others are found by.

    Raises:
        OSError: One of them cannot be written.
    """
    for path, text in (
        (places.known_hosts, "".join(f"{line}\n" for line in known_hosts)),
        (places.ssh_config, _ssh_config(places, ports)),
        (places.profile, _profile(places)),
        (places.cluster_file, _cluster_file(places, ports)),
    ):
        write_private(path, text.encode("utf-8"))


def _cluster_file(places: Places, ports: Mapping[str, Ports]) -> str:
    nodes = "\n".join(
        f'{node} = {{ address = "{ADDRESS}", port = {each.ssh},'
        f"{' canary = true,' if number == 0 else ''}"
        f' state_dir = "{places.state(node)}", vars = {{ port = {each.beacon} }} }}'
        for number, (node, each) in enumerate(ports.items())
    )
    return f"""\
# The demo's cluster: real SSH, real processes, all on this machine.
# Change [policy] as you like. The whole file is written anew when a port is taken by somebody
# else, or when the directory was moved.

[cluster]
name = "{NAME}"
product = "{PRODUCT}"
profile = "{places.profile.name}"
signatures = "required"
allowed_signers = "{places.signers.name}"
known_hosts = "{places.known_hosts.name}"
ssh_config = "{places.ssh_config.name}"
operator_state = "{places.operator_state.name}"

[defaults]
user = "{login()}"

[nodes]
{nodes}

[policy]
pause = "none"
connect = "2s"
min_healthy = "2s"
healthy_deadline = "6s"
accept_window = "20s"
health_poll = "100ms"
second_layer = "none"
"""


def _profile(places: Places) -> str:
    # The updater gives services a clean environment: the mark, by which the demo ends them, and
    # the interpreter, which may not be on the usual path, go with them here.
    return f"""\
[product]
name = "{PRODUCT}"
directory = "{places.product("{node}")}"

[service]
kind = "control"
pid_file = "beacon.pid"
log = "control tail"
stop_timeout = "5s"
start_timeout = "5s"

[service.env]
BEACON_PORT = "{{vars.port}}"
BEACON_LEASE = "{places.lease}"
BEACON_PYTHON = "{places.python}"
{MARK} = "{places.top}"

[[health]]
kind = "http"
url = "http://{ADDRESS}:{{vars.port}}/health"
version_field = "version"
timeout = "2s"
"""


def _ssh_config(places: Places, ports: Mapping[str, Ports]) -> str:
    nodes = "".join(
        f"Host {node}\n    HostName {ADDRESS}\n    Port {each.ssh}\n\n"
        for node, each in ports.items()
    )
    return f"""\
# For `ssh -F {places.ssh_config.name} n1 COMMAND`, and for Liftlock: nothing of your own counts.

{nodes}Host *
    User {login()}
    IdentityFile "{places.operator_key}"
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile "{places.known_hosts}"
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
"""
