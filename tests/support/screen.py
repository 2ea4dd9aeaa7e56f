"""The screen as a person sees it: lines of text, and the style of a place."""

from collections.abc import Callable
from typing import Any

import pytest
from rich.style import Style
from textual.app import App
from textual.strip import Strip


def strips_of(app: App[Any]) -> list[Strip]:
    """What is painted, line by line, as the compositor puts it together."""
    return app.screen._compositor.render_strips()


def text_of(app: App[Any]) -> list[str]:
    """The whole screen as plain lines, without the blanks at their ends."""
    return [strip.text.rstrip() for strip in strips_of(app)]


def style_at(app: App[Any], x: int, y: int) -> Style:
    """How the letter in one place of the screen looks."""
    (segment,) = strips_of(app)[y].crop(x, x + 1)
    return segment.style or Style()


def find(app: App[Any], text: str) -> tuple[int, int]:
    """Where a text begins: column and line. Columns are letters, not cells."""
    for y, line in enumerate(text_of(app)):
        if (x := line.find(text)) >= 0:
            return x, y
    raise AssertionError(f"{text!r} is not on the screen:\n" + "\n".join(text_of(app)))


def style_of(app: App[Any], text: str) -> Style:
    """How the first letter of a text looks."""
    return style_at(app, *find(app, text))


def counted(
    owner: object, name: str, patch: pytest.MonkeyPatch | None = None
) -> list[tuple[Any, ...]]:
    """Every call of a method (or, to be patched back, a function) from now on: its arguments."""
    calls: list[tuple[Any, ...]] = []
    real: Callable[..., Any] = getattr(owner, name)

    def count(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return real(*arguments, **options)

    if patch:
        patch.setattr(owner, name, count)
    else:
        setattr(owner, name, count)
    return calls
