"""How far one phase has come on one node, as a fold of what was told of it."""

from dataclasses import dataclass, replace

from backends.engine.events import Event, Kind


@dataclass(frozen=True, slots=True)
class Progress:
    """What came of one phase on one node, as far as it was told."""

    begun: float | None = None
    """When, seconds since 1970."""

    passed: int = 0
    warned: int = 0
    refused: int = 0
    """Checks, by their result."""

    sent: int = 0
    of: int = 0
    """Bytes."""

    first: tuple[float, int] | None = None
    """When the first word of bytes came, seconds since 1970, and how many there were."""

    latest: float | None = None
    """When the newest one came."""

    record: str = ""
    """The newest record of the node's own journal in this phase."""

    is_ok: bool = False
    problem: str = ""
    warnings: tuple[str, ...] = ()


def further(so_far: Progress, event: Event) -> Progress:
    """What is known of the phase after this event."""
    data = event.data
    match event.kind:
        case Kind.PHASE:
            return Progress(begun=event.time)
        case Kind.ROW if "gate" not in data:
            result = str(data.get("result"))
            if result == "warn":
                warnings = (*so_far.warnings, f"{data.get('name')}: {data.get('evidence')}")
                return replace(so_far, warned=so_far.warned + 1, warnings=warnings)
            if result == "ok":
                return replace(so_far, passed=so_far.passed + 1)
            return replace(so_far, refused=so_far.refused + 1)
        case Kind.PROGRESS:
            sent, of = data.get("sent"), data.get("of")
            if isinstance(sent, int) and isinstance(of, int):
                first = so_far.first or (event.time, sent)
                return replace(so_far, sent=sent, of=of, first=first, latest=event.time)
            return so_far
        case Kind.RECORD:
            return replace(so_far, record=str(data.get("record", "")))
        case Kind.RESULT:
            return replace(so_far, is_ok=data.get("outcome") == "ok")
        case Kind.PROBLEM:
            return replace(so_far, problem=event.text)
        case _:
            return so_far
