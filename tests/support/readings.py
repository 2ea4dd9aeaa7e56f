"""Readings, plans, runs and screen states for tests: all known and well, except as asked."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st

from app.between.news import Began as BeganNews
from app.between.news import Goes, Held, Over, Planning, Read, Ready, Refused, Waits
from app.between.news import Happened as HappenedNews
from app.notebook import Notebook
from app.picture import Picture
from app.progress import Progress
from app.runs.upgrading import Prepared
from app.state import Known, Run, Stage, State
from app.view.words import Moment
from backends.domain.conditions import Target
from backends.domain.facts import NodeFacts, NodeReading
from backends.domain.gates import Gate, before_upgrade
from backends.domain.pace import Upcoming
from backends.domain.plan import NodePlan, Plan, Step, Treatment, identified
from backends.domain.policy import Limits, Policy
from backends.domain.problem import Exit, Problem
from backends.domain.states import Phase
from backends.engine.events import Event, Kind
from backends.engine.results import NodeResult, Outcome, Result
from backends.releases.manifest import Manifest, digest, from_bytes
from backends.releases.read import Release
from tests.domain.nodes import clusters, node, upgraded

RUN = "1120-k7f"
NEW = "4.12"
OLD = "4.11"
NOW = Moment(monotonic=1000.0, wall=1_795_000_000.0)


# --- what is known ------------------------------------------------------------------------------


def known(
    reading: NodeReading,
    at: float = 1000.0,
    since: float = 0.0,
    last: "Known | None" = None,
) -> Known:
    """What is known of a node, read just now."""
    return Known(reading, at, since, last)


def fallen(
    before: NodeReading, silence: NodeReading, at: float, read_at: float | None = None
) -> Known:
    """A node that was read, and then fell silent at `at` of the monotonic clock."""
    first = Known(before, at - 1 if read_at is None else read_at, 0.0)
    return first.then(silence, at)


def cluster(*readings: NodeReading | Known, **other: Any) -> State:
    """A screen that knows these nodes."""
    made: dict[str, Known] = {}
    for each in readings:
        one = each if isinstance(each, Known) else known(each)
        made[one.reading.name] = one
    run: Run | None = other.pop("run", None)
    if run is not None:
        other.setdefault("upgrade" if run.kind == "upgrade" else "act", run)
    about: dict[str, Any] = {
        "called": "harbor",
        "cluster": "harbor",
        "environment": "test",
        "product": "netstack",
        "known": MappingProxyType(made),
    }
    return State(**(about | other))


def picture(state: State, moment: Moment = NOW) -> Picture:
    """What one repaint shows; nothing was told yet."""
    return Picture(state, moment, Notebook(2))


def old(name: str, **other: Any) -> NodeReading:
    """A node on the old version, at rest, final."""
    return node(name, OLD, **other)


# --- plans and runs -----------------------------------------------------------------------------


def steps(name: str) -> tuple[Step, ...]:
    """The four steps of one node."""
    return (
        Step(name, Phase.STAGE, "send", ("build it",), ("remove it",), "stage"),
        Step(name, Phase.CHECK, "hold against the manifest", command="check"),
        Step(name, Phase.INSTALL, f"{OLD} -> {NEW}", ("stop", "start"), ("go back",), "install"),
        Step(name, Phase.MONITOR, "30 s healthy", ("health http",), command="accept"),
    )


def item(
    name: str, treatment: Treatment = Treatment.INSTALL, role: str = "", reason: str = ""
) -> NodePlan:
    """What a plan does with one node."""
    acting = treatment in (Treatment.INSTALL, Treatment.RESUME)
    return NodePlan(name, role, OLD, NEW, treatment, reason, steps(name) if acting else ())


def manifest(version: str = NEW) -> Manifest:
    """A small manifest, whole."""
    sha = "0" * 64
    file = {"path": "a", "type": "file", "mode": 0o644, "size": 5, "sha256": sha, "target": None}
    words = {
        "schema": "liftlock.release/1",
        "name": "netstack",
        "version": version,
        "sequence": 1,
        "created": "2026-11-20T02:00:00Z",
        "expires": None,
        "arch": "any",
        "tarball": {"sha256": sha, "size": 10},
        "files": [file],
        "from": "*",
        "irreversible": [],
        "needs": {"python": "3.6", "commands": [], "bytes": 0},
    }
    return from_bytes(json.dumps(words).encode(), "netstack.release.json")


def release(version: str = NEW) -> Release:
    """A release that is nowhere on disk."""
    made = manifest(version)
    top = Path("/nowhere")
    return Release(top / "x.tar.gz", top / "x.release.json", b"", made, digest(made), digest(made))


def plan(
    *items: NodePlan | str,
    policy: Policy | None = None,
    version: str = NEW,
    run: str = RUN,
    limits: Limits | None = None,
) -> Plan:
    """A plan for these nodes."""
    made = tuple(item(each) if isinstance(each, str) else each for each in items)
    return identified(
        Plan(
            id="",
            run=run,
            cluster="harbor",
            product="netstack",
            release_version=version,
            release_digest=release(version).digest,
            updater_digest="u" * 64,
            policy=policy or Policy(),
            nodes=made,
            limits=limits or Limits(),
        )
    )


def prepared(
    *items: NodePlan | str,
    policy: Policy | None = None,
    readings: Sequence[NodeReading] | None = None,
    left: tuple[str, ...] = (),
    shut: bool = False,
    version: str = NEW,
) -> Prepared:
    """A plan that a person has seen; its gate is open unless asked otherwise."""
    made = plan(*items, policy=policy, version=version)
    found = tuple(old(each.node) for each in made.nodes) if readings is None else tuple(readings)
    target = Target(made.run, version, made.release_digest)
    seen: Sequence[NodeReading] = [NodeReading("n0")] if shut else found
    gate: Gate | None = before_upgrade(seen, target, "harbor")
    if not any(each.treatment is Treatment.INSTALL for each in made.nodes):
        gate = None
    return Prepared(release(version), made, found, target, gate, left)


def upgrade(
    *items: NodePlan | str,
    stage: Stage = Stage.GOING,
    upcoming: Upcoming | None = None,
    progress: Mapping[tuple[str, Phase], Progress] | None = None,
    outcome: Outcome | None = None,
    held: bool = False,
    **other: Any,
) -> Run:
    """An upgrade of this screen."""
    made = prepared(*items, **other)
    return Run(
        "upgrade",
        made.plan.run,
        stage,
        made,
        upcoming=upcoming,
        held=held,
        progress=MappingProxyType(dict(progress or {})),
        outcome=outcome,
    )


def outcome(
    *results: NodeResult, code: Exit = Exit.OK, text: str = "done", problem: Problem | None = None
) -> Outcome:
    """How a run ended."""
    return Outcome(RUN, code, results, text, problem)


def installs(*names: str, waits: str = "", resumes: bool = False, settling: str = "") -> Upcoming:
    """The install of these nodes."""
    return Upcoming(Phase.INSTALL, names, waits, resumes, settling)


# --- what happened ------------------------------------------------------------------------------


def event(
    kind: Kind,
    text: str = "",
    *,
    name: str = "n1",
    phase: Phase | None = Phase.INSTALL,
    run: str = RUN,
    at: float = 1_795_000_000.0,
    **data: object,
) -> Event:
    """One event."""
    return Event(at, run, name, phase, kind, text, data)


def record(kind: str, text: str = "", *, phase: Phase, **other: Any) -> Event:
    """One record of a node's own journal."""
    return event(Kind.RECORD, text or kind, phase=phase, record=kind, **other)


