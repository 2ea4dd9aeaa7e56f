"""A transaction's files, and orders that come at the wrong time."""

import errno
import io
import json
import os
from pathlib import Path

import pytest

from backends.node import (
    evidence,
    locks,
    transaction,
    upgrading,
)
from backends.node.call import Call
from backends.node.journal import JournalDamaged
from tests.support.beacon import Beacon
from tests.support.node import Node, settled
from tests.support.raising import says

pytestmark = pytest.mark.drill


def test_evidence_that_cannot_be_read_or_kept_stops_no_undo(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    node.kill_drivers()
    opened = transaction.load(node.places)
    assert opened is not None
    monkeypatch.setattr(evidence.health, "run_all", says(ZeroDivisionError("of ours")))
    evidence.save(opened)
    saved = json.loads(Path(opened.file("evidence.json")).read_text())
    assert saved["checks"] == "could not be read: of ours"
    monkeypatch.setattr(evidence, "side_file", says(OSError(errno.ENOSPC, "no space")))
    evidence.save(opened)
    assert opened.records[-1]["why"].endswith("no space")
    opened.close()


def in_trial(node: Node) -> transaction.Transaction:
    """The transaction of a trial whose driver was killed."""
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    node.kill_drivers()
    opened = transaction.load(node.places)
    assert opened is not None
    return opened


def test_before_images_that_are_gone_or_changed_are_damage(node: Node) -> None:
    opened = in_trial(node)
    path = Path(opened.file("intents.json"))
    kept = path.read_bytes()
    path.write_bytes(kept + b" ")
    with pytest.raises(JournalDamaged, match="not what was recorded"):
        opened.intents()
    path.unlink()
    with pytest.raises(JournalDamaged, match="is gone"):
        opened.intents()
    path.write_bytes(kept)
    opened.close()


def test_a_transaction_that_is_put_away_while_it_is_read_is_none_and_a_plan_that_is_gone_is_damage(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_trial(node).close()
    plan = Path(node.places.active) / "plan.json"
    kept = plan.read_bytes()
    plan.unlink()
    with pytest.raises(JournalDamaged, match=r"plan\.json is gone"):
        transaction.load(node.places)
    answers = [True, False, False]
    with monkeypatch.context() as patched:
        patched.setattr(transaction, "is_open", lambda where: answers.pop(0))
        assert transaction.load(node.places) is None
    plan.write_bytes(kept)


def test_p12_over_an_open_transaction_none_begins(node: Node) -> None:
    opened = in_trial(node)
    with pytest.raises(OSError, match="an upgrade is open here"):
        transaction.begin(node.places, opened.plan)
    opened.close()


def test_names_of_transactions_are_never_used_again(bare: Node) -> None:
    os.makedirs(f"{bare.places.done}/r1")
    assert transaction.next_name(bare.places, "r1") == "r1.2"


def test_orders_that_come_at_the_wrong_time_are_refused_by_name(node: Node) -> None:
    marker = Path(node.places.finalized)
    kept = marker.read_text()
    (node.directory / ".version").write_text("9.9\n")
    assert node.stage(Beacon("2.0")).outcome == "ok"
    assert node.check(Beacon("2.0")).code == "check-refused"
    assert node.install(Beacon("2.0")).code == "not-finalized"
    (node.directory / ".version").write_text("1.0\n")
    assert marker.read_text() == kept
    release = Beacon("2.0")
    node.accepted(release)
    assert node.ask("finalize", run="1120-aaa", digest="sha256:other").code == "other-version"
    assert node.ask("finalize", run="1120-zzz", digest=release.digest).code == "other-run"
    assert node.ask("finalize", run="1120-aaa", digest=release.digest).outcome == "ok"
    node.wait_for(lambda facts: facts["transaction"] is None)
    assert node.ask("rollback", run="1120-aaa", why="too late").code == "no-upgrade-open"
    assert node.ask("finalize", run="1120-aaa", digest=release.digest).all("already")


def test_a_trial_is_not_finalized_and_what_goes_back_is_not_accepted(node: Node) -> None:
    release = Beacon("2.0")
    in_trial(node).close()
    assert node.ask("accept", run="1120-aaa", how="auto").code == "driver-gone"
    answer = node.ask("finalize", run="1120-aaa", digest=release.digest)
    assert answer.code == "no-upgrade-open", "it was brought back first"
    assert node.facts()["running"] == "1.0"


def test_another_plan_than_the_one_that_began_is_damage(node: Node) -> None:
    in_trial(node).close()
    plan = Path(node.places.active) / "plan.json"
    kept = plan.read_bytes()
    plan.write_bytes(kept + b" ")
    with pytest.raises(JournalDamaged, match="not the plan that began"):
        transaction.load(node.places)
    plan.write_bytes(kept)


def test_a_transaction_whose_name_is_not_durable_never_began(
    bare: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = transaction.sync_directory

    def sync(path: str) -> None:
        if path == bare.places.home:
            raise OSError(errno.EIO, "broken")
        real(path)

    bare.places.make_home()
    monkeypatch.setattr(transaction, "sync_directory", sync)
    with pytest.raises(OSError, match="broken"):
        transaction.begin(bare.places, {"txn": "r1"})
    assert os.listdir(bare.places.home).count("active") == 0
    assert not transaction.is_open(bare.places)


@pytest.mark.parametrize(
    ("first", "command", "code"),
    [("FINALIZE", "rollback", "not-reversible"), ("ROLLBACK", "finalize", "not-accepted")],
)
def test_p4_while_one_decision_is_carried_out_the_other_is_refused(
    node: Node, first: str, command: str, code: str
) -> None:
    release = Beacon("2.0")
    node.accepted(release)
    node.wait_for(lambda facts: not facts["transaction"]["driver"])
    opened = transaction.load(node.places)
    assert opened is not None
    lock = locks.DriverLock(node.places)
    lock.take(run="1120-aaa", operator="eve@there", command="drill")
    assert opened.decide(first, why="drill", by="eve@there") is None
    about = {"rollback": {"why": "drill"}, "finalize": {"digest": release.digest}}[command]
    assert node.ask(command, run="1120-aaa", **about).code == code
    # Who cannot be told from another process is not ended, either.
    os.unlink(node.places.owner)
    assert node.ask("recover", takeover=True, reason="drill").code == "not-ended"
    lock.release()
    opened.close()


def test_who_finds_the_work_begun_by_another_one_is_content(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrading, "start", lambda call, name: ("refused", {"code": "locked"}))
    request = node.request("rollback", run="1120-aaa", why="drill")
    call = Call(request, io.BytesIO(), lambda message: None, b"", "0" * 64)
    assert upgrading._carry_out(call) == ("ok", None)
