"""The values that can be read of every product, whatever its profile names besides them."""

from backends.domain.facts import Finalized as FinalizedMarker
from backends.domain.facts import NodeFacts, Unknown, VersionRef
from backends.domain.states import HealthState, ServiceState

BUILT_IN = frozenset(
    {
        "state",
        "running",
        "selected",
        "staged",
        "previous",
        "finalized",
        "boot_id",
        "start_id",
        "pid",
        "service",
        "health",
        "data",
    }
)


def built_in(name: str, facts: NodeFacts) -> object:
    """One of them, as JSON; `Unknown` where it could not be read.

    None: it was read, and there is none.
    """
    found: object = getattr(facts, name, None)
    if isinstance(found, ServiceState) and found is ServiceState.UNKNOWN:
        return Unknown(facts.service_text or "the service said nothing that is known")
    if isinstance(found, HealthState) and found is HealthState.UNKNOWN:
        return Unknown(facts.health_text or "its health could not be read")
    if isinstance(found, VersionRef):
        return {"version": found.version, "digest": found.digest}
    if isinstance(found, FinalizedMarker):
        return {"version": found.version, "run": found.run}
    if name == "data":
        return _data(facts)
    return list(found) if isinstance(found, tuple) else found


def _data(facts: NodeFacts) -> object:
    """The copy of the product's data from before the switch, while there is one."""
    opened = facts.transaction
    if opened is None or not opened.data:
        return None
    return {
        "directories": list(opened.data),
        "since": opened.data_since,
        "bytes": opened.data_bytes,
    }
