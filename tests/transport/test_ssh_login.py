"""Logins: keys, passwords, passphrases and codes; who is asked, how often, and that nothing of it
shows up anywhere."""

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest

from backends.transport.admission import Admission
from backends.transport.link import LinkFailed
from backends.transport.prompt import Nobody, Question, Secret
from backends.transport.ssh import SshLink
from backends.transport.ssh_dialer import Dialer
from backends.transport.way import Way
from tests.support.ssh import USER, Desk, Peer, Person, closing, way_to

WORD = "correct-horse"
WRONG = "battery-staple"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """An operator whose key no node takes."""
    return Desk(tmp_path)


@pytest.fixture
async def peer(desk: Desk) -> AsyncIterator[Peer]:
    found = await Peer().start()
    desk.knows(found.entry())
    yield found
    await found.close()


async def log_in(dialer: Dialer, *ways: Way) -> list[str | None]:
    """How logins at the same time ended: a problem's code each, or None."""

    async def one(way: Way) -> str | None:
        try:
            connection = await dialer.connect(way)
        except LinkFailed as error:
            return error.problem.code
        connection.abort()
        await connection.wait_closed()
        return None

    return list(await asyncio.gather(*(one(way) for way in ways)))


def ways(peer: Peer, count: int) -> list[Way]:
    """Ways to many nodes, all of them the same machine."""
    return [way_to(peer.port, node=f"n{number}") for number in range(1, count + 1)]


@functools.cache
def generated(algorithm: str) -> asyncssh.SSHKey:
    """A key; the same one each time, because some take long."""
    return asyncssh.generate_private_key(algorithm)


def lock(
    path: Path,
    key: asyncssh.SSHKey,
    *,
    kind: str = "pkcs8-pem",
    public: bool = True,
    word: str = WORD,
) -> None:
    """Write a key that needs a passphrase."""
    fast = {"rounds": 1, "ignore_few_rounds": True} if kind == "openssh" else {}
    path.write_bytes(key.export_private_key(kind, passphrase=word, **fast))
    path.chmod(0o600)
    beside = path.with_name(path.name + ".pub")
    beside.unlink(missing_ok=True)
    if public:
        key.write_public_key(beside)


# --- keys ---------------------------------------------------------------------------------------


async def test_a_key_that_is_taken_needs_nobody(desk: Desk, peer: Peer) -> None:
    peer.keys = [desk.key.convert_to_public()]
    person = Person(WORD)
    assert await log_in(desk.dialer(prompt=person), way_to(peer.port)) == [None]
    assert person.asked == []


async def test_a_refused_key_is_a_refused_login_that_names_the_user(
    desk: Desk, peer: Peer
) -> None:
    with pytest.raises(LinkFailed) as caught:
        await desk.dialer().connect(way_to(peer.port))
    assert caught.value.problem.code == "login-refused"
    assert f"{USER}@127.0.0.1:{peer.port}" in caught.value.problem.evidence
    assert peer.connected == 1, "a refusal is no bad weather: it was tried again"


async def test_no_agent_is_no_problem_and_a_dead_one_neither(
    desk: Desk, peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer.keys = [desk.key.convert_to_public()]
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "no-such-socket"))
    desk.config.write_text(
        f"User {USER}\nIdentityFile {desk.identity}\nUserKnownHostsFile {desk.known_hosts}\n"
    )
    assert await log_in(desk.dialer(), way_to(peer.port)) == [None]


@pytest.mark.parametrize("only", ["yes", "no"])
async def test_key_files_that_are_not_there_are_passed_over(
    desk: Desk, peer: Peer, home: Path, only: str
) -> None:
    """As with OpenSSH: one ssh config is shared by many machines."""
    peer.keys = [desk.key.convert_to_public()]
    missing = f"IdentitiesOnly {only}\nIdentityFile ~/.ssh/not-there"
    desk.write_config(first=missing)
    assert await log_in(desk.dialer(), way_to(peer.port)) == [None]
    desk.config.write_text(f"User {USER}\nUserKnownHostsFile {desk.known_hosts}\n{missing}\n")
    for prompt in (None, Person()):
        assert await log_in(desk.dialer(prompt=prompt), way_to(peer.port)) == ["login-refused"]


