"""Nodes whose updater died in the middle are brought to rest before anything new is begun."""

from collections.abc import Mapping

from backends.domain.states import NodeState, Phase
from backends.engine.contact import Contact
from backends.engine.events import Kind
from backends.engine.readings import read_all
from backends.engine.results import NodeResult, Result
from backends.engine.scribe import Scribe


async def recover_first(contacts: Mapping[str, Contact], scribe: Scribe) -> list[NodeResult]:
    """Bring nodes to rest whose updater died in the middle; those that did not come to rest."""
    bad = []
    for reading in await read_all(contacts.values()):
        if reading.facts is None or reading.facts.state is not NodeState.INCONSISTENT:
            continue
        contact = contacts[reading.name]
        scribe.say(
            Kind.PHASE, "brought back to rest first", node=reading.name, phase=Phase.ROLLBACK
        )
        contact.on_recovery = lambda node, text: scribe.say(
            Kind.RESULT, text, node=node, phase=Phase.ROLLBACK
        )
        answer = await contact.ask("recover")
        if answer.problem is not None:
            scribe.problem(answer.problem, node=reading.name, phase=Phase.ROLLBACK)
        after = await contact.read()
        if after.facts is None:
            bad.append(NodeResult(reading.name, Result.UNREACHABLE, after.problem))
        elif after.facts.state is NodeState.INCONSISTENT:
            bad.append(NodeResult(reading.name, Result.INCONSISTENT, after.facts.problem))
    return bad
