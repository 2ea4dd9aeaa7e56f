"""What is next, what `n` does about it, and who or what it waits for otherwise."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.state import Run, Stage, State
from app.view.contact import link_is_gone, meanwhile
from app.view.gate import next_node
from app.view.words import Moment, count, keyed, size
from backends.domain.pace import Upcoming
from backends.domain.plan import ACTING
from backends.domain.problem import Exit
from backends.domain.states import CHANGING, Phase
from backends.domain.survey import listed
from backends.domain.verdict import Verdict, VerdictKind
from widgets.cells import Line, Tone, line


class Does(StrEnum):
    """What `n` does. The value is the name of the app's action."""

    NOTHING = ""
    BEGIN = "begin"
    GO = "go"
    CHOOSE = "choose_release"
    FINALIZE = "finalize"
    ROLL_BACK = "roll_back"
    ADOPT = "adopt"


@dataclass(frozen=True, slots=True)
class NextStep:
    """The strip that names act, node and version."""

    does: Does
    words: Line

    @property
    def target(self) -> Hashable:
        """What `n` would act on: while this is new on the screen, `n` is dead."""
        return (self.does, self.words if self.does else ())


NOTHING = NextStep(Does.NOTHING, ())
"""Where there is no step at all."""

_BY_VERDICT: Final[Mapping[VerdictKind, Does]] = {
    VerdictKind.SETTLED: Does.CHOOSE,
    VerdictKind.ABSENT: Does.CHOOSE,
    VerdictKind.UPGRADING: Does.CHOOSE,
    VerdictKind.READY_TO_FINALIZE: Does.FINALIZE,
    VerdictKind.UNMANAGED: Does.ADOPT,
    VerdictKind.FAILED: Does.ROLL_BACK,
    VerdictKind.INCONSISTENT: Does.ROLL_BACK,
}

_ACTS: Final[Mapping[str, str]] = {
    "rollback": "rolling back: an undo that has begun is finished, also without you",
    "finalize": "finalizing: what has begun is finished, also without you",
    "accept": "accepting",
    "adopt": "recording what runs",
}


def next_step(state: State, verdict: Verdict, moment: Moment) -> NextStep:
    """What is next now."""
    if state.planning:
        return NextStep(Does.NOTHING, line((state.planning, Tone.BUSY), "; nothing is changed"))
    run = state.run
    if run is not None and run.stage is Stage.READY:
        return _before(run)
    if run is not None and run.stage is Stage.WAITING and run.upcoming is not None:
        return NextStep(Does.GO, _begin_words(run, run.upcoming))
    if run is not None and run.stage is Stage.GOING:
        return NextStep(Does.NOTHING, _going(run))
    if run is not None and run.failed:
        words = line(("n", Tone.KEY), f"  what failed in run {run.id}, and what can be done now")
        return NextStep(Does.ROLL_BACK, words)
    if run is not None and run.outcome is not None and run.outcome.exit is Exit.WAITING:
        words = line(("n", Tone.KEY), f"  choose the release again: {run.outcome.text}")
        return NextStep(Does.CHOOSE, words)
    if link_is_gone(state) is not None:
        return NextStep(Does.NOTHING, line(meanwhile(state, moment)))
    return _by_verdict(state, verdict)


def way_back(state: State, verdict: Verdict) -> Line:
    """How what is not final is undone."""
    text = keyed(verdict.way_back, state.called)
    if text.startswith(("R ", "R:")):
        return line("way back  ", ("R", Tone.KEY), text[1:])
    return line("way back  ", text)


def _by_verdict(state: State, verdict: Verdict) -> NextStep:
    busy = any(
        known.reading.read
        and known.reading.facts is not None
        and known.reading.facts.state in CHANGING
        for known in state.known.values()
    )
    does = Does.NOTHING if busy else _BY_VERDICT.get(verdict.kind, Does.NOTHING)
    text = keyed(verdict.next_action, state.called)
    if does is Does.CHOOSE and text.startswith("u ("):
        text = f"choose the release: {text.removeprefix('u (upgrade)').lstrip(': ')}"
    if does is Does.FINALIZE:
        text = f"finalize {verdict.to_version} for good; until then it can be rolled back"
    if verdict.kind is VerdictKind.SETTLED and text.startswith("none: "):
        text = "choose a release to upgrade to; " + text.removeprefix("none: ")
    if not does:
        return NextStep(does, line("next  ", text))
    return NextStep(does, line(("n", Tone.KEY), "  ", text))


def _before(run: Run) -> NextStep:
    prepared = run.prepared
    if prepared is None:
        raise AssertionError("only what was prepared is ready")
    version = prepared.plan.release_version
    if prepared.left:
        words = f"  bring {listed(prepared.left)} back to rest first; then plan again"
        return NextStep(Does.BEGIN, line(("n", Tone.KEY), words))
    if prepared.gate is not None and not prepared.gate.is_open:
        return NextStep(Does.NOTHING, line(("the gate is shut", Tone.BAD), "; nothing was begun"))
    todo = [item.node for item in prepared.todo]
    if not todo:
        return NextStep(Does.NOTHING, line(f"nothing to do: no node has to change for {version}"))
    resumed = [item.node for item in prepared.todo if item.steps and item.treatment is ACTING[1]]
    if resumed:
        words = f"  take the upgrade to {version} up again; {listed(resumed)} first"
        return NextStep(Does.BEGIN, line(("n", Tone.KEY), words))
    words = f"  preflight for {version} on {listed(todo)}; nothing is changed"
    return NextStep(Does.BEGIN, line(("n", Tone.KEY), words))


def _begin_words(run: Run, upcoming: Upcoming) -> Line:
    made = run.prepared.plan if run.prepared else None
    version = made.release_version if made else ""
    nodes = listed(upcoming.nodes)
    on = count(len(upcoming.nodes), "node")
    words: Mapping[Phase, Callable[[], str]] = {
        Phase.STAGE: lambda: f"send {version}{_bytes(run)} to {on}; nothing that runs is touched",
        Phase.CHECK: lambda: f"check what was staged on {on}; nothing that runs is touched",
        Phase.INSTALL: lambda: f"install {version} on {nodes}, watch it, accept it",
    }
    text = words.get(upcoming.phase, lambda: f"{upcoming.phase} on {nodes}")()
    waits = f"  ({upcoming.waits})" if upcoming.waits else ""
    return line(("n", Tone.KEY), f"  {text}{waits}")


def _bytes(run: Run) -> str:
    total = run.prepared.release.manifest.total_bytes if run.prepared else 0
    return f" ({size(total)})"


def _going(run: Run) -> Line:
    upcoming = run.upcoming
    if upcoming is None:
        return line((_ACTS.get(run.kind, run.kind), Tone.BUSY))
    nodes = listed(upcoming.nodes)
    if upcoming.phase is not Phase.INSTALL:
        return line((f"{upcoming.phase} on {nodes}", Tone.BUSY), "; waits for the nodes")
    following = next_node(run)
    then: Line = ()
    if following and run.held:
        then = line(f", then waits before {following} ", ("p", Tone.KEY), " goes on")
    elif following:
        then = line(f", then {following} by itself ", ("p", Tone.KEY), " waits before it")
    healthy = "accepted when healthy"
    return line((f"{nodes} changes now", Tone.BUSY), f"; {healthy}", *then)
