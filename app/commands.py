"""Every command of the screen, declared once: its key, its name, what it does, what it changes."""

from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Command:
    """One thing an operator can ask for."""

    id: str
    """Stable name, `area.verb`: what a keymap file refers to."""

    action: str
    key: str
    label: str
    help: str
    shown: bool = True
    """Whether it stands in the bottom line."""

    changes_nodes: bool = False
    """Whether it can lead to a change on a node, after what it asks."""

    spoken: str = ""
    """The command of the command line that does the same; empty when it is about the screen."""

    def binding(self) -> Binding:
        """As Textual wants it."""
        return Binding(
            self.key,
            self.action,
            self.label,
            tooltip=self.help,
            show=self.shown,
            id=self.id,
            priority=False,
        )


NEXT = Command(
    "run.next", "app.next", "n", "next", "Do the next step, as the second line says", True, True
)
UPGRADE = Command(
    "cluster.upgrade",
    "app.upgrade",
    "u",
    "upgrade",
    "Choose a release, or look at the upgrade that is under way",
    spoken="upgrade",
)
ROLL_BACK = Command(
    "cluster.rollback",
    "app.roll_back",
    "R",
    "roll back…",
    "What failed, and the choice of what to roll back; changes nothing yet",
    True,
    True,
    "rollback",
)
FINALIZE = Command(
    "cluster.finalize",
    "app.finalize",
    "F",
    "finalize…",
    "Make the accepted version final; the cluster's name has to be typed",
    True,
    True,
    "finalize",
)
HOLD = Command(
    "run.hold", "app.hold", "p", "pace", "Wait before every node, or let them follow by themselves"
)
STOP = Command(
    "run.stop",
    "app.stop_run",
    "x",
    "end…",
    "End the run, or the waiting of a rollback; put a plan away",
)
ACCEPT = Command(
    "node.accept",
    "app.accept",
    "a",
    "accept…",
    "Stop the dead-man timer of the node under the cursor; a reason is asked",
    False,
    True,
    "accept",
)
ADOPT = Command(
    "cluster.adopt",
    "app.adopt",
    "A",
    "adopt…",
    "Record what runs as finalized, where nothing is recorded; it is shown first",
    False,
    True,
    "adopt",
)
VERIFY = Command(
    "node.verify",
    "app.verify",
    "v",
    "verify",
    "Read every byte of what runs and hold it against what was installed; on all nodes, or on "
    "the one that is open",
    False,
    spoken="verify",
)
CONFLICTS = Command(
    "cluster.conflicts",
    "app.conflicts",
    "C",
    "configuration",
    "Edited configuration beside which a new default lies, and what differs",
    False,
    spoken="conflicts",
)
JOURNAL = Command(
    "cluster.journal",
    "app.journal",
    "J",
    "journal",
    "The journal of the run, or of the newest one",
    spoken="journal",
)
SORT = Command("cluster.sort", "sort", "s", "sort", "Worst first, or as in the cluster file")
OPEN = Command("node.open", "open_node", "enter", "open", "All about the node under the cursor")
ZOOM = Command("screen.zoom", "zoom", "z", "zoom", "Give the focused panel the whole screen")
PANEL = Command("screen.panel", "app.focus_next", "tab", "panel", "Go to the next panel", False)
BACK = Command("screen.back", "app.back", "escape", "back", "Leave this view; work goes on")
HELP = Command("app.help", "app.help", "question_mark", "help", "Keys, letters and words")
QUIT = Command("app.quit", "app.leave", "q", "quit", "Leave the program")

ALL = (
    NEXT,
    UPGRADE,
    ROLL_BACK,
    FINALIZE,
    HOLD,
    STOP,
    ACCEPT,
    ADOPT,
    VERIFY,
    CONFLICTS,
    JOURNAL,
    SORT,
    OPEN,
    ZOOM,
    PANEL,
    BACK,
    HELP,
    QUIT,
)
"""All of them, in the order of the bottom line."""
