"""Functions that say no, to be put in the place of others."""

from collections.abc import Callable
from typing import Any


def says(error: BaseException) -> Callable[..., Any]:
    """A function that raises this, whatever it is given."""

    def call(*args: Any, **kwargs: Any) -> Any:
        raise error

    return call
