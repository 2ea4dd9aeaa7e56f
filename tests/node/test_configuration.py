"""Configuration: old default, what lies there, new default; what a person wrote is never lost."""

from pathlib import Path
from typing import Any

import pytest

from backends.node import configuration as configured
from backends.node.journal import scan
from backends.node.layout import NEW
from backends.node.layouts import layout_of
from tests.support.beacon import Beacon
from tests.support.node import Node, a_node, picture

BASE = {
    "etc/plain.conf": b"level = 1\n",
    "etc/edited.conf": b"colour = red\n",
    "etc/both.conf": b"port = 1\n",
    "etc/same.conf": b"mode = a\n",
    "etc/gone.conf": b"from 1.0\n",
    "etc/removed.conf": b"shipped by both\n",
}
NEXT = {
    "etc/plain.conf": b"level = 2\n",
    "etc/edited.conf": b"colour = red\n",
    "etc/both.conf": b"port = 2\n",
    "etc/same.conf": b"mode = b\n",
    "etc/fresh.conf": b"only in 2.0\n",
    "etc/removed.conf": b"shipped by both\n",
}
OLD, NEW_RELEASE = Beacon("1.0", more=BASE), Beacon("2.0", more=NEXT)

EDITS = {
    "etc/edited.conf": b"colour = mine\n",
    "etc/both.conf": b"port = 9999\n",
    "etc/same.conf": b"mode = b\n",
    "etc/own.conf": b"nobody shipped this\n",
}
AFTERWARDS = {
    "etc/plain.conf": b"level = 2\n",  # nobody edited it: the new default
    "etc/edited.conf": b"colour = mine\n",  # the default is as before: it stays
    "etc/both.conf": b"port = 9999\n",  # both changed: it stays ...
    "etc/both.conf.new": b"port = 2\n",  # ... and the new one is beside it
    "etc/same.conf": b"mode = b\n",  # both changed to the same
    "etc/own.conf": b"nobody shipped this\n",
    "etc/fresh.conf": b"only in 2.0\n",
    "etc/removed.conf": b"shipped by both\n",  # somebody removed it: it comes with the release
}


@pytest.fixture
def node(with_config: Node) -> Node:
    """1.0 came as a release, and somebody has worked on its configuration."""
    with_config.put_in_place(OLD, as_release=True)
    for name, content in EDITS.items():
        (with_config.tree("1.0") / name).write_bytes(content)
    (with_config.tree("1.0") / "etc/removed.conf").unlink()
    return with_config


def configuration(node: Node, version: str) -> dict[str, bytes]:
    folder = node.tree(version) / "etc"
    return {f"etc/{path.name}": path.read_bytes() for path in folder.iterdir()}


def told(node: Node, run: str = "1120-aaa") -> dict[str, Any]:
    records = scan((node.home / "done" / run / "journal").read_bytes()).records
    (record,) = (each for each in records if each["t"] == "CONFIG")
    return record


@pytest.mark.drill
def test_what_was_edited_stays_and_everything_else_is_new(node: Node) -> None:
    node.stage(NEW_RELEASE)
    checked = node.check(NEW_RELEASE)
    assert checked.outcome == "ok", checked.messages
    (row,) = (row for row in checked.all("row") if row["name"] == "configuration")
    assert row["result"] == "warn"
    assert "etc/both.conf.new" in row["evidence"]
    node.finalized(NEW_RELEASE)
    assert configuration(node, "2.0") == AFTERWARDS
    record = told(node)
    assert record["beside"] == ["etc/both.conf"]
    assert sorted(record["kept"]) == sorted(EDITS)
    verified = node.ask("verify")
    assert verified.outcome == "ok", "configuration is to be edited: that is no drift"


@pytest.mark.drill
def test_the_way_back_finds_everything_as_it_was(node: Node) -> None:
    before = node.product()
    node.accepted(NEW_RELEASE)
    assert node.facts()["transaction"]["beside"] == ["etc/both.conf"]
    (node.tree("2.0") / "etc/edited.conf").write_bytes(b"edited in the trial\n")
    assert node.ask("rollback", run="1120-aaa", why="no").outcome == "ok"
    node.wait_for(lambda found: found["transaction"] is None)
    assert node.facts()["state"] == "rolled_back"
    assert node.product() == before
    again = node.install(NEW_RELEASE)
    if again.code == "not-checked":
        node.begin(NEW_RELEASE)
    node.wait_for(lambda found: bool((found["transaction"] or {}).get("healthy")))


