"""Becoming root: what sudo may say, whom a password reaches, and that nothing else ever gets it.

The `sudo` here is a stand-in that a test writes; the real one has a drill of its own.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from backends.domain.problem import Problem
from backends.transport.link import LinkFailed
from backends.transport.local import LocalLink
from backends.transport.prompt import Nobody, Prompt, Question, Secret, Secrets
from backends.transport.sudo import SudoLink
from tests.support.node import within
from tests.support.ssh import Person, SshNode

WORD = "right-word"

HEAD = """\
#!/bin/sh
printf '%s\\n' "$@" >>{top}/argv
echo x >>{top}/runs
never= prompt=
while [ $# -gt 0 ]; do
    case $1 in
        -n) never=1; shift ;;
        -S) shift ;;
        -p) prompt=$(printf %s "$2" | sed s/%p/ann/); shift 2 ;;
        --) shift; break ;;
        *) echo "sudo: unknown option $1" >&2; exit 1 ;;
    esac
done
"""

ASKS = """\
[ -z "$never" ] || {{ echo 'sudo: a password is required' >&2; exit 1; }}
tries=0
while :; do
    printf '%s' "$prompt" >&2
    IFS= read -r word || {{ echo >&2; echo 'sudo: no password was provided' >&2; exit 1; }}
    printf '%s\\n' "$word" >>{top}/passwords
    [ "$word" = right-word ] && exec "$@"
    tries=$((tries + 1))
    [ $tries = 3 ] && {{ echo 'sudo: 3 incorrect password attempts' >&2; exit 1; }}
    echo 'Sorry, try again.' >&2
done
"""


HANGS = "while read -r line; do :; done"
"""Until nobody is there any more."""


class StandIn:
    """A `sudo` of a test's own, first on PATH."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.file = top / "bin" / "sudo"
        self.file.parent.mkdir()

    def does(self, body: str) -> None:
        """What it does after it has read its options."""
        self.file.write_text(HEAD.format(top=self.top) + body.format(top=self.top))
        self.file.chmod(0o755)

    def link(self, prompt: Prompt | None = None, seconds: float = 5) -> SudoLink:
        """A link to this machine that goes through it."""
        secrets = Secrets(prompt) if prompt else None
        return SudoLink(LocalLink("n1"), "ann", seconds, secrets)

    def _lines(self, name: str) -> list[str]:
        file = self.top / name
        return file.read_text().splitlines() if file.exists() else []

    @property
    def argv(self) -> list[str]:
        """All words it was called with."""
        return self._lines("argv")

    @property
    def runs(self) -> int:
        """How often it was called."""
        return len(self._lines("runs"))

    @property
    def passwords(self) -> list[str]:
        """What it was given."""
        return self._lines("passwords")


@pytest.fixture
def sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    found = StandIn(tmp_path)
    monkeypatch.setenv("PATH", f"{found.file.parent}:{os.environ['PATH']}")
    return found


async def said(link: SudoLink, *argv: str, given: bytes = b"") -> tuple[bytes, int | None]:
    """What a command says and how it ends."""
    async with link.open([*argv]) as channel:
        await channel.write(given)
        await channel.close_input()
        found = b""
        while line := await channel.line():
            found += line
        return found, await channel.exit_status()


async def refusal(link: SudoLink) -> Problem:
    """The problem of a link that does not become root; its command never ran."""
    with pytest.raises(LinkFailed) as caught:
        await said(link, "sh", "-c", "echo it ran")
    assert caught.value.problem.summary.startswith("n1: ")
    assert "it ran" not in caught.value.problem.evidence
    return caught.value.problem


# --- without a password -------------------------------------------------------------------------


async def test_what_sudo_allows_runs_and_its_words_are_its_own(sudo: StandIn) -> None:
    sudo.does('exec "$@"')
    script = "printf '%s\\n' \"$@\"; exit 3"
    found = await said(sudo.link(), "sh", "-c", script, "x", "a b", "$HOME;")
    assert found == (b"a b\n$HOME;\n", 3)
    assert sudo.argv[:3] == ["-n", "--", "sh"]


async def test_standard_error_and_input_are_the_commands(sudo: StandIn) -> None:
    sudo.does('exec "$@"')
    async with sudo.link().open(["sh", "-c", "echo problem >&2; cat"]) as channel:
        await channel.write(b"one\n")
        assert await channel.line() == b"one\n"
        await channel.close_input()
        assert await channel.line() == b""
        assert channel.stderr() == "problem"


