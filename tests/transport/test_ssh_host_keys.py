"""Whom a login trusts: only keys that were known before. An unknown key is shown, a changed one
refused, and nobody logs in to either."""

import functools
import hashlib
import hmac
import os
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from backends.domain.problem import Exit, Problem
from backends.transport.introduction import Introduction, record
from backends.transport.known_hosts import Judgement
from backends.transport.link import LinkFailed
from backends.transport.ssh_dialer import Dialer
from backends.transport.way import Way
from tests.support.ssh import ADDRESS, Desk, Peer, Person, closing, entry, way_to

KINDS = ("ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp521")


@functools.cache
def key(kind: str, which: int = 0) -> asyncssh.SSHKey:
    """A key of a kind; the same `which`, the same key."""
    return asyncssh.generate_private_key(kind)


ED, OTHER_ED, RSA = key("ssh-ed25519"), key("ssh-ed25519", 1), key("ssh-rsa")
CA, OTHER_CA = key("ssh-ed25519", 2), key("ssh-ed25519", 3)


def certified(
    by: asyncssh.SSHKey, *, names: tuple[str, ...] = (ADDRESS,), **more: object
) -> object:
    """A host key with its certificate."""
    return (ED, by.generate_host_certificate(ED, "n1", principals=names, **more))


def known_by_ca(peer: Peer, by: asyncssh.SSHKey, marker: str = "@cert-authority") -> str:
    return entry(peer.port, by, marker=marker)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


class Opened:
    """Starts peers that let the operator in, and closes them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.all: list[Peer] = []

    async def __call__(self, *host_keys: object) -> Peer:
        peer = Peer(*host_keys)
        peer.keys = [self._desk.key.convert_to_public()]
        self.all.append(peer)
        return await peer.start()


@pytest.fixture
async def opened(desk: Desk) -> AsyncIterator[Opened]:
    found = Opened(desk)
    yield found
    for peer in found.all:
        await peer.close()


async def log_in(dialer: Dialer, way: Way) -> str | None:
    """How the login ended: a problem's code, or None."""
    try:
        connection = await dialer.connect(way)
    except LinkFailed as error:
        return error.problem.code
    connection.abort()
    await connection.wait_closed()
    return None


async def refusal(dialer: Dialer, way: Way) -> Problem:
    """The problem of a login that must fail."""
    with pytest.raises(LinkFailed) as caught:
        await dialer.connect(way)
    assert caught.value.exit_code is Exit.UNREACHABLE
    return caught.value.problem


# --- unknown, changed, revoked ------------------------------------------------------------------


async def test_an_unknown_key_is_refused_and_its_fingerprint_shown(
    desk: Desk, opened: Opened
) -> None:
    peer = await opened(ED)
    desk.knows()
    problem = await refusal(desk.dialer(), way_to(peer.port))
    assert problem.code == "host-key-unknown"
    assert ED.get_fingerprint() in problem.evidence
    assert f"[{ADDRESS}]:{peer.port}" in problem.evidence
    assert peer.users == [], "somebody wanted to log in"


async def test_a_changed_key_is_named_with_what_was_known_and_where(
    desk: Desk, opened: Opened
) -> None:
    peer = await opened(ED)
    desk.knows("# a comment", entry(peer.port, OTHER_ED))
    problem = await refusal(desk.dialer(), way_to(peer.port))
    assert problem.code == "host-key-changed"
    assert ED.get_fingerprint() in problem.evidence
    assert OTHER_ED.get_fingerprint() in problem.evidence
    assert f"{desk.known_hosts}:2" in problem.evidence


async def test_nobody_logs_in_to_a_changed_key_and_nobody_is_asked(
    desk: Desk, opened: Opened
) -> None:
    peer = await opened(ED)
    peer.password = "a word"
    desk.knows(entry(peer.port, OTHER_ED))
    person = Person("a word", "yes")
    problem = await refusal(desk.dialer(prompt=person), way_to(peer.port))
    assert problem.code == "host-key-changed"
    assert (peer.users, peer.tried, person.asked) == ([], [], [])
    assert peer.connected == 1, "it was tried again"


@pytest.mark.parametrize("shown", KINDS)
@pytest.mark.parametrize("known", KINDS)
async def test_a_key_of_another_kind_than_the_known_one_is_a_changed_key(
    desk: Desk, opened: Opened, known: str, shown: str
) -> None:
    """Not an unknown key, and not two sides that find no common algorithm."""
    peer = await opened(key(shown))
    desk.knows(entry(peer.port, key(known, 5)))
    problem = await refusal(desk.dialer(), way_to(peer.port))
    assert problem.code == "host-key-changed"
    assert key(shown).get_fingerprint() in problem.evidence
    assert peer.users == []