def test_what_was_decided_about_is_asked_of_the_parse_command(node: Node) -> None:
    """It reads what will be there: the edited ones, and the new defaults of the others."""
    node.document["check"]["parse"] = ["/bin/sh", "-c", "cat etc/*.conf; ls etc"]
    node.stage(NEW_RELEASE)
    (row,) = (row for row in node.check(NEW_RELEASE).all("row") if row["name"] == "parse")
    assert "level = 2" in row["evidence"]
    assert "port = 9999" in row["evidence"]


@pytest.mark.drill
def test_the_next_upgrade_holds_it_against_the_default_of_this_one(node: Node) -> None:
    """What stayed is not told again while its default stays as it is."""
    node.finalized(NEW_RELEASE)
    third = Beacon("3.0", more={**NEXT, "etc/plain.conf": b"level = 3\n"})
    node.finalized(third, "1121-bbb")
    assert told(node, "1121-bbb")["beside"] == []
    found = configuration(node, "3.0")
    assert found["etc/both.conf"] == b"port = 9999\n"
    assert found["etc/plain.conf"] == b"level = 3\n"


@pytest.mark.drill
def test_of_an_adopted_version_nothing_is_taken_for_a_default(node: Node) -> None:
    """Nobody knows which of its files were edited: all of them stay, the new ones beside."""
    manifest = Path(node.places.manifest("1.0"))
    manifest.write_text(manifest.read_text().replace('"source":"release"', '"source":"adopted"'))
    node.finalized(NEW_RELEASE)
    found = configuration(node, "2.0")
    assert found["etc/plain.conf"] == b"level = 1\n"
    assert found["etc/plain.conf" + NEW] == b"level = 2\n"


@pytest.mark.drill
def test_without_a_list_configuration_is_as_any_other_file(tmp_path: Path) -> None:
    with a_node(tmp_path / "node") as node:
        node.put_in_place(OLD, as_release=True)
        before = picture(node.tree("1.0"))
        node.finalized(NEW_RELEASE)
        assert configuration(node, "2.0") == NEXT
        assert picture(node.tree("1.0")).keys() >= before.keys() - {"beacon.pid"}


# --- conflicts ----------------------------------------------------------------------------------


@pytest.mark.drill
def test_what_differs_is_told_and_its_base_where_that_is_known(node: Node) -> None:
    node.accepted(NEW_RELEASE)
    (found,) = node.ask("conflicts").all("conflict")
    assert found["path"] == "etc/both.conf"
    assert found["both"][3:] == ["-port = 9999", "+port = 2"]
    assert found["yours"] is None, "1.0 was not staged here: nobody has kept its defaults"
    assert node.ask("finalize", run="1120-aaa", digest=NEW_RELEASE.digest).outcome == "ok"
    node.wait_for(lambda facts: facts["transaction"] is None)
    third = Beacon("3.0", more={**NEXT, "etc/both.conf": b"port = 3\n"})
    node.accepted(third, "1121-bbb")
    (found,) = node.ask("conflicts").all("conflict")
    assert found["yours"][3:] == ["-port = 2", "+port = 9999"]
    assert found["theirs"][3:] == ["-port = 2", "+port = 3"]


@pytest.mark.drill
def test_what_is_no_text_is_told_without_its_content(node: Node) -> None:
    node.accepted(NEW_RELEASE)
    live = node.tree("2.0") / "etc/both.conf"
    for content in (b"\0binary", b"x" * (300 << 10)):
        live.write_bytes(content)
        (found,) = node.ask("conflicts").all("conflict")
        assert found["both"] is None
    (node.tree("2.0") / "etc/both.conf.new").unlink()
    assert node.ask("conflicts").all("conflict") == []


@pytest.mark.drill
def test_a_long_difference_has_an_end(node: Node) -> None:
    node.accepted(NEW_RELEASE)
    live = node.tree("2.0") / "etc/both.conf"
    live.write_text("".join(f"line {number}\n" for number in range(5000)))
    (found,) = node.ask("conflicts").all("conflict")
    assert len(found["both"]) == 1001
    assert found["both"][-1].startswith("... and 40")


@pytest.mark.drill
def test_where_nothing_is_edited_or_nothing_is_there_nothing_is_told(tmp_path: Path) -> None:
    with a_node(tmp_path / "node", config=["etc/*.conf"]) as node:
        assert node.ask("conflicts").messages[-1]["outcome"] == "ok"
        node.put_in_place(OLD, as_release=True)
        node.finalized(NEW_RELEASE)
        assert node.ask("conflicts").all("conflict") == []
        assert configuration(node, "2.0") == NEXT
        journal = (node.home / "done" / "1120-aaa" / "journal").read_bytes()
        assert not [record for record in scan(journal).records if record["t"] == "CONFIG"]


