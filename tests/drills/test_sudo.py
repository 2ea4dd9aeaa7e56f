"""Real sudo as an ordinary user, on a node with an /etc of its own."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from backends.transport.link import Link
from backends.transport.prompt import Question, Secret, Secrets
from backends.transport.sudo import SudoLink
from tests.drills.sshd import (
    Operator,
    SshCluster,
    Sshd,
    contract,
    problem_of,
    tool,
)
from tests.drills.sudo_node import ASKS, FREE, PASSWORD, TERMINAL, SudoSshd
from tests.support.pseudoterminal import Pseudoterminal
from tests.transport.test_link_contract import read

pytestmark = pytest.mark.drill

globals().update(contract())


class Person:
    """Says these words, one after the other, to whoever asks; then nothing."""

    def __init__(self, *words: str) -> None:
        self.asked: list[Question] = []
        self._words = list(words)

    async def ask(self, question: Question) -> str | None:
        self.asked.append(question)
        return self._words.pop(0) if self._words else None


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """Who reaches the nodes as `ops`."""
    return Operator(tmp_path / "operator", "ops")


@pytest.fixture
def make_node(
    tmp_path_factory: pytest.TempPathFactory, operator: Operator
) -> Iterator[Callable[[str], SudoSshd]]:
    """Makes nodes with these sudoers; all are ended, whatever happened."""
    tool("sudo", "sudo")
    if os.getuid() != 0:
        pytest.fail("only root can drill sudo: the node has an /etc of its own", pytrace=False)
    top = tmp_path_factory.mktemp("sudo")
    made: list[SudoSshd] = []

    def make(sudoers: str) -> SudoSshd:
        made.append(SudoSshd(top / str(len(made)), sudoers))
        made[-1].lets_in(operator)
        made[-1].start()
        operator.knows(*made)
        return made[-1]

    try:
        yield make
    finally:
        for node in made:
            node.stop()


@pytest.fixture
async def become(
    make_node: Callable[[str], SudoSshd], operator: Operator
) -> AsyncIterator[Callable[..., SudoLink]]:
    """Makes a link that becomes root on a node of its own; closed before that is ended."""
    made: list[SudoLink] = []

    def make(sudoers: str, person: Person | None = None) -> SudoLink:
        ssh = operator.link(make_node(sudoers))
        made.append(SudoLink(ssh, "ops", 5, Secrets(person) if person else None))
        return made[-1]

    yield make
    for link in made:
        await link.close()


@pytest.fixture(
    params=[FREE, TERMINAL + FREE, ASKS, TERMINAL + ASKS],
    ids=["free", "free with use_pty", "asks", "asks with use_pty"],
)
async def link(request: pytest.FixtureRequest, become: Callable[..., SudoLink]) -> Link:
    """What the tests of every link are given here."""
    asks = request.param.endswith(ASKS)
    return become(request.param, Person(PASSWORD) if asks else None)


# --- it becomes root ----------------------------------------------------------------------------


async def test_a_command_runs_as_root_and_its_input_is_what_was_sent(link: Link) -> None:
    content = os.urandom(1 << 20)
    assert await said_to(link, content) == (b"0", sha256(content).hexdigest().encode())


@pytest.mark.parametrize("sudoers", [FREE, TERMINAL + FREE], ids=["without", "with use_pty"])
async def test_a_password_that_is_not_needed_is_not_asked_for(
    become: Callable[..., SudoLink], sudoers: str
) -> None:
    person = Person(PASSWORD)
    link = become(sudoers, person)
    await link.prepare()
    async with link.open(["cat"]) as channel:
        await channel.write(b"all of it\n")
        await channel.close_input()
        assert await read(channel) == [b"all of it\n"]
    assert person.asked == []


@pytest.mark.parametrize(
    "more",
    ["", "Defaults timestamp_timeout=0\n", "Defaults lecture=always\n"],
    ids=["remembers", "forgets at once", "lectures"],
)
async def test_a_person_is_asked_once_however_often_sudo_asks(
    become: Callable[..., SudoLink], more: str
) -> None:
    person = Person(PASSWORD)
    link = become(more + ASKS, person)
    await link.prepare()
    fresh = link.fresh()
    try:
        for each in (link, fresh, link):
            assert await said_to(each, b"x") == (b"0", sha256(b"x").hexdigest().encode())
    finally:
        await fresh.close()
    assert [(each.secret, each.about, each.again) for each in person.asked] == [
        (Secret.SUDO_PASSWORD, "ops", False)
    ]


async def test_after_a_wrong_password_one_is_asked_again(become: Callable[..., SudoLink]) -> None:
    person = Person("a slip", PASSWORD)
    link = become(ASKS, person)
    assert await said_to(link, b"x") == (b"0", sha256(b"x").hexdigest().encode())
    assert [each.again for each in person.asked] == [False, True]


async def test_the_password_is_seen_by_nobody(
    make_node: Callable[[str], SudoSshd], operator: Operator
) -> None:
    node = make_node(TERMINAL + ASKS)
    async with operator.reaches(node) as ssh:
        link = SudoLink(ssh, "ops", 5, Secrets(Person(PASSWORD)))
        async with link.open(["sh", "-c", "echo on; exec cat"]) as channel:
            assert await channel.line() == b"on\n"
            seen = [_words(pid) for pid in node.processes()]
            assert any(b"sudo" in words for words in seen), "these are the wrong processes"
            assert not any(PASSWORD.encode() in words for words in seen)
            assert PASSWORD not in channel.stderr()
    assert "COMMAND=" in node.sudo_log.read_text()
    assert PASSWORD not in node.sudo_log.read_text() + node.log


async def test_what_sudo_and_we_said_to_each_other_is_not_the_commands(
    become: Callable[..., SudoLink],
) -> None:
    """It would be shown as evidence of what the command did."""
    link = become("Defaults lecture=always\n" + ASKS, Person(PASSWORD))
    async with link.open(["sh", "-c", "echo mine >&2"]) as channel:
        await read(channel)
        await channel.exit_status()
        assert channel.stderr() == "mine"


# --- it does not --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sudoers", "words", "said", "advice"),
    [
        (ASKS, None, "a password is required", 'become = "sudo-password"'),
        ("Defaults requiretty\n" + FREE, None, "must have a tty", "!requiretty"),
        ("Defaults requiretty\n" + ASKS, [PASSWORD], "must have a tty", "!requiretty"),
        ("", None, "a password is required", 'become = "sudo-password"'),
        ("", [PASSWORD], "not in the sudoers", "Allow ops"),
        ("ops ALL=(ALL) /bin/ls", [PASSWORD], "not allowed", "Allow ops"),
        ("no such rule", [PASSWORD], "syntax error", "Allow ops"),
        (ASKS, ["a", "b", "c", PASSWORD], "3 incorrect password attempts", "the right one"),
        (ASKS, [], "", "on a terminal"),
    ],
    ids=[
        "a password is needed",
        "a terminal is needed",
        "a terminal and a password are needed",
        "nobody knows the user",
        "nobody knows the user, who has a password",
        "the user may do something else",
        "the sudoers are damaged",
        "three wrong passwords",
        "nobody answers",
    ],
)
async def test_why_sudo_refuses_is_told_with_what_helps(
    become: Callable[..., SudoLink],
    sudoers: str,
    words: list[str] | None,
    said: str,
    advice: str,
) -> None:
    person = None if words is None else Person(*words)
    problem = await problem_of(become(sudoers, person))
    assert problem.code == "sudo"
    assert said in problem.evidence
    assert advice in problem.advice
    assert len(person.asked if person else []) <= 3


async def test_a_password_that_was_refused_is_not_tried_again(
    become: Callable[..., SudoLink],
) -> None:
    """Nodes lock accounts after a few wrong ones; a watch comes again every few seconds."""
    person = Person("a slip")
    link = become("Defaults passwd_tries=1\n" + ASKS, person)
    assert "1 incorrect password attempt" in (await problem_of(link)).evidence
    problem = await problem_of(link)
    assert "none was given" in problem.summary
    assert len(person.asked) == 2


async def test_nothing_of_our_own_is_shown_as_what_sudo_said(
    become: Callable[..., SudoLink],
) -> None:
    problem = await problem_of(become(ASKS, Person("a slip")))
    assert "none was given" in problem.summary
    assert "liftlock-" not in problem.evidence


async def test_a_node_without_sudo_is_told_from_one_that_refuses(
    run_sshd: None, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sh").symlink_to("/bin/sh")
    operator = Operator(tmp_path / "root")
    node = Sshd(tmp_path / "sshd")
    node.path = str(tools)
    node.lets_in(operator)
    try:
        node.start()
        operator.knows(node)
        async with operator.reaches(node) as ssh:
            problem = await problem_of(SudoLink(ssh, operator.user, 5))
    finally:
        node.stop()
    assert problem.code == "sudo"
    assert "Install sudo" in problem.advice


# --- by the command line ------------------------------------------------------------------------


@pytest.mark.parametrize("sudoers", [FREE, TERMINAL + FREE], ids=["without", "with use_pty"])
def test_a_node_is_upgraded_through_sudo_and_rolled_back(
    make_node: Callable[[str], SudoSshd],
    operator: Operator,
    make_cluster: Callable[..., SshCluster],
    sudoers: str,
) -> None:
    cluster = make_cluster([make_node(sudoers)], operator, defaults='become = "sudo"')
    cluster.settle("4.11.0")
    before = cluster.product("n1")
    cluster.release("4.12.0")
    assert cluster.run("status", str(cluster.file)).status == 0
    ran = cluster.upgrade("4.12.0")
    assert ran.status == 0, ran
    state = (cluster.top / "n1" / "state").stat()
    assert (state.st_uid, state.st_mode & 0o777) == (0, 0o700)
    assert cluster.status()["verdict"]["kind"] == "ready_to_finalize"
    assert cluster.run("rollback", str(cluster.file), "--yes").status == 0
    assert cluster.product("n1") == before


def test_a_node_whose_sudo_asks_is_unknown_where_nobody_can_answer(
    make_node: Callable[[str], SudoSshd],
    operator: Operator,
    make_cluster: Callable[..., SshCluster],
) -> None:
    cluster = make_cluster([make_node(ASKS)], operator, defaults='become = "sudo-password"')
    status = cluster.run("status", str(cluster.file), "--json")
    assert (status.status, status.json["verdict"]["kind"]) == (3, "unknown")
    assert status.json["nodes"][0]["problem"]["code"] == "sudo"


def test_a_person_at_a_terminal_types_it_and_it_is_not_shown(
    make_node: Callable[[str], SudoSshd],
    operator: Operator,
    make_cluster: Callable[..., SshCluster],
) -> None:
    node = make_node(TERMINAL + ASKS)
    cluster = make_cluster([node], operator, defaults='become = "sudo-password"')
    words = (sys.executable, "-m", "app", "status", str(cluster.file))
    with Pseudoterminal(*words, environment=cluster.environment) as terminal:
        terminal.answers("assword of ops", "a slip")
        terminal.answers("assword of ops", PASSWORD)
        assert terminal.ends() == 10
    assert "That was refused" in terminal.screen
    assert "absent" in terminal.screen
    assert PASSWORD not in terminal.screen


async def said_to(link: Link, content: bytes) -> tuple[bytes, bytes]:
    """Who a command runs as, and the digest of what it was given."""
    async with link.open(["sh", "-c", "id -u; sha256sum"]) as channel:
        await channel.write(content)
        await channel.close_input()
        who, digest = await read(channel)
    return who.strip(), digest.split()[0]


def _words(pid: int) -> bytes:
    """What everybody can see of a process, and what only root can."""
    try:
        folder = Path(f"/proc/{pid}")
        return (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
