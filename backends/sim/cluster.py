"""A cluster of simulated nodes, with the files that describe it and a hand to drive it.

The hand asks as any operator's side does, in wire lines and over the same entry, and lets the time
pass that it takes. So what a scene shows has really happened on its nodes.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.domain.policy import Limits
from backends.node import wire
from backends.sim.clock import SimClock
from backends.sim.content import SimRelease, sha256_of, sim_release
from backends.sim.link import SimLink
from backends.sim.node import SimNode
from backends.sim.updater import Updater
from backends.transport.link import Link
from backends.transport.payload import pack

OPERATOR = "ann@jump"
PRODUCT = "beacon"
DIRECTORY = "/opt/beacon"
PORT = "8080"
ROLES = ("canary", "voter", "leader")

SIGNED = {"by": "release@harbor", "key": "SHA256:of-a-scene"}
"""Who vouches for what scenes stage by themselves."""

POLICY = {"if_operator_vanishes": "rollback", "on_failure": "rollback", "second_layer": "none"}

_LONGEST_SECONDS = 3600.0
"""How long a scene waits at most for a node to come to rest."""

Message = dict[str, Any]


class Unexpected(Exception):
    """A node said something else than the scene is made of."""


@dataclass(frozen=True, slots=True)
class Place:
    """One node's line in the cluster file."""

    name: str
    address: str
    role: str
    canary: bool = False


