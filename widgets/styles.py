"""Where the default style of a widget lives: in the `.tcss` file beside its module."""

from pathlib import Path


def sibling_tcss(module_file: str) -> str:
    """The text of the `.tcss` beside a module, for use as `DEFAULT_CSS`."""
    return Path(module_file).with_suffix(".tcss").read_text(encoding="utf-8")
