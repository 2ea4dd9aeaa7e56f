"""The SSH server of one node: asyncssh on loopback with the manners of OpenSSH's sshd."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import asyncssh

from backends.demo.session import Account, Session

ADDRESS = "127.0.0.1"
"""The only address that is ever listened on."""

_END_SECONDS = 1.0
"""How long commands get to notice that their pipes are closed, when the node goes."""

_LOOK_SECONDS = 0.005
_ROUNDS = 5
"""Turns of the event loop until what was accepted is a connection that can be cut."""


class Sshd:
    """One node's SSH server.

    Every command runs as `sh -c` in `home`, in a session of its own, with `environment` and
    nothing else; whoever asks for a shell gets a login shell without a terminal. Forwarding,
    SFTP, SCP and agents are refused.
    """

    def __init__(
        self,
        home: Path,
        environment: Mapping[str, str],
        *,
        host_key: asyncssh.SSHKey,
        user: str,
        keys: Sequence[asyncssh.SSHKey] = (),
        password: str | None = None,
    ) -> None:
        """`user` logs in with one of `keys` (public ones), or with `password` if there is one."""
        self._account = Account(home, dict(environment))
        self._host_key = host_key
        self._user = user
        self._keys = tuple(keys)
        self._password = password
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """Where it listens; 0 before `start`."""
        return self._port

    @property
    def connections(self) -> int:
        """How many connections there are, with those that have not logged in yet."""
        return len(self._connections)

    @property
    def known_hosts_line(self) -> str:
        """Its line of a known_hosts file, without the end of the line."""
        kind, key = self._host_key.export_public_key().decode("ascii").split()[:2]
        return f"[{ADDRESS}]:{self._port} {kind} {key}"

    async def start(self, port: int = 0) -> None:
        """Listen; 0 takes any port.

        Raises:
            OSError: The port is taken.
        """
        self._acceptor = await asyncssh.listen(
            ADDRESS,
            port,
            server_factory=self._login,
            server_host_keys=[self._host_key],
            encoding=None,
            line_editor=False,
            kbdint_auth=False,
            host_based_auth=False,
            gss_host=None,
            compression_algs=None,
            config=None,
        )
        self._port = self._acceptor.get_port()

    def present(self, host_key: asyncssh.SSHKey) -> None:
        """Show another host key to whoever connects from now on."""
        self._host_key = host_key
        if self._acceptor is not None:
            self._acceptor.update(server_host_keys=[host_key])

    def drop(self) -> int:
        """Cut every connection without a word and go on listening; how many there were."""
        cut = [*self._connections]
        for connection in cut:
            connection.abort()
        return len(cut)

    async def close(self) -> None:
        """Stop listening and cut every connection; may be called again.

        A command that hangs on although its pipes are closed is killed after a second; what it
        has detached lives on.
        """
        acceptor, self._acceptor = self._acceptor, None
        if acceptor is not None:
            acceptor.close()
        quiet = 0
        while quiet < _ROUNDS:
            quiet = 0 if self.drop() else quiet + 1
            await asyncio.sleep(0)
        if acceptor is not None:
            await acceptor.wait_closed()  # from Python 3.12 on it waits for connections, too
        await self._bury()
        for child in self._account.children:
            child.kill()
        await self._bury()

    def _login(self) -> "_Login":
        return _Login(self._account, self._user, self._keys, self._password, self._connections)

    async def _bury(self) -> None:
        for _ in range(int(_END_SECONDS / _LOOK_SECONDS)):
            if not self._account.children:
                return
            await asyncio.sleep(_LOOK_SECONDS)


class _Login(asyncssh.SSHServer):
    """Who may come in, and that nothing but sessions is to be had."""

    def __init__(
        self,
        account: Account,
        user: str,
        keys: tuple[asyncssh.SSHKey, ...],
        password: str | None,
        connections: set[asyncssh.SSHServerConnection],
    ) -> None:
        self._account = account
        self._user = user
        self._keys = keys
        self._password = password
        self._connections = connections
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._connection is not None:
            self._connections.discard(self._connection)

    def begin_auth(self, _username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == self._user and key in self._keys

    def password_auth_supported(self) -> bool:
        return self._password is not None

    def validate_password(self, username: str, password: str) -> bool:
        return username == self._user and password == self._password

    def session_requested(self) -> Session:
        return Session(self._account)
