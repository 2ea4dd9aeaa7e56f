"""A real node and a simulated one behind the same few methods, and what may differ between them.

Everything that is said is kept and compared word by word. Only times, processes, places and what
is a hash of those are reduced to their type.
"""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from backends.node import wire
from backends.node.facts import Reader
from backends.node.journal import frame
from backends.node.places import Places
from backends.sim.behaviour import NEVER_HEALTHY
from backends.sim.clock import SimClock
from backends.sim.content import Content, sha256_of
from backends.sim.link import SimChannel, SimLink
from backends.sim.node import SimNode
from backends.transport.payload import pack
from tests.support import beacon
from tests.support.beacon import RELEASE, Beacon
from tests.support.node import POLICY, Answer, Node, wait_until, within

Message = dict[str, Any]

VOLATILE = frozenset(
    {
        *("bt", "wt", "bid", "p", "plan", "offset", "looked", "file"),
        *("boot_id", "pid", "pids", "start_id", "before", "now"),
        *("time", "since", "seconds", "seconds_left", "until", "spent", "read"),
        *("log", "last"),
        *("backups_bytes", "staged_bytes", "data_bytes"),
    }
)
"""Values of these names are compared by type; their being there at all is compared like the rest.

`file` is the hash of a side file that holds inodes and times; `log` is the product's own words,
`last` the newest record's type while a trial counts its time.
"""

RUN = "1120-aaa"

_REFUSED = "[Errno 111] Connection refused"


class Side:
    """One node, and all that it said."""

    document: Message

    def __init__(self) -> None:
        self.said: list[tuple[str, list[Message]]] = []

    def ask(self, command: str, label: str = "", **args: Any) -> Answer:
        """Ask, and keep what was said."""
        answer = self._ask(self.request(command, **args))
        self.said.append((label or command, answer.messages))
        return answer

    def look(self) -> Message:
        """The facts, kept."""
        return self.ask("status").all("facts")[0]

    def request(self, command: str, **args: Any) -> Message:
        """The request line's content."""
        return {
            "protocol": wire.PROTOCOL,
            "command": command,
            "product": self.document,
            "state_dir": self.state_dir,
            "args": {"operator": "ann@jump", "request": "r7k2", **args},
        }

    def stage(self, release: Beacon, run: str = RUN) -> Answer:
        """Push a release."""
        answer = self._stage(release, run)
        self.said.append(("stage", answer.messages))
        return answer

    def preflight(self, release: Beacon) -> Answer:
        """What is asked before anything is sent."""
        size = sum(entry["size"] for entry in release.files)
        about = {"bytes": size, "files": 3, "second_layer": "none", "release": RELEASE}
        return self.ask("check", "preflight", scope="preflight", now=time.time(), **about)

    def check(self, release: Beacon, run: str = RUN) -> Answer:
        about = {"run": run, "version": release.version, "digest": release.digest}
        return self.ask(
            "check", "check staged", scope="staged", now=time.time(), release=RELEASE, **about
        )

    def install(self, release: Beacon, run: str = RUN, **policy: str) -> Answer:
        about = {"run": run, "version": release.version, "digest": release.digest}
        return self.ask("install", **about, policy={**POLICY, **policy}, reason="")

    def begin(self, release: Beacon, run: str = RUN, **policy: str) -> None:
        """Stage, check and begin to install."""
        assert self.stage(release, run).outcome == "ok"
        assert self.check(release, run).outcome == "ok"
        assert self.install(release, run, **policy).outcome == "ok"

    def accept(self, release: Beacon, run: str = RUN) -> None:
        """From nothing open to accepted."""
        self.begin(release, run)
        self.until_healthy()
        assert self.ask("accept", run=run, how="auto", reason="").outcome == "ok"
        self.until(lambda facts: not facts["transaction"]["driver"])

    def until_healthy(self) -> None:
        self.until(lambda facts: bool((facts["transaction"] or {}).get("healthy")))

    def until_closed(self) -> None:
        self.until(lambda facts: facts["transaction"] is None)

    def until(self, reached: Callable[[Message], bool]) -> None:
        """Wait for the facts to be so; nothing of it is kept."""
        raise NotImplementedError

    @property
    def state_dir(self) -> str:
        raise NotImplementedError

    def put_in_place(self, release: Beacon) -> None:
        """Lay a version down by hand and start it; nobody has adopted it."""
        raise NotImplementedError

    def kill_driver(self) -> None:
        raise NotImplementedError

    def _ask(self, request: Message) -> Answer:
        raise NotImplementedError

    def _stage(self, release: Beacon, run: str) -> Answer:
        raise NotImplementedError

    def watch(self, **args: float) -> "Watching":
        """Begin to watch."""
        raise NotImplementedError

    def kill_service(self) -> None:
        """End the product's process."""
        raise NotImplementedError

    def restart_service(self, version: str) -> None:
        """Have another process take the place of the product's."""
        raise NotImplementedError

    def edit(self, version: str, path: str) -> Callable[[], None]:
        """Change a file of a version by hand; how to put it back."""
        raise NotImplementedError

    def disable(self, reason: str | None) -> None:
        """Mark the node as closed to upgrades, as a person does, or open it again."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave nothing behind."""