async def test_where_a_password_is_required_the_advice_says_what_to_set(sudo: StandIn) -> None:
    sudo.does(ASKS)
    problem = await refusal(sudo.link())
    assert problem.code == "sudo"
    assert "a password is required" in problem.evidence
    assert 'become = "sudo-password"' in problem.advice
    assert sudo.passwords == []


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("sudo: sorry, you must have a tty to run sudo", "!requiretty"),
        ("ann is not in the sudoers file.", "sudoers"),
        ("Sorry, user ann is not allowed to execute '/bin/sh' as root on n1.", "sudoers"),
        ("Sorry, user ann may not run sudo on n1.", "sudoers"),
        ("sudo: unable to resolve host n1: Name or service not known", "sudo -n true"),
        ("", "sudo -n true"),
    ],
)
@pytest.mark.parametrize("prompt", [None, Nobody()], ids=["-n", "-S"])
async def test_what_sudo_says_is_the_evidence_and_the_advice_fits(
    sudo: StandIn, words: str, advice: str, prompt: Prompt | None
) -> None:
    sudo.does(f"printf '%s\\n' \"{words}\" >&2; exit 1")
    problem = await refusal(sudo.link(prompt))
    assert problem.code == "sudo"
    assert words in problem.evidence
    assert problem.evidence
    assert advice in problem.advice


async def test_a_node_without_sudo_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    node = SshNode(tmp_path / "node")
    await node.start()
    link = SudoLink(node.link(), "ann", 5)
    try:
        problem = await refusal(link)
        assert problem.code == "sudo"
        assert "Install sudo" in problem.advice
    finally:
        await link.close()
        await node.server.close()


async def test_this_machine_without_sudo_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    problem = await refusal(SudoLink(LocalLink("n1"), "ann", 5))
    assert "sudo" in problem.summary


# --- with a password ----------------------------------------------------------------------------


async def test_the_password_is_asked_for_and_lets_us_in(sudo: StandIn) -> None:
    sudo.does(ASKS)
    person = Person(WORD)
    assert await said(sudo.link(person), "echo", "in") == (b"in\n", 0)
    assert person.asked == [Question(Secret.SUDO_PASSWORD, "ann", "n1")]
    assert sudo.passwords == [WORD]


async def test_where_sudo_does_not_ask_the_command_gets_exactly_what_was_written(
    sudo: StandIn,
) -> None:
    sudo.does('exec "$@"')
    person = Person(WORD)
    content = b"first line\n" + os.urandom(1000)
    async with sudo.link(person).open(["sh", "-c", f"cat >{sudo.top}/got"]) as channel:
        await channel.write(content)
        await channel.close_input()
        assert await channel.exit_status() == 0
    assert (sudo.top / "got").read_bytes() == content
    assert person.asked == []


async def test_a_known_password_is_not_written_where_sudo_does_not_ask(sudo: StandIn) -> None:
    """As within the minutes in which sudo remembers."""
    sudo.does(ASKS)
    link = sudo.link(Person(WORD))
    await link.prepare()
    sudo.does('exec "$@"')
    assert await said(link, "cat", given=b"mine\n") == (b"mine\n", 0)


async def test_what_follows_the_password_arrives_unchanged(sudo: StandIn) -> None:
    sudo.does(ASKS)
    content = os.urandom(1 << 20)
    async with sudo.link(Person(WORD)).open(["sh", "-c", f"cat >{sudo.top}/got"]) as channel:
        await channel.write(content)
        await channel.close_input()
        assert await channel.exit_status() == 0
    assert (sudo.top / "got").read_bytes() == content


async def test_a_wrong_password_is_asked_for_again_and_the_right_one_remembered(
    sudo: StandIn,
) -> None:
    sudo.does(ASKS)
    person = Person("wrong", WORD)
    link = sudo.link(person)
    assert await said(link, "echo", "in") == (b"in\n", 0)
    assert [each.again for each in person.asked] == [False, True]
    assert await said(link, "echo", "in") == (b"in\n", 0)
    assert await said(link.fresh(), "echo", "in") == (b"in\n", 0)  # type: ignore[arg-type]
    assert sudo.passwords == ["wrong", WORD, WORD, WORD]
    assert len(person.asked) == 2


async def test_three_wrong_passwords_are_the_end(sudo: StandIn) -> None:
    sudo.does(ASKS)
    person = Person("wrong", "wronger", "wrongest", WORD)
    problem = await refusal(sudo.link(person))
    assert problem.code == "sudo"
    assert "3 incorrect password attempts" in problem.evidence
    assert problem.advice
    assert len(person.asked) == 3
    for shown in (problem.evidence, problem.summary, problem.advice):
        assert not [word for word in ("wrong", "liftlock-") if word in shown]


@pytest.mark.parametrize("prompt", [Person(None, WORD), Nobody()], ids=["declines", "nobody"])
async def test_who_declines_is_not_asked_for_the_next_node(sudo: StandIn, prompt: Prompt) -> None:
    sudo.does(ASKS)
    secrets = Secrets(prompt)
    for node in ("n1", "n1", "n1"):
        problem = await refusal(SudoLink(LocalLink(node), "ann", 5, secrets))
        assert problem.code == "sudo"
        assert "none was given" in problem.summary
    if isinstance(prompt, Person):
        assert len(prompt.asked) == 1
    assert sudo.passwords == []
    await _nothing_left(sudo)


