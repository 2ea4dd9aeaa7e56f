"""Nodes without processes: a contact for the conductor that keeps in mind what it was asked."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.session import Session
from backends.domain.facts import NodeReading, VersionRef
from backends.domain.pace import Upcoming
from backends.domain.plan import Plan
from backends.domain.policy import Limits
from backends.domain.problem import Problem
from backends.domain.states import HealthState, NodeState, Outcome, Phase
from backends.engine.answer import Answer, Subject
from backends.engine.conductor import Conductor
from backends.engine.events import Event
from backends.engine.results import Outcome as RunOutcome
from backends.engine.scribe import Scribe
from backends.releases.read import Release
from backends.settings.cluster_file import HistoryTable
from backends.store.book import Book, Start
from tests.domain.nodes import transaction, upgraded
from tests.support.readings import NEW, OLD, RUN, old, release

FINE = Answer(Outcome.OK, None, ())
PATIENCE_SECONDS = 0.2


class Pretended:
    """One node that does at once what it is asked to do."""

    def __init__(self, name: str, said: list[str], reading: NodeReading | None = None) -> None:
        self.node = name
        self.said = said
        """What every node of the cluster was asked that changes it, in order."""

        self.reading = reading or old(name)
        self.begun: Answer = Answer(Outcome.OK, None, ({"t": "begun_as", "run": None},))
        """What it answers to how a run was begun."""

        self.on_recovery: Callable[[str, str], None] = lambda node, text: None
        self.healthy = True
        self.sick_reads = 0.0
        """So often from now on it is read as failing."""

        self.sick_when_back = 0.0
        """So often it is read as failing after it was rolled back."""

        self.gateway: str | None = None
        self.records: list[dict[str, Any]] = []
        """What its journal has."""

        self.refuses = ""
        self.unheard = Outcome.OK
        """What is heard of an order to install instead of an answer; then none was begun."""

    @property
    def subject(self) -> Subject:
        """As much of it as the engine asks for."""
        return Subject(self.node, "", "", False, None, {}, None, None, gateway=self.gateway)

    async def read(self) -> NodeReading:
        facts = self.reading.facts
        if facts is None or not self.sick_reads:
            return self.reading
        self.sick_reads -= 1
        sick = replace(facts, health=HealthState.FAILING, health_text="healthz: HTTP 503")
        return replace(self.reading, facts=sick)

    async def rows(self, scope: str, observe: Callable[[Any], None], **args: object) -> Answer:
        if self.refuses == scope:
            return Answer(Outcome.REFUSED, Problem("no", f"{self.node} says no."), ())
        return FINE

    async def stage(self, release: Release, *_: object, **__: object) -> Answer:
        self.said.append(f"stage {self.node}")
        return FINE

    async def ask(self, command: str, **args: object) -> Answer:
        if command == "begun_as":
            return self.begun
        self.said.append(f"{command} {self.node}")
        if command == "install" and self.unheard is not Outcome.OK:
            return Answer(self.unheard, Problem("lost", f"{self.node}: what came of it?"), ())
        if command == "install":
            self._becomes(NodeState.MONITORING)
            return Answer(Outcome.OK, None, ({"t": "begun", "txn": "t1"},))
        if command == "rollback":
            back = old(self.node, state=NodeState.ROLLED_BACK, last_txn="t1", last_run=RUN)
            facts = back.facts
            assert facts is not None
            self.reading = replace(back, facts=replace(facts, last_outcome="undone"))
            self.sick_reads = self.sick_when_back and self.sick_when_back + 1
        return FINE

    async def accept(self, run: str, how: str, reason: str = "") -> Answer:
        self.said.append(f"accept {self.node}")
        self._becomes(NodeState.ACCEPTED)
        return FINE

    async def follow(
        self,
        run: str | None,
        offset: int,
        observe: Callable[[Any], None],
        seconds: float,
        has_said_all: Callable[[], None] = lambda: None,
    ) -> Answer:
        facts = self.reading.facts
        assert facts is not None
        if facts.state is NodeState.MONITORING and self.healthy:
            record = {"t": "HEALTHY", "n": 1, "wt": 1e9, "seconds": 1.0, "soft": []}
            observe({"t": "record", "offset": 10, "record": record})
            while self.reading.facts is facts:
                await asyncio.sleep(0)
        return FINE

    async def journal(self, run: str, observe: Callable[[Any], None]) -> Answer:
        for record in self.records:
            observe({"t": "record", "offset": 1, "record": record})
        return FINE

    async def journal_end(self, run: str) -> int:
        return 0

    def _becomes(self, state: NodeState) -> None:
        self.reading = upgraded(
            self.node,
            NEW,
            OLD,
            state=state,
            previous=VersionRef(OLD),
            transaction=transaction(
                NEW,
                OLD,
                run=RUN,
                driver_alive=state is NodeState.MONITORING,
                to_digest=release().digest,
            ),
        )


class Asked:
    """A pace that says go, except where it is told to pause; it remembers everything."""

    def __init__(self, said: list[str], pause_at: str = "") -> None:
        self.said = said
        self.upcoming: list[Upcoming] = []
        self._pause_at = pause_at

    async def may_begin(self, upcoming: Upcoming) -> str:
        word = f"{upcoming.phase} {','.join(upcoming.nodes)}"
        self.upcoming.append(upcoming)
        self.said.append(f"may {word}")
        return "not now" if word == self._pause_at else ""

    @property
    def words(self) -> list[str]:
        """What was asked, and why the policy waits."""
        return [
            f"{each.phase} {','.join(each.nodes)}{' waits' if each.waits else ''}"
            f"{' resumes' if each.resumes else ''}"
            for each in self.upcoming
        ]


class Theatre:
    """A book, nodes, and a conductor over them."""

    def __init__(self, top: Path, *readings: NodeReading) -> None:
        self.said: list[str] = []
        self.book = Book(top / "history.sqlite3")
        self.nodes = {each.name: Pretended(each.name, self.said, each) for each in readings}
        self.events: list[Event] = []

    async def carries_out(
        self, made: Plan, pace: Any = None, until: Phase = Phase.INSTALL
    ) -> RunOutcome:
        """Drive a plan to its end."""
        self.book.begin(Start(made.run, "harbor", "netstack", "upgrade", "ann", 1.0))
        scribe = Scribe(self.book, made.run, self.events.append)
        contacts: Mapping[str, Any] = self.nodes
        conductor = Conductor(made, contacts, release(), scribe, "harbor", pace)
        async with asyncio.timeout(10):
            return await conductor.run(until)


def session(nodes: Mapping[str, Pretended], chosen: tuple[str, ...] = (), **other: Any) -> Session:
    """As much of a session as acts ask for."""
    from types import SimpleNamespace

    subjects = {
        name: Subject(name, "", "", False, each.reading.excluded, {}, None, None)
        for name, each in nodes.items()
    }
    wanted = chosen or tuple(nodes)
    made: Any = SimpleNamespace(
        name="harbor",
        cluster=SimpleNamespace(name="harbor", history=HistoryTable(), notify=None),
        payload=SimpleNamespace(sha256="0" * 64),
        profile=SimpleNamespace(name="netstack", product=SimpleNamespace(roles=())),
        operator="ann@jump",
        contacts=nodes,
        subjects=subjects,
        chosen=wanted,
        chosen_contacts={name: nodes[name] for name in wanted if name in nodes},
        unknown=(),
        limits=Limits(healthy_deadline_seconds=PATIENCE_SECONDS),
    )
    for name, value in other.items():
        setattr(made, name, value)
    found: Session = made
    return found
