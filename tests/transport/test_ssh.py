"""Links over SSH: how each failure is called, what a lost connection means, what ssh config may
say, and that nobody can fill this machine's memory or take its loop away."""

import asyncio
import hashlib
import os
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from backends.domain.problem import Exit, Problem
from backends.transport import lines, ssh, ssh_dialer
from backends.transport.link import Channel, LinkFailed
from backends.transport.prompt import Question
from backends.transport.ssh import SshLink
from backends.transport.way import Way
from tests.support.ssh import (
    ADDRESS,
    USER,
    Desk,
    Listener,
    Peer,
    Person,
    Relay,
    SshNode,
    closing,
    entry,
    way_to,
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk")


@pytest.fixture
async def peer(desk: Desk) -> AsyncIterator[Peer]:
    """A server that remembers, and lets the operator in."""
    found = await Peer().start()
    found.keys = [desk.key.convert_to_public()]
    desk.knows(found.entry())
    yield found
    await found.close()


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[SshNode]:
    """A server that runs commands."""
    found = SshNode(tmp_path / "node")
    await found.start()
    yield found
    await found.server.close()


async def refusal(link: SshLink) -> Problem:
    """The problem of a link that cannot be prepared."""
    with pytest.raises(LinkFailed) as caught:
        await link.prepare()
    assert caught.value.problem.summary.startswith("n1: ")
    return caught.value.problem


async def read(channel: Channel) -> list[bytes]:
    """All lines."""
    found = []
    while line := await channel.line():
        found.append(line)
    return found


async def said(link: SshLink, *argv: str) -> list[bytes]:
    """What a command says."""
    async with link.open([*argv]) as channel:
        return await read(channel)


async def until(reached: object, seconds: float = 10) -> None:
    """Look until it is so."""
    async with asyncio.timeout(seconds):
        while not reached():  # type: ignore[operator]
            await asyncio.sleep(0.01)


# --- why a node cannot be reached ---------------------------------------------------------------


async def test_a_name_that_nobody_knows_is_dns(desk: Desk) -> None:
    problem = await refusal(SshLink(Way("n1", "nowhere.invalid"), desk.dialer()))
    assert problem.code == "dns"
    assert "nowhere.invalid" in problem.evidence


async def test_a_port_where_nobody_listens_is_tcp(desk: Desk) -> None:
    listener = await Listener().start()
    await listener.close()
    problem = await refusal(SshLink(way_to(listener.port), desk.dialer()))
    assert problem.code == "tcp"
    assert f"{ADDRESS}:{listener.port}" in problem.evidence


async def test_a_port_that_says_nothing_is_a_timeout_within_the_limit(desk: Desk) -> None:
    listener = await Listener().start()
    async with closing(listener):
        began = time.monotonic()
        problem = await refusal(SshLink(way_to(listener.port), desk.dialer(seconds=0.5)))
        assert time.monotonic() - began < 3
        assert problem.code == "timeout"
        assert listener.connected == 1
        await until(lambda: not listener.now)


@pytest.mark.parametrize(
    "says",
    [
        b"220 mail.example ESMTP\r\n" * 2000,
        b"x" * 100_000,
        b"SSH-1.5-OpenSSH_1.2\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n" + b"\xff" * 5000,
        b"SSH-2.0-OpenSSH_9.6\r\n" + bytes(5000),
    ],
    ids=["mail", "no end", "SSH 1", "then rubbish", "then zeros"],
)
async def test_a_port_that_speaks_something_else_is_a_protocol_mismatch(
    desk: Desk, says: bytes
) -> None:
    listener = await Listener(says).start()
    async with closing(listener):
        problem = await refusal(SshLink(way_to(listener.port), desk.dialer()))
    assert problem.code == "protocol-mismatch"


@pytest.mark.parametrize(
    "says",
    [b"SSH-2.0-\xff\xfe\r\n", random.Random(7).randbytes(20_000), b"\0\n\r" * 9],
    ids=["no text", "anything", "empty lines"],
)
async def test_whatever_a_port_says_becomes_a_problem(desk: Desk, says: bytes) -> None:
    listener = await Listener(says).start()
    async with closing(listener):
        problem = await refusal(SshLink(way_to(listener.port), desk.dialer(seconds=0.15)))
    assert problem.evidence.isprintable()


async def test_an_unexpected_failure_inside_asyncssh_is_a_problem_too(
    desk: Desk, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(asyncssh.SSHClientConnection, "_process_kexinit", breaks)
    monkeypatch.setattr(
        asyncssh.SSHClientConnection,
        "_packet_handlers",
        {**asyncssh.SSHClientConnection._packet_handlers, 20: breaks},
    )
    problem = await refusal(SshLink(way_to(peer.port), desk.dialer()))
    assert problem.code == "protocol-mismatch"
    assert "a defect" in problem.evidence


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Between tries there is no pause here; after which tries there would have been one."""
    found: list[int] = []

    def none(tries: int) -> float:
        found.append(tries)
        return 0

    monkeypatch.setattr(ssh_dialer, "pause_seconds", none)
    return found


async def test_who_hangs_up_at_once_is_tried_six_times_and_is_then_tcp(
    desk: Desk, pauses: list[int]
) -> None:
    listener = await Listener(hangs_up=True).start()
    async with closing(listener):
        problem = await refusal(SshLink(way_to(listener.port), desk.dialer()))
    assert problem.code == "tcp"
    assert listener.connected == 6
    assert pauses == [1, 2, 3, 4, 5]


async def test_a_login_that_was_dropped_because_too_many_came_succeeds_later(
    node: SshNode, pauses: list[int]
) -> None:
    relay = Relay(node.server.port)
    relay.drops = 2
    link = await node.behind(relay)
    async with closing(relay, link):
        assert await said(link, "echo", "in") == [b"in\n"]
    assert relay.connected == 3
    assert pauses == [1, 2]


async def test_who_hangs_up_on_a_person_is_not_tried_again(desk: Desk, peer: Peer) -> None:
    peer.keys, peer.password = [], "a word"

    class Slow(Person):
        async def ask(self, question: Question) -> str | None:
            peer.drop()
            return await super().ask(question)

    person = Slow("a word", seconds=0.1)
    link = SshLink(way_to(peer.port), desk.dialer(prompt=person))
    assert (await refusal(link)).code == "tcp"
    assert (peer.connected, len(person.asked)) == (1, 1)


# --- gateways -----------------------------------------------------------------------------------


async def test_two_nodes_behind_a_chain_of_gateways_share_it(desk: Desk, peer: Peer) -> None:
    first, second = await Peer().start(), await Peer().start()
    async with closing(first, second):
        for gateway in (first, second):
            gateway.is_gateway, gateway.keys = True, peer.keys
        desk.knows(peer.entry(), first.entry(), second.entry())
        jump = f"{ADDRESS}:{first.port},{USER}@{ADDRESS}:{second.port}"
        dialer = desk.dialer()
        links = [SshLink(way_to(peer.port, node=name, jump=jump), dialer) for name in "ab"]
        async with closing(dialer, *links):
            await asyncio.gather(*(link.prepare() for link in links))
            assert (first.connected, second.connected, peer.connected) == (1, 1, 2)
            second.drop()
            await until(lambda: not peer.now)
            await asyncio.gather(*(link.prepare() for link in links))
            assert (first.connected, second.connected, peer.connected) == (1, 2, 4)


async def test_a_gateway_that_cannot_reach_the_node_is_said_to_be_the_one(
    desk: Desk, peer: Peer
) -> None:
    listener = await Listener().start()
    await listener.close()
    peer.is_gateway = True
    dialer = desk.dialer()
    link = SshLink(way_to(listener.port, jump=f"{ADDRESS}:{peer.port}"), dialer)
    async with closing(dialer):
        problem = await refusal(link)
    assert problem.code == "tcp"
    assert "gateway" in problem.summary


@pytest.mark.parametrize("jump", ["127.0.0.1:1", "127.0.0.1:1,127.0.0.1:2"])
async def test_gateways_in_a_circle_are_a_mistake_in_ssh_config(desk: Desk, jump: str) -> None:
    """`Host *` with a ProxyJump holds for the gateway, too."""
    desk.write_config(first=f"Host *\n  ProxyJump {jump}\n")
    async with asyncio.timeout(5):
        with pytest.raises(LinkFailed) as caught:
            await SshLink(Way("n1", ADDRESS, 22), desk.dialer()).prepare()
    assert (caught.value.problem.code, caught.value.exit_code) == ("ssh-setting", Exit.USAGE)


async def test_no_jump_of_the_cluster_file_overrules_ssh_config(desk: Desk, peer: Peer) -> None:
    desk.write_config(first="Host *\n  ProxyJump nowhere.invalid\n")
    link = SshLink(way_to(peer.port, jump="none"), desk.dialer())
    await link.prepare()
    await link.close()
    link = SshLink(way_to(peer.port), desk.dialer())
    with pytest.raises(LinkFailed):
        await link.prepare()


@pytest.mark.parametrize("jump", ["ann@:22", "bastion:abc", "bastion:99999", "bastion:-1", "@"])
async def test_a_gateway_that_makes_no_sense_is_a_mistake_in_the_settings(
    desk: Desk, jump: str
) -> None:
    with pytest.raises(LinkFailed) as caught:
        await SshLink(Way("n1", "nowhere.invalid", jump=jump), desk.dialer()).prepare()
    assert (caught.value.problem.code, caught.value.exit_code) == ("ssh-setting", Exit.USAGE)


# --- lost connections ---------------------------------------------------------------------------


async def test_a_connection_that_breaks_under_a_command_leaves_its_end_unknown(
    node: SshNode,
) -> None:
    link = node.link()
    async with closing(link):
        async with link.open(["sh", "-c", "echo on; printf half; exec cat"]) as channel:
            assert await channel.line() == b"on\n"
            waiting = asyncio.get_running_loop().create_task(read(channel))
            await asyncio.sleep(0.05)
            node.server.drop()
            assert await waiting == [b"half"]
            assert await channel.line() == b""
            assert await channel.exit_status() is None
            assert "connection lost" in channel.stderr()
            with pytest.raises(LinkFailed) as caught:
                await channel.write(b"more")
            assert caught.value.problem.code == "channel-broken"
            await channel.close_input()
        assert await said(link, "echo", "again") == [b"again\n"]


async def test_a_writer_that_waits_for_a_node_is_freed_when_the_connection_breaks(
    node: SshNode,
) -> None:
    link, go_on = node.link(), node.top / "go-on"
    deaf = f"while [ ! -e {go_on} ]; do sleep 0.02; done"
    async with closing(link), link.open(["sh", "-c", deaf]) as channel:
        writing = asyncio.get_running_loop().create_task(channel.write(bytes(64 << 20)))
        await asyncio.sleep(0.2)
        assert not writing.done()
        node.server.drop()
        with pytest.raises(LinkFailed):
            await asyncio.wait_for(writing, 5)
        go_on.touch()


async def test_a_connection_that_was_cut_while_idle_is_replaced_without_a_word(
    node: SshNode,
) -> None:
    relay = Relay(node.server.port)
    link = await node.behind(relay)
    async with closing(relay, link):
        for expected in (1, 2, 3):
            assert await said(link, "echo", "in") == [b"in\n"]
            assert relay.connected == expected
            relay.cut()


async def test_a_connection_that_went_dead_while_idle_is_replaced_and_nothing_runs_twice(
    node: SshNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As behind an address translator that forgot it: nobody says so."""
    monkeypatch.setattr(ssh, "_OPEN_SECONDS", 0.4)
    relay = Relay(node.server.port)
    link = await node.behind(relay)
    ran = node.top / "ran"
    async with closing(relay, link):
        await link.prepare()
        relay.go_dead()
        assert await said(link, "sh", "-c", f"echo x >>{ran}; echo in") == [b"in\n"]
    assert relay.connected == 2
    assert ran.read_text() == "x\n"


async def test_a_node_that_is_dead_after_all_is_tried_again_only_once(
    node: SshNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "_OPEN_SECONDS", 0.2)
    relay = Relay(node.server.port)
    link = await node.behind(relay)
    real = link._dialer.connect

    async def then_dead(way: Way) -> asyncssh.SSHClientConnection:
        found = await real(way)
        relay.go_dead()
        return found

    async with closing(relay, link):
        monkeypatch.setattr(link._dialer, "connect", then_dead)
        await link.prepare()
        with pytest.raises(LinkFailed) as caught:
            await said(link, "true")
        assert caught.value.problem.code == "channel-broken"
        assert relay.connected == 2


async def test_a_fresh_link_makes_a_connection_and_a_login_of_its_own(
    desk: Desk, peer: Peer
) -> None:
    link = SshLink(way_to(peer.port), desk.dialer())
    await link.prepare()
    await link.prepare()
    assert peer.users == [USER]
    fresh = link.fresh()
    await fresh.prepare()
    assert peer.users == [USER] * 2
    assert len(peer.now) == 2
    await fresh.close()
    await until(lambda: len(peer.now) == 1)
    await link.close()
    await until(lambda: not peer.now)


async def test_many_who_open_at_once_share_one_login(node: SshNode) -> None:
    link = node.link()
    async with closing(link):
        found = await asyncio.gather(*(said(link, "echo", str(n)) for n in range(8)))
        assert found == [[b"%d\n" % n] for n in range(8)]
        assert node.server.connections == 1


@pytest.mark.parametrize("after", [0.0, 0.001, 0.003, 0.006, 0.01, 0.015, 0.02, 0.03])
async def test_whoever_is_cancelled_while_connecting_leaves_no_connection(
    desk: Desk, peer: Peer, after: float
) -> None:
    link = SshLink(way_to(peer.port), desk.dialer())
    connecting = asyncio.get_running_loop().create_task(link.prepare())
    await asyncio.sleep(after)
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)
    await link.close()
    await until(lambda: not peer.now)


async def test_whoever_is_cancelled_before_the_node_speaks_leaves_no_connection(
    desk: Desk,
) -> None:
    listener = await Listener().start()
    async with closing(listener):
        link = SshLink(way_to(listener.port), desk.dialer())
        connecting = asyncio.get_running_loop().create_task(link.prepare())
        await until(lambda: listener.now)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await until(lambda: not listener.now)


async def test_a_closed_link_can_be_used_again(node: SshNode) -> None:
    link = node.link()
    assert await said(link, "echo", "1") == [b"1\n"]
    await link.close()
    await link.close()
    await until(lambda: not node.server.connections)
    assert await said(link, "echo", "2") == [b"2\n"]
    await link.close()


# --- sessions -----------------------------------------------------------------------------------


async def test_a_node_that_opens_no_further_session_refuses_the_channel_only(
    desk: Desk, peer: Peer
) -> None:
    peer.sessions_at_once = 1
    link = SshLink(way_to(peer.port), desk.dialer())
    async with closing(link), link.open(["cat"]) as channel:
        with pytest.raises(LinkFailed) as caught:
            await said(link, "cat")
        assert caught.value.problem.code == "channel-refused"
        assert "no more sessions" in caught.value.problem.evidence
        assert peer.requested == 2
        await channel.write(b"still here\n")
        assert await channel.line() == b"still here\n"
        assert peer.connected == 1


async def test_a_node_that_runs_no_commands_refuses_the_channel(desk: Desk, peer: Peer) -> None:
    peer.runs_commands = False
    link = SshLink(way_to(peer.port), desk.dialer())
    async with closing(link):
        with pytest.raises(LinkFailed) as caught:
            await said(link, "cat")
        assert caught.value.problem.code == "channel-refused"
        assert peer.connected == 1


# --- much of everything -------------------------------------------------------------------------


async def test_a_reader_that_does_not_read_stops_the_sender_and_later_gets_everything(
    node: SshNode,
) -> None:
    count, size = 24_000, 1_000
    script = f"yes {'x' * (size - 1)} | head -n {count}; touch {node.top}/sent"
    link = node.link()
    async with closing(link), link.open(["sh", "-c", script]) as channel:
        kept = channel._session.lines  # type: ignore[attr-defined]
        await until(lambda: kept._paused)
        await asyncio.sleep(0.2)
        unread = channel._channel._recv_buf  # type: ignore[attr-defined]
        window = channel._channel.get_recv_window()  # type: ignore[attr-defined]
        assert len(kept._kept) <= lines._ENOUGH + 65536
        assert sum(len(data) for data, _ in unread) <= window
        assert not (node.top / "sent").exists(), "the sender did not have to wait"
        found = await read(channel)
        assert len(found) == count
        assert {len(line) for line in found} == {size}
        assert len(kept._kept) == 0
        assert await channel.exit_status() == 0


@pytest.mark.parametrize("lines_read", [0, 10, 5000])
async def test_leaving_a_node_that_talks_without_end_is_quick(
    node: SshNode, lines_read: int
) -> None:
    link = node.link()
    async with closing(link):
        async with link.open(["yes", "x" * 999]) as channel:
            for _ in range(lines_read):
                assert await channel.line()
            await asyncio.sleep(0.1)
            began = time.monotonic()
        assert time.monotonic() - began < 0.8
        assert await said(link, "echo", "next") == [b"next\n"]
        assert node.server.connections == 1


async def test_32_mib_arrive_whole(node: SshNode) -> None:
    content = os.urandom(1 << 20) * 32
    link = node.link()
    async with closing(link), link.open(["sha256sum"]) as channel:
        await channel.write(content)
        await channel.close_input()
        assert await channel.line() == hashlib.sha256(content).hexdigest().encode() + b"  -\n"
        assert await channel.exit_status() == 0


async def test_uploads_leave_the_loop_to_others_after_each_chunk(node: SshNode) -> None:
    content = bytes(8 << 20)
    since_tick = most = ticks = 0

    async def upload() -> None:
        link = node.link()
        async with closing(link), link.open(["wc", "-c"]) as channel:
            send = channel._channel.write  # type: ignore[attr-defined]

            def counted(data: bytes) -> None:
                nonlocal since_tick, most
                since_tick += 1
                most = max(most, since_tick)
                assert len(data) <= 65536
                send(data)

            channel._channel.write = counted  # type: ignore[attr-defined]
            await both_ready.wait()
            await channel.write(content)
            await channel.close_input()
            assert await channel.line() == b"%d\n" % len(content)

    async def tick() -> None:
        nonlocal ticks, since_tick
        while True:
            ticks, since_tick = ticks + 1, 0
            await asyncio.sleep(0)

    both_ready = asyncio.Barrier(2)
    ticking = asyncio.get_running_loop().create_task(tick())
    await asyncio.gather(upload(), upload())
    ticking.cancel()
    assert most <= 2, "one of them sent two chunks in one turn of the loop"
    assert ticks >= len(content) // 65536


# --- what ssh config may say --------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["Port many", 'Host "unclosed', "Match nonsense", "IdentitiesOnly perhaps", "Port"],
)
async def test_an_ssh_config_with_a_mistake_is_named_with_its_line(desk: Desk, text: str) -> None:
    desk.config.write_text(f"# first\n{text}\n")
    with pytest.raises(LinkFailed) as caught:
        await SshLink(Way("n1", ADDRESS), desk.dialer()).prepare()
    assert (caught.value.problem.code, caught.value.exit_code) == ("ssh-setting", Exit.USAGE)
    assert f"{desk.config} line 2" in caught.value.problem.evidence


