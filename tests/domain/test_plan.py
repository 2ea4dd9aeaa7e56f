"""A plan is known by what is in it, and orders the nodes as the design says."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.domain.plan import (
    IRREVERSIBLE,
    NodePlan,
    Plan,
    Step,
    Treatment,
    identified,
    order_nodes,
    plan_id,
    stored,
)
from backends.domain.policy import Limits, Pause, Policy, Skip
from backends.domain.states import Phase

words = st.text(max_size=6)
lines = st.lists(words, max_size=3).map(tuple)
steps = st.builds(Step, words, st.sampled_from(Phase), words, lines, lines, words)
node_plans = st.builds(
    NodePlan,
    node=words,
    role=words,
    from_version=st.none() | words,
    to_version=words,
    treatment=st.sampled_from(Treatment),
    reason=words,
    steps=st.lists(steps, max_size=2).map(tuple),
)
policies = st.builds(Policy, batch=st.integers(1, 9), pause=st.sampled_from(Pause))
limits = st.builds(Limits, accept_window_seconds=st.floats(1, 1e6), uploads=st.integers(1, 9))
plans = st.builds(
    Plan,
    id=words,
    run=words,
    cluster=words,
    product=words,
    release_version=words,
    release_digest=words,
    updater_digest=words,
    policy=policies,
    nodes=st.lists(node_plans, max_size=3).map(tuple),
    notes=lines,
    limits=limits,
)


def copy(value):
    """An equal value of which no part is the same object."""
    if dataclasses.is_dataclass(value):
        made = {
            field.name: copy(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
        return type(value)(**made)
    if type(value) is tuple:
        return tuple(copy(item) for item in value)
    return type(value)(value) if isinstance(value, float) else value


@given(plans, lines)
def test_what_does_not_come_back_is_kept_on_every_node(plan, texts):
    others = tuple(note for note in plan.notes if not note.startswith(IRREVERSIBLE))
    notes = (*others, *(IRREVERSIBLE + text for text in texts))
    assert stored(dataclasses.replace(plan, notes=notes))["irreversible"] == [*texts]


@given(plans)
def test_equal_plans_have_equal_ids(plan):
    assert plan_id(copy(plan)) == plan_id(plan)


@given(plans, st.data())
def test_another_value_in_any_field_is_another_id(plan, data):
    other = data.draw(plans)
    for field in dataclasses.fields(Plan):
        value = getattr(other, field.name)
        changed = dataclasses.replace(plan, **{field.name: value})
        is_the_same = field.name in ("id", "run") or value == getattr(plan, field.name)
        assert (plan_id(changed) == plan_id(plan)) is is_the_same, field.name


@given(node_plans, node_plans)
def test_another_value_deep_inside_is_another_id(one, other):
    plan = Plan("", "", "c", "p", "1", "d", "u", Policy(), ())
    ids = [plan_id(dataclasses.replace(plan, nodes=(node,))) for node in (one, other)]
    assert (ids[0] == ids[1]) is (one == other)


@pytest.mark.parametrize("owner", [Policy(), Limits()])
def test_every_number_of_policy_and_limits_is_in_the_id(owner):
    plan = Plan("", "", "c", "p", "1", "d", "u", Policy(), ())
    name = "policy" if isinstance(owner, Policy) else "limits"
    seen = {plan_id(plan)}
    for field in dataclasses.fields(owner):
        value = getattr(owner, field.name)
        if type(value) is str:
            value = f"{value}x"
        elif type(value) is tuple:
            value = (*value, Skip("nodes healthy", "known"))
        else:
            value = value + 1 if isinstance(value, int | float) else list(type(value))[-1]
        changed = dataclasses.replace(owner, **{field.name: value})
        if changed == owner:  # the last word of its enum is the default
            changed = dataclasses.replace(owner, **{field.name: next(iter(type(value)))})
        seen.add(plan_id(dataclasses.replace(plan, **{name: changed})))
    assert len(seen) == 1 + len(dataclasses.fields(owner))


def test_an_id_is_twelve_hexadecimal_digits_that_stay_the_same():
    plan = Plan("", "1120-k7f", "harbor", "nats", "2.15.1", "ab", "cd", Policy(), ())
    assert plan_id(plan) == identified(plan).id
    assert len(identified(plan).id) == 12
    assert set(plan_id(plan)) <= set("0123456789abcdef")


def test_the_id_says_nothing_about_the_run():
    plan = Plan("x", "1120-k7f", "harbor", "nats", "2.15.1", "ab", "cd", Policy(), ())
    assert plan_id(plan) == plan_id(dataclasses.replace(plan, id="y", run="1121-b22"))


def test_numbers_that_are_equal_give_one_id():
    plan = Plan("", "", "c", "p", "1", "d", "u", Policy(), (), limits=Limits(stop_seconds=30))
    other = dataclasses.replace(plan, limits=Limits(stop_seconds=30.0))
    assert plan == other
    assert plan_id(plan) == plan_id(other)


def test_a_number_that_is_none_has_no_id():
    plan = Plan("", "", "c", "p", "1", "d", "u", Policy(reading_ttl_seconds=float("nan")), ())
    with pytest.raises(ValueError, match="not JSON compliant"):
        plan_id(plan)


def test_canaries_come_first_then_roles_then_the_cluster_file():
    nodes = [
        ("n1", "leader", False),
        ("n2", "voter", False),
        ("n3", "leader", True),
        ("n4", "voter", False),
        ("n5", "voter", True),
        ("n6", "guest", False),
    ]
    assert order_nodes(nodes, ("voter", "leader")) == ("n5", "n3", "n2", "n4", "n1", "n6")


def test_without_roles_the_cluster_file_decides():
    assert order_nodes([("b", "", False), ("a", "", False)]) == ("b", "a")


def test_roles_that_the_profile_does_not_name_stay_together():
    nodes = [("n1", "x", False), ("n2", "y", False), ("n3", "x", False), ("n4", "v", False)]
    assert order_nodes(nodes, ("v",)) == ("n4", "n1", "n3", "n2")


@given(
    st.lists(st.tuples(words, st.sampled_from("abc"), st.booleans()), max_size=9),
    st.lists(st.sampled_from("abcd"), max_size=4),
)
def test_every_node_gets_exactly_one_turn(nodes, role_order):
    assert sorted(order_nodes(nodes, role_order)) == sorted(name for name, _, _ in nodes)