class SimCluster:
    """Nodes by name, in the order of the cluster file."""

    def __init__(
        self, name: str, clock: SimClock, places: Iterable[Place], limits: Limits | None = None
    ) -> None:
        self.name = name
        self.clock = clock
        self.limits = limits or Limits()
        self.places = {place.name: place for place in places}
        self.nodes = {each: SimNode(each, clock) for each in self.places}

    def link(self, name: str) -> Link:
        """A link to a node."""
        return SimLink(self.nodes[name])

    def release(self, version: str) -> SimRelease:
        """A release of the product that these nodes run."""
        return sim_release(version, PRODUCT)

    def document(self, name: str) -> dict[str, Any]:
        """What the updater is told about the product on this node, as the profile says it."""
        place, limits = self.places[name], self.limits
        return {
            "name": PRODUCT,
            "directory": DIRECTORY,
            "layout": "versions",
            "pointer": ".version",
            "directories": [],
            "keep": [],
            "config": [],
            "owner": "",
            "values": {
                "node": name,
                "address": place.address,
                "role": place.role,
                "vars.port": PORT,
                "directory": DIRECTORY,
            },
            "service": {
                "kind": "control",
                "control": "control",
                "env": {"BEACON_PORT": "{vars.port}"},
                "pid_file": f"{PRODUCT}.pid",
                "commands": None,
                "unit": None,
                "triggers": [],
                "script": None,
                "definition": None,
                "on_stop_timeout": "abort",
                "stop_timeout": limits.stop_seconds,
                "start_timeout": 60.0,
                "request_timeout": limits.node_request_seconds,
                "log": "control tail",
            },
            "health": [
                {
                    "name": "http-1",
                    "kind": "http",
                    "level": "hard",
                    "timeout": 5.0,
                    "url": "http://127.0.0.1:{vars.port}/health",
                    "status": 200,
                    "version_field": "version",
                    "command": None,
                    "address": None,
                    "path": None,
                    "package": None,
                }
            ],
            "check": {
                "parse": None,
                "directory": None,
                "timeout": 20.0,
                "contract": "exit",
            },
            "hooks": [],
            "data": {
                "directories": [],
                "old_can_read": None,
                "unattended": "keep",
                "timeout": 60.0,
            },
            "facts": {"version": None},
            "named": {},
            "leader": None,
            "limits": {
                "healthy_deadline": limits.healthy_deadline_seconds,
                "min_healthy": limits.min_healthy_seconds,
                "accept_window": limits.accept_window_seconds,
                "health_poll": limits.health_poll_seconds,
                "max_restarts": limits.max_restarts,
                "max_flaps": limits.max_flaps,
                "install_step": limits.install_step_seconds,
            },
        }

    def write(self, folder: Path) -> Path:
        """Write the profile and the cluster file that mean these nodes; the latter's path."""
        (folder / f"{PRODUCT}.toml").write_text(_PROFILE.format(roles=json.dumps([*ROLES])))
        lines = [
            f'{place.name} = {{ address = "{place.address}", role = "{place.role}"'
            f"{', canary = true' if place.canary else ''}, vars = {{ port = {PORT} }} }}"
            for place in self.places.values()
        ]
        file = folder / f"{self.name}.toml"
        file.write_text(_CLUSTER.format(name=self.name) + "\n".join(lines) + "\n")
        return file

    # --- the hand ---------------------------------------------------------------------------

    def ask(self, name: str, command: str, **args: object) -> list[Message]:
        """Ask one question and let the time pass that the answer takes; all that was said."""
        return self._converse(name, command, args, None)

    def do(self, name: str, command: str, **args: object) -> list[Message]:
        """Ask for something that the node must do.

        Raises:
            Unexpected: It said no.
        """
        return _ok(name, command, self.ask(name, command, **args))

    def run_by_hand(self, version: str, *names: str) -> None:
        """Put a version in place and start it as a person would, on these nodes or on all."""
        for name in names or self.nodes:
            self.nodes[name].put_in_place(self.release(version).content)

    def adopt(self, *names: str, run: str = "1001-adp") -> None:
        """Record what runs as finalized, on these nodes or on all."""
        for name in names or self.nodes:
            (shown,) = [m for m in self.do(name, "adopt", preview=True) if m["t"] == "adopted"]
            version, digest = shown["version"], shown["digest"]
            self.do(name, "adopt", run=run, version=version, digest=digest)

    def stage(self, version: str, run: str, *names: str) -> None:
        """Stage a release on these nodes, and check it there."""
        release = self.release(version)
        sha, size = sha256_of(release.manifest), len(release.manifest)
        for name in names:
            about = {"run": run, "version": version, "digest": release.digest}
            manifest = {"sha256": sha, "size": size}
            args = {**about, "manifest": manifest, "plan": {"run": run}, "signature": SIGNED}
            _ok(name, "stage", self._converse(name, "stage", args, release))
            self.do(name, "check", scope="staged", **about)

    def install(self, name: str, version: str, run: str, **policy: str) -> None:
        """Begin to install what is staged and checked there."""
        digest = self.release(version).digest
        about = {"run": run, "version": version, "digest": digest, "reason": ""}
        self.do(name, "install", **about, policy={**POLICY, **policy})

    def until_healthy(self, name: str) -> None:
        """Let time pass until the node's trial is healthy."""
        self._until(name, lambda facts: bool((facts["transaction"] or {}).get("healthy")))

    def until_rest(self, name: str) -> None:
        """Let time pass until nothing more happens on the node by itself."""
        self._until(name, lambda facts: self.nodes[name].driver is None)

    def accept(self, name: str, run: str) -> None:
        """Accept the node's trial once it is healthy, and see its driver go."""
        self.until_healthy(name)
        self.do(name, "accept", run=run, how="auto", reason="")
        self.until_rest(name)

    def finalize(self, name: str, run: str) -> None:
        """Make what is accepted final."""
        digest = self.facts(name)["transaction"]["to"]["digest"]
        self.do(name, "finalize", run=run, digest=digest)
        self._until(name, lambda facts: facts["transaction"] is None)

    def upgrade(self, version: str, run: str, *names: str) -> None:
        """Bring these nodes to a version: accepted, still reversible."""
        self.stage(version, run, *names)
        for name in names:
            self.install(name, version, run)
            self.accept(name, run)

    def facts(self, name: str) -> Message:
        """All facts of a node, as it says them."""
        return next(m for m in self.do(name, "status") if m["t"] == "facts")

    def _until(self, name: str, reached: Any) -> None:
        give_up = self.clock.now() + _LONGEST_SECONDS
        while not reached(self.facts(name)):
            if self.clock.now() > give_up:
                raise Unexpected(f"{name} never came to that: {self.facts(name)}")
            self.clock.wind(0.5)

    def _converse(
        self, name: str, command: str, args: Mapping[str, object], release: SimRelease | None
    ) -> list[Message]:
        said: list[Message] = []
        ended: list[int] = []
        updater = Updater(
            self.nodes[name],
            lambda line: said.append(wire.decode(line)),
            lambda text: None,
            ended.append,
        )
        updater.feed(pack().opening(self._request(name, command, args)))
        if release is not None:
            manifest = release.manifest
            updater.feed(wire.frame_header(sha256_of(manifest), 0, len(manifest)) + manifest)
            wanted = [each[0] for m in said if m["t"] == "need" for each in m["blobs"]]
            for sha, data in release.blobs(wanted):
                updater.feed(wire.frame_header(sha, 0, len(data)) + data)
            updater.feed(wire.END_OF_FRAMES)
        give_up = self.clock.now() + _LONGEST_SECONDS
        while not ended and self.clock.now() < give_up:
            self.clock.wind(0.1)
        return said

    def _request(self, name: str, command: str, args: Mapping[str, object]) -> dict[str, object]:
        return {
            "protocol": wire.PROTOCOL,
            "command": command,
            "product": self.document(name),
            "state_dir": None,
            "args": {"operator": OPERATOR, **args},
        }


def _ok(name: str, command: str, said: list[Message]) -> list[Message]:
    if not said or said[-1].get("outcome") != "ok":
        raise Unexpected(f"{name}, {command}: {said[-1:]}")
    return said


_PROFILE = f"""\
[product]
name = "{PRODUCT}"
directory = "{DIRECTORY}"
roles = {{roles}}

[service]
kind = "control"
pid_file = "{PRODUCT}.pid"
env = {{{{ BEACON_PORT = "{{{{vars.port}}}}" }}}}
log = "control tail"

[[health]]
kind = "http"
url = "http://127.0.0.1:{{{{vars.port}}}}/health"
version_field = "version"
"""

_CLUSTER = """\
[cluster]
name = "{name}"
product = "beacon"
profile = "beacon.toml"
environment = "production"
signatures = "optional"

[nodes]
"""
