"""The operator's clocks, in one place: what the screen shows can be shown as of any moment."""

import time

from app.view.words import Moment


def monotonic() -> float:
    """Seconds that never jump: what ages are counted with."""
    return time.monotonic()


def moment() -> Moment:
    """Now."""
    return Moment(monotonic(), time.time())