@pytest.mark.parametrize("only", ["yes", "no"])
async def test_a_public_half_may_be_named_for_a_key_that_an_agent_holds(
    desk: Desk, peer: Peer, tmp_path: Path, only: str
) -> None:
    peer.keys = [desk.key.convert_to_public()]
    desk.key.write_public_key(tmp_path / "held.pub")
    desk.write_config(first=f"IdentitiesOnly {only}\nIdentityFile {tmp_path}/held.pub")
    assert await log_in(desk.dialer(), way_to(peer.port)) == [None]


async def test_a_damaged_key_is_a_setting_that_cannot_be_used(desk: Desk, peer: Peer) -> None:
    desk.config.write_text(
        f"User {USER}\nIdentityFile {desk.identity}\nUserKnownHostsFile {desk.known_hosts}\n"
    )
    lines = desk.identity.read_text().splitlines()
    desk.identity.write_text("\n".join([lines[0], lines[1][:20], lines[-1]]))
    assert await log_in(desk.dialer(), way_to(peer.port)) == ["ssh-setting"]


async def test_the_usual_keys_count_where_ssh_config_names_none(
    desk: Desk, peer: Peer, home: Path
) -> None:
    peer.keys = [desk.key.convert_to_public()]
    desk.config.write_text(f"User {USER}\nUserKnownHostsFile {desk.known_hosts}\n")
    assert await log_in(desk.dialer(), way_to(peer.port)) == ["login-refused"]
    (home / ".ssh").mkdir()
    desk.key.write_private_key(home / ".ssh" / "id_ed25519")
    assert await log_in(desk.dialer(), way_to(peer.port)) == [None]


# --- passphrases --------------------------------------------------------------------------------


@pytest.mark.parametrize("public", [True, False], ids=["with .pub", "without .pub"])
@pytest.mark.parametrize("algorithm", ["ecdsa-sha2-nistp256", "ssh-rsa"])
@pytest.mark.parametrize("kind", ["pkcs8-pem", "pkcs1-pem", "openssh"])
async def test_a_locked_key_is_opened_by_its_passphrase(
    desk: Desk, peer: Peer, kind: str, algorithm: str, public: bool
) -> None:
    key = generated(algorithm)
    peer.keys = [key.convert_to_public()]
    lock(desk.identity, key, kind=kind, public=public)
    person = Person(WORD)
    assert await log_in(desk.dialer(prompt=person), way_to(peer.port)) == [None]
    assert [each.secret for each in person.asked] == [Secret.PASSPHRASE]
    assert person.asked[0].about == str(desk.identity)
    assert not person.asked[0].again


async def test_a_locked_key_is_shown_with_its_certificate(
    desk: Desk, peer: Peer, tmp_path: Path
) -> None:
    signer = asyncssh.generate_private_key("ssh-ed25519")
    key = generated("ssh-rsa")
    lock(desk.identity, key)
    beside = tmp_path / f"{desk.identity.name}-cert.pub"
    signer.generate_user_certificate(key, "ann", principals=[USER]).write_certificate(beside)
    peer.authorities = [signer.convert_to_public()]
    person = Person(WORD)
    assert await log_in(desk.dialer(prompt=person), way_to(peer.port)) == [None]
    assert len(person.asked) == 1


async def test_a_wrong_passphrase_is_asked_for_again_and_the_right_one_kept(
    desk: Desk, peer: Peer
) -> None:
    peer.keys = [desk.key.convert_to_public()]
    lock(desk.identity, desk.key)
    person = Person(WRONG, WORD)
    dialer = desk.dialer(prompt=person)
    assert await log_in(dialer, way_to(peer.port)) == [None]
    assert [each.again for each in person.asked] == [False, True]
    assert await log_in(dialer, *ways(peer, 3)) == [None] * 3
    assert len(person.asked) == 2


async def test_three_wrong_passphrases_leave_the_key_alone(desk: Desk, peer: Peer) -> None:
    lock(desk.identity, desk.key)
    peer.keys = [desk.key.convert_to_public()]
    person = Person(WRONG, WRONG, WRONG, WORD)
    dialer = desk.dialer(prompt=person)
    assert await log_in(dialer, *ways(peer, 3)) == ["login-refused"] * 3
    assert len(person.asked) == 3


