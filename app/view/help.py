"""Keys, letters and words: everything that can stand on a screen, said once."""

from collections.abc import Iterable

from app.commands import Command
from app.view.words import PHASE_WORDS, mark
from backends.domain.states import WORDS, NodeState
from widgets.cells import Line, Tone, line

_WORDS = (
    ("accept", "stop the dead-man timer on a node: installed, healthy, still reversible"),
    ("finalize", "write the finalized marker, then give up the rollback copy; never automatic"),
    ("trial", "the new version serves; without an accept the node decides by itself"),
    ("gate", "conditions between two phases, all shown, none silent"),
    ("drift", "what lies in place is not what was installed: changed or missing"),
    ("verdict", "what the cluster is, from what the nodes say now; never remembered"),
    ("?", "unknown: it could not be read; it never counts as success"),
    ("–", "it was read, and there is none"),
)

_KEYS = {"question_mark": "?", "escape": "esc"}


def help_lines(commands: Iterable[Command]) -> list[Line]:
    """The whole help."""
    found = [line(("Keys", Tone.STRONG))]
    for command in commands:
        key = _KEYS.get(command.key, command.key)
        found.append(line((f"  {key:<6} ", Tone.KEY), command.help))
    found += [
        line(("  :      ", Tone.KEY), "All commands by name; ctrl+p as well"),
        line(("  arrows ", Tone.KEY), "move; j k g G, page up, page down, ctrl+u, ctrl+d as well"),
        (),
        line(("Letters of the grid", Tone.STRONG)),
    ]
    for state in NodeState:
        word = PHASE_WORDS[state].split("/6 ")[-1]
        name = state.replace("_", " ") if word == PHASE_WORDS[NodeState.IDLE] else word
        found.append(line("  ", mark(state), f"      {name:<13} {WORDS[state]}"))
    found += [(), line(("Words", Tone.STRONG))]
    found += [line((f"  {word:<9} ", Tone.STRONG), text) for word, text in _WORDS]
    return found
