"""Links, host keys, gateways and whole upgrades against real OpenSSH servers."""

import asyncio
import errno
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from backends.domain.problem import Problem
from backends.transport.link import Link, LinkFailed
from tests.drills.sshd import (
    Agent,
    Operator,
    SshCluster,
    Sshd,
    contract,
    echo,
    keygen,
    problem_of,
)
from tests.support.node import wait_until
from tests.transport.test_link_contract import read

pytestmark = pytest.mark.drill

globals().update(contract())

HERE = [b"here\n"]
KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")


@pytest.fixture
async def link(sshd: Sshd, operator: Operator) -> AsyncIterator[Link]:
    """What the tests of every link are given here."""
    async with operator.reaches(sshd) as found:
        yield found


async def test_many_keys_are_agreed_upon_while_megabytes_go_both_ways(
    make_sshd: Callable[..., Sshd], operator: Operator
) -> None:
    sshd = make_sshd("RekeyLimit 64K")
    content = os.urandom(2 << 20)
    script = "sha256sum; yes 0123456789abcdef | head -c 2000000"
    async with operator.reaches(sshd) as link, link.open(["sh", "-c", script]) as channel:
        await channel.write(content)
        await channel.close_input()
        digest, *rest = await read(channel)
    assert digest.split()[0].decode() == sha256(content).hexdigest()
    assert sum(map(len, rest)) == 2_000_000


# --- host keys ----------------------------------------------------------------------------------


async def test_an_unknown_host_key_is_shown_and_not_taken(sshd: Sshd, operator: Operator) -> None:
    operator.known_hosts.write_text("")
    async with operator.reaches(sshd) as link:
        problem = await problem_of(link)
    assert problem.code == "host-key-unknown"
    assert sshd.called in problem.evidence
    assert fingerprint(sshd) in problem.evidence
    assert sshd.logins == 0


async def test_a_changed_host_key_is_refused_and_both_are_named(
    sshd: Sshd, operator: Operator
) -> None:
    before = fingerprint(sshd)
    sshd.stop()
    sshd.forget_host_keys()
    sshd.start()
    async with operator.reaches(sshd) as link:
        problem = await problem_of(link)
    assert problem.code == "host-key-changed"
    assert before in problem.evidence
    assert fingerprint(sshd) in problem.evidence
    assert sshd.logins == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_the_kind_of_key_that_is_known_is_the_one_that_is_asked_for(
    make_sshd: Callable[..., Sshd], operator: Operator, kind: str
) -> None:
    sshd = make_sshd(host_keys=KINDS)
    operator.known_hosts.write_text(f"{sshd.called} {sshd.public_key(kind)}\n")
    async with operator.reaches(sshd) as link:
        assert await echo(link) == HERE


async def test_another_kind_of_key_than_the_known_one_is_a_changed_key(
    make_sshd: Callable[..., Sshd], operator: Operator
) -> None:
    sshd = make_sshd()
    other = sshd.public_key("ecdsa-sha2-nistp256")
    operator.known_hosts.write_text(f"{sshd.called} {other}\n")
    async with operator.reaches(sshd) as link:
        assert (await problem_of(link)).code == "host-key-changed"


async def test_names_hashed_by_openssh_are_known(sshd: Sshd, operator: Operator) -> None:
    keygen("-H", "-f", operator.known_hosts)
    assert sshd.address not in operator.known_hosts.read_text()
    async with operator.reaches(sshd) as link:
        assert await echo(link) == HERE


class Authority:
    """Signs host keys, with OpenSSH's own tool."""

    def __init__(self, top: Path) -> None:
        self.file = top / "authority"
        keygen("-t", "ed25519", "-N", "", "-f", self.file)
        self.line = f"@cert-authority * {self.file.with_suffix('.pub').read_text()}"

    def signs(self, sshd: Sshd, name: str, valid: str = "always:forever") -> None:
        """The server shows a certificate from now on."""
        key = sshd.host_key()
        keygen("-s", self.file, "-h", "-I", "a node", "-n", name, "-V", valid, f"{key}.pub")
        sshd.stop()
        sshd.config = f"HostCertificate {key}-cert.pub"
        sshd.start()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """A new one."""
    return Authority(tmp_path)


async def test_a_certificate_of_a_known_authority_is_enough(
    sshd: Sshd, operator: Operator, authority: Authority
) -> None:
    authority.signs(sshd, sshd.address)
    operator.known_hosts.write_text(authority.line)
    async with operator.reaches(sshd) as link:
        assert await echo(link) == HERE


