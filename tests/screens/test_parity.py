"""Screen and command line are two faces of one core: the same acts in the same words."""

import re
from collections.abc import Callable

import pytest

from app.cli import cli
from app.commands import ALL
from backends.store.book import Book, Run
from tests.support.cluster import Cluster
from tests.support.screen_operator import at_the_screen

ACTING = {"upgrade", "accept", "rollback", "finalize", "adopt", "verify"}
"""What the command line does on nodes and is the screen's business as well."""

Told = dict[str, list[tuple[str, str, str]]]


def test_every_act_of_the_command_line_has_a_key_and_every_key_a_command() -> None:
    spoken = {command.spoken for command in ALL if command.spoken}
    assert spoken - {"journal", "conflicts"} == ACTING
    assert spoken <= set(cli.commands)


def test_keys_and_names_are_each_used_once() -> None:
    for field in ("id", "key", "action"):
        found = [getattr(command, field) for command in ALL]
        assert len(set(found)) == len(found), field
    assert not [command.id for command in ALL if command.help.endswith(".")]


@pytest.mark.drill
@pytest.mark.parametrize("version", ["4.12.0", "4.13.0"])
async def test_an_upgrade_leaves_the_same_journal_from_either_face(
    make_harbor: Callable[..., Cluster], version: str
) -> None:
    typed, pressed = make_harbor(), make_harbor()
    ran = typed.upgrade(version)
    async with at_the_screen(pressed) as operator:
        await operator.sees("SETTLED 4.11.0")
        await operator.chooses(pressed.releases[version])
        for then in ("send", "check", "install"):
            await operator.steps(then=then)
        await operator.presses("n")
        await operator.sees("READY TO FINALIZE" if version == "4.12.0" else "why n1 failed")
        await operator.waits(lambda: not operator.app.picture().state.is_busy, "its end")
    a_run, a_told = newest(typed, "upgrade")
    b_run, b_told = newest(pressed, "upgrade")
    assert a_run.exit == b_run.exit == ran.status
    assert a_run.outcome == b_run.outcome
    assert a_told.keys() == b_told.keys() == {"", "n1", "n2"}
    for node in a_told:
        assert a_told[node] == b_told[node], node


@pytest.mark.drill
async def test_finalize_and_rollback_leave_the_same_journal_from_either_face(
    make_harbor: Callable[..., Cluster],
) -> None:
    typed, pressed = make_harbor(), make_harbor()
    for cluster in (typed, pressed):
        assert cluster.upgrade("4.12.0").status == 0
    assert typed.run("rollback", str(typed.file), "--yes").status == 0
    async with at_the_screen(pressed) as operator:
        await operator.sees("READY TO FINALIZE")
        await operator.presses("R")
        await operator.sees("roll back n2, n1")
        await operator.presses("down", "enter")
        await operator.sees("n2 goes first")
        await operator.presses("right", "enter")
        await operator.sees("Go on with n1?")
        await operator.presses("right", "enter")
        await operator.sees("SETTLED 4.11.0")
        await operator.waits(lambda: not operator.app.picture().state.is_busy, "its end")
    assert newest(typed, "rollback")[1] == newest(pressed, "rollback")[1]
    for cluster in (typed, pressed):
        assert cluster.upgrade("4.12.0").status == 0
    assert typed.run("finalize", str(typed.file), "--yes").status == 0
    async with at_the_screen(pressed) as operator:
        await operator.sees("READY TO FINALIZE")
        await operator.presses("F")
        await operator.sees("way back afterwards: none")
        await operator.types("harbor")
        await operator.presses("enter", "right", "enter")
        await operator.sees("SETTLED 4.12.0")
        await operator.waits(lambda: not operator.app.picture().state.is_busy, "its end")
    assert newest(typed, "finalize")[1] == newest(pressed, "finalize")[1]


def newest(cluster: Cluster, kind: str) -> tuple[Run, Told]:
    """The newest run of a kind in the book, and by node what was told: phase, kind, words."""
    book = Book(cluster.top / "operator" / "history.sqlite3")
    try:
        run = next(run for run in book.runs("harbor") if run.kind == kind)
        told: Told = {}
        for entry in book.entries(run.id):
            words = without_names(entry.text, cluster, run.id)
            told.setdefault(entry.node, []).append((entry.phase or "", entry.kind, words))
        return run, told
    finally:
        book.close()


def without_names(text: str, cluster: Cluster, run: str) -> str:
    """A text without what differs between two clusters: places, processes, sizes, times, runs."""
    text = text.replace(str(cluster.top), "TOP").replace(run, "RUN")
    for pattern, word in (
        (r"\bpid \d+", "pid"),
        (r"\d{4}-[0-9a-z]{3}", "RUN"),
        (r"plan [0-9a-f]{12}", "plan"),
        (r"\d+(\.\d+)? (kB|MB|GB|B|bytes|s|inodes)\b", "N"),
        (r"\d{5,}", "N"),
        (r"clock.*", "clock"),
    ):
        text = re.sub(pattern, word, text)
    return text
