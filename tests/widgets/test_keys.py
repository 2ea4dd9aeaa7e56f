"""The line of keys: which are shown, greyed, dropped; what a click does."""

from typing import ClassVar

import pytest
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widget import Widget

from tests.support.screen import find, style_of, text_of
from widgets.keys import Keys


class Focusable(Widget, can_focus=True):
    """Has a key of its own, and says yes or no to it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o,O", "own", "own"),
        Binding("x", "hidden", "hidden", show=False),
    ]

    def action_own(self) -> None:
        self.app.exit("own")


class Asking(ModalScreen[None]):
    """A screen above."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("y", "yes", "[b]yes[/]")]

    def compose(self) -> ComposeResult:
        yield Keys()


class Keyed(App[str]):
    """Bindings as a screen has them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "show('help')", "help"),
        Binding("n", "next", "next"),
        Binding("R", "show('undo')", "roll back…"),
        Binding("q", "show('quit')", "quit"),
        Binding("ctrl+l", "show('logs')", "logs"),
        Binding("z", "never", "never"),
    ]
    able: bool | None = True

    def compose(self) -> ComposeResult:
        yield Focusable()
        yield Keys()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "next":
            return self.able
        return action != "never"

    def action_show(self, what: str) -> None:
        self.exit(what)

    def action_next(self) -> None:
        self.exit("next")


def keys_of(app: App[str]) -> str:
    return text_of(app)[-1].strip()


async def test_bindings_are_shown_in_their_order_help_and_quit_last() -> None:
    app = Keyed()
    async with app.run_test(size=(80, 5)) as pilot:
        await pilot.pause()
        assert keys_of(app) == "o own  n next  R roll back…  ^l logs  ? help  q quit"
        assert style_of(app, "R roll").bold
        app.set_focus(None)
        await pilot.pause()
        assert keys_of(app).startswith("n next")


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (31, "o own  n next  ? help  q quit"),
        (30, "o own  ? help  q quit"),
        (16, "? help  q quit"),
        (10, "? help …"),
    ],
)
async def test_the_last_are_dropped_first_but_never_help_and_quit(width: int, shown: str) -> None:
    app = Keyed()
    async with app.run_test(size=(width, 5)) as pilot:
        await pilot.pause()
        assert keys_of(app) == shown


async def test_what_may_not_be_done_now_is_grey() -> None:
    app = Keyed()
    async with app.run_test(size=(80, 5)) as pilot:
        await pilot.pause()
        able = style_of(app, "n next")
        app.able = None
        app.refresh_bindings()
        await pilot.pause()
        assert style_of(app, "n next") != able
        assert style_of(app, "n next") == style_of(app, "next")
        await pilot.click(Keys, offset=(find(app, "n next")[0] - 1, 0))
        app.able = False
        app.refresh_bindings()
        await pilot.pause()
        assert "next" not in keys_of(app)
    assert app.return_value is None


@pytest.mark.parametrize(
    ("text", "done"),
    [("o own", "own"), ("own", "own"), ("roll", "undo"), ("? help", "help"), ("quit", "quit")],
)
async def test_a_click_does_what_the_key_does(text: str, done: str) -> None:
    app = Keyed()
    async with app.run_test(size=(80, 5)) as pilot:
        await pilot.pause()
        await pilot.click(Keys, offset=(find(app, text)[0], 0))
        await pilot.pause()
    assert app.return_value == done


async def test_a_click_between_two_keys_does_nothing() -> None:
    app = Keyed()
    async with app.run_test(size=(80, 5)) as pilot:
        await pilot.pause()
        await pilot.click(Keys, offset=(find(app, "n next")[0] - 1, 0))
        await pilot.click(Keys, offset=(79, 0))
        await pilot.pause()
        assert app.is_running
    assert app.return_value is None


async def test_a_screen_above_shows_its_own_keys_without_markup() -> None:
    app = Keyed()
    async with app.run_test(size=(80, 5)) as pilot:
        app.push_screen(Asking())
        await pilot.pause()
        await pilot.pause()
        assert keys_of(app).startswith("y [b]yes[/]")
        app.pop_screen()
        await pilot.pause()
        assert keys_of(app).startswith("o own  n next")