# --- strategies ---------------------------------------------------------------------------------

names = st.sampled_from(["n1", "n2", "n3"])
upcomings = st.builds(
    Upcoming,
    phase=st.sampled_from([Phase.PREFLIGHT, Phase.STAGE, Phase.CHECK, Phase.INSTALL]),
    nodes=st.lists(names, min_size=1, max_size=3, unique=True).map(tuple),
    waits=st.sampled_from(["", "paused after n1 (first)"]),
    resumes=st.booleans(),
    settling=st.sampled_from(["", "", "others healthy: n2: healthz: HTTP 503"]),
)
results = st.builds(
    NodeResult,
    node=names,
    result=st.sampled_from(Result),
    problem=st.none() | st.just(Problem("odd", "Something is odd.")),
)
outcomes = st.builds(
    Outcome,
    run=st.just(RUN),
    exit=st.sampled_from(Exit),
    nodes=st.lists(results, max_size=3, unique_by=lambda each: each.node).map(tuple),
    text=st.sampled_from(["stopped: n1 rolled back", "n1 on 4.12"]),
)
events = st.builds(
    Event,
    time=st.floats(1e9, 2e9),
    run=st.sampled_from([RUN, "1119-aaa"]),
    node=st.sampled_from(["", "n1", "n2", "n3"]),
    phase=st.none() | st.sampled_from(Phase),
    kind=st.sampled_from(Kind),
    text=st.sampled_from(["", "says something"]),
    data=st.fixed_dictionaries(
        {},
        optional={
            "result": st.sampled_from(["ok", "warn", "fail"]),
            "outcome": st.sampled_from(["ok", "no"]),
            "record": st.sampled_from(["BEGIN", "CHECK", "ROLLBACK", "TRIAL"]),
            "ok": st.booleans(),
            "sent": st.integers(0, 100),
            "of": st.integers(0, 100),
            "gate": st.just("before"),
        },
    ),
)