@pytest.mark.parametrize(
    ("name", "valid"),
    [("127.0.0.2", "20200101:20210101"), ("127.0.0.9", "always:forever")],
    ids=["its time is over", "it is another's"],
)
async def test_a_certificate_that_does_not_hold_is_refused(
    sshd: Sshd, operator: Operator, authority: Authority, name: str, valid: str
) -> None:
    authority.signs(sshd, name, valid)
    operator.known_hosts.write_text(authority.line)
    async with operator.reaches(sshd) as link:
        assert (await problem_of(link)).code in ("host-key-changed", "host-key-unknown")
    assert sshd.logins == 0


async def test_a_certificate_that_does_not_hold_is_no_worse_than_none(
    sshd: Sshd, operator: Operator, authority: Authority
) -> None:
    """As OpenSSH does it: the key itself is known."""
    authority.signs(sshd, sshd.address, "20200101:20210101")
    operator.known_hosts.write_text(authority.line + sshd.known_hosts_lines())
    assert operator.ssh("-p", str(sshd.port), sshd.address, "echo here").stdout == "here\n"
    async with operator.reaches(sshd) as link:
        assert await echo(link) == HERE


def test_trust_finds_a_node_with_a_certificate_known_and_records_nothing(
    sshd: Sshd,
    operator: Operator,
    authority: Authority,
    make_cluster: Callable[..., SshCluster],
) -> None:
    authority.signs(sshd, sshd.address)
    operator.known_hosts.write_text(authority.line)
    cluster = make_cluster([sshd], operator)
    ran = cluster.run("trust", str(cluster.file), "--yes", "--json")
    assert [line["result"] for line in ran.lines] == ["known"], ran
    assert operator.known_hosts.read_text() == authority.line


def test_what_trust_records_is_known_to_openssh_too(
    make_sshd: Callable[..., Sshd], operator: Operator, make_cluster: Callable[..., SshCluster]
) -> None:
    gateway, *nodes = make_sshd(), make_sshd(), make_sshd()
    operator.known_hosts.unlink()
    jump = f"{operator.user}@{gateway.address}:{gateway.port}"
    cluster = make_cluster(nodes, operator, defaults=f'jump = "{jump}"')
    before = cluster.run("status", str(cluster.file), "--json")
    assert before.status == 3
    problems = [node["problem"] for node in before.json["nodes"]]
    assert {each["code"] for each in problems} == {"host-key-unknown"}
    assert all(fingerprint(gateway) in each["evidence"] for each in problems)
    assert cluster.run("trust", str(cluster.file), "--yes").status == 0
    assert cluster.run("status", str(cluster.file)).status == 10
    for server in (gateway, *nodes):
        ran = operator.ssh("-p", str(server.port), server.address, "echo here")
        assert (ran.returncode, ran.stdout) == (0, "here\n"), ran.stderr


# --- logins -------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", ["AllowUsers somebody", "PubkeyAuthentication no"])
async def test_a_login_that_is_refused_says_who_and_where(
    make_sshd: Callable[..., Sshd], operator: Operator, config: str
) -> None:
    sshd = make_sshd(config)
    async with operator.reaches(sshd) as link:
        problem = await problem_of(link)
    assert problem.code == "login-refused"
    assert f"{operator.user}@{sshd.address}:{sshd.port}" in problem.evidence


async def test_a_key_that_is_not_allowed_is_a_login_that_is_refused(
    sshd: Sshd, operator: Operator
) -> None:
    sshd.authorized_keys.write_text(sshd.public_key() + "\n")
    async with operator.reaches(sshd) as link:
        assert (await problem_of(link)).code == "login-refused"


async def test_a_key_that_only_the_agent_has_opens_the_node(
    sshd: Sshd, operator: Operator, agent: Agent
) -> None:
    agent.add(operator.identity)
    operator.identity.unlink()
    operator.write_config(keys=f"IdentityAgent {agent.socket}")
    async with operator.reaches(sshd) as link:
        assert await echo(link) == HERE


async def test_of_many_keys_in_the_agent_the_one_that_ssh_config_names_is_taken(
    make_sshd: Callable[..., Sshd], operator: Operator, agent: Agent
) -> None:
    """As with OpenSSH, its public half is enough: the private one may be elsewhere."""
    sshd = make_sshd("MaxAuthTries 1")
    agent.add(other_key(operator), operator.identity)
    operator.identity.unlink()
    named = f"IdentityFile {operator.identity}\nIdentitiesOnly yes"
    operator.write_config(keys=f"IdentityAgent {agent.socket}\n{named}")
    assert operator.ssh("-p", str(sshd.port), sshd.address, "echo here").stdout == "here\n"
    async with operator.reaches(sshd) as link:
        assert await echo(link) == HERE


