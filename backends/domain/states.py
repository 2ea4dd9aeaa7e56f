"""Where a node stands, how a step ended, and what the one leads to.

The words are those of design.md, section 4, and of `backends.node.wire`; a test compares them.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class NodeState(StrEnum):
    """Where one node stands. The value is what journals and JSON carry."""

    UNKNOWN = "unknown"
    IDLE = "idle"
    INSPECTING = "inspecting"
    STAGING = "staging"
    STAGED = "staged"
    CHECKING = "checking"
    CHECKED = "checked"
    INSTALLING = "installing"
    MONITORING = "monitoring"
    HELD = "held"
    """The new version is in place and waits for a person."""

    ACCEPTED = "accepted"
    """Installed and healthy, the dead-man timer is stopped, still reversible."""

    FINALIZING = "finalizing"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    """Undone and proven. Counts as idle, with a note that stays until a later success."""

    FAILED = "failed"
    """Ended before any effect."""

    INCONSISTENT = "inconsistent"
    """An undo is not proven, or nobody drives what was begun."""

    EXCLUDED = "excluded"
    """Left out by the cluster file or the plan, with a reason."""

    DISABLED = "disabled"
    """Switched off by a marker file on the node."""


class Outcome(StrEnum):
    """How a step on a node ended."""

    OK = "ok"
    REFUSED = "refused"
    """A gate or a check said no, before any effect."""

    FAILED = "failed"
    """It broke before any effect."""

    TIMED_OUT = "timed_out"
    """Its time was up."""

    UNREACHABLE = "unreachable"
    """Contact was lost; how it ended is not known."""

    UNDONE = "undone"
    """It had effects; all are undone, and that is proven."""

    UNPROVEN = "unproven"
    """It had effects, and that they are undone is not proven."""


class Phase(StrEnum):
    """One part of an upgrade (design.md, section 6)."""

    PREFLIGHT = "preflight"
    STAGE = "stage"
    CHECK = "check"
    INSTALL = "install"
    MONITOR = "monitor"
    FINALIZE = "finalize"
    ROLLBACK = "rollback"


class ServiceState(StrEnum):
    """What the product's service says of itself."""

    STARTED = "started"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


class HealthState(StrEnum):
    """What the health checks say together."""

    HEALTHY = "healthy"
    SOFT_FAILING = "soft_failing"
    """All hard checks pass, a soft one does not: nothing goes back for it, a person is asked."""

    FAILING = "failing"
    NONE = "none"
    """There are no checks."""

    UNKNOWN = "unknown"


class Unreachable(StrEnum):
    """Why a node could not be read (design.md, section 4)."""

    DNS = "dns"
    TCP = "tcp"
    HOST_KEY_UNKNOWN = "host_key_unknown"
    HOST_KEY_CHANGED = "host_key_changed"
    AUTHENTICATION = "authentication"
    SUDO = "sudo"
    NO_PYTHON = "no_python"
    PROTOCOL = "protocol"
    TIMEOUT = "timeout"


WORKING: Final = frozenset(
    {
        NodeState.INSPECTING,
        NodeState.STAGING,
        NodeState.CHECKING,
        NodeState.INSTALLING,
        NodeState.MONITORING,
        NodeState.FINALIZING,
        NodeState.ROLLING_BACK,
    }
)
"""A step runs on the node."""

AT_REST: Final = frozenset(NodeState) - WORKING - {NodeState.UNKNOWN}
"""No step runs on the node, and none begins there by itself."""

CHANGING: Final = frozenset(
    {
        NodeState.INSTALLING,
        NodeState.MONITORING,
        NodeState.FINALIZING,
        NodeState.ROLLING_BACK,
    }
)
"""The step may change what the node runs, now or by itself later. Losing contact is `unknown`."""

OPEN: Final = CHANGING | {NodeState.HELD, NodeState.ACCEPTED}
"""The node holds a transaction without an end. `inconsistent` may too; it is a case of its own."""

NEEDS_PERSON: Final = frozenset({NodeState.HELD, NodeState.FAILED, NodeState.INCONSISTENT})
"""Nothing moves there until a person decides."""

UNCOUNTED: Final = frozenset({NodeState.EXCLUDED, NodeState.DISABLED})
"""Named beside the verdict, and no part of it."""

STATE_OF: Final[Mapping[Phase, NodeState]] = {
    Phase.PREFLIGHT: NodeState.INSPECTING,
    Phase.STAGE: NodeState.STAGING,
    Phase.CHECK: NodeState.CHECKING,
    Phase.INSTALL: NodeState.INSTALLING,
    Phase.MONITOR: NodeState.MONITORING,
    Phase.FINALIZE: NodeState.FINALIZING,
    Phase.ROLLBACK: NodeState.ROLLING_BACK,
}
"""Where a node stands while a phase works on it."""

LETTERS: Final[Mapping[NodeState, str]] = {
    NodeState.UNKNOWN: "?",
    NodeState.IDLE: "-",
    NodeState.INSPECTING: "P",
    NodeState.STAGING: "s",
    NodeState.STAGED: "S",
    NodeState.CHECKING: "c",
    NodeState.CHECKED: "C",
    NodeState.INSTALLING: "I",
    NodeState.MONITORING: "T",
    NodeState.HELD: "H",
    NodeState.ACCEPTED: "A",
    NodeState.FINALIZING: "F",
    NodeState.ROLLING_BACK: "r",
    NodeState.ROLLED_BACK: "R",
    NodeState.FAILED: "X",
    NodeState.INCONSISTENT: "!",
    NodeState.EXCLUDED: "E",
    NodeState.DISABLED: "D",
}
"""One mark a state, each another one: the grid works without colour."""

