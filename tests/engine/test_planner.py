"""What a plan does with a node that has the version already, and what its gate may overlook."""

from dataclasses import replace
from typing import Any

import pytest

from backends.domain.facts import Finalized, NodeReading
from backends.domain.gates import before_upgrade
from backends.domain.plan import NodePlan, Treatment
from backends.domain.policy import Policy
from backends.domain.problem import Exit, LiftlockError
from backends.domain.states import HealthState, Unreachable
from backends.engine.planner import _treatment, target_of
from backends.engine.refusals import refuse_other_configuration
from backends.releases.read import Fetched
from tests.domain.nodes import node, transaction
from tests.support.readings import NEW, plan, release

PLAIN = release()
CONFIGURED = replace(PLAIN, digest="c" * 64)
NOW = "2026-11-27T00:00:00Z"


def final(digest: str = PLAIN.digest, packaged: str = PLAIN.packaged, **other: Any) -> NodeReading:
    reading: NodeReading = node(
        "n1", NEW, finalized=Finalized(NEW, "r", digest, packaged), **other
    )
    return reading


def treated(reading: NodeReading, reinstall: str = "") -> tuple[Treatment, str]:
    return _treatment(reading, reading.facts, CONFIGURED, reinstall)


def test_what_has_another_configuration_gets_this_one() -> None:
    assert treated(final()) == (Treatment.INSTALL, "other configuration")
    assert treated(final(CONFIGURED.digest)) == (
        Treatment.ALREADY,
        f"{NEW} is finalized there, run r",
    )
    assert treated(final(CONFIGURED.digest), "a byte") == (Treatment.INSTALL, "again: a byte")


@pytest.mark.parametrize(
    "reading",
    [
        final(packaged="s" * 64),
        final(packaged=""),
        final(CONFIGURED.digest, selected="4.10"),
        final(transaction=transaction(NEW, NEW, to_digest="d" * 64)),
    ],
)
def test_what_is_something_else_is_not_called_other_configuration(reading: NodeReading) -> None:
    assert treated(reading) == (Treatment.INSTALL, "")


@pytest.mark.parametrize("reinstall", ["", "made sick by its configuration"])
def test_only_a_reason_to_install_again_lets_a_sick_node_through(reinstall: str) -> None:
    """Other configuration alone is an upgrade like any other: from nodes that serve."""
    there = NodePlan("n1", "", NEW, NEW, Treatment.INSTALL, "other configuration")
    made = plan(there, policy=Policy(reinstall=reinstall))
    target = target_of(replace(made, release_digest=CONFIGURED.digest), CONFIGURED, NOW)
    assert target.mends("n1") == bool(reinstall)
    assert before_upgrade([final()], target).is_open
    sick = before_upgrade([final(health=HealthState.FAILING)], target)
    assert sick.is_open == bool(reinstall)
    assert ("nodes healthy" in [each.name for each in sick.blocking]) != bool(reinstall)


def test_what_was_begun_with_other_configuration_is_not_taken_up_with_this_one() -> None:
    """Its address has other content by now: what to do is said, instead of the same advice."""

    def begun(**about: str) -> NodeReading:
        known = {"to_digest": "d" * 64, "to_packaged": PLAIN.packaged, **about}
        reading: NodeReading = node("n2", NEW, transaction=transaction(NEW, NEW, **known))
        return reading

    fetched = Fetched("etc/main", "http://h/main", 0o644, b"x")
    now = replace(CONFIGURED, fetched=(fetched,))
    with pytest.raises(LiftlockError) as caught:
        refuse_other_configuration([final(), begun()], now, "harbor")
    assert caught.value.exit_code == Exit.REFUSED
    problem = caught.value.problem
    assert problem.code == "configuration-changed"
    assert problem.evidence == "open on n2, begun by ann@jump\nnow: etc/main from http://h/main"
    assert "liftlock rollback harbor" in problem.advice
    for other in (
        begun(to_digest=CONFIGURED.digest),
        begun(to_packaged="s" * 64),
        replace(begun(), unreachable=Unreachable.TCP),
        replace(begun(), excluded="disk dead"),
    ):
        refuse_other_configuration([final(), other], now, "harbor")