async def test_a_key_file_that_is_not_there_is_no_reason_to_fail(
    sshd: Sshd, operator: Operator
) -> None:
    """As with OpenSSH: one ssh config serves many workstations."""
    operator.write_config(f"IdentityFile {operator.top}/not-here")
    assert operator.ssh("-p", str(sshd.port), sshd.address, "echo here").stdout == "here\n"
    async with operator.reaches(sshd) as link:
        assert await echo(link) == HERE


async def test_an_agent_with_too_many_keys_is_a_login_that_is_refused(
    make_sshd: Callable[..., Sshd], operator: Operator, agent: Agent
) -> None:
    sshd = make_sshd("MaxAuthTries 1")
    agent.add(other_key(operator), operator.identity)
    operator.write_config(keys=f"IdentityAgent {agent.socket}")
    async with operator.reaches(sshd) as link:
        problem = await problem_of(link)
    assert "Too many authentication failures" in problem.evidence
    assert problem.code == "login-refused"
    assert "IdentitiesOnly" in problem.advice


def other_key(operator: Operator) -> Path:
    """One that opens nothing."""
    file = operator.top / "other"
    keygen("-t", "ed25519", "-N", "", "-f", file)
    return file


# --- gateways -----------------------------------------------------------------------------------


def cut_off(monkeypatch: pytest.MonkeyPatch, *nodes: Sshd) -> None:
    """From this process there is no direct way to them."""
    connect = socket.socket.connect
    places = {(node.address, node.port) for node in nodes}

    def refuse(self: socket.socket, address: Any) -> None:
        if tuple(address[:2]) in places:
            raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)


