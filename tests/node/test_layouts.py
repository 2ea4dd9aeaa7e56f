"""The layouts `overlay` and `swap`: by the packed updater on a real service, and step by step."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.node import adopt, fitting, keeping
from backends.node.images import listing
from backends.node.layout import PointerUnreadable
from backends.node.layouts import layout_of
from backends.node.ownership import NoSuchOwner, wanted
from tests.support.beacon import Beacon
from tests.support.disks import small_disk
from tests.support.node import Node, a_node, picture

RUN = "1120-aaa"
OLD = Beacon("1.0", more={"lib/one": b"1\n", "lib/gone": b"1\n", "etc/a.conf": b"shipped 1\n"})
NEW = Beacon("2.0", more={"lib/one": b"2\n", "lib/new": b"2\n", "etc/a.conf": b"shipped 2\n"})
SICK = Beacon("3.0", sick=True)


@pytest.fixture(params=["overlay", "swap"])
def bare(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    """A node on which nothing is installed."""
    keep = ["*.conf", "beacon.log"]
    with a_node(tmp_path / "node", layout=request.param, keep=keep) as node:
        yield node


@pytest.fixture
def node(bare: Node) -> Node:
    """A node that runs 1.0, finalized as it was released."""
    bare.put_in_place(OLD, as_release=True)
    return bare


def is_overlay(node: Node) -> bool:
    return bool(node.document["layout"] == "overlay")


def texts(node: Node, *names: str) -> list[str | None]:
    """What files of the product hold; None for one that is not there."""
    paths = [node.directory / name for name in names]
    return [path.read_text() if path.exists() else None for path in paths]


# --- there and back -----------------------------------------------------------------------------


@pytest.mark.drill
def test_from_nothing_to_finalized_and_to_the_next_version(bare: Node) -> None:
    node = bare
    node.finalized(OLD, "1119-one")
    facts = node.facts()
    assert (facts["selected"], facts["running"], facts["health"]) == ("1.0", "1.0", "healthy")
    assert (facts["finalized"]["version"], facts["installed"]) == ("1.0", ["1.0"])
    node.finalized(NEW)
    facts = node.facts()
    assert (facts["selected"], facts["running"], facts["health"]) == ("2.0", "2.0", "healthy")
    assert facts["previous"]["version"] == "1.0"
    assert facts["staged"] == []
    # What is no longer shipped is gone; what lives on is what it was.
    assert texts(node, "lib/one", "lib/gone", "lib/new") == ["2\n", None, "2\n"]
    assert texts(node, "etc/a.conf") == ["shipped 1\n"]
    assert not list(Path(node.places.store).iterdir())
    assert not list(Path(node.places.staging).iterdir())


@pytest.mark.drill
def test_b27_an_accepted_version_is_taken_back_to_the_byte(node: Node) -> None:
    (node.directory / "etc/a.conf").write_text("mine\n")
    before = node.product()
    node.accepted(NEW)
    assert node.facts()["running"] == "2.0"
    assert texts(node, "etc/a.conf", "lib/gone") == ["mine\n", None]
    assert node.ask("rollback", run=RUN, why="sales are down").outcome == "ok"
    facts = node.wait_for(lambda facts: facts["transaction"] is None)
    assert node.product() == before
    assert (facts["selected"], facts["running"]) == ("1.0", "1.0")
    assert (facts["state"], facts["health"]) == ("rolled_back", "healthy")


@pytest.mark.drill
def test_b10_a_sick_release_goes_back_by_itself(node: Node) -> None:
    before = node.product()
    node.document["limits"]["healthy_deadline"] = 0.5
    node.begin(SICK)
    facts = node.wait_for(lambda facts: facts["transaction"] is None)
    assert node.product() == before
    assert (facts["state"], facts["running"]) == ("rolled_back", "1.0")
    assert "503" in facts["last"]["why"]


@pytest.mark.drill
def test_a_first_install_that_goes_back_removes_everything(bare: Node) -> None:
    bare.document["limits"]["healthy_deadline"] = 0.5
    bare.begin(SICK)
    facts = bare.wait_for(lambda facts: facts["transaction"] is None)
    assert (facts["selected"], facts["running"], facts["installed"]) == (None, None, [])
    assert bare.product() == {}


@pytest.mark.drill
def test_killed_in_the_trial_the_next_order_brings_it_back(node: Node) -> None:
    before = node.product()
    node.begin(NEW)
    node.wait_for(lambda facts: facts["state"] == "monitoring")
    node.kill_all()
    assert node.ask("recover").outcome == "ok"
    facts = node.wait_for(lambda facts: facts["transaction"] is None)
    assert node.product() == before
    assert (facts["state"], facts["running"]) == ("rolled_back", "1.0")


# --- adopted ------------------------------------------------------------------------------------


@pytest.mark.drill
def test_what_was_unpacked_by_hand_is_adopted_by_its_own_word(bare: Node) -> None:
    bare.put_in_place(OLD)
    (bare.directory / "notes").write_text("mine\n")
    facts = bare.facts()
    assert (facts["selected"], facts["finalized"]["version"]) == ("1.0", "1.0")
    bare.finalized(NEW)
    assert bare.facts()["running"] == "2.0"
    if is_overlay(bare):
        # Nobody knows what an adopted version shipped: what is not replaced stays.
        assert texts(bare, "lib/gone", "notes") == ["1\n", "mine\n"]
    kept = picture(bare.home / "conflicts" / RUN)
    assert kept["lib/one"][4] == b"1\n", "it may have been edited: it is kept"


def test_before_it_is_adopted_nobody_says_which_version_is_selected(bare: Node) -> None:
    bare.put_in_place(OLD)
    for name in ("selected", "finalized.json"):
        (bare.home / name).unlink()
    facts = bare.facts()
    assert "adopt it" in facts["selected"]["unknown"]
    assert (facts["running"], facts["service"]) == ("1.0", "started")
    assert bare.ask("adopt", preview=True).all("adopted")[0]["version"] == "1.0"
    refused = bare.ask("install", run=RUN, version="2.0", digest="", policy={}, reason="")
    assert refused.code == "pointer-unreadable"
    bare.control("1.0", "stop")
    assert bare.ask("adopt", preview=True).code == "version-unknown"


def test_what_lives_on_is_not_adopted(bare: Node) -> None:
    bare.put_in_place(OLD)
    (bare.home / "finalized.json").unlink()
    found = adopt.preview(bare.places, bare.document)
    assert "etc/a.conf" not in [entry["path"] for entry in found["files"]]
    assert not [entry for entry in found["files"] if keeping.ours(entry["path"])]


# --- P7: nothing foreign is lost ----------------------------------------------------------------


@pytest.mark.drill
def test_p7_an_edited_file_is_kept_when_its_replacement_becomes_final(node: Node) -> None:
    (node.directory / "lib/one").write_text("edited\n")
    checked = {row["name"]: row for row in _staged(node, NEW).all("row")}
    assert checked["rollback rehearsal"]["result"] == "warn"
    assert "changed: lib/one" in checked["rollback rehearsal"]["evidence"]
    node.finalized(NEW)
    kept = node.home / "conflicts" / RUN / "lib/one"
    assert kept.read_text() == "edited\n"
    told = [record for record in node.records() if record["t"] == "CONFLICT"]
    assert [(record["what"], record["kept"]) for record in told] == [("lib/one", str(kept))]


@pytest.mark.drill
def test_p7_an_edited_file_is_back_on_the_way_back(node: Node) -> None:
    (node.directory / "lib/one").write_text("edited\n")
    before = node.product()
    node.accepted(NEW)
    (node.directory / "lib/one").write_text("edited in the trial\n")
    assert node.ask("rollback", run=RUN, why="drill").outcome == "ok"
    node.wait_for(lambda facts: facts["transaction"] is None)
    assert node.product() == before
    kept = [path for path in (node.home / "conflicts").rglob("one") if path.is_file()]
    assert [path.read_text() for path in kept] == ["edited in the trial\n"]


@pytest.mark.drill
def test_p7_what_is_nobodys_stays_or_is_kept(node: Node) -> None:
    (node.directory / "lib/mine").write_text("nobody's\n")
    node.finalized(NEW)
    if is_overlay(node):
        assert texts(node, "lib/mine") == ["nobody's\n"]
    else:
        assert (node.home / "conflicts" / RUN / "lib/mine").read_text() == "nobody's\n"


@pytest.mark.drill
@pytest.mark.parametrize("bare", ["overlay"], indirect=True)
def test_a_file_that_lives_on_and_is_written_in_place_comes_back(node: Node) -> None:
    conf = node.directory / "etc/a.conf"
    conf.write_text("mine\n")
    before = node.product()
    node.accepted(NEW)
    with conf.open("a") as stream:
        stream.write("migrated by 2.0\n")
    assert node.ask("rollback", run=RUN, why="drill").outcome == "ok"
    node.wait_for(lambda facts: facts["transaction"] is None)
    assert node.product() == before
    (kept,) = (node.home / "conflicts").rglob("a.conf")
    assert kept.read_text() == "mine\nmigrated by 2.0\n"


@pytest.mark.drill
@pytest.mark.parametrize("bare", ["overlay"], indirect=True)
def test_a_directory_that_the_new_version_removed_comes_back(node: Node) -> None:
    before = node.product()
    node.accepted(NEW)
    shutil.rmtree(node.directory / "lib")
    assert node.ask("rollback", run=RUN, why="drill").outcome == "ok"
    node.wait_for(lambda facts: facts["transaction"] is None)
    assert node.product() == before


# --- refused before anything changes ------------------------------------------------------------


def _staged(node: Node, release: Beacon) -> Any:
    assert node.stage(release).outcome == "ok"
    return node.check(release)


def refused(node: Node, release: Beacon = NEW) -> str:
    """The evidence of the row that says whether the switch will work."""
    before = node.product()
    answer = _staged(node, release)
    assert answer.code == "check-refused"
    (row,) = (row for row in answer.all("row") if row["name"] == "rename and link")
    assert row["result"] == "refused"
    assert node.product() == before
    assert node.install(release).code == "not-checked"
    return str(row["evidence"])


@pytest.mark.parametrize("bare", ["overlay"], indirect=True)
def test_a_link_in_the_place_of_a_directory_is_not_followed(node: Node) -> None:
    elsewhere = node.top / "elsewhere"
    (node.directory / "lib").rename(elsewhere)
    (node.directory / "lib").symlink_to(elsewhere)
    assert "lib is a link that the old release did not ship" in refused(node)
    assert (elsewhere / "one").read_text() == "1\n"


@pytest.mark.parametrize("bare", ["overlay"], indirect=True)
def test_what_is_neither_file_nor_directory_nor_link_is_named(node: Node) -> None:
    (node.directory / "lib/one").unlink()
    os.mkfifo(node.directory / "lib/one")
    assert "lib/one is no file, directory or link" in refused(node)


@pytest.mark.parametrize("bare", ["swap"], indirect=True)
def test_a_swapped_directory_that_is_a_link_is_refused(node: Node) -> None:
    elsewhere = node.top / "elsewhere"
    node.control("1.0", "stop")
    node.directory.rename(elsewhere)
    node.directory.symlink_to(elsewhere)
    assert "is no directory of its own" in refused(node)


def test_an_owner_that_this_node_does_not_have_is_refused(node: Node) -> None:
    node.document["owner"] = "nobody-of-that-name:staff"
    assert "owner nobody-of-that-name:staff" in refused(node)


@pytest.mark.parametrize("bare", ["overlay"], indirect=True)
def test_row_23_a_mount_inside_the_directory_is_found_by_trial(node: Node) -> None:
    (node.directory / "lib").rename(node.directory / "was")
    with small_disk(node.directory / "lib", "1m"):
        shutil.copytree(node.directory / "was", node.directory / "lib", dirs_exist_ok=True)
        shutil.rmtree(node.directory / "was")
        assert f"a rename into {node.directory}/lib failed" in refused(node)


@pytest.mark.parametrize("bare", ["overlay"], indirect=True)
def test_row_24_an_immutable_file_is_named(node: Node, immutable: Callable[[Path], None]) -> None:
    immutable(node.directory / "lib/one")
    assert f"immutable (see lsattr): {node.directory}/lib/one" in refused(node)


@pytest.fixture
def immutable() -> Iterator[Callable[[Path], None]]:
    """Makes files immutable until the test is over."""
    import subprocess

    done: list[Path] = []

    def make(path: Path) -> None:
        subprocess.run(["chattr", "+i", str(path)], check=True)
        done.append(path)

    yield make
    for path in done:
        subprocess.run(["chattr", "-i", str(path)], check=True)


# --- step by step -------------------------------------------------------------------------------


def test_the_keep_list_means_names_anywhere_and_paths_from_the_top() -> None:
    is_kept = keeping.kept(["*.conf", "data/cache", "log/*.gz"])
    yes = ["a.conf", "x/y/a.conf", "data/cache", "data/cache/deep/1", "log/1.gz", "d.conf/inner"]
    no = ["a.config", "data", "x/data/cache", "log/deep/1.gz", "log/1", "data/cached"]
    assert [path for path in yes if not is_kept(path)] == []
    assert [path for path in no if is_kept(path)] == []
    assert not keeping.kept([])("anything")


def test_an_owner_is_a_user_a_group_or_a_number() -> None:
    like = {"uid": 7, "gid": 8}
    assert wanted({"owner": ""}, like) == (7, 8)
    assert wanted({"owner": "root"}, like) == (0, 0)
    assert wanted({"owner": "12:34"}, like) == (12, 34)
    assert wanted({"owner": "12:root"}, like) == (12, 0)
    with pytest.raises(NoSuchOwner, match="nobody-like-that"):
        wanted({"owner": "0:nobody-like-that"}, like)


def test_r8_one_of_several_directories_is_missing_in_the_release(tmp_path: Path) -> None:
    with a_node(tmp_path / "node", layout="swap", directories=["lib", "etc"]) as node:
        node.stage(NEW)
        layout = layout_of(node.document, node.places)
        result, evidence = fitting.check(layout, "2.0")
        assert (result, evidence) == ("refused", "VERSION lies in none of lib, etc")


def test_without_a_record_an_empty_directory_is_nothing_and_a_full_one_is_unknown(
    bare: Node,
) -> None:
    layout = layout_of(bare.document, bare.places)
    assert layout.selected() is None
    bare.places.make_home()
    bare.places.make_beside()
    assert layout.selected() is None
    bare.directory.mkdir(exist_ok=True)
    (bare.directory / "something").write_text("there\n")
    with pytest.raises(PointerUnreadable, match="adopt it"):
        layout.selected()
    Path(bare.places.selected).write_text("../evil\n")
    with pytest.raises(PointerUnreadable, match="no version"):
        layout.selected()


def test_our_own_folder_is_never_part_of_a_product(bare: Node) -> None:
    bare.places.make_home()
    bare.places.make_beside()
    bare.directory.mkdir(exist_ok=True)
    (bare.directory / "VERSION").write_text("1.0\n")
    layout = layout_of(bare.document, bare.places)
    found = listing(str(bare.directory), layout.does_not_count)
    assert [entry["path"] for entry in found] == ["VERSION"]


@pytest.mark.drill
def test_clean_everything_leaves_the_product_and_nothing_of_ours(node: Node) -> None:
    before = node.product()
    found = node.ask("clean", everything=True, preview=True).all("clean")[0]
    assert found["stays"] == [str(node.directory)]
    assert node.ask("clean", everything=True).outcome == "ok"
    assert node.product() == before
    assert not node.state.exists()
    assert not list(node.top.rglob(".liftlock*"))