async def test_who_gives_up_after_a_wrong_password_is_told_what_sudo_said(sudo: StandIn) -> None:
    sudo.does(ASKS)
    problem = await refusal(sudo.link(Person("wrong", None)))
    assert problem.code == "sudo"
    assert "Sorry, try again." in problem.evidence
    assert "liftlock-" not in problem.evidence


async def test_one_password_is_asked_for_once_for_many_nodes(sudo: StandIn) -> None:
    sudo.does(ASKS)
    person = Person(WORD, seconds=0.05)
    secrets = Secrets(person)
    links = [SudoLink(LocalLink(f"n{number}"), "ann", 5, secrets) for number in range(8)]
    await asyncio.gather(*(link.prepare() for link in links))
    assert len(person.asked) == 1
    assert sudo.passwords == [WORD] * 8


async def test_one_becomes_root_once_to_prepare(sudo: StandIn) -> None:
    sudo.does(ASKS)
    link = sudo.link(Person(WORD))
    await link.prepare()
    await link.prepare()
    assert sudo.runs == 1


# --- where a password could leak ----------------------------------------------------------------


async def test_a_password_is_in_no_argument_and_no_environment(sudo: StandIn) -> None:
    sudo.does(ASKS)
    script = "cat /proc/$$/cmdline /proc/$PPID/cmdline; env; set"
    found, _ = await said(sudo.link(Person(WORD)), "sh", "-c", script)
    assert b"printf" in found or b"PATH=" in found
    assert WORD.encode() not in found
    assert not [word for word in sudo.argv if WORD in word]


async def test_the_question_that_a_password_answers_is_another_each_time(sudo: StandIn) -> None:
    """Or what runs there could ask for it."""
    sudo.does(ASKS)
    link = sudo.link(Person(WORD))
    for _ in range(5):
        await said(link, "true")
    words = sudo.argv
    prompts = {words[at + 1] for at, word in enumerate(words) if word == "-p"}
    assert len(prompts) == 5
    assert min(map(len, prompts)) > 16


async def test_a_command_that_asks_like_sudo_gets_nothing(sudo: StandIn) -> None:
    """Once it runs, nobody listens to such questions, not even to the very same one."""
    sudo.does(ASKS)
    asks = f"printf '%s' \"$(sed -n /liftlock/p {sudo.top}/argv | head -n 1)\" >&2; cat"
    found = await said(sudo.link(Person(WORD)), "sh", "-c", asks, given=b"mine\n")
    assert found == (b"mine\n", 0)
    assert sudo.passwords == [WORD]


async def test_a_question_of_somebody_else_is_not_answered(sudo: StandIn) -> None:
    """A program that sudo runs first, or a shell's start-up file."""
    sudo.does("printf '[sudo] password for ann: ' >&2; cat >{top}/heard")
    person = Person(WORD)
    problem = await refusal(sudo.link(person, seconds=0.2))
    assert problem.code == "sudo"
    assert person.asked == []
    await _nothing_left(sudo)
    assert (sudo.top / "heard").read_bytes() == b""


# --- sudo and shells that behave oddly ----------------------------------------------------------


@pytest.mark.parametrize("prompt", [None, Nobody()], ids=["-n", "-S"])
async def test_a_shell_that_speaks_first_is_a_protocol_mismatch(
    sudo: StandIn, prompt: Prompt | None
) -> None:
    sudo.does("echo 'Welcome to n1!'; exec \"$@\"")
    problem = await refusal(sudo.link(prompt))
    assert problem.code == "protocol-mismatch"
    assert "Welcome to n1!" in problem.evidence


async def test_a_lecture_and_warnings_before_the_question_do_not_matter(sudo: StandIn) -> None:
    lecture = "echo 'We trust you have received the usual lecture.' >&2\nsleep 0.05\n"
    sudo.does(lecture + ASKS)
    person = Person(WORD)
    assert await said(sudo.link(person), "echo", "in") == (b"in\n", 0)
    assert len(person.asked) == 1


async def test_a_question_that_comes_in_pieces_is_answered_once(sudo: StandIn) -> None:
    torn = "printf '%.7s' \"$prompt\" >&2; sleep 0.05; prompt=${{prompt#???????}}\n"
    sudo.does(torn + ASKS)
    person = Person(WORD)
    assert await said(sudo.link(person), "echo", "in") == (b"in\n", 0)
    assert sudo.passwords == [WORD]