@pytest.mark.parametrize("what", ["missing", "a directory", "no text"])
async def test_an_ssh_config_that_cannot_be_read_is_a_problem(desk: Desk, what: str) -> None:
    desk.config.unlink()
    if what == "a directory":
        desk.config.mkdir()
    elif what == "no text":
        desk.config.write_bytes(b"Port 22\n\xff\xfe\n")
    with pytest.raises(LinkFailed) as caught:
        await SshLink(Way("n1", ADDRESS), desk.dialer()).prepare()
    assert (caught.value.problem.code, caught.value.exit_code) == ("ssh-setting", Exit.USAGE)
    met = await desk.dialer().introduce(Way("n1", ADDRESS))
    assert met.problem is not None
    assert met.problem.code == "ssh-setting"


async def test_a_port_out_of_range_is_a_problem(desk: Desk) -> None:
    desk.write_config(first="Port 99999")
    problem = await refusal(SshLink(Way("n1", ADDRESS), desk.dialer()))
    assert problem.code in {"ssh-setting", "tcp", "dns"}


async def test_a_host_block_says_where_who_and_with_which_key(
    desk: Desk, peer: Peer, tmp_path: Path
) -> None:
    """All of it only for that name, as one calls it."""
    other = asyncssh.generate_private_key("ssh-ed25519")
    other.write_private_key(tmp_path / "other")
    peer.keys = [other.convert_to_public()]
    desk.config.write_text(
        f"Host harbour\n  Hostname {ADDRESS}\n  Port {peer.port}\n  User {USER}\n"
        f"  IdentityFile {tmp_path}/other\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {desk.known_hosts}\n"
        f"Host {ADDRESS}\n  IdentityFile {desk.identity}\n  IdentitiesOnly yes\n  User bob\n"
        f"  PreferredAuthentications password\n"
        f"  UserKnownHostsFile {desk.known_hosts}\n"
    )
    link = SshLink(Way("n1", "harbour"), desk.dialer())
    await link.prepare()
    await link.close()
    assert peer.users == [USER]
    assert (await refusal(SshLink(way_to(peer.port), desk.dialer()))).code == "login-refused"
    assert peer.users == [USER, "bob"]


