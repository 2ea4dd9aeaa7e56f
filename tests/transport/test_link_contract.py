"""What every link promises (transport.link). Each kind of link passes the same tests."""

import asyncio
import gc
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backends.node import wire
from backends.transport.link import MAX_STDERR, Channel, Link, LinkFailed
from backends.transport.local import LocalLink
from tests.support.node import within
from tests.support.ssh import SshNode


@pytest.fixture(params=["local", "ssh"])
async def link(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Link]:
    """One link of each kind."""
    if request.param == "local":
        yield LocalLink("n1")
        return
    node = SshNode(tmp_path / "node")
    await node.start()
    found = node.link()
    try:
        yield found
    finally:
        await found.close()
        await node.server.close()


async def read(channel: Channel) -> list[bytes]:
    """All lines."""
    found = []
    while line := await channel.line():
        found.append(line)
    return found


async def test_words_of_a_command_are_not_read_by_a_shell(link: Link) -> None:
    async with link.open(["printf", "%s\\n", "a b", "$HOME", "';x"]) as channel:
        assert await read(channel) == [b"a b\n", b"$HOME\n", b"';x\n"]
        assert await channel.exit_status() == 0


async def test_bytes_go_there_and_back_unchanged(link: Link) -> None:
    content = bytes(range(256)).replace(b"\n", b"") * 2000
    async with link.open(["cat"]) as channel:
        sending = asyncio.get_running_loop().create_task(_send(channel, content + b"\n"))
        assert await read(channel) == [content + b"\n"]
        await sending


async def test_an_exit_status_is_told_and_a_killed_command_has_none(link: Link) -> None:
    async with link.open(["sh", "-c", "exit 7"]) as channel:
        assert await read(channel) == []
        assert await channel.exit_status() == 7
    async with link.open(["sh", "-c", "kill -9 $$"]) as channel:
        assert await read(channel) == []
        assert await channel.exit_status() is None


async def test_row_67_a_line_without_an_end_is_refused_at_the_limit(link: Link) -> None:
    async with link.open(["sh", "-c", "tr '\\0' x </dev/zero"]) as channel:
        with pytest.raises(LinkFailed) as caught:
            await read(channel)
    assert caught.value.problem.code == "output-limit"


async def test_a_line_of_exactly_the_limit_is_read(link: Link) -> None:
    size = wire.MAX_LINE - 1
    async with link.open(["sh", "-c", f"head -c {size} /dev/zero | tr '\\0' x; echo"]) as channel:
        assert [len(line) for line in await read(channel)] == [wire.MAX_LINE]


async def test_standard_error_is_kept_up_to_its_limit(link: Link) -> None:
    async with link.open(["sh", "-c", "yes | head -c 1000000 >&2"]) as channel:
        await read(channel)
        await channel.exit_status()
        assert MAX_STDERR - 2 <= len(channel.stderr()) <= MAX_STDERR


async def test_row_67_whoever_complains_without_end_is_refused_at_the_limit(link: Link) -> None:
    async with link.open(["sh", "-c", "yes complaint >&2"]) as channel:
        with pytest.raises(LinkFailed) as caught:
            await channel.line()
        assert caught.value.problem.code == "output-limit"
        assert len(channel.stderr()) <= MAX_STDERR
        with pytest.raises(LinkFailed):
            await channel.line()


async def test_writing_to_a_command_that_has_ended_is_a_failed_link(link: Link) -> None:
    async with link.open(["true"]) as channel:
        await channel.exit_status()
        with pytest.raises(LinkFailed):
            await channel.write(b"x" * (8 << 20))


async def test_a_command_that_is_not_there_never_reads_as_success(link: Link) -> None:
    assert await _status_of(link, ["/no/such/command"]) not in (0, None)


async def test_leaving_ends_what_listens(link: Link, tmp_path: Path) -> None:
    """It finds its input at an end; so do the updater's watch and journal."""
    script = f"echo $$ >{tmp_path}/pid; echo on; exec cat"
    async with link.open(["sh", "-c", script]) as channel:
        assert await channel.line() == b"on\n"
    await _gone(int((tmp_path / "pid").read_text()))


@pytest.mark.drill
async def test_leaving_ends_a_child_of_this_machine_that_does_not_listen(tmp_path: Path) -> None:
    """Where we are its parent, we also bury it; an sshd leaves it to itself."""
    script = f"echo $$ >{tmp_path}/pid; echo on; sleep 60"
    async with LocalLink("n1").open(["sh", "-c", script]) as channel:
        assert await channel.line() == b"on\n"
    await _gone(int((tmp_path / "pid").read_text()))


async def test_b1_leaving_does_not_end_what_was_detached(link: Link, tmp_path: Path) -> None:
    script = f"setsid sleep 60 </dev/null >/dev/null 2>&1 & echo $! >{tmp_path}/pid; echo on"
    async with link.open(["sh", "-c", script]) as channel:
        await read(channel)
    pid = int((tmp_path / "pid").read_text())
    try:
        assert _is_alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("after", [0.0, 0.001, 0.003, 0.01, 0.05, 0.3])
async def test_whoever_is_cancelled_leaves_no_child_and_no_trace(
    link: Link, tmp_path: Path, after: float
) -> None:
    """At any moment: while it starts, while it talks, while it ends."""
    marker = str(tmp_path)

    async def talk() -> None:
        async with link.open(["sh", "-c", "cat; true", marker]) as channel:
            await channel.write(b"on\n")
            await read(channel)

    talking = asyncio.get_running_loop().create_task(talk())
    await asyncio.sleep(after)
    talking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await talking
    gc.collect()
    give_up = time.monotonic() + (0 if isinstance(link, LocalLink) else 10)
    while left := within(tmp_path):  # an sshd ends its children when it hears that we have gone
        assert time.monotonic() < give_up, left
        await asyncio.sleep(0.02)


async def test_whoever_is_cancelled_at_any_turn_leaves_no_channel(
    link: Link, tmp_path: Path
) -> None:
    """Of a connection that stays: its sshd would keep the command, and allows only so many."""
    await _status_of(link, ["true"])

    async def talk() -> None:
        async with link.open(["sh", "-c", "cat; true", str(tmp_path)]) as channel:
            await read(channel)

    for turns in range(60):
        talking = asyncio.get_running_loop().create_task(talk())
        for _ in range(turns):
            await asyncio.sleep(0)
        talking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await talking
    give_up = time.monotonic() + 10
    while left := within(tmp_path):
        assert time.monotonic() < give_up, left
        await asyncio.sleep(0.02)
    assert await _status_of(link, ["true"]) == 0


async def test_a_fresh_link_reaches_the_same_node(link: Link) -> None:
    other = link.fresh()
    assert other is not link
    assert other.node == link.node
    async with other.open(["echo", "here"]) as channel:
        assert await read(channel) == [b"here\n"]
    await other.close()


async def _status_of(link: Link, argv: list[str]) -> int | str | None:
    """The exit status, or the problem's code."""
    try:
        async with link.open(argv) as channel:
            await read(channel)
            return await channel.exit_status()
    except LinkFailed as error:
        return error.problem.code


async def _send(channel: Channel, content: bytes) -> None:
    await channel.write(content)
    await channel.close_input()


async def _gone(pid: int) -> None:
    give_up = time.monotonic() + 10
    while _is_alive(pid):
        assert time.monotonic() < give_up
        await asyncio.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rsplit(b") ", 1)[1][:1] != b"Z"
