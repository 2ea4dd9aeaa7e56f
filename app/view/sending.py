"""How far a release is on its way: bytes, how fast, and since when nothing came."""

from app.progress import Progress
from app.state import Run
from app.view.words import part, size, span
from backends.domain.states import Phase

_SILENT_SECONDS = 3.0
"""So long without a byte, and the rate says nothing any more."""


def on_its_way(run: Run, now: float) -> str:
    """Of all nodes together, `now` in seconds since 1970; empty when no byte was told yet."""
    staging = [
        done
        for (_, phase), done in run.progress.items()
        if phase is Phase.STAGE and done.latest is not None
    ]
    whole = sum(done.of for done in staging)
    if not whole:
        return ""
    there = part(sum(done.sent for done in staging), whole)
    silent = now - max(done.latest or 0.0 for done in staging)
    if silent > _SILENT_SECONDS:
        return f"{there}, nothing for {span(silent)}"
    rate = sum(_rate(done) for done in staging if done.sent < done.of)
    return f"{there}, {size(round(rate))}/s" if rate else there


def _rate(done: Progress) -> float:
    """Bytes a second since the first word of them."""
    if done.first is None or done.latest is None:
        return 0.0
    since, before = done.first
    seconds = done.latest - since
    return (done.sent - before) / seconds if seconds > 0 else 0.0