async def test_the_cluster_file_wins_over_ssh_config(desk: Desk, peer: Peer) -> None:
    desk.write_config(first="User bob\nPort 1")
    link = SshLink(way_to(peer.port, user=USER), desk.dialer())
    await link.prepare()
    await link.close()
    assert peer.users == [USER]


async def test_nothing_of_our_environment_terminal_or_agent_is_sent(
    desk: Desk, peer: Peer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_OPERATOR", "leaked")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    monkeypatch.setenv("DISPLAY", ":7")
    desk.config.write_text(
        f"User {USER}\nIdentityFile {desk.identity}\nUserKnownHostsFile {desk.known_hosts}\n"
        "SendEnv SECRET_*\nSendEnv LANG TERM\nSetEnv ALSO=leaked\nRequestTTY force\n"
        "RemoteCommand echo of the config\nForwardAgent yes\nForwardX11Trusted yes\n"
        "Compression yes\n"
    )
    link = SshLink(way_to(peer.port), desk.dialer())
    async with closing(link):
        async with link.open(["cat", "a b"]) as channel:
            await channel.write(b"x\n")
            assert await channel.line() == b"x\n"
        connection = link._connection
        assert connection is not None
        assert connection.get_extra_info("send_compression") == "none"
        assert connection.get_extra_info("recv_compression") == "none"
    assert peer.environments == [{}]
    assert peer.terminals == 0
    assert peer.commands == ["exec cat 'a b'"]
    assert (peer.agents, peer.displays) == ([None], [None])


async def test_aes_gcm_is_what_is_spoken_unless_ssh_config_says_otherwise(
    desk: Desk, peer: Peer
) -> None:
    for first, cipher in (("", "aes128-gcm@openssh.com"), ("Ciphers aes256-ctr", "aes256-ctr")):
        desk.write_config(first=first)
        connection = await desk.dialer().connect(way_to(peer.port))
        assert connection.get_extra_info("send_cipher") == cipher
        connection.abort()
        await connection.wait_closed()


async def test_signatures_of_host_keys_with_sha1_are_not_taken(desk: Desk) -> None:
    key = asyncssh.generate_private_key("ssh-rsa")
    key.sig_algorithms = (b"ssh-rsa",)
    old = await Peer(key).start()
    async with closing(old):
        desk.knows(entry(old.port, key))
        problem = await refusal(SshLink(way_to(old.port), desk.dialer()))
    assert problem.code == "protocol-mismatch"
    assert old.users == []


@pytest.mark.parametrize("awaited", [True, False])
async def test_a_wire_that_goes_dead_is_noticed_soon_where_somebody_waits(
    node: SshNode, monkeypatch: pytest.MonkeyPatch, awaited: bool
) -> None:
    """A resident command has a heart beat of its own: that one counts."""
    monkeypatch.setattr(ssh, "_ALERT", (0.1, 2))
    relay = Relay(node.server.port)
    link = await node.behind(relay)
    async with closing(relay, link), link.open(["cat"]) as channel:
        await channel.write(b"one\n")
        assert await channel.line() == b"one\n"
        relay.go_dead()
        if not awaited:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.0):
                    await channel.line()
            return
        with channel.awaited():
            assert await channel.line() == b""
            assert await channel.exit_status() is None
            assert "keepalive" in channel.stderr()


async def test_a_silent_command_on_a_living_wire_is_waited_for(
    node: SshNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "_ALERT", (0.3, 3))
    link = node.link()
    async with closing(link), link.open(["sh", "-c", "sleep 1.8; echo on"]) as channel:
        with channel.awaited():
            assert await channel.line() == b"on\n"