async def test_who_declines_a_passphrase_is_not_asked_again_and_other_keys_are_tried(
    desk: Desk, peer: Peer, tmp_path: Path
) -> None:
    locked, plain = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    peer.keys = [locked.convert_to_public()]
    lock(tmp_path / "locked", locked)
    plain.write_private_key(tmp_path / "plain")
    desk.write_config(first=f"IdentityFile {tmp_path}/locked\nIdentityFile {tmp_path}/plain")
    person = Person(None, WORD)
    dialer = desk.dialer(prompt=person)
    assert await log_in(dialer, way_to(peer.port)) == ["login-refused"]
    assert len(person.asked) == 1
    peer.keys.append(plain.convert_to_public())
    assert await log_in(dialer, way_to(peer.port)) == [None]
    assert len(person.asked) == 1


async def test_a_passphrase_is_asked_for_only_when_the_node_takes_the_key(
    desk: Desk, peer: Peer
) -> None:
    lock(desk.identity, desk.key)
    person = Person(WORD)
    assert await log_in(desk.dialer(prompt=person), way_to(peer.port)) == ["login-refused"]
    assert person.asked == []


async def test_where_nobody_can_be_asked_a_locked_key_is_passed_over(
    desk: Desk, peer: Peer, tmp_path: Path
) -> None:
    peer.keys = [desk.key.convert_to_public()]
    lock(tmp_path / "locked", asyncssh.generate_private_key("ssh-ed25519"))
    desk.write_config(first=f"IdentityFile {tmp_path}/locked")
    assert await log_in(desk.dialer(), way_to(peer.port)) == [None]


@pytest.mark.parametrize("where", ["in ssh config", "usual"])
async def test_a_locked_key_in_the_home_directory_is_opened(
    desk: Desk, peer: Peer, home: Path, where: str
) -> None:
    peer.keys = [desk.key.convert_to_public()]
    (home / ".ssh").mkdir()
    lock(home / ".ssh" / "id_ed25519", desk.key)
    named = "IdentityFile ~/.ssh/id_ed25519\n" if where == "in ssh config" else ""
    desk.config.write_text(f"User {USER}\n{named}UserKnownHostsFile {desk.known_hosts}\n")
    person = Person(WORD)
    assert await log_in(desk.dialer(prompt=person), way_to(peer.port)) == [None]
    assert len(person.asked) == 1


