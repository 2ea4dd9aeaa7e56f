"""Which commands can be given now: pure, asked for every key at every repaint."""

from collections.abc import Sequence

from app.picture import Picture
from app.state import State
from app.view.finality import final_version
from backends.domain.states import CHANGING, NodeState
from backends.domain.verdict import VerdictKind


def may(action: str, picture: Picture, node: str) -> bool | None:
    """True: it may be given. None: not now, shown grey. False: it is about nothing, hidden.

    `node` is the one under the cursor, or "".
    """
    run = picture.state.run
    match action:
        case "finalize":
            return True if finalizable(picture) else None
        case "hold":
            return picture.state.is_upgrading
        case "stop_run":
            upgrade, act = picture.state.upgrade, picture.state.act
            if act is not None and act.settling:
                return True
            return upgrade is not None and upgrade.can_end
        case "upgrade":
            return run is None or not run.is_under_way or run.kind == "upgrade"
        case "roll_back":
            act = picture.state.act
            return act is None or not act.is_under_way
        case "accept":
            return acceptable(picture.state, node)
        case "verify":
            run = picture.state.verification
            return None if run is not None and run.is_under_way else True
        case "adopt":
            if picture.verdict.kind is not VerdictKind.UNMANAGED:
                return False
            return None if picture.state.is_busy else True
        case _:
            return True


def finalizable(picture: Picture) -> str:
    """The version that can be made final now; empty when none can."""
    return "" if picture.state.is_busy else final_version(picture.state.as_read)


def acceptable(state: State, node: str) -> bool:
    """Whether a node waits to be accepted."""
    reading = state.reading(node)
    facts = reading.facts if reading is not None and reading.read else None
    if reading is None or facts is None or facts.transaction is None:
        return False
    return reading.left_out is None and facts.state in (NodeState.MONITORING, NodeState.HELD)


def changing(state: State, begun: Sequence[str]) -> tuple[str, ...]:
    """The nodes of the run whose turn is not over; one that cannot be read may be changing."""
    run = state.upgrade
    if run is None or not run.is_under_way:
        return ()
    found = dict.fromkeys(begun)
    if run.told_to_change:
        return run.told_to_change
    for node in begun:
        reading = state.reading(node)
        facts = reading.facts if reading is not None and reading.read else None
        if facts is not None and facts.state not in CHANGING:
            del found[node]
    return tuple(found)
