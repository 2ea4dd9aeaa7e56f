"""The exact way back of a cluster, in words: what is not final can be undone, and how."""

from collections.abc import Iterable, Sequence

from backends.domain.facts import NodeFacts, Unknown, is_value
from backends.domain.states import NodeState
from backends.domain.survey import Survey, course, listed, names


def way_back(seen: Survey) -> str:
    """The command that takes back what is not final, and what it does; empty: nothing to undo."""
    moving = seen.moving
    nodes = [facts for facts in moving if not _is_finalizing(facts)]
    begun = [facts for facts in moving if _is_finalizing(facts)]
    final = _already_final(seen, moving)
    parts = []
    if nodes:
        limit = seen.selector(nodes) if final or begun else ""
        parts.append(f"liftlock rollback {seen.cluster}{limit}: {returns(nodes)}")
    if final:
        parts.append(f"{listed(names(final))}: none, {final[0].final_version} is finalized")
    if begun:
        parts.append(f"{listed(names(begun))}: none, finalize has begun")
    return "; ".join(parts)


def _is_finalizing(facts: NodeFacts) -> bool:
    """Whether FINALIZE was decided, also when nobody carries it out at the moment."""
    decided = facts.transaction is not None and facts.transaction.decision == "FINALIZE"
    return decided or facts.state is NodeState.FINALIZING


def _already_final(seen: Survey, moving: Sequence[NodeFacts]) -> list[NodeFacts]:
    """The nodes that can no longer be taken back from where the others are going."""
    targets = {to for facts in moving if is_value(to := course(facts)[1])}
    still_moving = set(names(moving))
    return [
        facts
        for facts in seen.read
        if facts.final_version in targets
        and facts.node not in still_moving
        and not any(facts.is_configured_otherwise(each) for each in moving)
    ]


def returns(nodes: Iterable[NodeFacts]) -> str:
    """What undoing does to the nodes: "returns n1, n2 to 4.11, removes 4.12 from n3"."""
    groups: dict[tuple[str, str], list[str]] = {}
    for facts in nodes:
        back, new = course(facts)
        if isinstance(back, Unknown):
            words = ("undoes", f" (to which version could not be read: {back.reason})")
        elif back is None:
            words = (f"removes {new if is_value(new) else 'the product'} from", "")
        elif facts.gets_other_configuration:
            words = ("returns", f" to {back} as it was configured before")
        else:
            words = ("returns", f" to {back}")
        groups.setdefault(words, []).append(facts.node)
    return ", ".join(f"{verb} {listed(on)}{rest}" for (verb, rest), on in groups.items())