class Watching:
    """A watch, message by message."""

    def __init__(self, take: Callable[[], bytes], leave: Callable[[], None]) -> None:
        self._take = take
        self.leave = leave
        self.said: list[Message] = []

    def until(self, reached: Callable[[Message], bool]) -> Message:
        """Go on to a message that is as wanted."""
        while True:
            message = wire.decode(self._take())
            self.said.append(message)
            if reached(message):
                return message


class RealSide(Side):
    """The packed updater in a process of its own."""

    def __init__(self, top: Path) -> None:
        super().__init__()
        self.node = Node(top)
        self.document = self.node.document

    @property
    def state_dir(self) -> str:
        return str(self.node.state)

    def _ask(self, request: Message) -> Answer:
        args = dict(request["args"])
        return self.node.ask(request["command"], **args)

    def _stage(self, release: Beacon, run: str) -> Answer:
        return self.node.stage(release, run)

    def until(self, reached: Callable[[Message], bool]) -> None:
        """Read in this process: asking costs one."""
        places = Places(str(self.node.state), "beacon", str(self.node.directory))
        wait_until(lambda: reached(Reader(places, self.document).quick()))

    def put_in_place(self, release: Beacon) -> None:
        tree = self.node.directory / release.version
        for name, (mode, data) in release.content.items():
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(mode)
        pointer = self.node.directory / ".version"
        pointer.write_text(f"{release.version}\n")
        for path in (pointer, tree, *tree.rglob("*")):
            os.utime(path, (beacon.CREATED, beacon.CREATED))
        self.node.control(release.version, "start")
        pid = tree / "beacon.pid"
        wait_until(lambda: pid.exists() and pid.read_text().strip())

    def kill_driver(self) -> None:
        self.node.kill_drivers()

    def kill_service(self) -> None:
        pids = [pid for tree in self.node.directory.iterdir() for pid in within(tree)]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def restart_service(self, version: str) -> None:
        self.node.control(version, "restart")

    def edit(self, version: str, path: str) -> Callable[[], None]:
        file = self.node.directory / version / path
        before = file.stat(), file.read_bytes()
        file.write_bytes(b"changed by hand\n")

        def put_back() -> None:
            file.write_bytes(before[1])
            os.utime(file, ns=(before[0].st_atime_ns, before[0].st_mtime_ns))

        return put_back

    def disable(self, reason: str | None) -> None:
        mark = self.node.home / "disabled"
        mark.unlink() if reason is None else mark.write_text(reason)

    def watch(self, **args: float) -> Watching:
        process = self.node.start("watch", **args)

        def leave() -> None:
            process.kill()
            process.communicate()

        assert process.stdout is not None
        return Watching(process.stdout.readline, leave)

    def close(self) -> None:
        self.node.close()


