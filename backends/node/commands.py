"""What the updater can be told. `main` reads and answers; each command is done in its own module.

Acting commands first bring the node to rest: an undecided transaction that nobody drives is
recovered, and the operator is told so. Read-only commands never do that and write nothing.

Only what a command needs is loaded, and all of it before the command begins: of what it takes to
start the updater on a node, more than half is to compile it.
"""

from importlib import import_module
from typing import Callable, Dict, Tuple, cast

from backends.node import journal, locks, wire
from backends.node.call import Answer, Call
from backends.node.places import UnsafePlace
from backends.node.refusal import Refused, busy

Command = Callable[[Call], Answer]

_LEAVES_AT_REST = wire.READ_ONLY | {"check", "verify", "accept"}
"""Commands that only look, or that must not undo what they were asked to keep."""

FOUND_IN: Dict[str, Tuple[str, str]] = {
    "status": ("commands_look", "status"),
    "watch": ("commands_look", "watch"),
    "journal": ("commands_look", "journal"),
    "conflicts": ("commands_look", "conflicts"),
    "value": ("value", "value"),
    "begun_as": ("commands_look", "begun_as"),
    "verify": ("verify", "verify"),
    "stage": ("commands_stage", "stage"),
    "check": ("commands_check", "check"),
    "install": ("upgrading", "begin"),
    "accept": ("upgrading", "accept"),
    "extend": ("upgrading", "extend"),
    "rollback": ("upgrading", "roll_back"),
    "finalize": ("upgrading", "finalize"),
    "recover": ("upgrading", "recover_or_take_over"),
    "restart": ("restarting", "begin"),
    "adopt": ("commands_keep", "adopt"),
    "clean": ("commands_keep", "clean"),
}
"""Command -> module and function."""


def load(name: str) -> Command:
    """The function of a command, with all that it needs."""
    module, function = FOUND_IN[name]
    return cast(Command, getattr(import_module("backends.node." + module), function))


def run(call: Call) -> Answer:
    """Carry out a command; every refusal is an answer, nothing escapes as a trace."""
    command = load(call.command)
    try:
        if call.command not in _LEAVES_AT_REST and not call.args.get("preview"):
            from backends.node.driving import bring_to_rest

            bring_to_rest(call)
        return command(call)
    except Refused as error:
        return "refused", error.problem
    except locks.Busy as error:
        return "refused", busy(error.owner)
    except UnsafePlace as error:
        return "refused", wire.problem(
            "unsafe-place",
            "others could change what we keep",
            str(error),
            "repair its owner and mode",
        )
    except (journal.JournalDamaged, wire.WireError) as error:
        return "refused", wire.problem(
            "journal-damaged",
            "the node's journal is damaged; nothing was touched",
            str(error),
            "look at %s on the node" % call.places.active,
        )
