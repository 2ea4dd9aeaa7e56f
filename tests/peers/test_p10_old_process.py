"""The process from before answers: that is no restart, and no new version."""

import pytest

from backends.node import restart
from backends.node.service import Service
from tests.node.test_restart import begun, own, restarted, results
from tests.support.beacon import Beacon
from tests.support.node import Node


@pytest.fixture
def lying(bare: Node) -> Node:
    """A node on 1.0, whose script says that it stopped, and has not stopped anything."""
    release = Beacon("1.0")
    mode, content = release.content["control"]
    lies = content.replace(b"stop) stop ;;", b"stop) echo stoped ;;")
    assert lies != content
    release.content["control"] = (mode, lies)
    bare.put_in_place(release)
    bare.document["service"]["stop_timeout"] = 0.3
    return bare


def test_p10_a_restart_after_which_the_old_process_answers_is_none(lying: Node) -> None:
    """The check asked while the old process still answered, and passed: its start id counts."""
    node = lying
    before = node.facts()
    assert before["health"] == "healthy"
    answer = restarted(node)
    assert (answer.outcome, answer.code) == ("failed", "not-serving"), answer.messages
    after = node.facts()
    assert (after["health"], after["start_id"]) == ("healthy", before["start_id"])
    assert [record["ok"] for record in own(node, "RESTARTED")] == [False]


def test_p10_a_stop_that_is_believed_does_not_make_the_old_process_a_new_one(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second line of defence: whatever was said of the stop, the same start id is no start."""
    told = begun(node)
    monkeypatch.setattr(Service, "stop", lambda service: (True, "gone"))
    node.document["limits"]["healthy_deadline"] = told["product"]["limits"]["healthy_deadline"] = (
        0.2
    )
    restart.carry_out(node.places, told)
    assert results(node) == [(False, "the process is the one from before")]
    assert node.facts()["health"] == "healthy"


@pytest.mark.drill
def test_p10_an_upgrade_whose_old_process_stays_never_comes_to_its_trial(lying: Node) -> None:
    """The same in an upgrade: the old one still answers, so nothing is switched."""
    was = lying.facts()["start_id"]
    lying.begin(Beacon("2.0"))
    facts = lying.wait_for(lambda facts: facts["transaction"] is None)
    assert (facts["running"], facts["start_id"]) == ("1.0", was)
    assert "did not stop" in facts["last"]["why"]
    assert not {"EFFECT", "TRIAL"} & {record["t"] for record in lying.records()}
