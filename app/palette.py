"""The command palette: every command that can be given now, by its name."""

from collections.abc import Callable, Iterable
from functools import partial

from textual.app import App, SystemCommand

from app.commands import ALL, Command


def commands(app: App[int], may: Callable[[str], bool | None]) -> Iterable[SystemCommand]:
    """What the palette lists; `may` is asked with the name of an action."""
    for command in ALL:
        if may(command.action.removeprefix("app.")) is True:
            run = partial(_run, app, command)
            yield SystemCommand(command.label.rstrip("…"), command.help, run)
    yield SystemCommand("theme", "Change the colours", app.action_change_theme)


async def _run(app: App[int], command: Command) -> None:
    await app.run_action(command.action, app.screen)
