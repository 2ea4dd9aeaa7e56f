"""After a failure: what failed where, what the node did by itself, and what can be done now."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.runs.acting import with_data
from app.state import State
from app.view.journal import lines_of as entry_lines
from app.view.node_panel import problem
from app.view.words import fact
from backends.domain.facts import NodeFacts, NodeReading
from backends.domain.states import CHANGING, HealthState, NodeState, Phase
from backends.domain.survey import are, listed
from backends.domain.undoing import returns
from backends.engine.accepted import is_reversible
from backends.engine.events import Event, Kind
from backends.engine.results import NodeResult, Result
from widgets.cells import Line, Tone, line

_BAD_STATES = (
    NodeState.INCONSISTENT,
    NodeState.HELD,
    NodeState.FAILED,
    NodeState.ROLLING_BACK,
    NodeState.ROLLED_BACK,
)


_FAILINGS = frozenset({"ROLLBACK", "HELD", "UNPROVEN"})
"""Records after which a node is not where it was to be."""


class Does(StrEnum):
    """What a choice does."""

    LEAVE = "leave"
    ROLL_BACK = "roll_back"
    ACCEPT = "accept"
    TRY_AGAIN = "try_again"


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing that can be done now, with what comes of it."""

    does: Does
    title: str
    consequences: tuple[str, ...]
    nodes: tuple[str, ...] = ()
    data: str = ""
    """What becomes of copied data: "keep", "restore", or "" where none was copied."""

    @property
    def key(self) -> str:
        """Names it for good."""
        return f"{self.does}:{','.join(self.nodes)}:{self.data}"


def failed_node(state: State) -> str:
    """The node that this is about: of the run that ended here, else the worst one as read now."""
    run = state.run
    if run is not None and run.bad:
        return run.bad[-1].node
    for wanted in _BAD_STATES:
        for known in state.known.values():
            facts = known.reading.facts
            if known.reading.read and facts is not None and facts.state is wanted:
                return known.reading.name
    return ""


def title(state: State, node: str) -> str:
    """What the evidence is about: a failure only where one was told."""
    if not node:
        return "why"
    result = _result(state, node)
    facts = _facts(state, node)
    if _is_sick(state, node):
        return f"why {node} needs you"
    upgraded = state.run is not None and state.run.kind == "upgrade" and result is not None
    if upgraded or (facts is not None and facts.state is NodeState.FAILED):
        return f"why {node} failed"
    if facts is not None and facts.state in (NodeState.ROLLED_BACK, NodeState.ROLLING_BACK):
        return f"why {node} went back"
    return f"why {node} needs you"


def why(state: State, events: Sequence[Event], node: str, width: int) -> list[Line]:
    """What failed on a node: the newest failing check first, with its evidence."""
    if not node:
        opened = any(is_reversible(known.reading) for known in state.known.values())
        rest = "what is not final can be rolled back" if opened else "nothing is open to roll back"
        return [line(f"nothing has failed; {rest}")]
    events = _of_its_run(events, node)
    found: list[Line] = []
    failing = [
        event
        for event in events
        if event.node == node
        and event.kind is Kind.RECORD
        and event.data.get("record") == "CHECK"
        and event.data.get("ok") is False
    ]
    for event in failing[-1:]:
        found += entry_lines(event, width)
    decided = [
        event for event in events if event.node == node and event.data.get("record") == "ROLLBACK"
    ]
    for event in decided[-1:]:
        found += entry_lines(event, width)
    for event in [event for event in events if event.node == node and event.data.get("log")][-1:]:
        found.append(line(("last lines of its log", Tone.STRONG)))
        found += [
            line("| ", (text, Tone.QUIET)) for text in str(event.data["log"]).splitlines()[-8:]
        ]
    result = _result(state, node)
    if result is not None and result.problem is not None:
        told = problem(result.problem)
        found = [*told, *found] if _is_sick(state, node) else [*found, *told]
    facts = _facts(state, node)
    if facts is not None and not found:
        found += [line((facts.note, Tone.BAD))] if facts.note else []
        found += problem(facts.problem) if facts.problem else []
    return found or [line("not known here; its own journal tells: J")]


def did(events: Sequence[Event], node: str, width: int) -> list[Line]:
    """What the node did to get back, with every undo and its proof."""
    return [
        text
        for event in _of_its_run(events, node)
        if event.node == node and event.phase is Phase.ROLLBACK and event.kind is Kind.RECORD
        for text in entry_lines(event, width)
    ]


def _of_its_run(events: Sequence[Event], node: str) -> Sequence[Event]:
    """The events of the newest run in which the node failed or went back."""
    for event in reversed(events):
        record, failed = event.data.get("record"), event.data.get("ok") is False
        if event.node != node:
            continue
        if failed or record in _FAILINGS or event.kind is Kind.PROBLEM:
            return [each for each in events if each.run == event.run]
    return events


