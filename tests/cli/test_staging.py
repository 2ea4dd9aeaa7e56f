"""Staging days before the window: by whatever way, and nothing that runs is touched."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from backends.node import stage_fetch
from tests.support.cluster import Cluster, Ran
from tests.support.mirror import Mirror, a_mirror

RELEASE = "4.12.0"
SCHEMA = Path(__file__).parents[2] / "app" / "schemas" / "stages.json"


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with a_mirror() as made:
        yield made


def serving(cluster: Cluster) -> object:
    """The process that serves, and what is selected and final."""
    (node,) = cluster.status()["nodes"]
    pid = (cluster.top / "n1/opt/beacon/4.11.0/beacon.pid").read_text()
    return pid, node["running"], node["selected"], node["finalized"], node["service"]


def stage(cluster: Cluster, *words: str, command: str = "stage") -> Ran:
    release = str(cluster.releases[RELEASE])
    return cluster.run(command, str(cluster.file), release, "--yes", *words)


def staged(cluster: Cluster) -> dict[str, object]:
    """What `--list --json` says of the node."""
    ran = cluster.run("stage", str(cluster.file), "--list", "--json")
    assert ran.status == 0, ran
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(ran.json)
    found: dict[str, object] = ran.json["nodes"][0]
    return found


def progress(ran: Ran) -> int:
    """Bytes that were sent."""
    assert ran.status == 0, ran
    return max(line["data"]["sent"] for line in ran.lines if line.get("kind") == "progress")


def test_a_release_is_staged_and_no_further(settled: Cluster) -> None:
    before = serving(settled)
    ran = stage(settled)
    assert ran.status == 0, ran
    assert f"{RELEASE} is staged on n1; nothing that runs was touched" in " ".join(ran.out.split())
    assert serving(settled) == before
    assert settled.status()["verdict"]["kind"] == "settled"
    (found,) = staged(settled)["stages"]  # type: ignore[misc]
    assert (found["version"], found["checked"]) == (RELEASE, False)
    assert found["since"]
    table = settled.run("stage", str(settled.file), "--list").out
    assert RELEASE in table
    assert "NOT SIGNED" in table
    journal = settled.run("journal", str(settled.file)).out
    assert f"stage {RELEASE} on harbor" in journal
    assert journal.count(" stage ") > 2
    assert " install " not in journal


def test_the_upgrade_uses_what_was_staged(settled: Cluster) -> None:
    assert progress(stage(settled, "--json")) > 0
    assert progress(stage(settled, "--json")) == 0
    assert progress(settled.upgrade(RELEASE, "--json")) == 0
    assert settled.status()["nodes"][0]["running"] == RELEASE


def test_fresh_sends_every_byte_again(settled: Cluster) -> None:
    stage(settled)
    whole = sum(path.stat().st_size for path in (settled.top / f"source-{RELEASE}").iterdir())
    assert progress(stage(settled, "--fresh", "--json")) == whole
    assert progress(stage(settled, "--json")) == 0


def test_check_asks_everything_that_comes_before_an_install(settled: Cluster) -> None:
    before = serving(settled)
    ran = stage(settled, "--json", command="check")
    assert ran.status == 0, ran
    rows = {(line["phase"], line["node"]) for line in ran.lines if line.get("kind") == "row"}
    assert rows >= {("preflight", "n1"), ("check", "n1")}
    assert not rows & {("install", "n1"), ("monitor", "n1")}
    assert serving(settled) == before
    (found,) = staged(settled)["stages"]  # type: ignore[misc]
    assert found["checked"]


def test_check_says_what_forbids_the_upgrade(settled: Cluster) -> None:
    settled.write_profile('[check]\nparse = ["sh", "-c", "echo line 7: no such key; exit 1"]\n')
    before = serving(settled)
    ran = stage(settled, command="check")
    assert ran.status == 4, ran
    assert "line 7: no such key" in ran.said
    assert serving(settled) == before
    assert stage(settled).status == 0  # to be there is not to be good


def test_who_stages_beside_an_upgrade_does_not_write_its_history(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(2, pause="first")
    cluster.settle("4.11.0")
    cluster.release(RELEASE)
    assert cluster.upgrade(RELEASE).status == 10
    first = cluster.run("journal", str(cluster.file)).out.splitlines()[0]
    assert stage(cluster).status == 0
    head, *_ = cluster.run("journal", str(cluster.file)).out.splitlines()
    assert head != first
    run = first.split()[1]
    assert cluster.run("journal", str(cluster.file), run).out.splitlines()[0] == first


def test_where_no_node_counts_nothing_was_staged(settled: Cluster) -> None:
    text = settled.file.read_text().replace(
        'transport = "local"', 'exclude = "x", transport = "local"'
    )
    settled.file.write_text(text)
    ran = stage(settled)
    assert ran.status != 0, ran
    assert "[nobody-counts]" in ran.err


def test_what_was_staged_can_be_cleared(settled: Cluster) -> None:
    stage(settled)
    assert settled.run("clean", str(settled.file), "--staged", "--yes").status == 0
    assert staged(settled)["stages"] == []


def test_whoever_was_not_asked_is_not_touched(settled: Cluster) -> None:
    ran = settled.run("stage", str(settled.file), str(settled.releases[RELEASE]))
    assert ran.status == 2, ran
    assert staged(settled)["stages"] == []


@pytest.mark.parametrize("words", [(), ("x.tar.gz", "--list"), ("--list", "--fresh")])
def test_what_makes_no_sense_is_a_mistake(shared: Cluster, words: tuple[str, ...]) -> None:
    assert shared.run("stage", str(shared.file), *words).status == 2


# --- other ways ---------------------------------------------------------------------------------


def write_staging(cluster: Cluster, text: str) -> None:
    cluster.file.write_text(f"{cluster.file.read_text()}\n[staging]\n{text}\n")


@pytest.fixture
def pulling(settled: Cluster, mirror: Mirror) -> Cluster:
    name = settled.releases[RELEASE].name
    mirror.files[f"/r/{stage_fetch.arch()}/{name}"] = settled.releases[RELEASE].read_bytes()
    write_staging(settled, f'how = "pull"\nurl = "{mirror.url}/r/"')
    return settled


def test_o4_nodes_pull_from_a_mirror(pulling: Cluster, mirror: Mirror) -> None:
    plan = pulling.run("plan", str(pulling.file), str(pulling.releases[RELEASE]))
    assert f"n1 gets {mirror.url}/r/{{arch}}/beacon-{RELEASE}.tar.gz" in " ".join(plan.out.split())
    ran = pulling.upgrade(RELEASE, "--json")
    assert progress(ran) == pulling.releases[RELEASE].stat().st_size == mirror.sent
    assert pulling.status()["nodes"][0]["running"] == RELEASE


def test_o8_a_mirror_with_other_bytes_stops_the_upgrade_before_anything_is_touched(
    pulling: Cluster, mirror: Mirror
) -> None:
    (path,) = mirror.files
    content = bytearray(mirror.files[path])
    content[100] ^= 1
    mirror.files[path] = bytes(content)
    before = serving(pulling)
    ran = pulling.upgrade(RELEASE)
    assert ran.status == 4, ran
    assert "[tarball-digest]" in ran.err
    assert "->" in ran.err
    assert serving(pulling) == before


def test_a_release_that_lies_on_the_node_is_used(settled: Cluster) -> None:
    drop = settled.top / "drop"
    drop.mkdir()
    write_staging(settled, f'how = "present"\ndirectory = "{drop}"')
    ran = settled.upgrade(RELEASE)
    assert ran.status == 4, ran
    assert "[tarball-missing]" in ran.err
    shutil.copy(settled.releases[RELEASE], drop)
    assert settled.upgrade(RELEASE).status == 0
    assert settled.status()["nodes"][0]["running"] == RELEASE


def test_a_rate_limits_what_is_sent(make_settled: Callable[..., Cluster]) -> None:
    """It cannot have gone faster, whatever this machine does."""
    cluster = make_settled()
    rate, count, size = 2_000, 4, 1_000
    shutil.rmtree(cluster.top / f"source-{RELEASE}")
    for path in cluster.releases[RELEASE].parent.glob(f"beacon-{RELEASE}*"):
        path.unlink()
    cluster.release(RELEASE, **{f"notes{number}": str(number) * size for number in range(count)})
    write_staging(cluster, f'rate = "{rate} B"')
    ran = stage(cluster, "--json")
    times = [line["time"] for line in ran.lines if line.get("kind") == "progress"]
    assert progress(ran) >= count * size
    first, last = (_seconds(times[0]), _seconds(times[-1]))
    # The last piece may go when all before it have gone.
    assert last - first >= (count - 1) * size / rate


def _seconds(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()