# --- what readers of this code asked ------------------------------------------------------------


@pytest.mark.drill
def test_the_way_back_is_proven_whatever_was_done_to_configuration_meanwhile(node: Node) -> None:
    """Before and in the trial: also to what nobody had edited, and to whole directories."""
    node.document["config"] = ["etc"]
    (node.tree("1.0") / "etc").chmod(0o750)
    (node.tree("1.0") / "etc/gone.conf").unlink()
    before = node.product()
    node.accepted(NEW_RELEASE)
    (node.tree("2.0") / "etc/removed.conf").write_bytes(b"edited in the trial\n")
    if node.document["layout"] == "versions":
        (node.tree("1.0") / "etc/plain.conf").write_bytes(b"edited in the old tree\n")
        before = node.product()
    assert node.ask("rollback", run="1120-aaa", why="no").outcome == "ok"
    node.wait_for(lambda found: found["transaction"] is None)
    assert node.facts()["state"] == "rolled_back"
    found, lives = node.product(), "2.0"
    assert {name for name in found if lives not in name} == {
        name for name in before if lives not in name
    }


@pytest.mark.drill
def test_an_edit_of_what_both_versions_ship_alike_is_kept_and_the_way_back_proven(
    node: Node,
) -> None:
    same = {"etc/alike.conf": b"the same in both\n"}
    old, new = Beacon("2.0", more={**NEXT, **same}), Beacon("3.0", more={**NEXT, **same})
    node.finalized(old)
    node.accepted(new, "1121-bbb")
    (node.tree("3.0") / "etc/alike.conf").write_bytes(b"edited in the trial\n")
    assert node.ask("rollback", run="1121-bbb", why="no").outcome == "ok"
    node.wait_for(lambda found: found["transaction"] is None)
    assert node.facts()["state"] == "rolled_back"
    assert (node.tree("2.0") / "etc/alike.conf").read_bytes() == b"the same in both\n"


@pytest.mark.drill
def test_a_new_default_that_nobody_has_looked_at_yet_is_not_lost(node: Node) -> None:
    node.finalized(NEW_RELEASE)
    third = Beacon("3.0", more={**NEXT, "etc/plain.conf": b"level = 3\n"})
    node.finalized(third, "1121-bbb")
    assert configuration(node, "3.0")["etc/both.conf.new"] == b"port = 2\n"
    (found,) = node.ask("conflicts").all("conflict")
    assert found["both"][3:] == ["-port = 9999", "+port = 2"]


@pytest.mark.drill
def test_what_is_edited_after_it_was_decided_is_not_replaced(node: Node) -> None:
    """A hook, the service at its stop, or a person: the upgrade goes back, and is decided anew."""
    live = node.tree("1.0") / "etc/plain.conf"
    node.document["hooks"] = [
        {
            "name": "puppet",
            "when": "before_stop",
            "command": ["/bin/sh", "-c", f"echo mine > {live}"],
            "undo": None,
            "timeout": 5.0,
        }
    ]
    assert node.upgrade(NEW_RELEASE) == "rolled_back"
    assert "edited since the upgrade began, start it again: etc/plain.conf" in node.facts()["note"]
    assert live.read_bytes() == b"mine\n"
    node.finalized(NEW_RELEASE, "1121-bbb")
    assert configuration(node, "2.0")["etc/plain.conf"] == b"mine\n"


def test_so_much_configuration_that_nobody_could_tell_is_refused(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(600):
        (node.tree("1.0") / f"etc/{number}{'x' * 180}.conf").write_bytes(b"mine\n")
    node.stage(NEW_RELEASE)
    node.check(NEW_RELEASE)
    answer = node.install(NEW_RELEASE)
    assert (answer.outcome, answer.code) == ("refused", "too-much-configuration")
    assert node.facts()["running"] == "1.0"


def test_while_nobody_knows_what_is_selected_no_default_is_given_up(tmp_path: Path) -> None:
    with a_node(tmp_path / "node", config=["etc/*.conf"]) as node:
        node.put_in_place(OLD, as_release=True)
        node.stage(NEW_RELEASE)
        other = Path(node.places.default("0.9")) / "etc"
        other.mkdir(parents=True)
        layout = layout_of(node.document, node.places)
        pointer = node.directory / ".version"
        pointer.write_text("no/version")
        configured.keep_defaults(layout, "2.0", NEW_RELEASE.files, node.places.default("2.0"))
        assert other.is_dir()
        pointer.write_text("1.0")
        configured.keep_defaults(layout, "2.0", NEW_RELEASE.files, node.places.default("2.0"))
        assert not other.exists()