def choices(state: State, readings: Sequence[NodeReading]) -> list[Choice]:
    """What can be done, the safest first."""
    found = [_leave(readings)]
    going = [reading for reading in readings if _goes_back(reading)]
    held = [
        reading.facts.node
        for reading in going
        if reading.facts is not None and reading.facts.state is NodeState.HELD
    ]
    found += [
        Choice(
            Does.ACCEPT,
            f"accept {node}: keep the new version there",
            ("a reason is asked; it stays reversible until it is final",),
            (node,),
        )
        for node in held
    ]
    if going:
        found += _roll_back(going)
    if len(going) > 1:
        found += [choice for reading in reversed(going) for choice in _roll_back([reading])]
    run = state.upgrade
    if run is not None and run.prepared is not None and run.failed:
        version = run.prepared.plan.release_version
        found.append(
            Choice(
                Does.TRY_AGAIN,
                f"try {version} again",
                ("the same release, the same checks: it is planned anew and shown first",),
            )
        )
    return found


def _goes_back(reading: NodeReading) -> bool:
    """Whether it was read that an upgrade is open there, and not decided to be final."""
    opened = reading.facts.transaction if reading.read and reading.facts is not None else None
    return is_reversible(reading) and opened is not None and opened.decision != "FINALIZE"


def _leave(readings: Sequence[NodeReading]) -> Choice:
    versions: dict[str, list[str]] = {}
    for reading in readings:
        facts = reading.facts if reading.read else None
        word = "not read" if facts is None else fact(facts.version)
        if facts is not None and facts.is_down:
            word += ", DOWN"
        versions.setdefault(word, []).append(reading.name)
    now = ", ".join(f"{listed(names)} on {word}" for word, names in versions.items())
    moving = [
        reading.name
        for reading in readings
        if reading.facts is not None
        and reading.facts.transaction is not None
        and reading.facts.transaction.decides_at_seconds is not None
    ]
    busy = [
        reading.name
        for reading in readings
        if reading.read
        and reading.facts is not None
        and reading.facts.state in CHANGING
        and reading.name not in moving
    ]
    unread = [reading.name for reading in readings if not reading.read and not reading.excluded]
    then = [
        *([f"{are(moving, 'decides', 'decide')} alone"] if moving else []),
        *([f"{are(busy, 'goes', 'go')} on alone"] if busy else []),
        *([f"not known of {listed(unread)}"] if unread else []),
    ]
    words = "; ".join(then) or "nothing moves until you act"
    return Choice(Does.LEAVE, "leave it as it is", (f"now {now}", words))


def _roll_back(going: Sequence[NodeReading]) -> list[Choice]:
    """One choice, or two where data was copied: nothing is given up without being named."""
    facts = [reading.facts for reading in going if reading.facts is not None]
    order = tuple(reading.name for reading in reversed(going))
    pace = ("one first, then asks; the next only when that one serves",) if len(order) > 1 else ()
    proof = "proven path by path; what is not reached is named"
    nodes = tuple(reading.name for reading in going)
    title = f"roll back {listed(order)}"
    copied = with_data(going)
    if not copied:
        return [Choice(Does.ROLL_BACK, title, (returns(facts), *pace, proof), nodes)]
    paths = listed(list(dict.fromkeys(path for each in copied for path in each.data)))
    since = min(each.data_since for each in copied)
    keep = f"{paths}: what was written since {since} stays"
    restore = f"{paths}: as of {since}; what was written since is set aside in conflicts"
    return [
        Choice(Does.ROLL_BACK, f"{title}, {how}", (returns(facts), what, *pace), nodes, word)
        for word, how, what in (
            ("keep", "keep the data", keep),
            ("restore", "with the data of before", restore),
        )
    ]


def summary(node: str, facts: NodeFacts | None) -> str:
    """What the node did, and where it is now."""
    if not node:
        return "what a node did by itself"
    if facts is None:
        return f"what {node} did; it cannot be read now"
    if facts.state is NodeState.ROLLED_BACK:
        word = facts.health.replace("_", " ")
        health = "" if facts.health is HealthState.HEALTHY else f", health {word}"
        return f"what {node} did: it is back on {fact(facts.selected)}, proven{health}"
    return f"what {node} did: it is {facts.state.replace('_', ' ')}"


def _is_sick(state: State, node: str) -> bool:
    """Whether an act brought the node where it was to be, and it does not serve there."""
    result = _result(state, node)
    is_act = state.run is not None and state.run.kind != "upgrade"
    return is_act and result is not None and result.result is Result.UNHEALTHY


def _result(state: State, node: str) -> NodeResult | None:
    run = state.run
    if run is None or run.outcome is None:
        return None
    return next((each for each in run.outcome.nodes if each.node == node), None)


def _facts(state: State, node: str) -> NodeFacts | None:
    reading = state.reading(node)
    return reading.facts if reading is not None and reading.read else None
