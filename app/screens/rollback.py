"""After a failure: what failed, what the node did by itself, and what can be done now."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from app.commands import FINALIZE, JOURNAL, NEXT
from app.picture import Picture
from app.screens.live import LiveScreen, offers
from app.view import failure
from app.view.failure import Choice, Does
from app.view.journal import journal
from app.view.next_step import Does as Next
from app.view.next_step import NextStep
from widgets.cells import line
from widgets.lines import Lines
from widgets.tones import inert


class RollbackScreen(LiveScreen):
    """Guides back. Opening it changes nothing."""

    CSS_PATH = "rollback.tcss"

    AUTO_FOCUS = "#choices"

    BINDINGS: ClassVar[list[BindingType]] = offers(NEXT, FINALIZE, JOURNAL)

    def __init__(self) -> None:
        super().__init__()
        self._choices: tuple[Choice, ...] = ()

    def body(self) -> ComposeResult:
        """Why, what the node did, what now."""
        with Container(id="main"):
            with Vertical(id="left"):
                yield Lines(id="why", indent=4, classes="panel")
                yield Lines(id="did", indent=4, follow=True, classes="panel")
            with Vertical(id="right"):
                yield OptionList(id="choices", classes="panel")

    def on_mount(self) -> None:
        """What the node did alone, its own journal knows best."""
        node = failure.failed_node(self.operator.picture().state)
        if node:
            self.operator.bridge.looks.journal(node)

    def step(self, picture: Picture) -> NextStep:
        """What `n` leads to elsewhere is here already."""
        step = picture.step
        if step.does is not Next.ROLL_BACK:
            return step
        return NextStep(Next.NOTHING, line("choose below what to do; nothing moves until you do"))

    def show_body(self, picture: Picture) -> None:
        """All three."""
        state, width = picture.state, picture.name_width
        node = failure.failed_node(state)
        why, did = self.query_one("#why", Lines), self.query_one("#did", Lines)
        why.entitle(failure.title(state, node))
        why.show(failure.why(state, picture.events, node, width))
        run = state.run
        going = run is not None and run.is_under_way and run.kind == "rollback"
        if run is not None and run.kind == "rollback":
            did.entitle("rolling back" if going else "rolled back")
            did.show(journal(picture.events, width, run=run.id))
        else:
            reading = state.reading(node)
            facts = reading.facts if reading is not None and reading.read else None
            did.entitle(failure.summary(node, facts))
            did.empty = "not followed from here: its own journal is on the node"
            did.show(failure.did(picture.events, node, width))
        self._offer(() if going else tuple(failure.choices(state, picture.readings)))

    def _offer(self, choices: tuple[Choice, ...]) -> None:
        """The choices; the cursor stays on the one it was on."""
        options = self.query_one("#choices", OptionList)
        options.border_title = "what now"
        if choices == self._choices and options.option_count:
            return
        known = [choice.key for choice in self._choices]
        at = (
            known[options.highlighted] if self._choices and options.highlighted is not None else ""
        )
        self._choices = choices
        options.clear_options()
        options.add_options([Option(prompt(choice), id=choice.key) for choice in choices])
        keys = [choice.key for choice in choices]
        options.highlighted = keys.index(at) if at in keys else (0 if keys else None)

    @on(OptionList.OptionSelected)
    def _take(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        choice = self._choices[event.option_index]
        match choice.does:
            case Does.LEAVE:
                self.operator.go_back()
            case Does.ROLL_BACK:
                self.operator.requests.roll_back(choice)
            case Does.ACCEPT:
                self.operator.requests.accept(choice.nodes[0])
            case Does.TRY_AGAIN:
                self.operator.requests.try_again()


def prompt(choice: Choice) -> Content:
    """A choice as it is offered: what it is, and what comes of it."""
    lines = [inert(choice.title).stylize("bold")]
    lines += [inert(f"    {text}") for text in choice.consequences]
    return Content("\n").join(lines)
