"""Screen and command line are two faces of one core: the same acts in the same words.

In each story one cluster is operated by typing and one by keys. What is kept of it has to be the
same: how it ended, with which exit code, each node's result, and every line of the journal; and
what the command line answered has to be that as well.
"""

import re
import shutil
from collections.abc import Callable
from typing import Any

import click
import pytest

from app.cli import cli
from app.commands import ALL
from backends.store.book import Book, Run
from tests.support.cluster import Cluster, Ran
from tests.support.screen_operator import Operator, at_the_screen

ACTING = {"upgrade", "accept", "rollback", "finalize", "adopt", "verify"}
"""What the command line does on nodes and is the screen's business as well."""

LOOKING = {"journal", "conflicts"}

NOT_ON_THE_SCREEN = {
    "abort": "`x` ends a run where it waits; one in the middle is taken back by `R`",
    "check": "the step `n` checks what was staged, as the first part of an upgrade",
    "clean": "nothing on the screen removes what is kept on nodes",
    "doctor": "preflight has a node's rows; the workstation is not looked at",
    "exclude": "marks are shown with their reason, and set in a terminal",
    "extend": "the time that is left is shown; more of it is given in a terminal",
    "include": "as exclude",
    "pause": "`p` has the run of this screen wait; that of another program is not told",
    "plan": "`u` shows the plan, and writes it into no file",
    "release diff": "`u` compares a release with what runs, not two releases",
    "report": "`J` shows the journal; the report is written in a terminal",
    "restart": "no key restarts a service",
    "resume": "`u` with the same release takes the run up again",
    "runs": "`J` opens the newest run only",
    "stage": "the step `n` stages, as the first part of an upgrade",
    "takeover": "an updater that hangs is ended in a terminal",
    "trust": "an unknown host key is shown with the command that records it",
    "value": "the node's view has its facts, not the values of a profile",
}
"""Commands that no key does, each with how far the screen goes."""

NOT_FOR_THE_SCREEN = {
    "completion": "it is about the shell",
    "config show": "it is about files, before a cluster is watched",
    "config schema": "as config show",
    "demo": "it opens the screen",
    "init": "it writes the file that a screen is opened on",
    "release build": "releases are made where there is no cluster",
    "release import": "as release build",
    "release show": "`u` shows a release before it is chosen",
    "release sign": "as release build",
    "release verify": "planning verifies the signature",
    "screen": "it is the screen",
    "status": "the first screen is that",
}

Results = dict[str, tuple[str, str]]
"""By node: its result, and the code of its problem."""

Told = dict[str, list[tuple[str, str, str]]]


def test_every_act_of_the_command_line_has_a_key_and_every_key_a_command() -> None:
    spoken = {command.spoken for command in ALL if command.spoken}
    assert spoken == ACTING | LOOKING
    assert spoken <= set(cli.commands)


def test_what_has_no_key_is_listed_with_its_reason() -> None:
    spoken = {command.spoken for command in ALL if command.spoken}
    without = {*NOT_ON_THE_SCREEN, *NOT_FOR_THE_SCREEN}
    assert not {*NOT_ON_THE_SCREEN} & {*NOT_FOR_THE_SCREEN}
    assert without == every_command(cli) - spoken


def test_keys_and_names_are_each_used_once() -> None:
    for field in ("id", "key", "action"):
        found = [getattr(command, field) for command in ALL]
        assert len(set(found)) == len(found), field
    assert not [command.id for command in ALL if command.help.endswith(".")]


# --- one story, two faces ------------------------------------------------------------------------


@pytest.mark.drill
@pytest.mark.parametrize("version", ["4.12.0", "4.13.0"])
async def test_an_upgrade_good_or_failing(
    make_harbor: Callable[..., Cluster], version: str
) -> None:
    typed, pressed = make_harbor(), make_harbor()
    ran = typed.upgrade(version, "--json")
    async with at_the_screen(pressed) as operator:
        await upgraded_to(operator, pressed, version)
        await operator.presses("n")
        await operator.sees("READY TO FINALIZE" if version == "4.12.0" else "why n1 failed")
        await at_rest(operator, pressed, "upgrade")
    assert ran.status == (0 if version == "4.12.0" else 5)
    same(typed, pressed, "upgrade", ran)