class SimSide(Side):
    """The simulated updater, spoken to through its link, its clock moved by hand."""

    state_dir = "/var/lib/liftlock"

    def __init__(self) -> None:
        super().__init__()
        self.clock = SimClock()
        self.node = SimNode("n1", self.clock, user=os.geteuid())
        self.node.python = ".".join(map(str, sys.version_info[:3]))
        self.document = beacon.document("/opt/beacon", 8080, "/run/lease")
        self.raw: list[bytes] = []
        self._runner = asyncio.Runner()

    def put_in_place(self, release: Beacon) -> None:
        self.node.put_in_place(Content(release.version, tuple(release.files)))
        self.clock.wind(1)

    def kill_driver(self) -> None:
        self.node.kill_driver()

    def until(self, reached: Callable[[Message], bool]) -> None:
        give_up = self.clock.now() + 120
        while True:
            (facts,) = self._ask(self.request("status")).all("facts")
            if reached(facts):
                return
            assert self.clock.now() < give_up, facts
            self.clock.wind(0.1)

    def _ask(self, request: Message) -> Answer:
        return self._runner.run(self._talk(request, None))

    def _stage(self, release: Beacon, run: str) -> Answer:
        if "sick" in release.content:
            self.node.behaviours[release.version] = NEVER_HEALTHY
        manifest = {"sha256": sha256_of(release.manifest), "size": len(release.manifest)}
        about = {"run": run, "version": release.version, "digest": release.digest}
        about |= {"packaged": release.packaged, "configuration": release.configuration}
        # As the real node's is staged here: with no id of the request.
        about |= {"manifest": manifest, "plan": {"run": run}, "request": None}
        request = self.request("stage", **about)
        return self._runner.run(self._talk(request, release))

    async def _talk(self, request: Message, release: Beacon | None) -> Answer:
        payload, messages = pack(), []
        wanted: list[tuple[str, int, int]] = []
        async with SimLink(self.node).open(payload.start()) as channel:
            await channel.write(payload.opening(request))
            while True:
                raw = await self._next_line(channel)
                if not raw:
                    break
                self.raw.append(raw)
                message = wire.decode(raw)
                messages.append(message)
                if release is None:
                    continue
                if message["t"] == "hello":
                    about = request["args"]["manifest"]
                    header = wire.frame_header(about["sha256"], 0, about["size"])
                    await channel.write(header + release.manifest)
                    for data in release.fetched.values():
                        header = wire.frame_header(sha256_of(data), 0, len(data))
                        await channel.write(header + data)
                if message["t"] == "need":
                    wanted += [tuple(item) for item in message["blobs"]]
                if message["t"] == "send":
                    for sha, offset, _ in wanted:
                        data = release.blob(sha)[offset:]
                        await channel.write(wire.frame_header(sha, offset, len(data)) + data)
                    await channel.write(wire.END_OF_FRAMES)
            assert await channel.exit_status() == 0
        return Answer(messages, channel.stderr())

    def kill_service(self) -> None:
        self.node.stop_service()

    def restart_service(self, version: str) -> None:
        self.node.start_service(version)

    def edit(self, version: str, path: str) -> Callable[[], None]:
        self.node.change_file(version, path)
        return lambda: self.node.disk.trees[version].changed.discard(path)

    def disable(self, reason: str | None) -> None:
        self.node.disable(reason)

    def watch(self, **args: float) -> Watching:
        opened = AsyncExitStack()

        async def begin() -> SimChannel:
            link, payload = SimLink(self.node), pack()
            channel = await opened.enter_async_context(link.open([]))
            await channel.write(payload.opening(self.request("watch", **args)))
            return channel

        channel = self._runner.run(begin())
        return Watching(
            lambda: self._runner.run(self._next_line(channel)),
            lambda: self._runner.run(opened.aclose()),
        )

    async def _next_line(self, channel: SimChannel) -> bytes:
        """The next line, and the time that passes before it."""
        async with asyncio.TaskGroup() as group:
            line = group.create_task(channel.line())
            await asyncio.sleep(0)
            while not line.done():
                await self.clock.advance(0.1)
        return line.result()

    def close(self) -> None:
        self._runner.close()


# --- what may differ ----------------------------------------------------------------------------


def plain(side: Side, message: Any, key: str = "") -> Any:
    """A message with only what must be equal on both sides."""
    if isinstance(message, dict):
        return {name: plain(side, value, name) for name, value in sorted(message.items())}
    if isinstance(message, list):
        return [plain(side, item, key) for item in message]
    if key in VOLATILE and message is not None:
        return f"<{'number' if isinstance(message, int | float) else 'text'}>"
    if isinstance(message, str):
        text = message.replace(side.document["directory"], "DIR").replace(side.state_dir, "STATE")
        text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", text)
        text = re.sub(r"pid \d+", "pid N", text)
        # How one hears of a service that was killed depends on the moment.
        text = re.sub(
            r"\[Errno 104\] Connection reset by peer|Remote end closed connection[a-z ]*",
            _REFUSED,
            text,
        )
        text = re.sub(r"\bdied at (TICK|HEALTHY)", "died at some point of the trial", text)
        text = re.sub(r"^\d\.\d s from the", "N s from the", text)
        text = re.sub(r"(?s)^Traceback.*\n(?=\S)", "", text)
        return re.sub(r"\b(since|at) \d{4}-[-0-9: Z]+", r"\1 WHEN", text)
    return message


def transcript(side: Side) -> list[tuple[str, list[Any]]]:
    """All that was said, step by step. How often time was counted is no part of it."""
    return [
        (label, [plain(side, message) for message in messages if not is_tick(message)])
        for label, messages in side.said
    ]


def is_tick(message: Message) -> bool:
    """Whether it only says that time passed."""
    return message["t"] == "beat" or message.get("record", {}).get("t") == "TICK"


def without_numbers(steps: list[tuple[str, list[Any]]]) -> list[tuple[str, list[Any]]]:
    """Without the records' own numbers: between them, time may have been counted more often."""
    for _, messages in steps:
        for message in messages:
            if "record" in message:
                message["record"]["n"] = "<number>"
    return steps


def assert_offsets(messages: list[Message]) -> None:
    """Offsets of a journal that was read from its beginning are byte offsets."""
    end = 0
    for number, message in enumerate(m for m in messages if m["t"] == "record"):
        end += len(frame(message["record"]))
        assert message["record"]["n"] == number
        assert message["offset"] == end
