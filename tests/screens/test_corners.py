"""What an operator does when not all goes by the book, by keyboard, over real nodes."""

import os
import subprocess
from collections.abc import Callable

import pytest
from textual import events

from tests.support.cluster import Cluster
from tests.support.screen_operator import Operator, at_the_screen


async def walk(operator: Operator, cluster: Cluster, version: str, then: str) -> None:
    """From the list of releases into the first install."""
    await operator.chooses(cluster.releases[version])
    for words in ("send", "check", "install"):
        await operator.steps(then=words)
    await operator.presses("n")
    await operator.sees(then)


def stop_service(cluster: Cluster, name: str, version: str) -> None:
    """Stop a node's service by hand."""
    script = cluster.top / name / "opt" / "beacon" / version / "control"
    subprocess.run([script, "stop"], env=dict(os.environ), stdout=subprocess.DEVNULL, check=True)


@pytest.mark.drill
async def test_the_way_back_is_open_while_a_run_waits(
    make_harbor: Callable[..., Cluster],
) -> None:
    harbor = make_harbor(2, pause="first")
    async with at_the_screen(harbor) as operator:
        await operator.sees("SETTLED 4.11.0")
        await walk(operator, harbor, "4.12.0", "paused after n1")
        await operator.sees("R (rollback): returns n1")
        await operator.presses("R")
        await operator.sees("roll back n1")
        await operator.presses("down", "enter")
        await operator.sees("returns n1 to 4.11.0")
        await operator.presses("right", "enter")
        await operator.sees("SETTLED 4.11.0", "rolled back")
        await operator.waits(lambda: not operator.app.picture().state.is_busy, "the end")
    assert harbor.status()["verdict"]["kind"] == "settled"


@pytest.mark.drill
async def test_the_way_back_is_open_in_a_trial(make_harbor: Callable[..., Cluster]) -> None:
    harbor = make_harbor(2, min_healthy="20s", healthy_deadline="25s", accept_window="40s")
    async with at_the_screen(harbor) as operator:
        await operator.sees("SETTLED 4.11.0")
        await walk(operator, harbor, "4.12.0", "n1 is in trial")
        await operator.presses("R")
        await operator.sees("roll back n1")
        await operator.presses("down", "enter")
        await operator.sees("returns n1 to 4.11.0")
        await operator.presses("right", "enter")
        await operator.sees("SETTLED 4.11.0", "rolled back")
        await operator.waits(lambda: not operator.app.picture().state.is_busy, "the end")
    status = harbor.status()
    assert [node["running"] for node in status["nodes"]] == ["4.11.0", "4.11.0"]
    assert status["nodes"][1]["state"] != "rolled_back", "n2 was never begun"


async def test_a_shut_gate_names_its_reason_and_its_plan_can_be_put_away(
    harbor: Cluster,
) -> None:
    stop_service(harbor, "n2", "4.11.0")
    async with at_the_screen(harbor) as operator:
        await operator.sees("DOWN n2; SETTLED 4.11.0", "start the service on n2")
        assert not operator.strip.strip().startswith("n "), "no key starts a service"
        await operator.presses("u")
        await operator.sees("4.12.0")
        await operator.presses("enter")
        await operator.sees("gate shut", "n2: the service is stopped", "puts the plan away")
        await operator.presses("n")
        await operator.presses("x")
        await operator.sees("nodes", "start the service on n2")
        assert operator.app.picture().state.upgrade is None
    runs = harbor.run("journal", str(harbor.file)).out
    assert "upgrade" not in runs.splitlines()[0]


@pytest.mark.drill
@pytest.mark.parametrize("path", ["~nobody-has-this-name/x-1.tar.gz", "[/x]", "a\x00\x1b[2Jb"])
async def test_a_path_that_leads_nowhere_is_a_problem_and_no_end(
    harbor: Cluster, path: str
) -> None:
    async with at_the_screen(harbor) as operator:
        await operator.sees("SETTLED 4.11.0")
        await operator.presses("u")
        await operator.sees("or the path of a release")
        await operator.presses("tab")
        await operator.types(path)
        await operator.presses("enter")
        await operator.sees("not done", "There is no release")


async def test_a_plan_is_put_away_and_another_one_made(harbor: Cluster) -> None:
    async with at_the_screen(harbor) as operator:
        await operator.sees("SETTLED 4.11.0")
        await operator.chooses(harbor.releases["4.13.0"])
        await operator.presses("x")
        await operator.sees("choose a release to upgrade to")
        await operator.chooses(harbor.releases["4.12.0"])
        assert "preflight for 4.12.0" in operator.strip


@pytest.mark.drill
@pytest.mark.slow_keys
async def test_a_key_that_is_pressed_twice_begins_once(harbor: Cluster) -> None:
    async with at_the_screen(harbor) as operator:
        await operator.sees("SETTLED 4.11.0")
        await operator.chooses(harbor.releases["4.12.0"])
        screen = operator.app.screen_stack[-1]
        await operator.waits(lambda: getattr(screen, "is_armed"), "armed")  # noqa: B009
        for _ in range(2):  # at once: on a slow machine a pilot may take a second between two
            operator.app.post_message(events.Key("n", "n"))
        await operator.sees("send 4.12.0")
        assert "not done" not in operator.words


@pytest.mark.slow_keys
async def test_n_is_dead_for_a_second_after_what_it_does_has_changed(harbor: Cluster) -> None:
    async with at_the_screen(harbor) as operator:
        await operator.sees("choose a release to upgrade to")
        await operator.presses("n")
        await operator.sees("n is dead for a second")
        assert "releases" not in operator.words
        screen = operator.app.screen_stack[-1]
        await operator.waits(lambda: getattr(screen, "is_armed"), "armed")  # noqa: B009
        await operator.presses("n")
        await operator.sees("releases")


async def test_a_panel_gets_the_screen_and_the_banner_stays(harbor: Cluster) -> None:
    async with at_the_screen(harbor) as operator:
        await operator.sees("SETTLED 4.11.0", "next start")
        await operator.presses("z")
        await operator.waits(lambda: "next start" not in operator.words, "the grid alone")
        assert "SETTLED 4.11.0" in operator.screen[0]
        assert operator.screen[2].startswith(" way back")
        assert "quit" in operator.screen[-1]
        await operator.presses("z")
        await operator.sees("next start")


@pytest.mark.parametrize(
    "size",
    [
        (40, 12),
        pytest.param((30, 8), marks=pytest.mark.drill),
        pytest.param((200, 60), marks=pytest.mark.drill),
    ],
    ids=str,
)
async def test_no_size_breaks_any_screen(harbor: Cluster, size: tuple[int, int]) -> None:
    async with at_the_screen(harbor, size) as operator:
        await operator.waits(lambda: "SETT" in operator.text, "the verdict")
        first = operator.app.screen
        for key in ("enter", "u", "R", "J", "question_mark"):
            await operator.presses(key)
            await operator.waits(lambda: operator.app.screen is not first, "another screen")
            await operator.waits(lambda: operator.app.focused is not None, "its focus")
            assert operator.screen[-1].strip(), key
            await operator.presses("escape")
            await operator.waits(lambda: operator.app.screen is first, "the first screen")
        await operator.presses("z", "s", "z", "tab", "z")
        assert "SETT" in operator.text


def test_without_a_terminal_the_screen_is_the_status(harbor: Cluster) -> None:
    ran = harbor.run(str(harbor.file))
    assert (ran.status, ran.err) == (0, "")
    assert "settled 4.11.0" in ran.out
