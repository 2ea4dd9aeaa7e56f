"""Nodes as the tests need them: everything known and well, except what a test says."""

from hypothesis import strategies as st

from backends.domain.facts import (
    Finalized,
    NodeFacts,
    NodeReading,
    OpenTransaction,
    Unknown,
    VersionRef,
)
from backends.domain.problem import Problem
from backends.domain.states import HealthState, NodeState, Phase, ServiceState, Unreachable

LOST = Unknown("permission denied")


def facts(name, version="4.12", **other):
    """A node that runs `version`, finalized, with nothing under way."""
    known = {
        "node": name,
        "product": "netstack",
        "state": NodeState.IDLE,
        "running": version,
        "selected": version,
        "staged": (),
        "previous": None,
        "finalized": Finalized(version, "1101-aaa"),
        "service": ServiceState.STARTED,
        "health": HealthState.HEALTHY,
    }
    return NodeFacts(**(known | other))


def node(name, version="4.12", **other):
    """A fresh reading of such a node."""
    outside = {key: other.pop(key) for key in ("excluded", "unreachable") if key in other}
    age = other.pop("age_seconds", 1.0)
    return NodeReading(name, facts=facts(name, version, **other), age_seconds=age, **outside)


def nothing_there(name, **other):
    """A node without the product."""
    known = {"finalized": None, "service": ServiceState.STOPPED, "health": HealthState.NONE}
    return node(name, None, **(known | other))


def transaction(to="4.12", back="4.11", **other):
    """An upgrade in trial."""
    known = {
        "run": "1120-k7f",
        "txn": "t1",
        "phase": Phase.MONITOR,
        "to_version": to,
        "from_version": back,
        "operator": "ann@jump",
        "since": "02:04 UTC",
        "driver_alive": True,
    }
    return OpenTransaction(**(known | other))


def upgraded(name, to="4.12", back="4.11", state=NodeState.ACCEPTED, **other):
    """A node on the new version, not final."""
    known = {
        "state": state,
        "finalized": Finalized(back, "1101-aaa") if back else None,
        "previous": VersionRef(back) if back else None,
        "transaction": transaction(to, back, driver_alive=state is not NodeState.ACCEPTED),
    }
    return node(name, to, **(known | other))


def silent(name, why=Unreachable.TCP):
    """A node that could not be read."""
    return NodeReading(name, unreachable=why)


def awaited(name):
    """A node that has not answered yet."""
    return NodeReading(name)


versions = st.sampled_from(["4.11", "4.12", "4.13"])
some_facts = st.one_of(versions, st.none(), st.just(LOST))
transactions = st.builds(
    OpenTransaction,
    run=st.sampled_from(["1120-k7f", "1119-zzz"]),
    txn=st.just("t"),
    phase=st.sampled_from(Phase),
    to_version=versions,
    from_version=st.none() | versions,
    operator=st.just("ann"),
    since=st.just("02:04 UTC"),
    driver_alive=st.booleans(),
    decides_at_seconds=st.none() | st.floats(),
    then=st.sampled_from(["", "rollback"]),
)
any_facts = st.builds(
    NodeFacts,
    node=st.sampled_from(["n1", "{}", ""]),
    product=st.just("netstack"),
    state=st.sampled_from([*NodeState, *[NodeState.IDLE] * 12, *[NodeState.ACCEPTED] * 6]),
    running=some_facts,
    selected=some_facts,
    previous=st.one_of(st.none(), st.just(LOST), st.builds(VersionRef, versions)),
    finalized=st.one_of(
        st.none(), st.just(LOST), st.builds(Finalized, versions, st.just("1101-aaa"))
    ),
    service=st.sampled_from(ServiceState),
    health=st.sampled_from(HealthState),
    transaction=st.one_of(st.none(), st.none(), transactions),
    problem=st.none() | st.just(Problem("disk-full", "The disk is full.")),
    note=st.sampled_from(["", "left alone"]),
)


@st.composite
def likely_facts(draw):
    """Nodes that mostly agree, so that the rarer verdicts are met as well."""
    version = draw(st.sampled_from(["4.12", "4.12", "4.12", "4.11"]))
    made = draw(st.sampled_from([facts("n", version), upgraded("n").facts, upgraded("n").facts]))
    changes = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "running": some_facts,
                "finalized": st.none() | st.just(LOST),
                "service": st.sampled_from(ServiceState),
            },
        )
    )
    known = {name: getattr(made, name) for name in made.__slots__}
    return NodeFacts(**(known | (changes if draw(st.booleans()) else {})))


def _readings(of):
    return st.builds(
        NodeReading,
        name=st.sampled_from([f"n{number}" for number in range(1, 9)]),
        facts=of,
        age_seconds=st.none() | st.floats(),
        unreachable=st.sampled_from([None] * 8 + list(Unreachable)),
        problem=st.none() | st.just(Problem("no-answer", "No answer.")),
        excluded=st.sampled_from([None] * 6 + ["disk dead"]),
    )


def _clusters(of):
    return st.lists(_readings(of), max_size=5, unique_by=lambda reading: reading.name)


clusters = st.one_of(
    _clusters(st.none() | any_facts),
    _clusters(likely_facts()),
    st.lists(_readings(likely_facts()), min_size=1, max_size=1),
    _clusters(st.just(facts("n"))),
    _clusters(st.just(upgraded("n").facts)),
)
"""Readings of up to five nodes: wild ones, likely ones, and ones that agree."""