@pytest.mark.parametrize("prompt", [None, Nobody()], ids=["-n", "-S"])
async def test_a_sudo_that_says_nothing_is_a_problem_within_the_limit(
    sudo: StandIn, prompt: Prompt | None
) -> None:
    sudo.does(HANGS)
    began = time.monotonic()
    problem = await refusal(sudo.link(prompt, seconds=0.2))
    assert time.monotonic() - began < 3
    assert problem.code == "sudo"
    assert "0.2 s" in problem.summary
    await _nothing_left(sudo)


async def test_a_sudo_that_falls_silent_after_the_password_is_a_problem(sudo: StandIn) -> None:
    sudo.does("printf 'Careful. %s' \"$prompt\" >&2; read -r word; " + HANGS)
    problem = await refusal(sudo.link(Person(WORD), seconds=0.2))
    assert (problem.code, problem.evidence) == ("sudo", "Careful.")


async def test_a_sudo_that_closed_its_standard_error_is_still_waited_for(sudo: StandIn) -> None:
    sudo.does('exec 2>&-; sleep 0.2; exec "$@"')
    assert await said(sudo.link(), "echo", "in") == (b"in\n", 0)


async def test_a_sudo_that_closed_its_standard_error_and_hangs_is_a_problem(sudo: StandIn) -> None:
    sudo.does("exec 2>&-; " + HANGS)
    assert (await refusal(sudo.link(seconds=0.2))).code == "sudo"


async def test_the_time_that_a_person_takes_does_not_count(sudo: StandIn) -> None:
    sudo.does(ASKS)
    assert await said(sudo.link(Person(WORD, seconds=0.4), 0.25), "echo", "in") == (b"in\n", 0)


async def test_a_sudo_that_gave_up_while_a_person_thought_says_so_itself(sudo: StandIn) -> None:
    sudo.does("printf '%s' \"$prompt\" >&2; echo 'sudo: timed out reading password' >&2; exit 1")
    problem = await refusal(sudo.link(Person(WORD, seconds=0.2)))
    assert problem.code == "sudo"
    assert "timed out reading password" in problem.evidence


async def test_over_ssh_a_sudo_that_gave_up_meanwhile_says_so_itself(
    sudo: StandIn, tmp_path: Path
) -> None:
    sudo.does("printf '%s' \"$prompt\" >&2; echo 'sudo: timed out reading password' >&2; exit 1")
    async with _over_ssh(tmp_path, Person(WORD, seconds=0.2)) as (link, _):
        problem = await refusal(link)
    assert problem.code == "sudo"
    assert "timed out reading password" in problem.evidence


async def test_over_ssh_the_password_goes_to_sudo_and_the_rest_to_the_command(
    sudo: StandIn, tmp_path: Path
) -> None:
    sudo.does(ASKS)
    person = Person("wrong", WORD)
    async with _over_ssh(tmp_path, person) as (link, _):
        content = os.urandom(100_000).replace(b"\n", b"") + b"\n"
        assert await said(link, "cat", given=content) == (content, 0)
    assert sudo.passwords == ["wrong", WORD]


async def test_a_connection_that_breaks_meanwhile_is_no_word_of_sudo(
    sudo: StandIn, tmp_path: Path
) -> None:
    sudo.does("printf 'wait' >&2; " + HANGS)
    async with _over_ssh(tmp_path, Person(WORD)) as (link, cut):
        failing = asyncio.get_running_loop().create_task(refusal(link))
        async with asyncio.timeout(10):
            while not sudo.runs:
                await asyncio.sleep(0.01)
        cut()
        assert (await failing).code == "channel-broken"


async def test_whoever_is_cancelled_while_a_person_thinks_leaves_nothing(sudo: StandIn) -> None:
    sudo.does(ASKS)
    person = Person(WORD, seconds=30)
    preparing = asyncio.get_running_loop().create_task(sudo.link(person).prepare())
    async with asyncio.timeout(10):
        while not person.asked:
            await asyncio.sleep(0.01)
    preparing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await preparing
    await _nothing_left(sudo)


async def test_what_the_body_raises_is_not_taken_for_sudo(sudo: StandIn) -> None:
    sudo.does('exec "$@"')
    with pytest.raises(ZeroDivisionError):
        async with sudo.link().open(["cat"]):
            raise ZeroDivisionError
    await _nothing_left(sudo)


@asynccontextmanager
async def _over_ssh(
    tmp_path: Path, prompt: Prompt
) -> AsyncIterator[tuple[SudoLink, Callable[[], int]]]:
    """A link through sudo on a node, and how to cut it."""
    node = SshNode(tmp_path / "node")
    await node.start()
    link = SudoLink(node.link(), "ann", 5, Secrets(prompt))
    try:
        yield link, node.server.drop
    finally:
        await link.close()
        await node.server.close()


async def _nothing_left(sudo: StandIn) -> None:
    async with asyncio.timeout(10):
        while within(sudo.top):
            await asyncio.sleep(0.01)
