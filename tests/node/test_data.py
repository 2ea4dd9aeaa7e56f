"""Data of the product: copied while nobody writes, kept or put back, never lost.

design.md, section 5; finding 12 of the notes on the ecosystem: a server that has rewritten its
data cannot be taken back by its programs alone.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.node import copying, data, images
from tests.support.beacon import Beacon
from tests.support.node import Node, a_node, picture, settled
from tests.support.raising import says

NEW = Beacon("2.0")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Node]:
    """A node that runs 1.0 with data in two directories, one of them missing."""
    with a_node(tmp_path / "node") as node:
        top = node.top / "var"
        (top / "db" / "deep").mkdir(parents=True)
        (top / "db" / "table").write_bytes(b"format 1\n" * 1000)
        (top / "db" / "deep" / "index").write_text("index 1\n")
        (top / "db" / "link").symlink_to("table")
        (top / "db" / "deep" / "index").chmod(0o640)
        os.utime(top / "db" / "table", (1_600_000_000, 1_600_000_000))
        node.document["data"]["directories"] = [str(top / "db"), str(top / "queue")]
        node.put_in_place(Beacon("1.0"))
        yield node


def db(node: Node) -> dict[str, tuple[object, ...]]:
    return picture(node.top / "var" / "db")


def writes(node: Node) -> Beacon:
    """A release that rewrites the data when it starts, and makes a second directory."""
    top = node.top / "var"
    release = Beacon("2.0")
    script = release.content["control"][1].decode()
    converts = (
        f'start) echo "format 2" >"{top}/db/table"; rm "{top}/db/link"; mkdir -p "{top}/queue"; '
        f'echo job >"{top}/queue/1"; start ;;'
    )
    release.content["control"] = (0o755, script.replace("start) start ;;", converts).encode())
    return release


def copies(node: Node) -> list[str]:
    folder = node.top / "var" / ".liftlock" / "data"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.mark.drill
def test_data_is_copied_once_the_service_is_gone_and_given_up_when_final(kept: Node) -> None:
    release = writes(kept)
    kept.accepted(release)
    records = kept.records()
    kinds = [record["t"] for record in records]
    assert kinds.index("QUIET") < kinds.index("DATA") < kinds.index("EFFECT")
    (record,) = (record for record in records if record["t"] == "DATA")
    assert [entry["files"] for entry in record["copied"]] == [4, 0]
    facts = kept.facts()["transaction"]["data"]
    assert facts["directories"] == [str(kept.top / "var" / name) for name in ("db", "queue")]
    assert facts["bytes"] > 9000
    assert copies(kept) == ["beacon-1120-aaa.0"]
    assert kept.ask("finalize", digest=release.digest).outcome == "ok"
    kept.wait_for(lambda facts: facts["transaction"] is None)
    assert copies(kept) == []
    assert (kept.top / "var" / "db" / "table").read_text() == "format 2\n"


@pytest.mark.drill
def test_whoever_rolls_back_has_to_say_what_becomes_of_the_data(kept: Node) -> None:
    kept.accepted(writes(kept))
    asked = kept.ask("rollback", why="drill")
    assert (asked.outcome, asked.code) == ("refused", "data-undecided")
    assert str(kept.top / "var" / "db") in asked.end["problem"]["evidence"]
    assert kept.facts()["state"] == "accepted"


@pytest.mark.drill
def test_data_is_put_back_to_the_byte_and_the_newer_is_set_aside(kept: Node) -> None:
    before, product = db(kept), kept.product()
    kept.accepted(writes(kept))
    assert kept.ask("rollback", why="drill", data="restore").outcome == "ok"
    kept.wait_for(lambda facts: facts["transaction"] is None)
    assert db(kept) == before
    assert kept.product() == product
    assert not (kept.top / "var" / "queue").exists()
    aside = kept.home / "conflicts" / "1120-aaa" / "data"
    assert (aside / "db" / "table").read_text() == "format 2\n"
    assert (aside / "queue" / "1").read_text() == "job\n"
    assert copies(kept) == []
    moved = [record["what"] for record in kept.records() if record["t"] == "CONFLICT"]
    assert [path for path in sorted(moved) if "/var/" in path] == [
        str(kept.top / "var" / name) for name in ("db", "queue")
    ]


@pytest.mark.drill
def test_p05_a_copy_that_is_not_what_was_copied_stops_nothing(
    kept: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = db(kept)
    kept.accepted(writes(kept))
    serving = kept.wait_for(lambda facts: not facts["transaction"]["driver"])["start_id"]
    (store,) = (kept.top / "var" / ".liftlock" / "data").iterdir()
    aside = store.rename(kept.top / "aside")
    refused = kept.ask("rollback", why="drill", data="restore")
    assert refused.code == "old-version-changed"
    assert f"{kept.top}/var/db: its copy is gone" in refused.end["problem"]["evidence"]
    facts = kept.facts()
    assert (facts["state"], facts["start_id"]) == ("accepted", serving)
    with monkeypatch.context() as patched:
        patched.setattr(data.images, "tree_digest", says(PermissionError(13, "not for us")))
        assert "not for us" in data.missing(kept.records())[0]
    aside.rename(store)
    assert kept.ask("rollback", why="drill", data="restore").outcome == "ok"
    kept.wait_for(lambda facts: facts["transaction"] is None)
    assert db(kept) == before


@pytest.mark.drill
def test_newer_data_may_be_kept(kept: Node) -> None:
    product = kept.product()
    kept.accepted(writes(kept))
    during = db(kept)
    assert kept.ask("rollback", why="drill", data="keep").outcome == "ok"
    kept.wait_for(lambda facts: facts["transaction"] is None)
    assert db(kept) == during
    assert kept.product() == product
    assert copies(kept) == []


@pytest.mark.drill
@pytest.mark.parametrize("unattended", ["keep", "restore"])
def test_a_node_that_goes_back_by_itself_does_as_the_profile_says(
    kept: Node, unattended: str
) -> None:
    before = db(kept)
    kept.document["data"]["unattended"] = unattended
    kept.document["limits"]["healthy_deadline"] = 0.5
    release = writes(kept)
    release.content["sick"] = (0o644, b"yes\n")
    kept.begin(release)
    facts = kept.wait_for(lambda facts: facts["transaction"] is None)
    assert facts["state"] == "rolled_back"
    assert (db(kept) == before) is (unattended == "restore")


@pytest.mark.drill
def test_where_the_old_version_cannot_read_it_a_person_is_asked_and_may_still_restore(
    kept: Node,
) -> None:
    before = db(kept)
    table = kept.top / "var" / "db" / "table"
    kept.document["data"]["old_can_read"] = [
        *("sh", "-c"),
        f'grep -q "format 1" "{table}" || {{{{ echo "{{version}} knows no format 2"; exit 1; }}}}',
    ]
    kept.accepted(writes(kept))
    assert kept.ask("rollback", why="drill", data="keep").outcome == "ok"
    facts = kept.wait_for(lambda facts: facts["state"] == "inconsistent")
    assert "1.0 knows no format 2" in facts["problem"]["evidence"]
    assert "--data restore" in facts["problem"]["evidence"]
    assert facts["service"] == "stopped", "it is not started on data that it cannot read"
    kept.ask("rollback", why="drill", data="restore")
    kept.wait_for(lambda facts: facts["state"] == "rolled_back")
    assert db(kept) == before
    assert kept.facts()["running"] == "1.0"
    assert "CHOICE" in [record["t"] for record in kept.records()]


@pytest.mark.drill
def test_what_fails_while_it_is_copied_changes_nothing(kept: Node) -> None:
    before, product = db(kept), kept.product()
    os.mkfifo(kept.top / "var" / "db" / "pipe")
    (kept.top / "var" / ".liftlock").write_text("somebody else's file\n")
    kept.begin(NEW)
    facts = kept.wait_for(lambda facts: facts["transaction"] is None)
    assert facts["state"] == "rolled_back"
    (kept.top / "var" / "db" / "pipe").unlink()
    assert (db(kept), kept.product()) == (before, product)
    assert kept.facts()["health"] == "healthy"


@pytest.mark.drill
def test_clean_everything_takes_copies_that_were_left(kept: Node) -> None:
    kept.accepted(writes(kept))
    kept.ask("rollback", why="drill", data="keep")
    kept.wait_for(lambda facts: facts["transaction"] is None)
    left = kept.top / "var" / ".liftlock" / "data" / "beacon-1.0"
    left.mkdir(parents=True, exist_ok=True)
    (left / "x").write_text("x")
    assert kept.ask("clean", everything=True).outcome == "ok"
    assert not (kept.top / "var" / ".liftlock").exists()


# --- refused before anything is changed ---------------------------------------------------------


def rows(node: Node, scope: str) -> dict[str, Any]:
    about: dict[str, Any] = {"bytes": 1, "files": 1, "now": __import__("time").time()}
    if scope == "staged":
        about = {"run": "1120-aaa", "version": "2.0", "digest": NEW.digest}
    return {row["name"]: row for row in node.ask("check", scope=scope, **about).all("row")}


def test_preflight_says_how_much_is_copied(kept: Node) -> None:
    row = rows(kept, "preflight")["data"]
    assert row["result"] == "ok"
    assert f"{kept.top}/var/db: 4 files" in row["evidence"]
    assert f"{kept.top}/var/queue: 0 files, 0 bytes" in row["evidence"]


def test_data_that_is_a_link_is_refused(kept: Node) -> None:
    (kept.top / "var" / "queue").symlink_to("db")
    row = rows(kept, "preflight")["data"]
    assert (row["result"], row["evidence"]) == (
        "refused",
        f"{kept.top}/var/queue is no directory of its own",
    )


@pytest.mark.parametrize("where", ["2.0", "2.0/data", "2.0/VERSION"])
def test_data_in_the_way_of_the_release_is_refused(kept: Node, where: str) -> None:
    (kept.directory / "2.0" / "data").mkdir(parents=True)
    kept.document["data"]["directories"] = [str(kept.directory / where)]
    kept.stage(NEW)
    row = rows(kept, "staged")["rename and link"]
    assert row["result"] == "refused"
    assert (
        "is data, and the release changes" in row["evidence"]
        or "no directory" in (row["evidence"])
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_data_that_is_a_mount_is_refused(kept: Node) -> None:
    from tests.support.disks import small_disk

    with small_disk(kept.top / "var" / "queue", "1m"):
        row = rows(kept, "preflight")["data"]
    assert row["result"] == "refused"
    assert "is a mount: name the directories in it" in row["evidence"]


# --- copies -------------------------------------------------------------------------------------


def test_a_copy_keeps_holes_as_holes_and_all_the_rest(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with (source / "sparse").open("wb") as stream:
        stream.write(b"head")
        stream.seek(64 << 20)
        stream.write(b"tail")
    with (source / "hole at the end").open("wb") as stream:
        stream.write(b"head")
        stream.truncate(8 << 20)
    (source / "plain").write_bytes(b"\0" * 5000)
    copying.copy_tree(str(source), str(tmp_path / "goal"))
    assert images.tree_digest(str(source)) == images.tree_digest(str(tmp_path / "goal"))
    for name in ("sparse", "hole at the end"):
        assert (tmp_path / "goal" / name).stat().st_blocks * 512 < 3 << 20
    assert picture(source) == picture(tmp_path / "goal")


def test_the_size_of_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert data.size_of(str(tmp_path / "nothing")) == (0, 0)


@pytest.mark.drill
def test_killed_at_any_moment_of_the_copy_nothing_is_left_of_it(kept: Node) -> None:
    """The driver is killed a little later each time; the next command finds all as it was."""
    before, product = db(kept), kept.product()
    kept.document["data"]["unattended"] = "restore"
    for number in range(12):
        run = f"1120-k{number}"
        kept.begin(writes(kept), run)
        __import__("time").sleep(0.05 * number)
        kept.kill_drivers()
        assert kept.ask("recover").outcome == "ok"
        kept.wait_for(lambda facts: facts["transaction"] is None or settled(facts))
        if kept.facts()["transaction"] is not None:
            kept.ask("rollback", why="drill", data="restore")
            kept.wait_for(lambda facts: facts["transaction"] is None)
        assert (db(kept), kept.product()) == (before, product)
        assert copies(kept) == []