@pytest.mark.drill
async def test_an_upgrade_with_its_pause(make_harbor: Callable[..., Cluster]) -> None:
    typed, pressed = make_harbor(pause="first"), make_harbor(pause="first")
    assert typed.upgrade("4.12.0").status == 10
    ran = typed.run("resume", str(typed.file), "--yes", "--json")
    async with at_the_screen(pressed) as operator:
        await upgraded_to(operator, pressed, "4.12.0")
        await operator.steps(then="install 4.12.0 on n2")
        await operator.sees("paused after n1 (first)")
        await operator.presses("n")
        await operator.sees("READY TO FINALIZE")
        await at_rest(operator, pressed, "upgrade")
    assert ran.status == 0
    # At the terminal the pause ends the program, and resume finds n1 as it was left; on the screen
    # the run waits. What was done on the nodes is told in the same words.
    accepted = {"n1": ("accepted", ""), "n2": ("accepted", "")}
    found = {"n1": ("already", ""), "n2": ("accepted", "")}
    same(typed, pressed, "upgrade", ran, only=("install", "monitor"), ends=(found, accepted))


@pytest.mark.drill
async def test_a_run_that_is_ended_where_it_waits(make_harbor: Callable[..., Cluster]) -> None:
    typed, pressed = make_harbor(pause="first"), make_harbor(pause="first")
    ran = typed.upgrade("4.12.0", "--json")
    async with at_the_screen(pressed) as operator:
        await upgraded_to(operator, pressed, "4.12.0")
        await operator.steps(then="install 4.12.0 on n2")
        await operator.presses("x")
        await operator.sees("end the run here")
        await operator.presses("right", "enter")
        await operator.sees("ended here by a person")
        await at_rest(operator, pressed, "upgrade")
    a_run, b_run = newest(typed, "upgrade")[0], newest(pressed, "upgrade")[0]
    assert a_run.exit == b_run.exit == ran.status == 10
    assert results(typed, a_run) == results(pressed, b_run) == answered(ran)


@pytest.mark.drill
async def test_rollback_then_finalize_refused_and_done(
    make_harbor: Callable[..., Cluster],
) -> None:
    typed, pressed = make_harbor(), make_harbor()
    for cluster in (typed, pressed):
        assert cluster.upgrade("4.12.0").status == 0
    ran = typed.run("rollback", str(typed.file), "--yes", "--json")
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
        await at_rest(operator, pressed, "rollback")
    assert ran.status == 0
    same(typed, pressed, "rollback", ran)

    for cluster in (typed, pressed):
        assert cluster.upgrade("4.12.0", "-n", "n1").status == 0
    refused = typed.run("finalize", str(typed.file), "--yes", "--json")
    assert refused.status == 4
    async with at_the_screen(pressed) as operator:
        await operator.sees("UPGRADING 4.11.0 -> 4.12.0")
        # The key is dead for what the command refuses: nothing is asked, nothing is kept.
        assert operator.app.check_action("finalize", ()) is None
        await operator.presses("F")
        assert len(operator.app.screen_stack) == 2, operator.text
    assert final_versions(typed) == final_versions(pressed) == ["4.11.0", "4.11.0"]
    assert not of_kind(pressed, "finalize")

    for cluster in (typed, pressed):
        assert cluster.upgrade("4.12.0").status == 0
    done = typed.run("finalize", str(typed.file), "--yes", "--json")
    async with at_the_screen(pressed) as operator:
        await operator.sees("READY TO FINALIZE")
        await operator.presses("F")
        await operator.sees("way back afterwards: none")
        await operator.types("harbor")
        await operator.presses("enter", "right", "enter")
        await operator.sees("SETTLED 4.12.0")
        await at_rest(operator, pressed, "finalize")
    assert done.status == 0
    same(typed, pressed, "finalize", done)