async def test_one_passphrase_opens_the_way_to_many_nodes_at_once(
    desk: Desk, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than there are threads to wait in: whoever waits for a person must not block one.

    And the key is opened once: that takes a tenth of a second by design.
    """
    opened = 0
    real = asyncssh.import_private_key

    def counted(content: bytes, passphrase: str | None = None) -> asyncssh.SSHKey:
        nonlocal opened
        opened += passphrase is not None
        return real(content, passphrase)

    monkeypatch.setattr(asyncssh, "import_private_key", counted)
    peer.keys = [desk.key.convert_to_public()]
    lock(desk.identity, desk.key)
    person = Person(WORD, seconds=0.1)
    dialer = desk.dialer(prompt=person, admission=Admission(50, 50))
    assert await log_in(dialer, *ways(peer, 40)) == [None] * 40
    assert len(person.asked) == 1
    assert opened == 1


async def test_files_can_be_read_while_a_person_thinks_about_a_passphrase(
    desk: Desk, peer: Peer
) -> None:
    peer.keys = [desk.key.convert_to_public()]
    lock(desk.identity, desk.key)
    read = 0

    class Thinks(Person):
        async def ask(self, question: Question) -> str | None:
            nonlocal read
            async with asyncio.timeout(5):
                content = await asyncio.to_thread(desk.known_hosts.read_bytes)
            read = len(content)
            return await super().ask(question)

    dialer = desk.dialer(prompt=Thinks(WORD), admission=Admission(50, 50))
    assert await log_in(dialer, *ways(peer, 40)) == [None] * 40
    assert read


# --- passwords ----------------------------------------------------------------------------------


async def test_a_password_is_asked_for_and_opens_the_door(desk: Desk, peer: Peer) -> None:
    peer.password = WORD
    person = Person(WORD)
    assert await log_in(desk.dialer(prompt=person), way_to(peer.port)) == [None]
    assert person.asked == [Question(Secret.PASSWORD, USER, "n1")]


async def test_a_wrong_password_is_asked_for_again(desk: Desk, peer: Peer) -> None:
    peer.password = WORD
    person = Person(WRONG, WORD)
    assert await log_in(desk.dialer(prompt=person), way_to(peer.port)) == [None]
    assert [each.again for each in person.asked] == [False, True]
    assert peer.tried == [WRONG, WORD]


async def test_a_corrected_password_is_the_one_that_other_nodes_are_given(
    desk: Desk, peer: Peer
) -> None:
    """Or a slip of the finger would be sent to each of a thousand nodes."""
    peer.password = WORD
    person = Person(WRONG, WORD)
    dialer = desk.dialer(prompt=person)
    assert await log_in(dialer, way_to(peer.port)) == [None]
    peer.tried.clear()
    assert await log_in(dialer, *ways(peer, 4)) == [None] * 4
    assert peer.tried == [WORD] * 4
    assert len(person.asked) == 2


async def test_one_password_is_asked_for_once_for_many_nodes_at_once(
    desk: Desk, peer: Peer
) -> None:
    peer.password = WORD
    person = Person(WORD, seconds=0.05)
    assert await log_in(desk.dialer(prompt=person), *ways(peer, 20)) == [None] * 20
    assert len(person.asked) == 1


async def test_a_wrong_password_for_many_nodes_at_once_is_corrected_once(
    desk: Desk, peer: Peer
) -> None:
    peer.password = WORD
    person = Person(WRONG, WORD, seconds=0.05)
    assert await log_in(desk.dialer(prompt=person), *ways(peer, 10)) == [None] * 10
    assert len(person.asked) == 2


async def test_a_node_with_another_password_is_asked_about_by_name_and_only_once(
    desk: Desk, peer: Peer
) -> None:
    other = await Peer().start()
    async with closing(other):
        desk.knows(peer.entry(), other.entry())
        peer.password, other.password = WORD, "another"
        person = Person(WORD, "another")
        dialer = desk.dialer(prompt=person)
        for _ in range(2):
            assert await log_in(dialer, way_to(peer.port)) == [None]
            assert await log_in(dialer, way_to(other.port, node="n2")) == [None]
        assert [each.node for each in person.asked] == ["n1", "n2"]
        assert peer.tried == [WORD, WORD]


async def test_another_user_has_another_password(desk: Desk, peer: Peer) -> None:
    peer.password = WORD
    person = Person(WORD, "bobs")
    dialer = desk.dialer(prompt=person)
    assert await log_in(dialer, way_to(peer.port)) == [None]
    assert await log_in(dialer, way_to(peer.port, user="bob")) == ["login-refused"]
    assert [each.about for each in person.asked] == [USER, "bob", "bob"]
    assert WORD not in peer.tried[1:], "ann's password was tried for bob"


async def test_where_nobody_can_be_asked_no_password_is_tried(desk: Desk, peer: Peer) -> None:
    peer.password, peer.code = WORD, lambda code: True
    assert await log_in(desk.dialer(), way_to(peer.port)) == ["login-refused"]
    assert (peer.tried, peer.challenges) == ([], 0)
    assert await log_in(desk.dialer(prompt=Nobody()), way_to(peer.port)) == ["login-refused"]
    assert peer.tried == []


async def test_who_declines_is_not_asked_for_the_next_node(desk: Desk, peer: Peer) -> None:
    peer.password = WORD
    person = Person(None, WORD)
    dialer = desk.dialer(prompt=person)
    assert await log_in(dialer, *ways(peer, 5)) == ["login-refused"] * 5
    assert await log_in(dialer, way_to(peer.port)) == ["login-refused"]
    assert len(person.asked) == 1
    assert peer.tried == []


async def test_who_gives_up_after_wrong_passwords_is_refused(desk: Desk, peer: Peer) -> None:
    peer.password = WORD
    person = Person(WRONG, WRONG, None)
    dialer = desk.dialer(prompt=person)
    assert await log_in(dialer, way_to(peer.port)) == ["login-refused"]
    assert peer.tried == [WRONG, WRONG]
    assert await log_in(dialer, *ways(peer, 3)) == ["login-refused"] * 3
    assert peer.tried == [WRONG, WRONG], "a wrong password was tried on other nodes"


async def test_a_node_that_hangs_up_after_wrong_passwords_has_refused_the_login(
    desk: Desk, peer: Peer
) -> None:
    """MaxAuthTries: it is not the network."""
    peer.password, peer.hangs_up_after = WORD, 2
    person = Person(WRONG, WRONG, WRONG, WRONG)
    assert await log_in(desk.dialer(prompt=person), way_to(peer.port)) == ["login-refused"]
    assert peer.connected == 1


# --- codes --------------------------------------------------------------------------------------


async def test_a_code_is_asked_for_each_time_and_never_kept(desk: Desk, peer: Peer) -> None:
    valid = {"111111", "222222", "333333"}

    def take(code: str) -> bool:
        known = code in valid
        valid.discard(code)
        return known

    peer.code = take
    person = Person("111111", "222222", "333333")
    dialer = desk.dialer(prompt=person)
    for _ in range(3):
        assert await log_in(dialer, way_to(peer.port)) == [None]
    assert [each.secret for each in person.asked] == [Secret.CODE] * 3
    assert person.asked[0].text == "Verification code:"
    assert peer.tried == ["111111", "222222", "333333"]


@pytest.mark.parametrize(
    "text",
    [
        "One-time password (OATH) for `ann': ",
        "Enter your one time password: ",
        "OTP password: ",
        "Password + token code: ",
    ],
)
async def test_a_one_time_password_is_a_code_although_it_is_called_a_password(
    desk: Desk, peer: Peer, text: str
) -> None:
    peer.code, peer.code_text = (lambda code: True), text
    person = Person("111111", "222222")
    dialer = desk.dialer(prompt=person)
    for _ in range(2):
        assert await log_in(dialer, way_to(peer.port)) == [None]
    assert [each.secret for each in person.asked] == [Secret.CODE] * 2


async def test_a_password_that_is_asked_for_interactively_is_a_password(
    desk: Desk, peer: Peer
) -> None:
    peer.code, peer.code_text = (lambda code: code == WORD), "ann@n1's password: "
    person = Person(WRONG, WORD)
    dialer = desk.dialer(prompt=person)
    assert await log_in(dialer, way_to(peer.port)) == [None]
    assert await log_in(dialer, *ways(peer, 3)) == [None] * 3
    assert [each.secret for each in person.asked] == [Secret.PASSWORD] * 2


async def test_what_a_node_says_with_its_question_is_made_harmless(desk: Desk, peer: Peer) -> None:
    peer.code, peer.code_text = (lambda code: True), "\x1b[2JCode\r\n\u202e: "
    person = Person("111111")
    assert await log_in(desk.dialer(prompt=person), way_to(peer.port)) == [None]
    (question,) = person.asked
    assert question.text.isprintable()
    assert question.text.startswith("^[[2JCode")


async def test_who_declines_a_code_is_refused_and_not_asked_again(desk: Desk, peer: Peer) -> None:
    peer.code = lambda code: True
    person = Person(None)
    dialer = desk.dialer(prompt=person)
    assert await log_in(dialer, *ways(peer, 3)) == ["login-refused"] * 3
    assert len(person.asked) == 1


# --- time ---------------------------------------------------------------------------------------


async def test_the_time_that_a_person_takes_does_not_count(tmp_path: Path) -> None:
    """Three kinds of secrets at once, because this one has to wait."""
    limit, thinks = 0.5, 0.7

    async def one(what: str) -> tuple[list[str | None], float]:
        desk = Desk(tmp_path / what)
        peer = await Peer().start()
        async with closing(peer):
            desk.knows(peer.entry())
            if what == "passphrase":
                peer.keys = [desk.key.convert_to_public()]
                lock(desk.identity, desk.key)
            elif what == "password":
                peer.password = WORD
            else:
                peer.code = lambda code: code == WORD
            dialer = desk.dialer(prompt=Person(WORD, seconds=thinks), seconds=limit)
            began = time.monotonic()
            found = await log_in(dialer, *ways(peer, 1 if what == "code" else 3))
            return found, time.monotonic() - began

    for found, seconds in await asyncio.gather(*map(one, ("password", "passphrase", "code"))):
        assert set(found) == {None}
        assert seconds >= thinks


async def test_a_node_that_hangs_up_while_a_person_thinks_fails_and_says_so(
    desk: Desk, peer: Peer
) -> None:
    """LoginGraceTime; what the person says then still counts for the next login."""
    peer.password = WORD
    asked = asyncio.Event()
    go_on = asyncio.Event()

    class Slow(Person):
        async def ask(self, question: Question) -> str | None:
            self.asked.append(question)
            asked.set()
            await go_on.wait()
            return WORD

    person = Slow()
    dialer = desk.dialer(prompt=person)
    logging_in = asyncio.get_running_loop().create_task(log_in(dialer, way_to(peer.port)))
    await asked.wait()
    peer.drop()
    assert await logging_in == ["tcp"]
    go_on.set()
    assert await log_in(dialer, way_to(peer.port)) == [None]


@pytest.mark.parametrize("locked", [True, False], ids=["passphrase", "password"])
async def test_whoever_is_cancelled_while_a_person_thinks_leaves_nothing(
    desk: Desk, peer: Peer, locked: bool
) -> None:
    if locked:
        lock(desk.identity, desk.key)
        peer.keys = [desk.key.convert_to_public()]
    else:
        peer.password = WORD
    asked = asyncio.Event()
    cancelled = False

    class Thinks(Person):
        async def ask(self, question: Question) -> str | None:
            nonlocal cancelled
            asked.set()
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                cancelled = True
                raise
            return WORD

    dialer = desk.dialer(prompt=Thinks())
    logging_in = asyncio.get_running_loop().create_task(log_in(dialer, way_to(peer.port)))
    await asked.wait()
    logging_in.cancel()
    with pytest.raises(asyncio.CancelledError):
        await logging_in
    async with asyncio.timeout(5):
        while peer.now or not cancelled:
            await asyncio.sleep(0.01)


# --- gateways -----------------------------------------------------------------------------------


async def test_a_gateways_password_is_its_own(desk: Desk, peer: Peer) -> None:
    gateway = await Peer().start()
    async with closing(gateway):
        gateway.is_gateway = True
        desk.knows(peer.entry(), gateway.entry())
        gateway.password, peer.password = "of the gateway", WORD
        person = Person("of the gateway", WORD)
        dialer = desk.dialer(prompt=person)
        jump = f"{USER}@127.0.0.1:{gateway.port}"
        async with closing(dialer):
            found = await log_in(dialer, *(way_to(peer.port, jump=jump) for _ in range(3)))
        assert found == [None] * 3
        assert [each.about for each in person.asked] == [jump, USER]
        assert (gateway.tried, peer.tried) == (["of the gateway"], [WORD] * 3)


# --- nothing shows ------------------------------------------------------------------------------


async def test_no_secret_shows_in_problems_objects_or_logs(
    desk: Desk, peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "asyncssh")
    asyncssh.set_debug_level(2)  # at 3 asyncssh writes down whole packets, codes among them
    said = {Secret.PASSPHRASE: "ph-9Qx4", Secret.CODE: "cd-3Zt8", Secret.PASSWORD: "pw-7Hk2"}

    class Answers(Person):
        async def ask(self, question: Question) -> str | None:
            self.asked.append(question)
            earlier = [each.secret for each in self.asked[:-1]]
            return None if question.secret in earlier else said[question.secret]

    lock(desk.identity, desk.key, word=said[Secret.PASSPHRASE])
    person = Answers()
    dialer = desk.dialer(prompt=person)
    link = SshLink(way_to(peer.port), dialer)
    try:
        peer.keys = [desk.key.convert_to_public()]
        await link.prepare()
        await link.close()
        peer.keys = []
        peer.password, peer.code = "another", lambda code: False
        with pytest.raises(LinkFailed) as caught:
            await link.prepare()
    finally:
        asyncssh.set_debug_level(1)
    assert {each.secret for each in person.asked} == set(said)
    assert set(peer.tried) == {said[Secret.CODE], said[Secret.PASSWORD]}
    assert "Trying password auth" in caplog.text, "the log of asyncssh was not seen"
    shown = [repr(caught.value.problem), str(caught.value), repr(caught.value), caplog.text]
    shown += [repr(each) for each in (dialer, link, vars(link), vars(dialer), person.asked)]
    shown += [repr(vars(record)) for record in caplog.records]
    for text in shown:
        assert not [word for word in said.values() if word in text]
