"""A real product, a NATS JetStream cluster, upgraded behind real SSH servers while it is used."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.drills.nats_cluster import NatsCluster, watched
from tests.drills.sshd import Operator, Sshd
from tests.drills.stream import flowing, lose_one, lost, replicas
from tests.support.cluster import Ran

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]

OLD, NEW = "2.12.8", "2.15.1"
ALONE = {frozenset[str](), frozenset({"n1"}), frozenset({"n2"}), frozenset({"n3"})}


@pytest.fixture
def cluster(
    make_sshd: Callable[..., Sshd], operator: Operator, tmp_path: Path
) -> Iterator[NatsCluster]:
    """Three nodes on which there is nothing, and the release they begin with."""
    found = NatsCluster(tmp_path / "harbor", [make_sshd() for _ in range(3)], operator)
    try:
        found.release(OLD)
        yield found
    finally:
        found.close()


async def test_no_message_is_lost_while_the_cluster_goes_up_and_back_and_up(
    cluster: NatsCluster,
) -> None:
    cluster.release(NEW)
    async with watched(cluster) as watch:
        await install_from_nothing(cluster)
        assert frozenset(cluster.names) in watch.down  # it sees what is down
        watch.down.clear()
        watch.early.clear()

        async with flowing(cluster.urls) as traffic:
            led = cluster.leader()
            await upgrade(cluster, NEW)
            assert await says(cluster) == ("ready_to_finalize", OLD, NEW)
            await was_last_and_moved(cluster, led)
            assert cluster.versions() == [NEW] * 3
            await traffic.flows()

            await succeeds(cluster, "rollback", "--yes", "--reason", "a drill")
            assert await says(cluster) == ("settled", None, OLD)
            assert cluster.versions() == [OLD] * 3
            await traffic.flows()

            await upgrade(cluster, NEW)
            await succeeds(cluster, "finalize", "--yes")
            assert await says(cluster) == ("settled", None, NEW)
            assert cluster.versions() == [NEW] * 3
            await traffic.flows()

        assert watch.down == ALONE  # each was away, never two at a time
        assert watch.early == []

    places = [*traffic.acknowledged.values()]
    assert places == sorted(set(places))
    assert await lost(traffic, cluster.urls) == []
    assert await replicas(cluster.urls) == dict.fromkeys(cluster.names, True)
    print(
        f"{len(places)} acknowledged, {traffic.repeats} sent again, {traffic.longest_wait:.1f} s"
    )

    missing = await lose_one(traffic, cluster.urls)
    assert await lost(traffic, cluster.urls) == [missing]  # it sees what is lost


async def test_a_server_that_runs_and_finds_no_leader_is_undone_by_its_node(
    cluster: NatsCluster,
) -> None:
    cluster.release(NEW, joins="elsewhere")
    await install_from_nothing(cluster)
    cluster.policy["healthy_deadline"] = "6s"
    cluster.write_cluster()
    async with watched(cluster) as watch, flowing(cluster.urls) as traffic:
        led = cluster.leader()
        ran = await run(cluster, "upgrade", str(cluster.releases[NEW]), "--yes")
        assert ran.status == 5, ran
        assert await says(cluster) == ("settled", None, OLD)
        assert cluster.versions() == [OLD] * 3
        await traffic.flows()
        first = "n1" if led != "n1" else "n2"
        assert watch.down == {frozenset[str](), frozenset({first})}  # the others were not touched
    journal = await run(cluster, "journal")
    assert "healthz" in journal.out
    assert "HTTP 503, wanted 200" in journal.out
    assert await lost(traffic, cluster.urls) == []


async def was_last_and_moved(cluster: NatsCluster, led: str) -> None:
    """The server that led JetStream was upgraded last, and another one led before it stopped."""
    journal = (await run(cluster, "journal", "--json")).lines
    phases = [row for row in journal if row["kind"] == "phase" and row["phase"] == "install"]
    begun = [row["node"] for row in phases]
    assert sorted(begun) == cluster.names
    assert begun[-1] == led
    told = [row for row in journal if row["kind"] == "record" and "leadership" in row["text"]]
    assert {row["node"] for row in told} == {led}, "who does not lead is asked to move nothing"
    assert "it does not lead any more" in told[-1]["text"]
    stopped = [row for row in journal if row["node"] == led and row["data"].get("record") == "SVC"]
    assert told[-1]["seq"] < stopped[0]["seq"]


async def install_from_nothing(cluster: NatsCluster) -> None:
    """All at once: a server alone finds no leader, and is not healthy before it has."""
    assert await says(cluster) == ("absent", None, None)
    await upgrade(cluster, OLD, "--batch", "3")
    await succeeds(cluster, "finalize", "--yes")
    assert await says(cluster) == ("settled", None, OLD)
    assert cluster.versions() == [OLD] * 3


async def upgrade(cluster: NatsCluster, version: str, *words: str) -> None:
    """Node by node, unless the words say otherwise."""
    await succeeds(cluster, "upgrade", str(cluster.releases[version]), "--yes", *words)


async def succeeds(cluster: NatsCluster, command: str, *words: str) -> None:
    """A command that ends well; else its journal says why not."""
    ran = await run(cluster, command, *words)
    assert ran.status == 0, f"{ran}\n{(await run(cluster, 'journal')).out}"


async def says(cluster: NatsCluster) -> tuple[str, str | None, str | None]:
    """The verdict, and from which version to which."""
    verdict = (await run(cluster, "status", "--json")).json["verdict"]
    return verdict["kind"], verdict["from"], verdict["to"]


async def run(cluster: NatsCluster, command: str, *words: str) -> Ran:
    """A command line about the cluster, in a process of its own, while the stream is used."""
    process = cluster.start(command, str(cluster.file), *words)
    try:
        out, err = await asyncio.to_thread(process.communicate)
    finally:
        process.kill()  # only where nobody waits for its answer any more
    return Ran(process.returncode, out, err)