@pytest.mark.drill
async def test_accept_by_a_person(make_harbor: Callable[..., Cluster]) -> None:
    policy = {"accept": "manual", "accept_window": "60s"}
    typed, pressed = make_harbor(1, **policy), make_harbor(1, **policy)
    words = ("upgrade", str(typed.file), str(typed.releases["4.12.0"]), "--yes", "--json")
    with typed.start(*words) as upgrade:
        typed.wait_for(is_well)
        ran = typed.run("accept", str(typed.file), "n1", "--reason", "seen serving", "--json")
        out, err = upgrade.communicate(timeout=60)
        upgraded = Ran(upgrade.returncode, out, err)
    async with at_the_screen(pressed) as operator:
        await upgraded_to(operator, pressed, "4.12.0")
        await operator.presses("n")
        await operator.sees("you accept it when it is healthy (a)")
        await operator.waits(lambda: is_seen_well(operator), "a healthy trial")
        await operator.presses("a")
        await operator.sees("accept n1")
        await operator.types("seen serving")
        await operator.presses("enter", "right", "enter")
        await operator.sees("READY TO FINALIZE")
        await at_rest(operator, pressed, "accept")
    assert (ran.status, upgraded.status) == (0, 0)
    same(typed, pressed, "accept", ran)
    same(typed, pressed, "upgrade", upgraded, only=("install",))


@pytest.mark.drill
async def test_adopt(make_harbor: Callable[..., Cluster]) -> None:
    typed, pressed = make_harbor(), make_harbor()
    for cluster in (typed, pressed):
        everything = cluster.run("clean", str(cluster.file), "--everything", "--yes")
        assert everything.status == 0, everything
        shutil.rmtree(cluster.top / "operator")
    ran = typed.run("adopt", str(typed.file), "--yes", "--json")
    async with at_the_screen(pressed) as operator:
        await operator.sees("UNMANAGED 4.11.0")
        await operator.presses("A")
        await operator.sees("record this as finalized")
        await operator.presses("right", "enter")
        await operator.sees("SETTLED 4.11.0")
        await at_rest(operator, pressed, "adopt")
    assert ran.status == 0
    same(typed, pressed, "adopt", ran)


@pytest.mark.drill
@pytest.mark.parametrize("changed", [False, True])
async def test_verify_of_what_is_as_recorded_and_of_what_is_not(
    make_harbor: Callable[..., Cluster], changed: bool
) -> None:
    typed, pressed = make_harbor(), make_harbor()
    for cluster in (typed, pressed):
        if changed:
            with (cluster.top / "n2/opt/beacon/4.11.0/beacon.py").open("a") as file:
                file.write("# by hand\n")
    ran = typed.run("verify", str(typed.file), "--json")
    async with at_the_screen(pressed) as operator:
        await operator.sees("SETTLED 4.11.0")
        await operator.presses("v")
        seen = "DRIFT n2" if changed else "as recorded, every byte: n1, n2"
        await operator.sees(seen)
        await at_rest(operator, pressed, "verify")
    assert ran.status == (6 if changed else 0)
    same(typed, pressed, "verify", ran)


# --- what is the same ----------------------------------------------------------------------------


def same(
    typed: Cluster,
    pressed: Cluster,
    kind: str,
    ran: Ran,
    *,
    only: tuple[str, ...] = (),
    ends: tuple[Results, Results] | None = None,
) -> None:
    """How it ended, the results, the journal by node.

    `only` these phases of the journal; `ends` the results typed and pressed, where they differ.
    """
    a_run, a_told = newest(typed, kind)
    b_run, b_told = newest(pressed, kind)
    assert a_run.exit == b_run.exit == ran.status
    assert ran.lines[-1]["exit"] == ran.status
    assert a_run.outcome == b_run.outcome
    assert a_run.note == b_run.note
    assert a_run.version == b_run.version
    a_ends, b_ends = results(typed, a_run), results(pressed, b_run)
    assert answered(ran) == a_ends
    assert (a_ends, b_ends) == (ends or (a_ends, a_ends))
    assert given(typed, a_run) == given(pressed, b_run)
    assert verdicts(typed, a_run)[-1:] == verdicts(pressed, b_run)[-1:]
    assert verdicts(typed, a_run)[-1] == ran.lines[-1]["verdict"]
    assert a_told.keys() == b_told.keys()
    for node in a_told:
        if only and not node:
            continue
        a, b = (
            [line for line in told[node] if not only or line[0] in only]
            for told in (a_told, b_told)
        )
        assert a == b, node


