"""The demo: a cluster of real SSH servers and real services in one process, and its end."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from backends.demo import beacons
from backends.demo.files import Ports, read_ports, write_files
from backends.demo.keys import key_in
from backends.demo.marker import Marker
from backends.demo.places import login, places_in
from backends.demo.ports import free_ports, is_free
from backends.demo.processes import end_processes, require_proc
from backends.demo.signing import sign_releases
from backends.demo.sshd import Sshd
from backends.domain.problem import Exit, LiftlockError, Problem

DEFAULT_NODES = 5
MAX_NODES = 100
"""Each is a process of some 20 MB and two ports."""

_LEASE_SECONDS = 0.5
_STARTS_AT_ONCE = 8


class Demo:
    """A cluster in a directory: made by the first start, opened again by every later one.

    What the directory holds is kept when it stops: keys, releases, versions, the nodes' state.
    Every process of it ends, and the services do within five seconds of a SIGKILL, too. It runs
    on the event loop of whoever started it, which must not be blocked for more than three
    seconds, or the services end for want of their lease.
    """

    def __init__(self, directory: Path, nodes: int | None = None) -> None:
        """`nodes` None: as many as the directory has, or `DEFAULT_NODES`. Nothing happens yet.

        Raises:
            LiftlockError: exit 2: `demo-path`, `demo-nodes`.
        """
        if nodes is not None and not 1 <= nodes <= MAX_NODES:
            raise LiftlockError(
                Problem(
                    "demo-nodes",
                    f"A demo has 1 to {MAX_NODES} nodes, not {nodes}.",
                    advice="Name another number.",
                ),
                Exit.USAGE,
            )
        self._places = places_in(directory)
        self._wanted = nodes
        self._stack: AsyncExitStack | None = None
        self._lease: asyncio.TimerHandle | None = None
        self._servers: dict[str, Sshd] = {}
        self._fresh = False
        self._notes: tuple[str, ...] = ()

    @property
    def directory(self) -> Path:
        """Where everything lies; absolute, links resolved."""
        return self._places.top

    @property
    def cluster_file(self) -> Path:
        """What to give to every command."""
        return self._places.cluster_file

    @property
    def releases(self) -> dict[str, Path]:
        """Version -> tarball: a good one, and one that never becomes healthy."""
        return {version: beacons.tarball(self._places, version) for version in beacons.RELEASES}

    @property
    def fresh(self) -> bool:
        """Whether the nodes' versions are not recorded as finalized yet: `adopt` is missing.

        So it is when this start laid them down, or an earlier one that came to no adopt.
        """
        return self._fresh

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not as it should be and still no reason not to start, in words."""
        return self._notes

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes that run, in order."""
        return tuple(self._servers)

    def node(self, name: str) -> Sshd:
        """A running node's SSH server, whose connections can be cut.

        Raises KeyError.
        """
        return self._servers[name]

    async def start(self) -> None:
        """Start every node's service and SSH server; returns when all of them answer.

        Processes that an earlier demo in this directory left are ended first, as if the nodes
        had been switched off; then each node starts the version that its pointer selects.

        Raises:
            LiftlockError: exit 2: `demo-directory`, `demo-nodes`, `demo-no-proc`, `demo-ports`,
                `demo-key`, `demo-start`; exit 7: `demo-running`; exit 1: `demo-beacon`; exit 6:
                `demo-processes-left`. Whatever was started has been ended.
        """
        if self._stack is not None:
            raise AssertionError("it runs")
        require_proc()
        try:
            async with AsyncExitStack() as stack:
                marker = Marker(self._places.marker, self._wanted, DEFAULT_NODES)
                stack.callback(marker.release)
                await self._begin([f"n{number + 1}" for number in range(marker.nodes)], stack)
                self._stack = stack.pop_all()
        except OSError as error:
            raise LiftlockError(
                Problem(
                    "demo-start",
                    f"The demo in {self.directory} could not be started.",
                    str(error),
                    "Nothing of it runs. See to what is named, then start it again.",
                ),
                Exit.USAGE,
            ) from error

    async def stop(self) -> None:
        """Stop listening and end every process of the demo; the directory stays.

        May be called again, and without `start`.

        Raises:
            LiftlockError: `demo-processes-left`, exit 6.
        """
        stack, self._stack = self._stack, None
        if stack is not None:
            await stack.aclose()

    async def _begin(self, names: list[str], stack: AsyncExitStack) -> None:
        places = self._places
        stack.push_async_callback(end_processes, places.top)
        await end_processes(places.top)
        places.make(names)
        beacons.build_releases(places)
        sign_releases(places)
        laid = [beacons.lay_down(places, name) for name in names]
        self._fresh = any(laid) or not any(_has_entries(places.state(name)) for name in names)
        stack.callback(self._let_lease_run_out)
        self._keep_lease()
        ports = await self._listen(names, stack)
        await self._start_beacons(ports, is_first=any(laid))

    async def _listen(self, names: list[str], stack: AsyncExitStack) -> dict[str, Ports]:
        """Start the SSH servers; the files are written when anything in them is new."""
        places = self._places
        known = read_ports(places, names)
        operator = key_in(places.operator_key, "liftlock-demo").convert_to_public()
        servers = {
            name: Sshd(
                places.home(name),
                places.environment(name),
                host_key=key_in(places.host_key(name), f"liftlock-demo-{name}"),
                user=login(),
                keys=[operator],
            )
            for name in names
        }
        ports = _still_free(known)
        missing = [name for name in names if name not in ports]
        found = iter(free_ports(2 * len(missing), _all(ports)))
        ports.update({name: Ports(next(found), next(found)) for name in missing})
        ports = {name: ports[name] for name in names}
        self._servers = servers
        stack.push_async_callback(self._close)
        for name, node in servers.items():
            await node.start(ports[name].ssh)
        if ports != known:
            write_files(places, ports, [node.known_hosts_line for node in servers.values()])
        return ports

    async def _start_beacons(self, ports: dict[str, Ports], *, is_first: bool) -> None:
        """Start every node's service. In an old demo one that does not start is a note only."""
        gate = asyncio.Semaphore(_STARTS_AT_ONCE)

        async def start(name: str) -> str:
            version = beacons.selected(self._places, name)
            if version is None:
                return f"{name}: no version is selected that could be started"
            try:
                async with gate:
                    await beacons.start(self._places, name, version, ports[name].beacon)
            except LiftlockError as error:
                if is_first:
                    raise
                return f"{error.problem.summary} {error.problem.evidence}"
            return ""

        said = await asyncio.gather(*map(start, ports), return_exceptions=True)
        for each in said:
            if isinstance(each, BaseException):
                raise each
        self._notes = tuple(str(each) for each in said if each)

    async def _close(self) -> None:
        nodes, self._servers = self._servers, {}
        await asyncio.gather(*(node.close() for node in nodes.values()))

    def _keep_lease(self) -> None:
        self._places.lease.touch(mode=0o600)
        loop = asyncio.get_running_loop()
        self._lease = loop.call_later(_LEASE_SECONDS, self._keep_lease)

    def _let_lease_run_out(self) -> None:
        if self._lease is not None:
            self._lease.cancel()
            self._lease = None


def _still_free(known: dict[str, Ports]) -> dict[str, Ports]:
    """The nodes that can have their ports again."""
    return {
        name: each for name, each in known.items() if is_free(each.ssh) and is_free(each.beacon)
    }


def _all(ports: dict[str, Ports]) -> list[int]:
    return [port for each in ports.values() for port in (each.ssh, each.beacon)]


def _has_entries(directory: Path) -> bool:
    return directory.is_dir() and any(directory.iterdir())