@pytest.mark.parametrize("known", KINDS)
async def test_of_several_keys_the_known_one_is_asked_for(
    desk: Desk, opened: Opened, known: str
) -> None:
    peer = await opened(*(key(kind) for kind in KINDS))
    desk.knows(entry(peer.port, key(known)))
    assert await log_in(desk.dialer(), way_to(peer.port)) is None


async def test_a_revoked_key_is_refused_although_it_is_known(desk: Desk, opened: Opened) -> None:
    peer = await opened(ED)
    desk.knows(entry(peer.port, ED), entry(peer.port, ED, marker="@revoked"))
    problem = await refusal(desk.dialer(), way_to(peer.port))
    assert problem.code == "host-key-changed"
    assert "revoked" in problem.evidence
    assert peer.users == []


async def test_a_key_that_is_known_at_another_port_only_is_not_known(
    desk: Desk, opened: Opened
) -> None:
    peer = await opened(ED)
    desk.knows(entry(peer.port + 1, ED))
    assert await log_in(desk.dialer(), way_to(peer.port)) == "host-key-unknown"


# --- certificates -------------------------------------------------------------------------------


async def test_a_certificate_of_a_known_authority_is_accepted(desk: Desk, opened: Opened) -> None:
    peer = await opened(certified(CA))
    desk.knows(known_by_ca(peer, CA))
    assert await log_in(desk.dialer(), way_to(peer.port)) is None


async def test_an_authority_for_a_pattern_counts_for_the_names_it_fits(
    desk: Desk, opened: Opened
) -> None:
    peer = await opened(certified(CA))
    _, blob = CA.export_public_key().decode().split()[:2]
    desk.knows(f"@cert-authority *.elsewhere,[127.0.0.*]:* ssh-ed25519 {blob}")
    assert await log_in(desk.dialer(), way_to(peer.port)) is None
    desk.knows(f"@cert-authority *.elsewhere ssh-ed25519 {blob}")
    assert await log_in(desk.dialer(), way_to(peer.port)) == "host-key-unknown"


@pytest.mark.parametrize(
    ("by", "more"),
    [
        (OTHER_CA, {}),
        (CA, {"names": ("another",)}),
        (CA, {"valid_after": "20200101", "valid_before": "20200102"}),
    ],
    ids=["another authority", "another name", "expired"],
)
async def test_where_a_certificate_does_not_hold_the_plain_key_counts_as_with_ssh(
    desk: Desk, opened: Opened, by: asyncssh.SSHKey, more: dict[str, object]
) -> None:
    peer = await opened(certified(by, **more))  # type: ignore[arg-type]
    desk.knows(known_by_ca(peer, CA))
    assert await log_in(desk.dialer(), way_to(peer.port)) == "host-key-unknown"
    assert peer.users == []
    desk.knows(known_by_ca(peer, CA), entry(peer.port, ED))
    assert await log_in(desk.dialer(), way_to(peer.port)) is None


async def test_trust_knows_a_node_that_an_authority_vouches_for(
    desk: Desk, opened: Opened
) -> None:
    peer = await opened(certified(CA))
    desk.knows(known_by_ca(peer, CA))
    assert (await desk.dialer().introduce(way_to(peer.port))).judgement is Judgement.KNOWN
    desk.knows(known_by_ca(peer, OTHER_CA))
    assert (await desk.dialer().introduce(way_to(peer.port))).judgement is Judgement.UNKNOWN


async def test_a_revoked_authority_vouches_for_nobody(desk: Desk, opened: Opened) -> None:
    peer = await opened(certified(CA))
    desk.knows(known_by_ca(peer, CA), known_by_ca(peer, CA, "@revoked"))
    assert await log_in(desk.dialer(), way_to(peer.port)) == "host-key-changed"
    assert peer.users == []


async def test_an_authority_is_no_key_of_the_node_itself(desk: Desk, opened: Opened) -> None:
    peer = await opened(CA)
    desk.knows(known_by_ca(peer, CA))
    assert await log_in(desk.dialer(), way_to(peer.port)) == "host-key-unknown"


