"""What is next, what `n` does about it, and who or what it waits for otherwise."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from app.state import Run, Stage, State
from app.view.contact import beginning, link_is_gone, lost_in_its_turn, meanwhile
from app.view.finality import final_version, why_not
from app.view.gate import followers, gate_of, next_node
from app.view.sending import on_its_way
from app.view.words import ALWAYS, PHASE_WORDS, Moment, count, keyed, size, span
from backends.domain.conditions_release import NEWER
from backends.domain.facts import NodeFacts, same
from backends.domain.pace import Upcoming
from backends.domain.plan import Treatment
from backends.domain.policy import Accept
from backends.domain.problem import Exit
from backends.domain.states import CHANGING, Phase
from backends.domain.survey import are, listed
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
    VERIFY = "verify"
    DOWNGRADE = "downgrade"
    REINSTALL = "reinstall"


@dataclass(frozen=True, slots=True)
class NextStep:
    """The strip that names act, node and version."""

    does: Does
    words: Line
    about: Hashable = ()
    """What it would act on, whole: a strip cuts long lists."""

    @property
    def target(self) -> Hashable:
        """While this is new on the screen, `n` is dead."""
        return (self.does, self.words, self.about) if self.does else self.does


NOTHING = NextStep(Does.NOTHING, ())
"""Where there is no step at all."""

_BY_KEY: Final[Mapping[str, Does]] = {
    "u": Does.CHOOSE,
    "F": Does.FINALIZE,
    "A": Does.ADOPT,
    "R": Does.ROLL_BACK,
    "a": Does.ROLL_BACK,
}
"""What `n` does where the advice begins with a key: the same, or what leads there."""

_HEALTHY = "; accepted when healthy"

_ACTS: Final[Mapping[str, str]] = {
    "rollback": "rolling back: an undo that has begun is finished, also without you",
    "finalize": "finalizing: what has begun is finished, also without you",
    "accept": "accepting",
    "adopt": "recording what runs",
}


def next_step(state: State, verdict: Verdict, moment: Moment) -> NextStep:
    """What is next now."""
    if state.planning:
        return _nothing((state.planning, Tone.BUSY), "; nothing is changed")
    run = state.run
    if run is not None and run.stage is Stage.READY:
        return _before(run, state, verdict, moment)
    if run is not None and run.stage is Stage.WAITING:
        if run.upcoming is None:
            return _nothing((f"the {run.kind} waits for your answer", Tone.WARN))
        upcoming = run.upcoming
        about = (run.id, upcoming.phase, upcoming.nodes)
        return _press(Does.GO, _begin_words(run, upcoming), about)
    if run is not None and run.stage is Stage.GOING:
        lost = lost_in_its_turn(state, moment)
        return (
            _nothing((lost, Tone.BAD))
            if lost
            else NextStep(Does.NOTHING, _going(run, moment.wall))
        )
    if link_is_gone(state) is not None:
        return _nothing(meanwhile(state, moment))
    if run is not None and run.failed:
        return _press(Does.ROLL_BACK, f"what failed in run {run.id}, and what can be done now")
    outcome = run.outcome if run is not None and run is state.upgrade else None
    if outcome is not None and outcome.exit is Exit.WAITING:
        return _press(Does.CHOOSE, f"choose the release again: {outcome.text}")
    return _by_verdict(state, verdict)


def way_back(state: State, verdict: Verdict) -> Line:
    """How what is not final is undone; nodes that are not read are named."""
    nodes = beginning(state)
    upgrade = state.upgrade
    if verdict.way_back.startswith("none") and upgrade is not None:
        if nodes:
            return line("way back  ", ("R", Tone.KEY), f": takes {listed(nodes)} back, once begun")
        if upgrade.stage is not Stage.OVER:
            return line("way back  nothing to take back yet; after an install ", ("R", Tone.KEY))
    text = keyed(verdict.way_back, state.called)
    unread = [
        name
        for name, known in state.known.items()
        if not known.reading.read and known.reading.excluded is None
    ]
    if unread and text.startswith("R"):
        text += f"; not known of {listed(unread)}"
    if text.startswith(("R ", "R:")):
        return line("way back  ", ("R", Tone.KEY), text[1:])
    return line("way back  ", text)


def _press(does: Does, words: str, about: Hashable = ()) -> NextStep:
    return NextStep(does, line(("n", Tone.KEY), "  ", words), about)


def _nothing(*words: str | tuple[str, Tone]) -> NextStep:
    return NextStep(Does.NOTHING, line(*words))


def _by_verdict(state: State, verdict: Verdict) -> NextStep:
    busy = [
        known.reading.facts
        for known in state.known.values()
        if known.reading.read
        and known.reading.facts is not None
        and known.reading.facts.state in CHANGING
    ]
    if busy and not state.is_busy:
        return _nothing(*_of_others(busy))
    can = set(ALWAYS)
    final = final_version(state.as_read)
    if final:
        can.add("finalize")
    if verdict.kind is VerdictKind.UNMANAGED:
        can.add("adopt")
    text = keyed(verdict.next_action, state.called, can)
    if verdict.kind is VerdictKind.SETTLED and verdict.drifted and not busy:
        names = listed(verdict.drifted)
        if state.verification is not None and state.verification.failed:
            words = f"repair {names}: choose {verdict.to_version} again, it is planned first"
            return _press(Does.CHOOSE, words, verdict.drifted)
        words = f"verify {names}: what differs is named; u and the same release repair it"
        return _press(Does.VERIFY, words, verdict.drifted)
    if busy or verdict.down:
        return _nothing(f"next  {text}")  # a service is started on its node, by no key
    if verdict.kind is VerdictKind.SETTLED:
        lies = verdict.cause.partition("; ")[2] or _verified(state) or "nothing is under way"
        return _press(Does.CHOOSE, f"choose a release to upgrade to; {lies}", verdict.kind)
    if verdict.kind is VerdictKind.READY_TO_FINALIZE:
        if not final:
            return _nothing(f"next  not to be finalized yet: {why_not(state.as_read)}")
        return _finalize(final)
    does = _BY_KEY.get(text[:1], Does.NOTHING) if text[1:3] == " (" else Does.NOTHING
    if does is Does.FINALIZE:
        return _finalize(final)
    if does is Does.CHOOSE:
        text = f"choose the release: {text.removeprefix('u (upgrade)').lstrip(': ')}"
    return _press(does, text) if does else _nothing(f"next  {text}")


def _verified(state: State) -> str:
    """What the newest verification has found, as long as it is about what is there."""
    run = state.verification
    if run is not None and run.is_under_way:
        return "every byte of what runs is being read"
    if run is not None and run.failed:
        return f"not verified: {listed([each.node for each in run.bad])}; J says why"
    nodes = [
        node
        for node, selected in state.verified.items()
        if (reading := state.reading(node)) is not None
        and reading.facts is not None
        and same(reading.facts.selected, selected)
    ]
    return f"as recorded, every byte: {listed(nodes)}" if nodes else ""


def _finalize(version: str) -> NextStep:
    words = f"finalize {version} for good; until then it can be rolled back"
    return _press(Does.FINALIZE, words, version)


def _of_others(busy: Sequence[NodeFacts]) -> tuple[str | tuple[str, Tone], ...]:
    """Nodes that change although no run of this screen is under way."""
    first = busy[0]
    opened = first.transaction
    state = PHASE_WORDS[first.state].split(" ", 1)[-1]
    if opened is None or opened.decides_at_seconds is None:
        return (f"next  wait for {listed([facts.node for facts in busy])} ({state})",)
    return (
        f"{first.node} in trial, {opened.then} in {span(opened.decides_at_seconds)}; ",
        ("a", Tone.KEY),
        " accepts it, ",
        ("u", Tone.KEY),
        f" and {opened.to_version} goes on with the run",
    )


def _before(run: Run, state: State, verdict: Verdict, moment: Moment) -> NextStep:
    prepared = run.prepared
    if prepared is None:
        raise AssertionError("only what was prepared is ready")
    version = prepared.plan.release_version
    if prepared.left:
        left = listed(prepared.left)
        words = f"bring {left} back to rest first; then it is planned again"
        return _press(Does.BEGIN, words, (prepared.plan.id, prepared.left))
    gate = gate_of(run, state.readings(moment.monotonic), state.called)
    if gate is not None and [each.name for each in gate.blocking] == [NEWER]:
        words = f"say why an older version is wanted: {gate.blocking[0].text}"
        return _press(Does.DOWNGRADE, words, prepared.plan.id)
    if gate is not None and not gate.is_open:
        why = f": {gate.blocking[0].text}; "
        return _nothing(("gate shut", Tone.BAD), why, ("x", Tone.KEY), " puts the plan away")
    todo = [item.node for item in prepared.todo]
    again = to_be_repaired(state, verdict)
    if not todo and again and verdict.to_version == version:
        words = f"install {version} again on {listed(again)}; you are asked why"
        return _press(Does.REINSTALL, words, (prepared.plan.id, again))
    if not todo:
        return _nothing(
            f"nothing to do: no node has to change for {version}; ",
            ("x", Tone.KEY),
            " puts the plan away",
        )
    resumed = [item.node for item in prepared.todo if item.treatment is Treatment.RESUME]
    if resumed:
        words = f"take the upgrade to {version} up again; {listed(resumed)} first"
    else:
        words = f"preflight for {version} on {listed(todo)}; nothing is changed"
    return _press(Does.BEGIN, words, (prepared.plan.id, tuple(todo)))


def to_be_repaired(state: State, verdict: Verdict) -> tuple[str, ...]:
    """The nodes that have drifted and have nothing open: what is open is rolled back instead."""
    found = ((node, state.reading(node)) for node in verdict.drifted)
    return tuple(
        node
        for node, reading in found
        if reading is not None and reading.facts is not None and not reading.facts.is_open
    )


def _begin_words(run: Run, upcoming: Upcoming) -> str:
    version = run.prepared.plan.release_version if run.prepared else ""
    nodes = listed(upcoming.nodes)
    on = count(len(upcoming.nodes), "node")
    match upcoming.phase:
        case Phase.STAGE:
            return f"send {version}{_bytes(run)} to {on}; nothing that runs is touched"
        case Phase.CHECK:
            return f"check what was staged on {on}; nothing that runs is touched"
        case Phase.INSTALL:
            rest = followers(run)
            then = (
                f", then {listed(rest)} by {_selves(rest)} (p)"
                if rest
                else ", watch it, accept it"
            )
            return f"install {version} on {nodes}{then}"
        case _:
            return f"{upcoming.phase} on {nodes}"


def _bytes(run: Run) -> str:
    total = run.prepared.release.manifest.total_bytes if run.prepared else 0
    return f" ({size(total)})"


def _going(run: Run, now: float) -> Line:
    upcoming = run.upcoming
    if upcoming is None:
        if run.settling:
            return line((run.settling, Tone.BUSY), "; ", ("x", Tone.KEY), " asks at once")
        return line((_ACTS.get(run.kind, run.kind), Tone.BUSY))
    nodes = listed(upcoming.nodes)
    if upcoming.phase is Phase.STAGE and (there := on_its_way(run, now)):
        return line((f"{upcoming.phase} on {nodes}", Tone.BUSY), f"; {there}")
    if upcoming.phase is not Phase.INSTALL:
        return line((f"{upcoming.phase} on {nodes}", Tone.BUSY), "; waits for the nodes")
    if upcoming.settling:
        waits = (are(upcoming.nodes, "waits", "wait"), Tone.BUSY)
        return line(waits, ", ", ("x", Tone.KEY), " ends the run; ", upcoming.settling)
    then: Line = ()
    rest, following = followers(run), next_node(run)
    if rest:
        then = line(f", then {rest[0]} by itself · ", ("p", Tone.KEY), " waits before it")
    elif following:
        then = line(f", then waits before {following}")
    by_hand = run.prepared is not None and run.prepared.plan.policy.accept is Accept.MANUAL
    accepted = "; you accept it when it is healthy (a)" if by_hand else _HEALTHY
    return line((f"{are(upcoming.nodes, 'changes', 'change')} now", Tone.BUSY), accepted, *then)


def _selves(nodes: Sequence[str]) -> str:
    return "itself" if len(nodes) == 1 else "themselves"
