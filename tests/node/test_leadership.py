"""A node that leads has another one lead before it is stopped, and it is read back (B3)."""

from typing import Any

import pytest

from tests.support.beacon import Beacon
from tests.support.node import Node

NEW = Beacon("2.0")


def leads(node: Node, name: str | None = "n1", **how: Any) -> None:
    """The product says who leads in a file; moving that writes another name there."""
    place = node.top / "leader"
    if name is not None:
        place.write_text(f"{name}\n")
    node.document["leader"] = {
        "probe": {"file": str(place)},
        "equals": "n1",
        "move": ["sh", "-c", f"echo n2 >{place}"],
        "timeout": 5.0,
        **how,
    }


def moves(node: Node) -> list[tuple[bool | None, str]]:
    return [
        (record["ok"], record["text"])
        for record in node.records()
        if record["t"] == "CALL" and record["hook"] == "leadership"
    ]


def goes_back(node: Node) -> str:
    """It never stopped the service; why it went back."""
    before = node.facts()["start_id"]
    node.begin(NEW)
    facts = node.wait_for(lambda facts: facts["transaction"] is None)
    assert facts["state"] == "rolled_back"
    assert facts["start_id"] == before, "the old version was never stopped"
    return str(facts["last"]["why"])


def test_b3_who_leads_is_a_fact_and_unknown_is_its_own_value(node: Node) -> None:
    assert node.facts()["leads"] is None
    leads(node)
    assert node.facts()["leads"] is True
    leads(node, "n3")
    assert node.facts()["leads"] is False
    (node.top / "leader").unlink()
    assert "No such file" in node.facts()["leads"]["unknown"]
    leads(node)
    node.control("1.0", "stop")
    assert node.facts()["leads"] is False, "what is stopped leads nobody"


def test_b3_leadership_is_moved_before_the_stop_and_read_back(node: Node) -> None:
    leads(node)
    node.accepted(NEW)
    assert moves(node) == [(None, ""), (True, "it does not lead any more")]
    kinds = [record["t"] for record in node.records()]
    assert kinds.index("CALL") < kinds.index("SVC")
    assert node.facts()["leads"] is False


def test_who_does_not_lead_moves_nothing(node: Node) -> None:
    leads(node, "n3", move=["false"])
    node.accepted(NEW)
    assert moves(node) == []


def test_without_a_way_to_move_it_that_is_said(node: Node) -> None:
    leads(node, move=None)
    node.accepted(NEW)
    assert moves(node) == [(True, "it leads, and the profile names no way to move that")]


def test_a_move_that_fails_takes_nothing_down(node: Node) -> None:
    leads(node, move=["sh", "-c", "echo no quorum; exit 3"])
    assert "leadership was not moved: exit 3: no quorum" in goes_back(node)


@pytest.mark.parametrize(
    ("move", "why"),
    [("true", "it still leads"), ('rm "$0"', "No such file")],
)
def test_a_move_is_believed_only_when_the_product_says_so(node: Node, move: str, why: str) -> None:
    leads(node, move=["sh", "-c", move, str(node.top / "leader")], timeout=0.7)
    said = goes_back(node)
    assert "leadership was not moved within 0.7 s" in said
    assert why in said


def test_where_it_is_not_known_who_leads_nothing_is_stopped(node: Node) -> None:
    leads(node, None)
    assert "it is not known whether this node leads" in goes_back(node)


def test_a_service_that_is_stopped_has_nothing_to_give_away(node: Node) -> None:
    leads(node, move=["false"])
    node.control("1.0", "stop")
    node.begin(NEW)
    node.wait_for(lambda facts: facts["state"] in ("monitoring", "accepted"))
    assert moves(node) == []
