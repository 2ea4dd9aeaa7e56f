"""Asking, and saying what went wrong. Enter on a question changes nothing: the focus is on No."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input

from app.screens.live import DEAD_SECONDS
from app.view.node_panel import problem
from backends.domain.problem import Problem
from backends.transport.prompt import Question
from widgets.cells import Line, Tone, line
from widgets.field import Field
from widgets.lines import Lines
from widgets.tones import entitle, inert


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that changes something when it is answered with yes."""

    title: str
    lines: tuple[Line, ...]
    yes: str
    """What the button says: the act, not "OK"."""

    no: str = "No"
    words: tuple[tuple[str, str], ...] = ()
    """What has to be typed, each with what it is; the button is dead until it was."""

    reason: bool = False
    """Whether a reason has to be given."""


class Confirm(ModalScreen[str | None]):
    """Gives None for no; for yes the reason, or an empty text where none was asked."""

    CSS_PATH = "dialogs.tcss"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "refuse", "no"),
        Binding("left,right", "app.focus_next", "other", show=False),
    ]

    AUTO_FOCUS = "#no"

    def __init__(self, asked: Asked) -> None:
        super().__init__()
        self._asked = asked
        self._since = 0.0

    def compose(self) -> ComposeResult:
        """The question, what has to be typed, and two buttons."""
        asked = self._asked
        with Vertical(classes="dialog") as box:
            entitle(box, asked.title, "Tab moves, Enter takes, Esc is no")
            yield Lines(id="text", classes="words")
            for number, (_, what) in enumerate(asked.words):
                wanted = inert(f"type {what}").plain
                yield Field(placeholder=wanted, id=f"word-{number}", classes="word")
            if asked.reason:
                yield Field(placeholder="the reason; it is kept in every journal", id="reason")
            with Horizontal(classes="buttons"):
                yield Button(inert(asked.no), id="no")
                yes = inert(asked.yes)
                yield Button(yes, id="yes", variant="warning", disabled=not self._is_typed())

    def on_mount(self) -> None:
        """The lines, which are text and nothing else."""
        self._since = time.monotonic()
        text = self.query_one("#text", Lines)
        text.show(self._asked.lines)
        text.can_focus = False
        if self._asked.words or self._asked.reason:
            self.query(Input).first().focus()

    @on(Input.Changed)
    def _typed(self) -> None:
        self.query_one("#yes", Button).disabled = not self._is_typed()

    @on(Input.Submitted)
    def _to_the_next(self) -> None:
        self.focus_next()

    @on(Button.Pressed, "#yes")
    def _agree(self, event: Button.Pressed) -> None:
        event.stop()
        if time.monotonic() - self._since < DEAD_SECONDS:
            self.notify("read it first, then press again")
            return
        if not self._is_typed():
            return
        reasons = [field.value.strip() for field in self.query("#reason").results(Input)]
        self.dismiss(reasons[0] if reasons else "")

    @on(Button.Pressed, "#no")
    def _disagree(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(None)

    def action_refuse(self) -> None:
        """Escape is no."""
        self.dismiss(None)

    def _is_typed(self) -> bool:
        fields = [field.value.strip() for field in self.query(".word").results(Input)]
        reasons = [field.value.strip() for field in self.query("#reason").results(Input)]
        wanted = [word for word, _ in self._asked.words]
        reason_given = not self._asked.reason or any(reasons)
        return fields == wanted and reason_given


class PromptScreen(ModalScreen[str | None]):
    """Asks for a secret, which is not shown. Escape and an empty answer give None."""

    CSS_PATH = "dialogs.tcss"

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "decline", "none")]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """What for, and a field."""
        with Vertical(classes="dialog") as box:
            entitle(box, self._question.secret)
            yield Lines(id="text", classes="words")
            yield Field(password=True, id="secret")

    def on_mount(self) -> None:
        """Say what it is for."""
        asked = self._question
        where = f" on {asked.node}" if asked.node else ""
        lines = [line(f"{asked.secret} of {asked.about}{where}")]
        if asked.text:
            lines.append(line((asked.text, Tone.QUIET)))
        if asked.again:
            lines.append(line(("the one before was refused", Tone.BAD)))
        lines.append(line(("it stays in memory only; Escape gives none", Tone.QUIET)))
        text = self.query_one("#text", Lines)
        text.show(lines)
        text.can_focus = False
        self.query_one("#secret", Input).focus()

    @on(Input.Submitted)
    def _given(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value or None)

    def action_decline(self) -> None:
        """No answer."""
        self.dismiss(None)


class ProblemScreen(ModalScreen[None]):
    """What went wrong: code, what happened, evidence, what to do next."""

    CSS_PATH = "dialogs.tcss"

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", "close")]

    AUTO_FOCUS = "#text"

    def __init__(self, what: str, found: Problem) -> None:
        super().__init__()
        self._what = what
        self._problem = found

    def compose(self) -> ComposeResult:
        """One text."""
        with Vertical(classes="dialog -bad") as box:
            entitle(box, f"not done: {self._what}", "Enter or Escape closes")
            yield Lines(id="text", classes="words")

    def on_mount(self) -> None:
        """The four parts."""
        self.query_one("#text", Lines).show(problem(self._problem))


class TextScreen(ModalScreen[None]):
    """Something to read: help, and what an act would do."""

    CSS_PATH = "dialogs.tcss"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,question_mark", "dismiss", "close")
    ]

    AUTO_FOCUS = "#text"

    def __init__(self, title: str, lines: Sequence[Line]) -> None:
        super().__init__()
        self._title = title
        self._lines = lines

    def compose(self) -> ComposeResult:
        """One text."""
        with Vertical(classes="dialog -tall") as box:
            entitle(box, self._title, "Escape closes")
            yield Lines(id="text", indent=4, classes="words")

    def on_mount(self) -> None:
        """Show it."""
        self.query_one("#text", Lines).show(self._lines)
