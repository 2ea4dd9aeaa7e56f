"""Every widget and every dialog on a terminal, with one text after the other in each place.

    python -m tests.hostile.gallery 0|1|N    harmless texts, or every hostile one, or every N-th

Each place has two letters of its own, which with the text's number precede the text: what was
painted can then be looked for.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from textual.app import App, ComposeResult
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from app.screens.dialogs import Asked, Confirm, ProblemScreen, PromptScreen, TextScreen
from app.screens.leave import LeaveScreen
from app.screens.rollback import prompt
from app.theme import dress
from app.view.failure import Choice, Does
from backends.domain.problem import Problem
from backends.transport.prompt import Question, Secret
from tests.hostile.texts import corpus
from widgets.bar import Bar, Split
from widgets.cells import Cell, Tone, line
from widgets.grid import Column, Grid, Row
from widgets.keys import Keys
from widgets.lines import Lines

HARMLESS = ["plain", "", "two words", "a long one " * 300, "x" * 3_000, "漢字" * 40, "[x]"]
"""What every way of painting can be seen with."""

STAGE = ("ba", "ti", "st", "gr", "gn", "lw", "lu", "le", "oc")
"""The places in which the beginning of every text can be seen."""

DIALOGS = (("px", "pt"), ("py", "ps", "pe"), ("xt", "xl"), ("lv",))
"""The same for the dialogs that take turns."""

CONFIRM = ("ct", "cl", "iv")
"""And for the one with buttons and fields, which shows each text."""

SHORT = 30
"""A text that is no longer is seen in these, too."""

IF_SHORT = ("bs", "ke", "od", "cy", "cn", "cw")


def places(number: int, text: str) -> list[str]:
    """Where this text must have been seen."""
    short = IF_SHORT if len(text) <= SHORT else ()
    return [*STAGE, *CONFIRM, *DIALOGS[number % len(DIALOGS)], *short]


def mark(place: str, number: int) -> str:
    """What precedes a text in a place."""
    return f"{place}{number:03}"


class Gallery(App[int]):
    """Shows all texts, then ends."""

    CSS = """
    Bar { height: 4; border: round $primary; }
    Grid { height: 5; }
    Lines { height: 6; }
    #empty { height: 2; }
    OptionList { height: 6; }
    """

    def __init__(self, texts: Sequence[str]) -> None:
        super().__init__()
        dress(self)  # type: ignore[arg-type]
        self._texts = texts

    def compose(self) -> ComposeResult:
        """One of each."""
        yield Bar(2, id="bar")
        yield Grid((Column("NODE", most=20), Column("RUNS"), Column("NOTE", grows=True)))
        yield Lines(id="wrapped")
        yield Lines(wrap=False, id="unwrapped")
        yield Lines(id="empty")
        yield OptionList()
        yield Keys()

    def on_mount(self) -> None:
        """Begin."""
        self.run_worker(self._tour())

    async def _tour(self) -> None:
        for number, text in enumerate(self._texts):
            self._show(number, text)
            await self._painted()
            for dialog in _dialogs(number, text):
                await self.push_screen(dialog)
                for field in dialog.query("#reason").results(Input):
                    field.value = mark("iv", number) + text
                await self._painted()
                await self.pop_screen()
        self.exit(0)

    def _show(self, number: int, text: str) -> None:
        def said(place: str) -> str:
            return mark(place, number) + text

        bar = self.query_one(Bar)
        bar.entitle(said("ti"), said("st"))
        bar.show([line((said("ba"), Tone.WARN)), Split(line("left"), line(said("bs")[:40]))])
        cells = (Cell(said("gr"), Tone.BAD), Cell("2.0"), Cell(said("gn")))
        self.query_one(Grid).show([Row("n1", cells), Row(text, cells, marked=True)])
        self.query_one("#wrapped", Lines).show([line((said("lw"), Tone.QUIET)), line(text)])
        self.query_one("#unwrapped", Lines).show([line(said("lu")), line(text)])
        self.query_one("#empty", Lines).empty = said("le")
        choice = Choice(Does.LEAVE, said("oc"), (said("od"), text))
        self.query_one(OptionList).clear_options().add_option(Option(prompt(choice)))
        self._bindings.key_to_bindings.pop("f5", None)
        self.bind("f5", "refresh", description=said("ke")[:60])
        self.refresh_bindings()

    async def _painted(self) -> None:
        """Until what is shown is on its way to the terminal."""
        for _ in range(2):
            done = asyncio.Event()
            self.screen.call_after_refresh(done.set)
            await done.wait()
        await asyncio.sleep(0.02)  # the compositor paints sixty times a second


def _dialogs(number: int, text: str) -> list[ModalScreen[Any]]:
    def said(place: str) -> str:
        return mark(place, number) + text

    asked = Asked(
        said("ct"),
        (line(said("cl"), (text, Tone.WARN)),),
        said("cy"),
        said("cn"),
        ((text, said("cw")),),
        reason=True,
    )
    question = Question(Secret.CODE, said("px"), text, said("pt"), again=True)
    problem = Problem(text, said("ps"), said("pe"), said("pa"))
    others: list[ModalScreen[Any]] = [
        PromptScreen(question),
        ProblemScreen(said("py"), problem),
        TextScreen(said("xt"), [line(said("xl"), text), line((text, Tone.KEY))]),
        LeaveScreen([said("lv"), text], changing=True),
    ]
    return [Confirm(asked), others[number % len(others)]]


def texts(step: int) -> list[str]:
    """Harmless ones for 0, else every so-manyth of the corpus."""
    return corpus()[::step] if step else HARMLESS


if __name__ == "__main__":
    gallery = Gallery(texts(int(sys.argv[1])))
    gallery.run()
    sys.exit(gallery.return_code)