async def test_where_no_authority_is_known_a_certified_node_is_known_by_its_plain_key(
    desk: Desk, opened: Opened
) -> None:
    peer = await opened(certified(CA))
    desk.knows(entry(peer.port, ED))
    assert await log_in(desk.dialer(), way_to(peer.port)) is None


async def test_where_an_authority_is_known_a_node_without_certificate_is_known_by_its_key(
    desk: Desk, opened: Opened
) -> None:
    peer = await opened(ED)
    desk.knows(known_by_ca(peer, CA), entry(peer.port, ED))
    assert await log_in(desk.dialer(), way_to(peer.port)) is None


# --- what ssh config says -----------------------------------------------------------------------


async def test_an_alias_is_what_a_key_is_known_by(desk: Desk, opened: Opened) -> None:
    """As with OpenSSH, an alias goes without the port."""
    peer = await opened(ED)
    algorithm, blob = ED.export_public_key().decode().split()[:2]
    desk.knows(f"Harbour-One {algorithm} {blob}")
    assert await log_in(desk.dialer(), way_to(peer.port)) == "host-key-unknown"
    desk.write_config("  HostKeyAlias harbour-one\n")
    assert await log_in(desk.dialer(), way_to(peer.port)) is None


async def test_a_changed_key_behind_an_alias_is_a_changed_key(desk: Desk, opened: Opened) -> None:
    peer = await opened(ED)
    algorithm, blob = OTHER_ED.export_public_key().decode().split()[:2]
    desk.knows(f"harbour-one {algorithm} {blob}")
    desk.write_config("  HostKeyAlias harbour-one\n")
    met = await desk.dialer().introduce(way_to(peer.port))
    assert met.judgement is Judgement.CHANGED
    problem = await refusal(desk.dialer(), way_to(peer.port))
    assert problem.code == "host-key-changed"
    assert f"{desk.known_hosts}:1" in problem.evidence


async def test_no_file_of_known_keys_means_that_none_is_known(
    desk: Desk, opened: Opened, home: Path
) -> None:
    """Not that none is checked, and not that the usual files count."""
    peer = await opened(ED)
    desk.knows(entry(peer.port, ED))
    (home / ".ssh").mkdir()
    (home / ".ssh" / "known_hosts").write_text(entry(peer.port, ED) + "\n")
    desk.write_config(first="UserKnownHostsFile none\nGlobalKnownHostsFile none")
    assert await log_in(desk.dialer(), way_to(peer.port)) == "host-key-unknown"
    assert peer.users == []


@pytest.mark.parametrize("word", ["no", "off", "accept-new", "ask", "yes"])
@pytest.mark.parametrize("known", [(), (OTHER_ED,)], ids=["unknown", "changed"])
async def test_no_word_of_ssh_config_switches_the_check_off(
    desk: Desk, opened: Opened, word: str, known: tuple[asyncssh.SSHKey, ...]
) -> None:
    peer = await opened(ED)
    desk.knows(*(entry(peer.port, each) for each in known))
    desk.write_config(first=f"StrictHostKeyChecking {word}\nCheckHostIP no")
    code = "host-key-changed" if known else "host-key-unknown"
    assert await log_in(desk.dialer(), way_to(peer.port)) == code
    assert peer.users == []
    assert ED.export_public_key().decode().split()[1] not in desk.known_hosts.read_text()


async def test_the_clusters_own_file_counts_instead_of_that_of_ssh_config(
    desk: Desk, opened: Opened, tmp_path: Path
) -> None:
    peer = await opened(ED)
    own = tmp_path / "of-the-cluster"
    desk.knows(entry(peer.port, ED))
    own.write_text("")
    dialer = desk.dialer(known_hosts=own)
    assert await log_in(dialer, way_to(peer.port)) == "host-key-unknown"
    assert (await dialer.introduce(way_to(peer.port))).file == own
    desk.knows(entry(peer.port, OTHER_ED))
    own.write_text(entry(peer.port, ED) + "\n")
    assert await log_in(desk.dialer(known_hosts=own), way_to(peer.port)) is None


async def test_the_usual_file_counts_where_ssh_config_names_none(
    desk: Desk, opened: Opened, home: Path
) -> None:
    peer = await opened(ED)
    usual = home / ".ssh" / "known_hosts"
    desk.config.write_text(f"Host *\n  User ann\n  IdentityFile {desk.identity}\n")
    assert await log_in(desk.dialer(), way_to(peer.port)) == "host-key-unknown"
    usual.parent.mkdir()
    usual.write_text(entry(peer.port, ED) + "\n")
    assert await log_in(desk.dialer(), way_to(peer.port)) is None
    assert (await desk.dialer().introduce(way_to(peer.port))).file == usual