WORDS: Final[Mapping[NodeState, str]] = {
    NodeState.UNKNOWN: "not read",
    NodeState.IDLE: "nothing under way",
    NodeState.INSPECTING: "preflight looks at it",
    NodeState.STAGING: "receives the release",
    NodeState.STAGED: "release is there, not checked",
    NodeState.CHECKING: "release is being checked",
    NodeState.CHECKED: "release is checked",
    NodeState.INSTALLING: "is being changed",
    NodeState.MONITORING: "new version in trial",
    NodeState.HELD: "new version in place, waits for a person",
    NodeState.ACCEPTED: "new version accepted, not final",
    NodeState.FINALIZING: "new version becomes final",
    NodeState.ROLLING_BACK: "goes back",
    NodeState.ROLLED_BACK: "is back, proven",
    NodeState.FAILED: "failed before any change",
    NodeState.INCONSISTENT: "needs a person, undo not proven",
    NodeState.EXCLUDED: "left out, with a reason",
    NodeState.DISABLED: "switched off on the node",
}
"""What a state means, for the legend."""

REACH_WORDS: Final[Mapping[Unreachable, str]] = {
    Unreachable.DNS: "name not found",
    Unreachable.TCP: "no connection",
    Unreachable.HOST_KEY_UNKNOWN: "host key unknown",
    Unreachable.HOST_KEY_CHANGED: "host key changed",
    Unreachable.AUTHENTICATION: "login refused",
    Unreachable.SUDO: "no privilege",
    Unreachable.NO_PYTHON: "no python",
    Unreachable.PROTOCOL: "protocol mismatch",
    Unreachable.TIMEOUT: "no answer",
}
"""Why a node could not be read, for a person."""

_TABLE: Final = """
state        ok          refused  failed       timed_out unreachable undone      unproven

# Steps that touch nothing that runs. Refused: as before the step. Time is up: it ended as well.
inspecting   idle        idle     failed       unknown   unknown     rolled_back inconsistent
staging      staged      idle     failed       failed    unknown     rolled_back inconsistent
checking     checked     staged   failed       failed    unknown     rolled_back inconsistent

# Steps that change. Time is up or contact lost: the node goes on and decides by itself.
installing   monitoring  checked  failed       unknown   unknown     rolled_back inconsistent
# A trial that fails and is not undone: the policy is to hold. A refused accept: it goes on.
monitoring   accepted    =        held         unknown   unknown     rolled_back inconsistent
# Failed is before any effect: no marker is written, and the way back is still there.
finalizing   idle        accepted accepted     unknown   unknown     rolled_back inconsistent
# Refused because something else was decided first: what, only the node knows. An undo that
# broke is not proven, whatever it says; one that ended well is proven by definition.
rolling_back rolled_back unknown  inconsistent unknown   unknown     rolled_back inconsistent

# At rest the outcome is that of an act which has no state of its own, or of a step that did not
# begin. Asked and not answered (timed_out): it may have begun, so nothing is claimed.
# Undone or unproven: `recover` ran first, as it does before every acting command.
idle         =           =        failed       unknown   unknown     rolled_back inconsistent
staged       =           =        failed       unknown   unknown     rolled_back inconsistent
checked      =           =        failed       unknown   unknown     rolled_back inconsistent
rolled_back  =           =        failed       unknown   unknown     rolled_back inconsistent
# The new version is in place: `failed` would say that nothing was changed.
accepted     =           =        =            unknown   unknown     rolled_back inconsistent
# What a held node waits for is to be accepted.
held         accepted    =        =            unknown   unknown     rolled_back inconsistent
# What needs a person is not hidden by lost contact, nor healed by an act that ended well:
# only the node's own reading, a proof, or a new step replaces it.
failed       =           =        =            =         =           rolled_back inconsistent
inconsistent =           =        =            =         =           rolled_back inconsistent
# Not even ok makes an unread node known: only a reading does.
unknown      =           =        =            =         =           rolled_back inconsistent
# No step begins there, and what still comes in does not bring the node back in.
excluded     =           =        =            =         =           =           =
disabled     =           =        =            =         =           =           =
"""


def _read(table: str) -> dict[tuple[NodeState, Outcome], NodeState]:
    lines = [line.split() for line in table.splitlines() if line and not line.startswith("#")]
    outcomes = [Outcome(word) for word in lines[0][1:]]
    return {
        (NodeState(state), outcome): NodeState(state if word == "=" else word)
        for state, *words in lines[1:]
        for outcome, word in zip(outcomes, words, strict=True)
    }


TRANSITIONS: Final[Mapping[tuple[NodeState, Outcome], NodeState]] = _read(_TABLE)
"""How a node is remembered when the step its state stands for ended so. `=` in the table: stays.

Total: every state with every outcome. A node's own reading always replaces what is remembered
(design.md, section 4).
"""


def next_state(state: NodeState, outcome: Outcome) -> NodeState:
    """How the node is remembered when the step that `state` stands for ended with `outcome`."""
    return TRANSITIONS[state, outcome]
