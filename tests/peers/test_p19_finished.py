"""A run that is through says so, on the screen, in the list of runs and in its exit code."""

from collections.abc import Callable
from pathlib import Path

import pytest

from backends.domain.policy import Pause, Policy
from backends.domain.problem import Exit
from backends.sim import scenes
from tests.runs.pretended import Theatre
from tests.support.cluster import Cluster
from tests.support.readings import old, plan
from tests.support.stage import on_stage

SMALL = (80, 24)


async def test_p19_what_is_final_is_settled_and_no_run_is_shown_as_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ceph PR 69392: all was done, and the banner went on showing the upgrade as under way."""
    async with on_stage("ready", SMALL, tmp_path, monkeypatch) as stage:
        assert "READY TO FINALIZE" in stage.screen[0]
        await stage.presses("F")
        await stage.sees("way back afterwards: none")
        for answer in ("harbor", scenes.NEW):
            await stage.types(answer)
            await stage.presses("enter")
        await stage.presses("right", "enter")
        for _ in range(5):
            await stage.moves(2)
        await stage.sees(f"SETTLED {scenes.NEW}")
        await stage.settles()
        first, second = stage.screen[:2]
        assert "SETTLED" in first
        for word in ("UPGRADING", "READY", "FINALIZING", "finalizing", "waits"):
            assert word not in first + second, (word, first, second)
        assert not stage.app.picture().state.is_busy
        assert f"way back none: {scenes.NEW} is finalized" in stage.words


async def test_p19_a_run_that_is_through_is_told_as_one_in_its_outcome_and_its_events(
    theatre: Callable[..., Theatre],
) -> None:
    """ceph PR 69392: the words of the end say that it is one, and what is still to be done."""
    here = theatre(old("n1"), old("n2"))
    outcome = await here.carries_out(plan("n1", "n2", policy=Policy(pause=Pause.NONE)))
    assert outcome.exit is Exit.OK
    assert outcome.text == "n1, n2 on 4.12, accepted and still reversible"
    assert "waits" not in outcome.text


@pytest.mark.drill
def test_p19_a_run_that_is_through_is_one_in_the_list_of_runs(
    make_cluster: Callable[..., Cluster],
) -> None:
    """ceph PR 69392: the same for whoever looks later, or from elsewhere."""
    cluster = make_cluster()
    cluster.settle("4.11.0")
    cluster.release("4.12.0")
    assert cluster.upgrade("4.12.0").status == 0
    assert cluster.run("finalize", str(cluster.file), "--yes").status == 0
    status = cluster.run("status", str(cluster.file), "--json")
    assert (status.status, status.json["verdict"]["kind"]) == (0, "settled")
    assert status.json["run"] is None or status.json["run"]["state"] not in ("open", "paused")
    runs = cluster.run("runs", str(cluster.file)).out
    assert "open" not in runs
    assert "exit 0" in cluster.run("journal", str(cluster.file)).out