def answered(ran: Ran) -> Results:
    """By node, what the last line of `--json` says: the result, and the code of its problem."""
    return {each["name"]: _result(each) for each in ran.lines[-1]["nodes"]}


def results(cluster: Cluster, run: Run) -> Results:
    """By node, what the history says of the end of a run."""
    ends = [data["nodes"] for data in data_of(cluster, run, "exit")]
    return {each["node"]: _result(each) for each in ends[-1]}


def _result(said: dict[str, Any]) -> tuple[str, str]:
    return said["result"], said["problem"]["code"] if said["problem"] else ""


def verdicts(cluster: Cluster, run: Run) -> list[str]:
    """What the cluster was after the run."""
    return [data["verdict"] for data in data_of(cluster, run, "verdict")]


def data_of(cluster: Cluster, run: Run, key: str) -> list[dict[str, Any]]:
    """What is written down about the run itself and has this."""
    book = Book(cluster.top / "operator" / "history.sqlite3")
    try:
        return [dict(each.data) for each in book.entries(run.id, "") if key in each.data]
    finally:
        book.close()


def given(cluster: Cluster, run: Run) -> set[tuple[str, str, str]]:
    """By node, the acting commands that were given to it, and what came of each.

    How often one looks, and when a command is written down among a node's records, hangs on how
    busy the machine is.
    """
    book = Book(cluster.top / "operator" / "history.sqlite3")
    try:
        found = [(each.node, each.data) for each in book.entries(run.id) if each.kind == "command"]
    finally:
        book.close()
    return {
        (node, str(data["command"]), str(data["outcome"]))
        for node, data in found
        if data["command"] not in ("status", "journal")
    }


def of_kind(cluster: Cluster, kind: str) -> list[Run]:
    """The runs of a kind, the newest first."""
    book = Book(cluster.top / "operator" / "history.sqlite3")
    try:
        return [run for run in book.runs("harbor") if run.kind == kind]
    finally:
        book.close()


def final_versions(cluster: Cluster) -> list[str]:
    """What is final on each node."""
    return [node["finalized"]["version"] for node in cluster.status()["nodes"]]


def is_well(status: dict[str, Any]) -> bool:
    """Whether the only node is in trial, and healthy."""
    (node,) = status["nodes"]
    return bool(node["state"] == "monitoring" and node["health"] == "healthy")


def is_seen_well(operator: Operator) -> bool:
    """The same, as the screen has it."""
    reading = operator.app.picture().state.reading("n1")
    facts = reading.facts if reading is not None else None
    return facts is not None and (facts.state, facts.health) == ("monitoring", "healthy")


async def upgraded_to(operator: Operator, cluster: Cluster, version: str) -> None:
    """Choose a release, and step until the first install is what is next."""
    await operator.sees("SETTLED 4.11.0")
    await operator.chooses(cluster.releases[version])
    for then in ("send", "check", "install"):
        await operator.steps(then=then)


async def at_rest(operator: Operator, cluster: Cluster, kind: str) -> None:
    """Wait for the end of what is under way, and for what is written down after it."""
    await operator.waits(lambda: not operator.app.picture().state.is_busy, "its end")
    await operator.waits(lambda: of_kind(cluster, kind), "its run")
    run = of_kind(cluster, kind)[0]
    await operator.waits(lambda: verdicts(cluster, run), "what the cluster is afterwards")


def every_command(group: click.Group, before: str = "") -> set[str]:
    """The command tree, leaf by leaf."""
    found: set[str] = set()
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= every_command(command, f"{name} ")
        else:
            found.add(before + name)
    return found


def newest(cluster: Cluster, kind: str) -> tuple[Run, Told]:
    """The newest run of a kind in the book, and by node what was told: phase, kind, words."""
    book = Book(cluster.top / "operator" / "history.sqlite3")
    try:
        run = next(run for run in book.runs("harbor") if run.kind == kind)
        told: Told = {}
        for entry in book.entries(run.id):
            if entry.kind == "command":
                continue
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
