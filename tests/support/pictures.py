"""Pictures of the screen: SVG without anything that is fetched, compared as text first."""

import difflib
import re
from pathlib import Path

from app.application import LiftlockApp
from tests.support.screen import text_of

FOLDER = Path(__file__).resolve().parents[2] / "screenshots"

_FONTS = re.compile(r"\s*@font-face \{[^}]*\}", re.DOTALL)
_COMMENT = re.compile(r"\s*<!--.*?-->", re.DOTALL)
_LETTERS = re.compile(r"<text [^>]*>([^<]*)</text>")


def picture_of(app: LiftlockApp) -> str:
    """The screen as SVG; the reader's own monospaced font stands in for one from elsewhere."""
    svg = app.export_screenshot(title="liftlock", simplify=True)
    svg = _COMMENT.sub("", _FONTS.sub("", svg)).replace("Fira Code", "monospace")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def compare(app: LiftlockApp, name: str, *, update: bool) -> None:
    """Hold the screen against its golden picture, or take the picture."""
    width, height = app.size
    path = FOLDER / f"{name}-{width}x{height}.svg"
    found = picture_of(app)
    if update:
        path.write_text(found, encoding="utf-8")
        return
    assert path.exists(), f"there is no {path.name}: take it with --update-screenshots, and look"
    golden = path.read_text(encoding="utf-8")
    if found == golden:
        return
    changed = difflib.unified_diff(_text(golden), _text(found), "golden", "now", lineterm="", n=0)
    told = "\n".join(changed) or "the same letters in other colours or places"
    shown = "\n".join(text_of(app))
    raise AssertionError(f"{path.name} is another picture now:\n{told}\n\n{shown}")


def _text(svg: str) -> list[str]:
    return [letters.replace("&#160;", " ") for letters in _LETTERS.findall(svg)]
