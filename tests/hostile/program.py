"""The whole program, of which one node says hostile texts wherever it may say a text.

What is written to the terminal by each command, and by the screen, is taken apart.
"""

import re
import sys
from pathlib import Path

from tests.drills.sshd import SshCluster
from tests.faults.sweeps import Tally
from tests.hostile.cluster import talking_cluster
from tests.hostile.painted import Painted, foreign, taken_apart
from tests.hostile.texts import corpus
from tests.support.pseudoterminal import Pseudoterminal

ESCAPE = b"\x1b"

_STEP = 24
"""How many texts further on each round begins: `doctor` shows about as many of a node."""

_FIRST = 72
"""Where the first round begins: at sequences, which the smallest sample has then, too."""

_WRONG = (1, 2)
"""The program failed, or it was used wrongly here: then nothing was asked of the node."""

_COLOURS = re.compile(r"\x1b\[(\d+;)*48;2;\d+;\d+;\d+m")
"""As the screen writes them: always with those of the ground; no text of the corpus has these."""

_COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("doctor",),
    ("accept", "n3", "--reason", "x"),
    ("journal",),
)


def whole_program(top: Path, sample: int) -> Tally:
    """Each command and the screen, with other texts each time."""
    tally = Tally()
    with talking_cluster(top) as cluster:
        known, shown = _written(cluster, tally), 0
        for further in range(0, len(corpus()), _STEP * max(1, sample // 4)):
            first = (_FIRST + further) % len(corpus())
            (cluster.top / "mode").write_text(f"texts {first}")
            found = _written(cluster, tally)
            shown += "a^[[" in "".join(found.runs)
            tally.bad += [f"texts {first}: {each}" for each in found.strange]
            for each in [each for each in found.sequences if _COLOURS.fullmatch(each)]:
                del found.sequences[each]  # a node in trouble has other colours than the others
            tally.bad += [f"texts {first}: {each}" for each in foreign(found, known)]
    if not shown:
        tally.bad.append("none of the texts was ever shown")
    return tally


def _written(cluster: SshCluster, tally: Tally) -> Painted:
    """All that the program writes in a round."""
    data = b""
    for command, *words in _COMMANDS:
        line = (sys.executable, "-m", "app", command, str(cluster.file), *words)
        with Pseudoterminal(*line, environment=cluster.environment) as terminal:
            code = terminal.ends()
            data += bytes(terminal.written)
            tally.cases += 1
            if code in _WRONG or b"Traceback" in terminal.written:
                tally.bad.append(f"{command} ended with {code}: {terminal.screen[-1500:]}")
    return taken_apart(data + _screen(cluster, tally))


def _screen(cluster: SshCluster, tally: Tally) -> bytes:
    line = (sys.executable, "-m", "app", str(cluster.file))
    with Pseudoterminal(*line, environment=cluster.environment) as terminal:
        terminal.sees(b"n3")
        terminal.passes(3.0)
        for keys in (b"G", b"\r", b"J", ESCAPE, ESCAPE, b"R", ESCAPE, b"?", ESCAPE, b"F", b"A"):
            terminal.presses(keys)
            assert terminal.passes(0.4), terminal.screen[-3000:]
        terminal.presses(b"\x11")
        terminal.passes(0.5)
        code = terminal.ends()
        tally.cases += 1
        if code:
            tally.bad.append(f"the screen ended with {code}: {terminal.screen[-3000:]}")
        return bytes(terminal.written)
