"""Two palettes of our own: what warns, what is broken and what is a key never look alike."""

import os

from textual.app import App
from textual.theme import Theme

DARK = Theme(
    name="liftlock-dark",
    primary="#5fb3d4",
    secondary="#7aa2c9",
    accent="#b7a6f2",
    success="#7bc47f",
    warning="#e9b44c",
    error="#f2716b",
    foreground="#d6dde4",
    background="#11161b",
    surface="#1a2128",
    panel="#232c35",
    dark=True,
)

LIGHT = Theme(
    name="liftlock-light",
    primary="#1f6f93",
    secondary="#3d6487",
    accent="#6446b8",
    success="#2d7a35",
    warning="#96600a",
    error="#b3261e",
    foreground="#1d252c",
    background="#fbfbf8",
    surface="#f0f1ec",
    panel="#e4e6df",
    dark=False,
)


def dress(app: App[int]) -> None:
    """Give the app our palettes; $TEXTUAL_THEME chooses another one where there is such a one."""
    app.register_theme(DARK)
    app.register_theme(LIGHT)
    wanted = os.environ.get("TEXTUAL_THEME", "")
    app.theme = wanted if wanted in app.available_themes else DARK.name
