"""One byte of what runs is flipped: verify names the file, a second install repairs it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, Ran

RELEASE = "4.12.0"


NOTES = "what is new in this version\n"


@pytest.fixture
def installed(make_cluster: Callable[..., Cluster]) -> Cluster:
    """4.12.0 came as a release and is final; it has a file that no other version here has."""
    cluster = make_cluster()
    cluster.settle("4.11.0")
    cluster.release(RELEASE, notes=NOTES)
    assert cluster.upgrade(RELEASE).status == 0
    assert cluster.run("finalize", str(cluster.file), "--yes").status == 0
    return cluster


def notes(cluster: Cluster) -> Path:
    return cluster.top / "n1/opt/beacon" / RELEASE / "notes"


def flip(path: Path) -> None:
    """One bit; size and times stay as they were."""
    content, about = bytearray(path.read_bytes()), path.stat()
    content[3] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def verify(cluster: Cluster, *words: str) -> Ran:
    return cluster.run("verify", str(cluster.file), *words)


def said(ran: Ran) -> str:
    return " ".join((ran.out + ran.err).replace("| ", "").split())


def test_what_runs_as_installed_is_verified(installed: Cluster) -> None:
    before = installed.product("n1")
    ran = verify(installed)
    assert ran.status == 0, ran
    assert "what runs is as recorded" in said(ran)
    assert installed.product("n1") == before


def test_one_byte_is_found_repaired_and_told(installed: Cluster) -> None:
    whole = installed.product("n1")
    flip(notes(installed))

    ran = verify(installed)
    assert ran.status == 6, ran
    assert "changed: notes" in said(ran)
    assert "--reinstall" in said(ran)
    told = verify(installed, "--json").lines[-1]
    assert (told["exit"], told["nodes"][0]["result"]) == (6, "drifted")
    assert told["nodes"][0]["problem"]["code"] == "drift"

    refused = installed.upgrade(RELEASE)
    assert refused.status == 6, "what is there is looked at, and not taken for good"
    assert "changed: notes" in said(refused)

    repaired = installed.upgrade(RELEASE, "--reinstall", "a bit was flipped", "--json")
    assert repaired.status == 0, repaired
    sent = max(line["data"]["sent"] for line in repaired.lines if line.get("kind") == "progress")
    assert sent == len(NOTES), "the others are there"
    status = installed.status()
    assert status["verdict"]["kind"] == "ready_to_finalize"
    assert "not final" not in status["verdict"]["cause"]
    text = installed.run("status", str(installed.file)).out
    assert "ready to finalize 4.12.0, the same again" in text
    assert installed.run("finalize", str(installed.file), "--yes").status == 0

    assert verify(installed).status == 0
    assert installed.status()["verdict"]["kind"] == "settled"
    now = installed.product("n1")
    path = f"beacon/{RELEASE}/notes"
    assert now[path] == whole[path]
    journal = Path(installed.top / "n1/state/beacon/journal").read_bytes().decode("latin-1")
    kinds = [kind for kind in ("VERIFY", "STAGE", "ROW") if f'"t":"{kind}"' in journal]
    assert kinds == ["VERIFY", "STAGE", "ROW"]
    assert (
        "a bit was flipped" in installed.run("journal", str(installed.file), last(installed)).out
    )


def last(cluster: Cluster) -> str:
    """The run of the repair."""
    found: str = cluster.status()["nodes"][0]["finalized"]["run"]
    return found


@pytest.mark.drill
def test_a_repair_that_is_taken_back_leaves_the_drift_in_sight(installed: Cluster) -> None:
    flip(notes(installed))
    assert installed.upgrade(RELEASE, "--reinstall", "try").status == 0
    ran = installed.run("rollback", str(installed.file), "--yes", "--reason", "not now")
    assert ran.status == 0, ran
    assert verify(installed).status == 6
    assert installed.status()["nodes"][0]["state"] == "rolled_back"


@pytest.mark.drill
def test_what_has_made_a_node_sick_is_repaired_too(installed: Cluster) -> None:
    """A check that fails before is no reason against the repair; without that word it is one."""
    (notes(installed).parent / "sick").write_text("yes\n")
    flip(notes(installed))
    installed.wait_for(lambda status: status["nodes"][0]["health"] == "failing")
    ran = installed.upgrade(RELEASE, "--reinstall", "somebody was here")
    assert ran.status == 0, ran
    assert "somebody was here" in said(ran)
    node = installed.status()["nodes"][0]
    assert (node["state"], node["health"]) == ("accepted", "healthy")


@pytest.mark.drill
def test_a_repair_that_fails_is_no_success(installed: Cluster) -> None:
    """What was final before is no proof that it was installed again."""
    installed.write_profile(
        '\n[[hooks]]\nname = "no"\nwhen = "after_start"\ncommand = ["/bin/false"]\n'
    )
    ran = installed.upgrade(RELEASE, "--reinstall", "try")
    assert ran.status == 5, ran
    assert "rolled back" in ran.out


@pytest.mark.drill
def test_without_a_reason_nothing_is_installed_again(installed: Cluster) -> None:
    ran = installed.upgrade(RELEASE, "--reinstall", " ")
    assert ran.status == 0, ran
    assert "already" in ran.out


def test_adopted_with_its_release_it_is_held_against_it(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster()
    cluster.settle("4.11.0")
    release = str(cluster.releases["4.11.0"])
    assert cluster.run("clean", str(cluster.file), "--everything", "--yes").status == 0
    assert cluster.status()["verdict"]["kind"] == "unmanaged"
    flip(cluster.top / "n1/opt/beacon/4.11.0/beacon.py")

    ran = cluster.run("adopt", str(cluster.file), "--release", release, "--yes")

    assert ran.status == 0, ran
    assert "changed, and so DRIFT once it is recorded: beacon.py" in said(ran)
    assert verify(cluster).status == 6
    again = cluster.run("upgrade", str(cluster.file), release, "--yes", "--reinstall", "a bit")
    assert again.status == 0, again
    assert verify(cluster).status == 0


@pytest.mark.drill
def test_a_release_of_another_version_is_not_what_runs(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster()
    cluster.settle("4.11.0")
    other = str(cluster.release(RELEASE))
    assert cluster.run("clean", str(cluster.file), "--everything", "--yes").status == 0
    ran = cluster.run("adopt", str(cluster.file), "--release", other, "--yes")
    assert ran.status == 4, ran
    assert "no release of it was staged" in said(ran)
    assert cluster.status()["verdict"]["kind"] == "unmanaged"


def test_what_is_not_managed_cannot_be_verified(make_cluster: Callable[..., Cluster]) -> None:
    cluster = make_cluster()
    ran = verify(cluster)
    assert ran.status == 4, ran
    assert "the product is not here" in said(ran)
