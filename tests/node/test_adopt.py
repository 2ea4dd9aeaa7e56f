"""`adopt` with the release that a version came from: held against it, and recorded as it."""

import os
from pathlib import Path

import pytest

from backends.node.places import read_json
from tests.node.test_drift import flip
from tests.support.beacon import Beacon
from tests.support.node import Answer, Node, picture, wait_until

OLD, NEW = Beacon("1.0"), Beacon("2.0")
RUN = "1119-one"


@pytest.fixture
def by_hand(bare: Node) -> Node:
    """Somebody has unpacked the release and started it; nothing is recorded."""
    bare.put_in_place(OLD)
    for path in (bare.places.finalized, bare.places.manifest("1.0"), bare.places.journal):
        os.unlink(path)
    return bare


def adopt(node: Node, release: Beacon = OLD) -> Answer:
    about = {"run": RUN, "version": release.version, "digest": release.digest}
    return node.ask("adopt", released=True, **about)


def test_what_was_installed_from_the_release_is_recorded_as_it(by_hand: Node) -> None:
    product = by_hand.product()
    assert by_hand.stage(OLD, RUN).outcome == "ok"
    shown = by_hand.ask("adopt", preview=True, released=True).all("adopted")[0]
    assert (shown["digest"], shown["changed"], shown["missing"]) == (OLD.digest, [], [])
    assert "beacon.pid" in shown["own"]
    assert adopt(by_hand).outcome == "ok"
    manifest = read_json(by_hand.places.manifest("1.0"))
    assert manifest is not None
    assert (manifest["source"], manifest["digest"]) == ("release", OLD.digest)
    assert Path(by_hand.places.floor).read_text().strip(), "nothing older comes by itself"
    assert not Path(by_hand.places.staged_tree("1.0")).exists()
    assert by_hand.facts()["staged"] == []
    assert by_hand.ask("verify").outcome == "ok"
    assert by_hand.product() == product


def test_what_was_changed_since_is_named_and_is_drift_afterwards(by_hand: Node) -> None:
    flip(by_hand.tree("1.0") / "control")
    os.unlink(by_hand.tree("1.0") / "VERSION")
    by_hand.stage(OLD, RUN)
    shown = by_hand.ask("adopt", preview=True, released=True).all("adopted")[0]
    assert (shown["changed"], shown["missing"]) == (["control"], ["VERSION"])
    assert adopt(by_hand).outcome == "ok"
    assert by_hand.ask("verify").code == "drift"
    assert by_hand.records("-")[-2]["differ"] == 2


def test_another_release_than_runs_is_refused_and_nothing_recorded(by_hand: Node) -> None:
    by_hand.stage(NEW, RUN)
    assert adopt(by_hand, NEW).code == "other-release"
    assert not os.path.exists(by_hand.places.finalized)


def test_a_release_of_which_nothing_is_there_is_refused(by_hand: Node) -> None:
    """The version may have the same name, and be something else."""
    for name in ("VERSION", "control", "beacon.py"):
        flip(by_hand.tree("1.0") / name)
    by_hand.stage(OLD, RUN)
    before = picture(by_hand.top)
    assert by_hand.ask("adopt", preview=True, released=True).code == "other-release"
    assert picture(by_hand.top) == before


@pytest.mark.drill
def test_what_lies_flat_is_adopted_as_its_release_and_then_loses_what_is_no_longer_shipped(
    bare: Node,
) -> None:
    """Of an adopted version nobody knows what it shipped; of this one it is known."""
    bare.document["layout"] = "overlay"
    bare.document["facts"]["version"] = {
        "http": bare.document["health"][0]["url"],
        "field": "version",
    }
    old = Beacon("1.0", more={"obsolete": b"only in 1.0"})
    bare.put_in_place(old)
    for path in (bare.places.finalized, bare.places.manifest("1.0"), bare.places.selected):
        os.unlink(path)
    assert bare.stage(old, RUN).outcome == "ok"
    assert adopt(bare, old).outcome == "ok"
    bare.finalized(NEW)
    wait_until(lambda: bare.facts()["running"] == "2.0")
    assert not (bare.tree("2.0") / "obsolete").exists()
