"""Where everything of a demo lies, and how a file gets there: whole, and nobody else's to read."""

import os
import pwd
import re
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.settings.locations import ensure_private

MARK = "LIFTLOCK_DEMO"
"""Every process of a demo has this in its environment, with the demo's directory as value."""

_PLAIN = re.compile(r"/[A-Za-z0-9_.+@ /-]*")
"""What a cluster file takes as `state_dir`; it needs no quotes in TOML and in ssh_config."""

_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}")
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Places:
    """All paths of one demo."""

    top: Path

    @property
    def marker(self) -> Path:
        """Says that a demo made the directory; locked while it runs."""
        return self.top / ".liftlock-demo"

    @property
    def cluster_file(self) -> Path:
        """What every command of Liftlock is given."""
        return self.top / "cluster.toml"

    @property
    def profile(self) -> Path:
        """Beacon's profile."""
        return self.top / "beacon.toml"

    @property
    def ssh_config(self) -> Path:
        """Read instead of the operator's own."""
        return self.top / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """Every node's host key."""
        return self.top / "known_hosts"

    @property
    def keys(self) -> Path:
        """Private keys, and their public halves."""
        return self.top / "keys"

    @property
    def operator_key(self) -> Path:
        """What the operator logs in with; the public half lies beside it, with `.pub`."""
        return self.keys / "operator"

    @property
    def release_key(self) -> Path:
        """What releases are signed with."""
        return self.keys / "release"

    @property
    def signers(self) -> Path:
        """Whose signature a release needs: allowed_signers of the cluster."""
        return self.top / "signers"

    @property
    def releases(self) -> Path:
        """Tarballs, manifests and signatures."""
        return self.top / "releases"

    @property
    def operator_state(self) -> Path:
        """Run history and locks of who operates the demo."""
        return self.top / "operator"

    @property
    def lease(self) -> Path:
        """Touched all the time; a beacon ends when nobody does."""
        return self.top / "lease"

    @property
    def python(self) -> Path:
        """A link to our own interpreter, under the name that a node is searched for."""
        return self.top / "bin" / "python3"

    def host_key(self, node: str) -> Path:
        """The private host key of a node."""
        return self.keys / f"{node}_host"

    def home(self, node: str) -> Path:
        """Where commands on a node start."""
        return self.top / "nodes" / node / "home"

    def state(self, node: str) -> Path:
        """The updater's state on a node; the updater makes it."""
        return self.top / "nodes" / node / "state"

    def product(self, node: str) -> Path:
        """Where the versions of beacon lie on a node."""
        return self.top / "nodes" / node / "opt" / "beacon"

    def environment(self, node: str) -> dict[str, str]:
        """All that commands on a node find in their environment."""
        return {
            "HOME": str(self.home(node)),
            "PATH": f"{self.python.parent}:{_PATH}",
            "LANG": "C.UTF-8",
            "LOGNAME": login(),
            "USER": login(),
            "SHELL": "/bin/sh",
            MARK: str(self.top),
        }

    def make(self, nodes: list[str]) -> None:
        """Create every directory, private, and the link to the interpreter.

        Raises:
            LiftlockError: exit 2: as `ensure_private`.
        """
        for path in (self.keys, self.releases, self.operator_state, self.python.parent):
            ensure_private(path)
        ensure_private(self.top / "nodes")
        for node in nodes:
            ensure_private(self.top / "nodes" / node)
            ensure_private(self.home(node))
            ensure_private(self.product(node).parent)
            ensure_private(self.product(node))
        with suppress(FileNotFoundError):
            self.python.unlink()  # the interpreter may be another one than last time
        self.python.symlink_to(os.path.realpath(sys.executable))


def places_in(directory: Path) -> Places:
    """The places below a directory, which need not exist; links are followed once, here.

    Raises:
        LiftlockError: `demo-path`, exit 2: the path has characters that the files of a demo
            cannot hold.
    """
    top = Path(os.path.realpath(directory))
    if not _PLAIN.fullmatch(str(top)) or str(top) == "/":
        raise LiftlockError(
            Problem(
                "demo-path",
                f"A demo cannot live in {str(top)!a}.",
                "Cluster files and ssh_config take letters, digits, spaces and . _ + @ - in it.",
                "Name another directory.",
            ),
            Exit.USAGE,
        )
    return Places(top)


def login() -> str:
    """The name to log in with: that of whoever runs this, where it is a plain one."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        name = ""
    return name if _LOGIN.fullmatch(name) else "demo"


def write_private(path: Path, content: bytes) -> None:
    """Put a file in place as a whole, 0600."""
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(fd, "wb") as stream:
            stream.write(content)
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
