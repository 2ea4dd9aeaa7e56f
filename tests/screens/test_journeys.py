"""An operator's ways through the program, by keyboard alone, at 80x24, over real nodes."""

from collections.abc import Callable

import pytest

from tests.support.cluster import Cluster
from tests.support.screen_operator import at_the_screen


async def test_an_upgrade_step_by_step_to_finalized(harbor: Cluster) -> None:
    async with at_the_screen(harbor) as operator:
        await operator.sees("SETTLED 4.11.0", "n choose a release")
        await operator.presses("u")
        await operator.sees("4.12.0", "4.13.0")
        await operator.presses("down", "enter")
        await operator.waits(lambda: "preflight" in operator.strip, "the plan")
        chosen = "4.12.0" if "4.12.0" in operator.strip else "4.13.0"
        assert chosen == "4.12.0", operator.text
        await operator.steps(then="send 4.12.0")
        assert harbor.status()["verdict"]["kind"] == "settled", "nothing was changed"
        await operator.steps(then="check what was staged")
        await operator.steps(then="install 4.12.0 on n1, then n2 by itself")
        await operator.sees("take the node's lock")
        await operator.presses("n")
        await operator.sees("READY TO FINALIZE 4.11.0 -> 4.12.0")
        await operator.sees("accepted and still reversible")
        status = harbor.status()
        assert status["verdict"]["kind"] == "ready_to_finalize"
        await operator.presses("F")
        await operator.sees("way back afterwards: none")
        await operator.types("wrong")
        await operator.presses("enter", "right", "enter")
        assert "way back afterwards: none" in operator.words, "a wrong name finalizes nothing"
        await operator.presses("escape")
        assert harbor.status()["verdict"]["kind"] == "ready_to_finalize"
        await operator.presses("F")
        await operator.types("harbor")
        await operator.presses("enter", "right", "enter")
        await operator.sees("SETTLED 4.12.0", "way back none: 4.12.0 is finalized")
    assert harbor.status()["verdict"]["kind"] == "settled"


@pytest.mark.drill
async def test_a_failure_says_what_failed_what_the_node_did_and_what_can_be_done(
    harbor: Cluster,
) -> None:
    async with at_the_screen(harbor) as operator:
        await operator.sees("SETTLED 4.11.0")
        await operator.chooses(harbor.releases["4.13.0"])
        await operator.steps(then="send")
        await operator.steps(then="check")
        await operator.steps(then="install")
        await operator.presses("n")
        await operator.sees(
            "why n1 failed", "HTTP 503", "what n1 did: it is back on 4.11.0, proven"
        )
        await operator.sees("what now", "leave it as it is", "try 4.13.0 again")
        await operator.sees("STOPPED: n1 rolled back; now SETTLED 4.11.0")
        await operator.presses("enter")  # the cursor is on the safest choice
        await operator.sees("n1 went back by itself and proved it")
        await operator.presses("escape")
        await operator.sees("STOPPED: n1 rolled back", "what failed in run")
    assert harbor.status()["verdict"]["kind"] == "settled"


@pytest.mark.drill
async def test_a_rollback_asks_for_the_first_node_and_again_for_the_others(
    harbor: Cluster,
) -> None:
    assert harbor.upgrade("4.12.0").status == 0
    async with at_the_screen(harbor) as operator:
        await operator.sees("READY TO FINALIZE")
        await operator.presses("R")
        await operator.sees("nothing has failed", "roll back n2, n1", "returns n1, n2 to 4.11.0")
        await operator.presses("down", "enter")
        await operator.sees("n2 goes first; then you are asked about n1")
        await operator.presses("enter")  # the focus is on No
        assert harbor.status()["verdict"]["kind"] == "ready_to_finalize"
        await operator.presses("enter")
        await operator.sees("n2 goes first; then you are asked about n1")
        await operator.presses("right", "enter")
        await operator.sees("n2 is back, proven.", "Go on with n1?")
        await operator.presses("right", "enter")
        await operator.sees("SETTLED 4.11.0")
    status = harbor.status()
    assert [node["running"] for node in status["nodes"]] == ["4.11.0", "4.11.0"]


@pytest.mark.drill
async def test_a_run_is_left_where_it_waits_and_taken_up_again(
    make_harbor: Callable[..., Cluster],
) -> None:
    harbor = make_harbor(2, pause="first")
    async with at_the_screen(harbor) as operator:
        await operator.sees("SETTLED 4.11.0")
        await operator.chooses(harbor.releases["4.12.0"])
        for then in ("send", "check", "install 4.12.0 on n1"):
            await operator.steps(then=then)
        await operator.steps(then="install 4.12.0 on n2")
        await operator.sees("paused after n1 (first)")
        await operator.presses("q")
        await operator.sees(
            "a run is under way", "n1 is accepted on 4.12.0: it stays", "Not started: n2."
        )
        await operator.presses("enter")  # the cursor is on staying
        await operator.presses("x")
        await operator.sees("end the run here")
        await operator.presses("right", "enter")
        await operator.sees("ended here by a person")
    assert harbor.status()["verdict"]["kind"] == "upgrading"
    async with at_the_screen(harbor) as operator:
        await operator.sees("UPGRADING 4.11.0 -> 4.12.0")
        await operator.chooses(harbor.releases["4.12.0"])
        await operator.sees("n1: accepted, accepted in run")
        for then in ("send", "check", "install 4.12.0 on n2"):
            await operator.steps(then=then)
        await operator.presses("n")
        await operator.sees("READY TO FINALIZE 4.11.0 -> 4.12.0")
