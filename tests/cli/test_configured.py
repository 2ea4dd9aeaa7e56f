"""Configuration from a URL: it wins over the packaged file, and alone it is an upgrade, too."""

from collections.abc import Callable, Iterator

import pytest

from app.application import LiftlockApp
from tests.support.cluster import Cluster, Ran
from tests.support.mirror import Mirror, a_mirror
from tests.support.screen_operator import at_the_screen

RELEASE = "4.12.0"


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with a_mirror() as made:
        made.files[f"/{RELEASE}/beacon.conf"] = b"port = 2\n"
        yield made


def a_cluster(make_cluster: Callable[..., Cluster], mirror: Mirror, nodes: int) -> Cluster:
    """The release has a default, and the profile fetches what counts: it is final."""
    cluster = make_cluster(nodes=nodes)
    cluster.release(RELEASE, **{"beacon.conf": "port = 1\n"})
    url = f"{mirror.url}/{{version}}/beacon.conf?key=secret"
    mirror.files[f"/{RELEASE}/beacon.conf?key=secret"] = b"port = 2\n"
    cluster.write_profile(f'[[configuration]]\npath = "beacon.conf"\nurl = "{url}"\n')
    assert cluster.upgrade(RELEASE).status == 0
    finalize(cluster)
    assert live(cluster) == ["port = 2\n"] * nodes
    return cluster


@pytest.fixture
def configured(make_cluster: Callable[..., Cluster], mirror: Mirror) -> Cluster:
    """One node."""
    return a_cluster(make_cluster, mirror, 1)


def put(mirror: Mirror, content: bytes) -> None:
    mirror.files[f"/{RELEASE}/beacon.conf?key=secret"] = content


def live(cluster: Cluster) -> list[str]:
    return [
        (cluster.top / name / "opt/beacon" / RELEASE / "beacon.conf").read_text()
        for name in cluster.names
    ]


def finalize(cluster: Cluster) -> None:
    ran = cluster.run("finalize", str(cluster.file), "--yes")
    assert ran.status == 0, ran


def said(ran: Ran) -> str:
    return " ".join(ran.out.split())


@pytest.mark.drill
def test_other_configuration_alone_goes_there_and_back_and_there(
    make_cluster: Callable[..., Cluster], mirror: Mirror
) -> None:
    configured = a_cluster(make_cluster, mirror, 2)
    put(mirror, b"port = 3\n")
    plan = configured.run("plan", str(configured.file), str(configured.releases[RELEASE]))
    assert plan.status == 0, plan
    assert "other configuration" in said(plan)
    assert "configuration beacon.conf: 9 bytes from http://127.0.0.1" in said(plan)
    assert "beacon.conf?..., sha256" in said(plan)
    assert "secret" not in plan.out + plan.err

    half = configured.upgrade(RELEASE, "-n", "n1")
    assert half.status == 0, half
    assert live(configured) == ["port = 3\n", "port = 2\n"]
    text = configured.run("status", str(configured.file)).out
    assert "upgrading 4.12.0, other configuration, because n1" in text
    assert "goes on with n2" in " ".join(text.split())
    early = configured.run("finalize", str(configured.file), "--yes")
    assert early.status == 4
    assert "n2: other configuration than on n1" in early.said

    put(mirror, b"port = 4\n")
    changed = configured.upgrade(RELEASE)
    assert changed.status == 4
    assert "configuration-changed" in changed.err
    assert "open on n1" in changed.said
    put(mirror, b"port = 3\n")

    back = configured.run("rollback", str(configured.file), "--yes", "--reason", "a drill")
    assert back.status == 0, back
    assert live(configured) == ["port = 2\n"] * 2
    assert configured.status()["verdict"]["kind"] == "settled"

    assert configured.upgrade(RELEASE).status == 0
    finalize(configured)
    assert live(configured) == ["port = 3\n"] * 2
    assert configured.status()["verdict"]["kind"] == "settled"
    assert configured.run("verify", str(configured.file)).status == 0
    again = configured.upgrade(RELEASE, "--json")
    assert again.status == 0
    assert [node["result"] for node in again.lines[-1]["nodes"]] == ["already", "already"]


def test_what_is_staged_is_not_what_runs(configured: Cluster, mirror: Mirror) -> None:
    put(mirror, b"port = 3\n")
    words = ("check", str(configured.file), str(configured.releases[RELEASE]), "--yes")
    ran = configured.run(*words, "--json")
    assert ran.status == 0, ran
    sent = max(line["data"]["sent"] for line in ran.lines if line.get("kind") == "progress")
    assert sent == 0, "the release is there, and the configuration comes beside it"
    assert live(configured) == ["port = 2\n"]
    status = configured.status()
    assert status["verdict"]["kind"] == "settled"
    assert [node["staged"] for node in status["nodes"]] == [[RELEASE]]
    assert configured.run("verify", str(configured.file)).status == 0


def test_without_it_nothing_begins(configured: Cluster, mirror: Mirror) -> None:
    before = configured.product("n1")

    def is_refused(code: str) -> None:
        ran = configured.upgrade(RELEASE)
        assert ran.status == 4, ran
        assert code in ran.err
        assert "No node was contacted." in ran.said
        assert configured.product("n1") == before

    mirror.files.clear()
    is_refused("configuration-not-fetched")
    mirror.files["/x"] = b"x\n"
    configured.write_profile(f'[[configuration]]\npath = "control/x"\nurl = "{mirror.url}/x"\n')
    is_refused("configuration-unfit")


async def test_the_screen_says_whence_it_comes_before_anything_happens(
    configured: Cluster, mirror: Mirror
) -> None:
    put(mirror, b"port = 3\n")
    async with at_the_screen(configured) as operator:
        assert isinstance(operator.app, LiftlockApp)
        await operator.sees("SETTLED 4.12.0")
        await operator.presses("u")
        await operator.sees("NOT SIGNED; final on n1")
        await operator.presses("enter")
        await operator.sees("other configuration", "configuration beacon.conf: 9 bytes")
