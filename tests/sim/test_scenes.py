"""Every scene is what its name says, to whoever reads it; and it is the same each time."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest

from backends.domain.facts import NodeReading
from backends.domain.states import NodeState
from backends.domain.verdict import VerdictKind, decide
from backends.engine.readings import read_all
from backends.node import wire
from backends.products.node_document import node_document
from backends.products.policy import effective_policy
from backends.products.profile import load_cluster_profile
from backends.releases.read import open_release, verify_tarball
from backends.settings.cluster import load_cluster
from backends.sim import scenes
from backends.sim.clock import SimClock
from backends.sim.cluster import SimCluster, Unexpected
from tests.sim.sides import RUN, SimSide
from tests.sim.test_engine import contacts
from tests.support.beacon import Beacon
from tests.support.node import POLICY

KINDS: Mapping[str, VerdictKind] = {
    "settled": VerdictKind.SETTLED,
    "half-way": VerdictKind.UPGRADING,
    "ready": VerdictKind.READY_TO_FINALIZE,
    "failed": VerdictKind.UPGRADING,
    "inconsistent": VerdictKind.INCONSISTENT,
    "held": VerdictKind.FAILED,
    "mixed": VerdictKind.MIXED,
    "no-contact": VerdictKind.UNKNOWN,
    "partly": VerdictKind.UNKNOWN,
    "unmanaged": VerdictKind.UNMANAGED,
    "down": VerdictKind.SETTLED,
    "drifted": VerdictKind.SETTLED,
    "thousand": VerdictKind.SETTLED,
}


async def read(cluster: SimCluster) -> list[NodeReading]:
    return await read_all(contacts(cluster).values())


def states(readings: list[NodeReading]) -> list[NodeState | None]:
    return [reading.facts.state if reading.facts else None for reading in readings]


@pytest.mark.parametrize("name", scenes.SCENES)
async def test_a_scene_is_what_its_name_says(name: str) -> None:
    readings = await read(scenes.scene(name, SimClock()))
    assert decide(readings).kind is KINDS[name]


async def test_what_is_in_the_scenes_that_have_a_history() -> None:
    accepted, checked, idle = NodeState.ACCEPTED, NodeState.CHECKED, NodeState.IDLE
    half = states(await read(scenes.half_way(SimClock())))
    assert half == [accepted, accepted, NodeState.MONITORING, checked, checked]
    cluster = scenes.failed(SimClock())
    failed = states(await read(cluster))
    assert failed == [*[accepted] * 3, NodeState.ROLLED_BACK, *[checked] * 4]
    kinds = [record["t"] for record in cluster.nodes["n4"].disk.done[scenes.RUN].records]
    assert kinds[0], kinds[-1] == ("BEGIN", "END")
    assert {"TRIAL", "EVIDENCE", "PROOF", "RESTORED"} < {*kinds}
    assert states(await read(scenes.held(SimClock())))[0] is NodeState.HELD
    assert states(await read(scenes.mixed(SimClock()))) == [idle] * 5
    down = decide(await read(scenes.down(SimClock())))
    assert down.down == ("n3",)


async def test_the_trial_of_the_half_way_scene_goes_on_when_time_does() -> None:
    clock = SimClock()
    cluster = scenes.half_way(clock)
    left = cluster.facts("n3")["transaction"]["seconds_left"]
    await clock.advance(5)
    assert cluster.facts("n3")["transaction"]["seconds_left"] == left - 5
    cluster.accept("n3", scenes.RUN)
    assert cluster.facts("n3")["state"] == "accepted"


def test_the_hand_says_when_a_node_said_no() -> None:
    cluster = scenes.settled(SimClock())
    with pytest.raises(Unexpected, match="not-checked"):
        cluster.install("n1", "4.12.0", "1017-abc")


def test_the_files_of_a_cluster_mean_the_same_nodes(tmp_path: Path) -> None:
    cluster = scenes.settled(SimClock())
    found = load_cluster(cluster.write(tmp_path), today=date(2026, 10, 17))
    profile = load_cluster_profile(found, config_dir=tmp_path)
    _, limits = effective_policy(found, profile)
    assert limits == cluster.limits
    assert [node.name for node in found.nodes] == [*cluster.nodes]
    assert [node.name for node in found.nodes if node.canary] == ["n1"]
    for node in found.nodes:
        assert node_document(profile, node, limits) == cluster.document(node.name)


def test_a_release_of_a_scene_can_be_built_for_real(tmp_path: Path) -> None:
    cluster = scenes.settled(SimClock())
    release = open_release(cluster.release("4.12.0").build(tmp_path))
    verify_tarball(release)
    assert release.digest == cluster.release("4.12.0").digest


# --- the same each time -------------------------------------------------------------------------


def fingerprint() -> str:
    """All facts and journals of all scenes but the largest, as one hash."""
    sha = hashlib.sha256()
    for name in scenes.SCENES:
        if name == "thousand":
            continue
        cluster = scenes.scene(name, SimClock())
        for each in cluster.nodes:
            for args in ({"run": "-"}, {"run": scenes.RUN}, {"run": None}):
                for message in cluster.ask(each, "journal", **args):
                    sha.update(wire.encode(message))
            for message in cluster.ask(each, "status"):
                sha.update(wire.encode(message))
    return sha.hexdigest()


def test_scenes_are_the_same_byte_for_byte_in_another_process() -> None:
    program = "from tests.sim.test_scenes import fingerprint; print(fingerprint())"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
        cwd=Path(__file__).parents[2],
    )
    assert ran.stdout.strip() == fingerprint()


def whole_story() -> list[bytes]:
    """Every line that a simulated node says over its link, from by hand to final."""
    side = SimSide()
    old, new = Beacon("1.0"), Beacon("2.0")
    side.put_in_place(old)
    watch = side.watch(beat=10.0, busy_beat=10.0, slow=1.0, verify_every=3600)
    about = {"run": "1119-one", "version": old.version, "digest": old.digest}
    side.ask("adopt", **about)
    side.accept(new)
    side.ask("rollback", run=RUN, why="once more")
    side.until_closed()
    side.install(new, **POLICY)
    side.until_healthy()
    side.ask("accept", run=RUN, how="auto")
    side.ask("finalize", run=RUN, digest=new.digest)
    side.ask("journal", run=None, offset=0, follow=True)
    said = [*side.raw]
    final = {"version": new.version}
    watch.until(lambda message: (message.get("finalized") or {}).items() >= final.items())
    watch.leave()
    side.close()
    return said + [wire.encode(message) for message in watch.said]


def test_the_same_story_gives_the_same_bytes() -> None:
    first, second = whole_story(), whole_story()
    assert first == second
    assert len(first) > 50
