"""What is not known is a value of its own, which equals nothing that is."""

from typing import Any


def unknown(reason: str) -> dict[str, str]:
    """As in every shape: `{"unknown": reason}`."""
    return {"unknown": reason}


def is_unknown(value: Any) -> bool:
    """Whether a value of a shape is one that is not known."""
    return isinstance(value, dict) and value.keys() == {"unknown"}
