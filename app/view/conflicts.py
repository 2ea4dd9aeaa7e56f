"""Configuration conflicts, to be read before it is final: yours, the new default, and the base."""

from collections.abc import Sequence

from backends.domain.conflicts import Conflict, Difference
from widgets.cells import Line, Tone, line

_TONES = {"+": Tone.OK, "-": Tone.BAD, "@": Tone.QUIET}


def lines_of(found: Sequence[Conflict], unread: Sequence[str] = ()) -> list[Line]:
    """All of them; of nodes that could not be asked it is said why."""
    shown: list[Line] = [line((each, Tone.WARN)) for each in unread]
    if not found and not unread:
        shown.append(line("no new default lies beside an edited configuration file"))
    for conflict in found:
        if shown:
            shown.append(())
        shown += [
            line((f"{conflict.node}  {conflict.path}", Tone.STRONG)),
            line(
                "what lies there stays; its default has changed, too, and lies beside it: ",
                f"{conflict.path}.new",
            ),
            *_difference("you have changed", conflict.yours),
            *_difference("the release has changed", conflict.theirs),
            *_difference("from yours to the new default", conflict.both),
        ]
    return shown


def _difference(title: str, found: Difference) -> list[Line]:
    head = line((title, Tone.QUIET))
    if found is None:
        return [line((title, Tone.QUIET), ": not known")]
    # The first two lines name the sides, which the title does.
    return [head, *(line("  ", (each, _TONES.get(each[:1], Tone.PLAIN))) for each in found[2:])]
