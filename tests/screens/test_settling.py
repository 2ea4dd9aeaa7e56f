"""What an operator sees and does while nodes that were shaken come to serve again."""

from pathlib import Path

import pytest

from backends.sim import scenes
from backends.sim.behaviour import HEALTHY
from tests.screens.test_pictures import SMALL, back_and_not_serving, others_settle
from tests.support.stage import on_stage

pytestmark = pytest.mark.drill


async def test_a_rollback_that_waits_asks_at_once_when_told_to_and_stops_when_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_stage("ready", SMALL, tmp_path, monkeypatch) as stage:
        await back_and_not_serving(stage)
        assert "x asks at once" in stage.strip
        await stage.presses("x")
        await stage.sees("n5 is back, proven, and was not seen to serve", "n5: http-1: HTTP 503")
        await stage.presses("enter")  # the focus is on "Stop here"
        await stage.sees("STOPPED: n5 unhealthy", "why n5 needs you")
        runs = {name: stage.cluster.facts(name)["running"] for name in stage.cluster.nodes}
        assert runs == dict.fromkeys(("n1", "n2", "n3", "n4"), scenes.NEW) | {"n5": scenes.OLD}


async def test_a_rollback_goes_on_by_itself_when_the_node_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_stage("ready", SMALL, tmp_path, monkeypatch) as stage:
        await back_and_not_serving(stage)
        stage.cluster.nodes["n5"].behaviours[scenes.OLD] = HEALTHY
        await stage.sees("n5 is back, proven.", "Go on with n4, n3, n2, n1?")
        await stage.presses("right", "enter")
        await stage.waits(lambda: not stage.app.picture().state.is_busy, "the end")
        assert {stage.cluster.facts(name)["running"] for name in stage.cluster.nodes} == {
            scenes.OLD
        }


async def test_a_turn_begins_by_itself_when_the_others_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_stage("settled", SMALL, tmp_path, monkeypatch) as stage:
        await others_settle(stage)
        assert stage.cluster.facts("n2")["running"] == scenes.OLD
        stage.cluster.nodes["n3"].behaviours[scenes.OLD] = HEALTHY
        await stage.sees("n2 changes now")


async def test_a_run_that_waits_for_others_can_be_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_stage("settled", SMALL, tmp_path, monkeypatch) as stage:
        await others_settle(stage)
        await stage.presses("x")
        await stage.sees("end the run here")
        await stage.presses("right", "enter")
        await stage.sees("ended here by a person")
        assert stage.cluster.facts("n2")["running"] == scenes.OLD