async def test_the_file_of_the_whole_machine_counts_but_nothing_is_recorded_there(
    desk: Desk, opened: Opened, tmp_path: Path, home: Path
) -> None:
    peer = await opened(ED)
    everybodys = tmp_path / "everybodys"
    everybodys.write_text(entry(peer.port, OTHER_ED) + "\n")
    desk.config.write_text(
        f"Host *\n  IdentityFile {desk.identity}\n  GlobalKnownHostsFile {everybodys}\n"
    )
    met = await desk.dialer().introduce(way_to(peer.port))
    assert met.judgement is Judgement.CHANGED
    assert met.file == home / ".ssh" / "known_hosts"


async def test_a_hashed_name_is_known(desk: Desk, opened: Opened) -> None:
    peer = await opened(ED)
    salt = os.urandom(20)
    mac = hmac.digest(salt, f"[{ADDRESS}]:{peer.port}".encode(), hashlib.sha1)
    hashed = f"|1|{b64encode(salt).decode()}|{b64encode(mac).decode()}"
    desk.knows(f"{hashed} {' '.join(ED.export_public_key().decode().split()[:2])}")
    assert await log_in(desk.dialer(), way_to(peer.port)) is None


async def test_a_file_that_cannot_be_read_fails_the_login_and_nobody_is_trusted(
    desk: Desk, opened: Opened
) -> None:
    peer = await opened(ED)
    desk.known_hosts.mkdir()
    with pytest.raises(LinkFailed) as caught:
        await desk.dialer().connect(way_to(peer.port))
    assert caught.value.problem.code == "known-hosts-unreadable"
    assert caught.value.exit_code is Exit.USAGE
    with pytest.raises(LinkFailed) as caught:
        await desk.dialer().introduce(way_to(peer.port))
    assert caught.value.exit_code is Exit.USAGE
    assert peer.connected == 0


# --- getting to know a node ---------------------------------------------------------------------


async def test_a_node_that_was_introduced_and_recorded_lets_us_in(
    desk: Desk, opened: Opened
) -> None:
    peer = await opened(ED)
    dialer = desk.dialer()
    met = await dialer.introduce(way_to(peer.port))
    assert (met.judgement, met.problem, met.file) == (Judgement.UNKNOWN, None, desk.known_hosts)
    assert met.key is not None
    assert met.key.fingerprint == ED.get_fingerprint()
    assert peer.users == [], "an introduction is no login"
    assert not desk.known_hosts.exists(), "it was recorded without being asked"
    record([met])
    assert await log_in(dialer, way_to(peer.port)) == "host-key-unknown"  # read once
    dialer.forget_known()
    assert await log_in(dialer, way_to(peer.port)) is None
    assert (await dialer.introduce(way_to(peer.port))).judgement is Judgement.KNOWN


async def test_what_is_recorded_for_an_alias_is_what_is_looked_up(
    desk: Desk, opened: Opened
) -> None:
    peer = await opened(ED)
    desk.write_config("  HostKeyAlias harbour-one\n")
    dialer = desk.dialer()
    met = await dialer.introduce(way_to(peer.port))
    assert met.called == "harbour-one"
    record([met])
    assert desk.known_hosts.read_text().split()[0] == "harbour-one"
    dialer.forget_known()
    assert await log_in(dialer, way_to(peer.port)) is None


@pytest.mark.parametrize("shown", KINDS)
async def test_a_changed_key_is_never_introduced_as_an_unknown_one(
    desk: Desk, opened: Opened, shown: str
) -> None:
    peer = await opened(key(shown))
    desk.knows(entry(peer.port, OTHER_ED))
    before = desk.known_hosts.read_bytes()
    met = await desk.dialer().introduce(way_to(peer.port))
    assert met.judgement is Judgement.CHANGED
    assert met.problem is not None
    assert met.problem.code == "host-key-changed"
    with pytest.raises(ValueError, match="n1"):
        record([met])
    assert desk.known_hosts.read_bytes() == before


async def test_a_revoked_key_cannot_be_recorded(desk: Desk, opened: Opened) -> None:
    peer = await opened(ED)
    desk.knows(entry(peer.port, ED, marker="@revoked"))
    met = await desk.dialer().introduce(way_to(peer.port))
    assert met.judgement is Judgement.REVOKED
    assert met.problem is not None
    with pytest.raises(ValueError, match="n1"):
        record([met])


