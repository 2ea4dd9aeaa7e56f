"""A node behind a real SSH server of a test's own, and what an operator needs to reach it."""

import os
from pathlib import Path

import asyncssh

from backends.demo.sshd import Sshd
from backends.transport.admission import Admission
from backends.transport.prompt import Prompt, Secrets
from backends.transport.ssh import SshLink
from backends.transport.ssh_dialer import Dialer, Way

USER = "ann"


class SshNode:
    """One server on loopback; its files, and an operator's, are in `top`."""

    def __init__(self, top: Path, *, password: str | None = None) -> None:
        self.top = top
        self.home = top / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.key = asyncssh.generate_private_key("ssh-ed25519")
        self.server = Sshd(
            self.home,
            {"PATH": os.environ["PATH"], "HOME": str(self.home), "MARK": str(top)},
            host_key=asyncssh.generate_private_key("ssh-ed25519"),
            user=USER,
            keys=[self.key.convert_to_public()],
            password=password,
        )
        self.known_hosts = top / "known_hosts"
        self.identity = top / "identity"
        self.key.write_private_key(self.identity)
        self.identity.chmod(0o600)
        self.config = top / "ssh_config"
        self.write_config()

    def write_config(self, more: str = "") -> None:
        """What ssh config says; `more` goes to its end."""
        self.config.write_text(
            f"Host *\n  User {USER}\n  IdentityFile {self.identity}\n  IdentitiesOnly yes\n"
            f"  IdentityAgent none\n  UserKnownHostsFile {self.known_hosts}\n{more}"
        )

    async def start(self) -> None:
        """Listen, and be known."""
        await self.server.start()
        self.known_hosts.write_text(self.server.known_hosts_line + "\n")

    def way(self, **changes: object) -> Way:
        """The way to it, as a cluster file says it."""
        said: dict[str, object] = {"node": "n1", "address": "127.0.0.1", "port": self.server.port}
        return Way(**{**said, **changes})  # type: ignore[arg-type]

    def dialer(self, *, prompt: Prompt | None = None, seconds: float = 5) -> Dialer:
        """What all its connections share."""
        return Dialer(
            seconds=seconds,
            admission=Admission(16, 8),
            config=self.config,
            secrets=Secrets(prompt) if prompt else None,
        )

    def link(self, **changes: object) -> SshLink:
        """A link to it."""
        return SshLink(self.way(**changes), self.dialer())
