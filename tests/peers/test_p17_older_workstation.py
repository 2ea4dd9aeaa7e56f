"""A run is taken up where the history is older than what the nodes have done since."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from app.runs.resuming import begun_run
from backends.domain.problem import LiftlockError
from backends.domain.states import NodeState
from backends.store.book import Start
from tests.domain.nodes import silent, transaction, upgraded
from tests.runs.pretended import Theatre, session
from tests.support.cluster import Cluster
from tests.support.readings import NEW, OLD, old

NEWER = "1121-new"


def waiting(here: Theatre, run: str = "1119-old") -> None:
    """This workstation was last at an upgrade that waits, as far as its history knows."""
    book = here.book
    about = {"version": "4.0", "digest": "sha256:old"}
    book.begin(Start(run, "harbor", "netstack", "upgrade", "ann", 1.0, **about))


def test_p17_the_run_that_nodes_have_open_is_taken_up_and_not_the_one_of_the_history(
    theatre: Callable[..., Theatre],
) -> None:
    """Gravity: an older state of another workstation was taken for what the cluster was at."""
    opened = transaction(NEW, OLD, run=NEWER, operator="bob@other", to_digest="sha256:new")
    here = theatre(
        upgraded("n1", NEW, OLD, state=NodeState.ACCEPTED, transaction=opened), old("n2")
    )
    waiting(here)
    readings = [each.reading for each in here.nodes.values()]
    found = begun_run(session(here.nodes), here.book, readings)
    assert (found.run, found.version, found.digest) == (NEWER, NEW, "sha256:new")
    assert (found.by, found.on) == ("bob@other", ("n1",))


def test_p17_of_a_run_that_no_node_has_open_and_that_waits_here_the_history_tells(
    theatre: Callable[..., Theatre],
) -> None:
    """Gravity: the other way round, so that the test before is worth something."""
    here = theatre(old("n1"), old("n2"))
    waiting(here)
    readings = [each.reading for each in here.nodes.values()]
    assert begun_run(session(here.nodes), here.book, readings).run == "1119-old"


def test_p17_without_nodes_and_history_nothing_is_made_up(
    theatre: Callable[..., Theatre],
) -> None:
    """Gravity: what could not be read was filled in from the file; here it is not known."""
    here = theatre(old("n1"), old("n2"))
    readings = [here.nodes["n1"].reading, silent("n2")]
    with pytest.raises(LiftlockError) as caught:
        begun_run(session(here.nodes), here.book, readings)
    assert caught.value.problem.code == "not-known-what-is-open"


def _begins(cluster: Cluster, node: str) -> int:
    """How many installs a node has begun, by its own journals."""
    state = cluster.top / node / "state" / "beacon"
    return sum(path.read_text().count('"t":"BEGIN"') for path in state.rglob("journal"))


@pytest.mark.drill
def test_p17_from_another_workstation_with_an_older_history_the_run_ends_rightly(
    make_cluster: Callable[..., Cluster],
) -> None:
    """Gravity: two workstations, one of which was last there before n2 was upgraded."""
    cluster = make_cluster(nodes=3, pause="all")
    cluster.settle("4.11.0")
    cluster.release("4.12.0")
    begun = cluster.upgrade("4.12.0", "--json")
    assert begun.status == 10, begun
    run = begun.lines[-1]["run"]
    here, other = cluster.top / "operator", cluster.top / "other"
    shutil.copytree(here, other)
    assert cluster.run("resume", str(cluster.file), "--yes").status == 10
    pids = _pids(cluster)
    shutil.move(here, cluster.top / "first")
    shutil.move(other, here)
    ended = cluster.run("resume", str(cluster.file), "--yes", "--json", "--pause", "none")
    assert ended.status == 0, ended
    assert ended.lines[-1]["run"] == run
    status = cluster.status()
    assert status["verdict"]["kind"] == "ready_to_finalize"
    assert {each["running"] for each in status["nodes"]} == {"4.12.0"}
    assert {name: _begins(cluster, name) for name in cluster.names} == {"n1": 1, "n2": 1, "n3": 1}
    assert {name: _pids(cluster)[name] for name in pids} == pids, "what was accepted runs on"


def _pids(cluster: Cluster) -> dict[str, str]:
    """The processes of the new version."""
    paths = {name: _pid_file(cluster, name) for name in cluster.names}
    return {name: path.read_text() for name, path in paths.items() if path.exists()}


def _pid_file(cluster: Cluster, name: str) -> Path:
    return cluster.top / name / "opt" / "beacon" / "4.12.0" / "beacon.pid"