async def test_nothing_is_recorded_when_one_of_many_cannot_be(desk: Desk, opened: Opened) -> None:
    one, other = await opened(ED), await opened(ED)
    desk.knows(entry(other.port, OTHER_ED))
    before = desk.known_hosts.read_bytes()
    dialer = desk.dialer()
    met = [await dialer.introduce(way_to(each.port)) for each in (one, other)]
    with pytest.raises(ValueError, match="n1"):
        record(met)
    assert desk.known_hosts.read_bytes() == before


async def test_where_there_is_no_file_nothing_can_be_recorded(desk: Desk, opened: Opened) -> None:
    peer = await opened(ED)
    desk.write_config(first="UserKnownHostsFile none")
    met = await desk.dialer().introduce(way_to(peer.port))
    assert (met.judgement, met.file) == (Judgement.UNKNOWN, None)
    with pytest.raises(ValueError, match="n1"):
        record([met])


async def test_who_showed_nothing_cannot_be_recorded() -> None:
    with pytest.raises(ValueError, match="n1"):
        record([Introduction("n1", problem=Problem("tcp", "n1: nobody listens there"))])


async def test_a_node_that_is_not_there_is_introduced_by_its_problem(
    desk: Desk, opened: Opened
) -> None:
    peer = await opened(ED)
    await peer.close()
    met = await desk.dialer().introduce(way_to(peer.port))
    assert (met.key, met.judgement) == (None, None)
    assert met.problem is not None
    assert met.problem.code == "tcp"


async def test_keys_to_log_in_with_do_not_matter_for_an_introduction(
    desk: Desk, opened: Opened, home: Path
) -> None:
    peer = await opened(ED)
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id_ed25519").write_text("damaged")
    for first in ("", "IdentityFile ~/.ssh/not-there", "IdentityFile ~/.ssh/id_ed25519"):
        desk.write_config(first=first)
        met = await desk.dialer().introduce(way_to(peer.port))
        assert met.problem is None
        assert met.key is not None


async def test_a_node_is_introduced_by_the_host_block_that_its_address_names(
    desk: Desk, opened: Opened
) -> None:
    peer = await opened(ED)
    desk.write_config(first=f"Host harbour\n  Hostname {ADDRESS}\n  Port {peer.port}\n")
    met = await desk.dialer().introduce(Way("n1", "harbour"))
    assert met.key is not None
    assert met.called == f"[{ADDRESS}]:{peer.port}"


async def test_a_node_is_introduced_through_a_proxy_command(desk: Desk, opened: Opened) -> None:
    """As it is logged in to; else it could never become known."""
    peer = await opened(ED)
    script = (
        "import socket,sys,threading,os;"
        f"s=socket.create_connection(('{ADDRESS}',{peer.port}));"
        "threading.Thread(target=lambda:[s.sendall(d) for d in iter(lambda:os.read(0,9999),b'')],"
        "daemon=True).start();"
        "[os.write(1,d) for d in iter(lambda:s.recv(9999),b'')]"
    )
    desk.write_config(f'  ProxyCommand python3 -c "{script}"\n')
    way = Way("n1", "beyond.invalid", 2222)
    dialer = desk.dialer()
    met = await dialer.introduce(way)
    assert met.key is not None
    assert met.key.fingerprint == ED.get_fingerprint()
    assert met.called == "[beyond.invalid]:2222"
    record([met])
    dialer.forget_known()
    assert await log_in(dialer, way) is None


async def test_gateways_are_introduced_in_their_order_and_then_trusted(
    desk: Desk, opened: Opened
) -> None:
    gateway, peer = await opened(ED), await opened(OTHER_ED)
    gateway.is_gateway = True
    dialer = desk.dialer()
    way = way_to(peer.port, jump=f"{ADDRESS}:{gateway.port}")
    async with closing(dialer):
        unseen = await dialer.introduce(way)
        assert unseen.problem is not None
        assert unseen.problem.code == "host-key-unknown"
        assert peer.connected == 0, "nobody sees past a gateway that is not trusted"
        (first,) = await dialer.gateways(way)
        record([await dialer.introduce(first)])
        dialer.forget_known()
        met = await dialer.introduce(way)
        assert met.key is not None
        assert met.key.fingerprint == OTHER_ED.get_fingerprint()
        record([met])
        dialer.forget_known()
        assert await log_in(dialer, way) is None
    assert gateway.connected >= 2