def _prepared_of(names_: Sequence[str], treatments: Sequence[Treatment], left: bool) -> Prepared:
    items = [item(name, each) for name, each in zip(names_, treatments, strict=False)]
    return prepared(*items, left=("n1",) if left else ())


prepareds = st.builds(
    _prepared_of,
    st.just(["n1", "n2", "n3"]),
    st.lists(st.sampled_from(Treatment), min_size=3, max_size=3),
    st.sampled_from([False, False, False, True]),
)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Any run that the fold can make."""
    kind = draw(st.sampled_from(["upgrade", "upgrade", "rollback", "finalize", "accept"]))
    stage = draw(st.sampled_from(Stage))
    made = draw(prepareds) if kind == "upgrade" else None
    if made is None and stage is Stage.READY:
        stage = Stage.GOING
    ended = draw(st.none() | outcomes) if stage is Stage.OVER else None
    upcoming = draw(upcomings) if stage is Stage.WAITING else None
    if stage is Stage.GOING and made is not None:
        upcoming = draw(st.none() | upcomings)
    return Run(kind, RUN, stage, made, upcoming=upcoming, held=draw(st.booleans()), outcome=ended)


def _screen(
    readings: Sequence[NodeReading], run: Run | None, planning: str, after: float
) -> State:
    found = [known(each, at=NOW.monotonic - after) for each in readings]
    return cluster(*found, run=run, planning=planning)


def _finite(reading: NodeReading) -> NodeReading:
    """The reading with numbers that a clock can show."""
    age = reading.age_seconds
    if age is not None and not 0 <= age < 1e6:
        age = 3.0
    facts: NodeFacts | None = reading.facts
    if facts is not None:
        opened = facts.transaction
        if opened is not None and opened.decides_at_seconds is not None:
            left = opened.decides_at_seconds
            good = left if 0 <= left < 1e6 else 30.0
            opened = replace(opened, decides_at_seconds=good)
        facts = replace(facts, node=reading.name, transaction=opened)
    return replace(reading, age_seconds=age, facts=facts)


readings = clusters.map(lambda found: [_finite(each) for each in found])
"""Readings of up to five nodes, as the engine gives them: named, with finite numbers."""

screens = st.builds(
    _screen,
    readings,
    st.none() | runs(),
    st.sampled_from(["", "", "", "planning the upgrade"]),
    st.floats(0, 500),
)
"""Any screen: any readings with any run."""

news = st.one_of(
    st.builds(
        Read,
        st.one_of(
            names.map(node),
            names.map(upgraded),
            names.map(lambda name: NodeReading(name, unreachable=None)),
            names.map(lambda name: NodeReading(name, problem=Problem("x", "X."))),
        ),
        st.floats(0, 1000),
    ),
    st.builds(HappenedNews, events),
    st.builds(Planning, st.just("planning")),
    st.builds(Ready, prepareds, st.sampled_from(["", "look again"])),
    st.builds(BeganNews, st.sampled_from(["upgrade", "rollback", "finalize"]), st.just(RUN)),
    st.builds(Waits, upcomings),
    st.builds(Goes, upcomings),
    st.builds(Held, st.booleans()),
    st.builds(Over, st.sampled_from(["upgrade", "rollback", "recover"]), outcomes),
    st.builds(
        Refused,
        st.just("finalize"),
        st.just(Problem("busy", "Something else is under way here.")),
        st.just(Exit.LOCKED),
    ),
)