async def test_many_nodes_share_one_connection_to_their_gateway(
    make_sshd: Callable[..., Sshd], operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, node = make_sshd("LogLevel DEBUG1"), make_sshd()
    cut_off(monkeypatch, node)
    async with operator.reaches(node) as link:
        assert (await problem_of(link)).code == "tcp"
    jump = f"{operator.user}@{gateway.address}:{gateway.port}"
    async with operator.reaches_often(node, 8, jump=jump) as links:
        assert await asyncio.gather(*map(echo, links)) == [HERE] * 8
    assert (gateway.logins, node.logins) == (1, 8)
    assert f"target {node.address} port {node.port}" in gateway.log


async def test_the_gateway_of_ssh_config_is_used_by_its_alias_and_a_chain_is_followed(
    make_sshd: Callable[..., Sshd], operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    outer, inner, node = make_sshd(), make_sshd(), make_sshd()
    cut_off(monkeypatch, inner, node)
    operator.write_config(
        f"Host outer\n  HostName {outer.address}\n  Port {outer.port}\n"
        f"Host inner\n  HostName {inner.address}\n  Port {inner.port}\n"
        f"Host {node.address}\n  ProxyJump outer,inner\n"
    )
    async with operator.reaches(node) as link:
        assert await echo(link) == HERE
    assert (outer.logins, inner.logins, node.logins) == (1, 1, 1)


async def test_a_gateway_that_is_not_known_is_what_is_reported(
    make_sshd: Callable[..., Sshd], operator: Operator
) -> None:
    gateway, node = make_sshd(), make_sshd()
    operator.knows(node)
    async with operator.reaches(node, jump=f"{gateway.address}:{gateway.port}") as link:
        problem = await problem_of(link)
    assert problem.code == "host-key-unknown"
    assert f"gateway {gateway.address}:{gateway.port}" in problem.summary
    assert fingerprint(gateway) in problem.evidence
    assert fingerprint(node) not in problem.evidence


@pytest.mark.parametrize("config", ["AllowTcpForwarding no", "PermitOpen 127.0.0.1:1"])
async def test_a_gateway_that_forwards_nothing_is_told_from_a_node_that_is_down(
    make_sshd: Callable[..., Sshd], operator: Operator, config: str
) -> None:
    gateway, node = make_sshd(config), make_sshd()
    async with operator.reaches(node, jump=f"{gateway.address}:{gateway.port}") as link:
        problem = await problem_of(link)
    assert problem.code == "tcp"
    assert "gateway" in problem.summary


async def test_a_gateway_that_died_is_asked_again(
    make_sshd: Callable[..., Sshd], operator: Operator
) -> None:
    gateway, node = make_sshd(), make_sshd()
    async with operator.reaches(node, jump=f"{gateway.address}:{gateway.port}") as link:
        assert await echo(link) == HERE
        gateway.kill_sessions()
        assert await echo(link) == HERE
    assert gateway.logins == 2


async def test_a_gateway_that_fell_silent_is_given_up_within_half_a_minute(
    make_sshd: Callable[..., Sshd], operator: Operator
) -> None:
    gateway, node = make_sshd(), make_sshd()
    jump = f"{gateway.address}:{gateway.port}"
    async with operator.reaches(node, jump=jump, seconds=2) as link:
        assert await echo(link) == HERE
        gateway.freeze_sessions()
        give_up = time.monotonic() + 30
        while await _heard(link) != HERE:
            assert time.monotonic() < give_up, "no way back through this gateway"


async def _heard(link: Link) -> list[bytes] | Problem:
    try:
        return await echo(link)
    except LinkFailed as error:
        return error.problem


# --- limits and losses --------------------------------------------------------------------------


async def test_all_get_in_although_the_node_drops_those_who_come_at_once(
    make_sshd: Callable[..., Sshd], operator: Operator
) -> None:
    sshd = make_sshd("MaxStartups 2:100:2")
    async with operator.reaches_often(sshd, 12) as links:
        found = await asyncio.gather(*map(_heard, links))
    assert "MaxStartups" in sshd.log, "nobody was dropped: this proves nothing"
    assert found == [HERE] * 12


async def test_a_node_with_one_session_refuses_the_second_and_goes_on(
    make_sshd: Callable[..., Sshd], operator: Operator
) -> None:
    sshd = make_sshd("MaxSessions 1")
    async with operator.reaches(sshd) as link:
        async with link.open(["cat"]) as channel:
            problem = await problem_of(link)
            assert problem.code == "channel-refused"
            assert "MaxSessions" in problem.advice
            await channel.write(b"still here\n")
            assert await channel.line() == b"still here\n"
        assert await echo(link) == HERE
    assert sshd.logins == 1


async def test_a_session_that_is_killed_has_no_exit_status_and_the_next_one_comes_anew(
    sshd: Sshd, operator: Operator
) -> None:
    async with operator.reaches(sshd) as link:
        async with link.open(["cat"]) as channel:
            await channel.write(b"on\n")
            assert await channel.line() == b"on\n"
            sshd.kill_sessions()
            assert await channel.line() == b""
            assert await channel.exit_status() is None
            assert "connection lost" in channel.stderr()
            with pytest.raises(LinkFailed):
                await channel.write(b"x")
        assert await echo(link) == HERE
    assert sshd.logins == 2


async def test_a_session_that_fell_silent_is_left_for_a_new_one(
    sshd: Sshd, operator: Operator
) -> None:
    async with operator.reaches(sshd) as link:
        assert await echo(link) == HERE
        sshd.freeze_sessions()
        began = time.monotonic()
        assert await echo(link) == HERE
        assert time.monotonic() - began < 5 + 5
    assert sshd.logins == 2


async def test_a_node_that_fell_silent_altogether_does_not_hang_anybody(
    sshd: Sshd, operator: Operator
) -> None:
    async with operator.reaches(sshd, seconds=2) as link:
        assert await echo(link) == HERE
        sshd.freeze_sessions()
        sshd.freeze()
        began = time.monotonic()
        assert (await problem_of(link)).code in ("timeout", "channel-broken")
        assert (await problem_of(link)).code == "timeout"
        assert time.monotonic() - began < 5 + 2 + 2 + 1


# --- by the command line ------------------------------------------------------------------------


def test_three_nodes_are_upgraded_rolled_back_upgraded_and_finalized(
    make_sshd: Callable[..., Sshd], operator: Operator, make_cluster: Callable[..., SshCluster]
) -> None:
    nodes = [make_sshd() for _ in range(3)]
    cluster = make_cluster(nodes, operator)
    cluster.settle("4.11.0")
    old = [cluster.product(name) for name in cluster.names]
    cluster.release("4.12.0")

    before = [node.logins for node in nodes]
    ran = cluster.upgrade("4.12.0")
    assert ran.status == 0, ran
    # One for the upgrade, and one for the accept: it proves that one can still get in.
    assert [node.logins for node in nodes] == [count + 2 for count in before]
    status = cluster.run("status", str(cluster.file), "--json")
    assert status.status == 10
    verdict = status.json["verdict"]
    assert (verdict["kind"], verdict["from"], verdict["to"], verdict["certain"]) == (
        "ready_to_finalize",
        "4.11.0",
        "4.12.0",
        True,
    )
    assert [(node["address"], node["state"]) for node in status.json["nodes"]] == [
        (node.address, "accepted") for node in nodes
    ]

    assert cluster.run("rollback", str(cluster.file), "--yes").status == 0
    assert [cluster.product(name) for name in cluster.names] == old

    assert cluster.upgrade("4.12.0", "--batch", "3").status == 0
    assert cluster.run("finalize", str(cluster.file), "--yes").status == 0
    status = cluster.run("status", str(cluster.file), "--json")
    assert (status.status, status.json["verdict"]["kind"]) == (0, "settled")
    assert {node["finalized"]["version"] for node in status.json["nodes"]} == {"4.12.0"}
    assert (cluster.top / "history").is_dir()
    assert not (cluster.top / "operator").exists(), "operator_state is elsewhere"


@contextmanager
def upgrading(cluster: SshCluster) -> Iterator["subprocess.Popen[str]"]:
    """An upgrade of one node, from when its driver is at work."""
    cluster.settle("4.11.0")
    cluster.release("4.12.0")
    release = str(cluster.releases["4.12.0"])
    operator = cluster.start("upgrade", str(cluster.file), release, "--yes")
    try:
        wait_until(lambda: cluster.drivers() or operator.poll() is not None)
        yield operator
    finally:
        operator.kill()
        print(*operator.communicate())


def test_whoever_cannot_log_in_anew_does_not_accept_and_the_node_goes_back(
    sshd: Sshd, operator: Operator, make_cluster: Callable[..., SshCluster]
) -> None:
    """The connection that is there stays, and would do; but nobody else could come in."""
    limits = {"connect": "1s", "healthy_deadline": "2s", "accept_window": "4s"}
    cluster = make_cluster([sshd], operator, **limits)
    with upgrading(cluster) as upgrade:
        sshd.stop_listening()
        assert upgrade.wait(30) == 5
    sshd.start()
    status = cluster.run("status", str(cluster.file), "--json")
    assert (status.status, status.json["verdict"]["kind"]) == (0, "settled")
    assert "nobody accepted" in status.json["nodes"][0]["note"]


def test_a_connection_that_is_killed_in_the_middle_costs_the_upgrade_nothing(
    sshd: Sshd, operator: Operator, make_cluster: Callable[..., SshCluster]
) -> None:
    cluster = make_cluster([sshd], operator, min_healthy="1s")
    with upgrading(cluster) as upgrade:
        sshd.kill_sessions()
        assert upgrade.wait(30) == 0
    assert cluster.status()["verdict"]["kind"] == "ready_to_finalize"


def test_a_connection_that_falls_silent_in_the_middle_costs_the_upgrade_nothing(
    sshd: Sshd, operator: Operator, make_cluster: Callable[..., SshCluster]
) -> None:
    limits = {"min_healthy": "2s", "healthy_deadline": "8s", "accept_window": "40s"}
    cluster = make_cluster([sshd], operator, **limits)
    with upgrading(cluster) as upgrade:
        cluster.wait_for(lambda found: found["nodes"][0]["state"] == "monitoring")
        sshd.freeze_sessions()
        assert upgrade.wait(45) == 0
    assert cluster.status()["verdict"]["kind"] == "ready_to_finalize"


@pytest.mark.parametrize("where", ["on its path", "where the cluster file says"])
def test_a_node_without_python_is_unknown_and_says_what_is_missing(
    make_sshd: Callable[..., Sshd],
    operator: Operator,
    make_cluster: Callable[..., SshCluster],
    tmp_path: Path,
    where: str,
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sh").symlink_to("/bin/sh")
    if where == "on its path":
        cluster = make_cluster([make_sshd(path=str(tools))], operator)
    else:
        cluster = make_cluster([make_sshd()], operator, defaults='python = "/no/such/python3"')
    status = cluster.run("status", str(cluster.file), "--json")
    assert (status.status, status.json["verdict"]["kind"]) == (3, "unknown")
    assert status.json["nodes"][0]["problem"]["code"] == "no-python"


def fingerprint(sshd: Sshd) -> str:
    """Of its host key, as ssh-keygen says it."""
    return keygen("-l", "-f", sshd.host_key()).split()[1]
