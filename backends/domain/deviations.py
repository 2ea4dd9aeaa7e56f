"""Why the nodes differ when no upgrade is recorded, in words: the causes of `mixed`."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from backends.domain.facts import NodeFacts, is_value
from backends.domain.survey import Survey, are, listed, names


@dataclass(frozen=True, slots=True)
class Deviation:
    """One thing that is not as one upgrade after the other would have left it."""

    text: str
    nodes: tuple[str, ...]
    next_action: str


def find(seen: Survey) -> tuple[Deviation, ...]:
    """Every deviation, what a person did first. Never empty."""
    found = (
        *_by_hand(seen),
        *_pointed_elsewhere(seen),
        *_replaced(seen),
        *_partly_managed(seen),
        *_versions_differ(seen),
        *_configurations_differ(seen),
        *_unread_facts(seen),
    )
    return found or (_contradiction(seen),)


def _by_hand(seen: Survey) -> list[Deviation]:
    return _grouped(
        seen,
        lambda facts: (
            f" {facts.running}, {facts.final_version} is finalized, nothing recorded"
            if is_value(facts.running)
            and is_value(facts.final_version)
            and facts.running != facts.final_version
            else None
        ),
        lambda nodes, rest: f"changed by hand: {are(nodes, 'runs', 'run')}{rest}",
        "liftlock adopt {cluster}{nodes} records what runs",
    )


def _pointed_elsewhere(seen: Survey) -> list[Deviation]:
    def what(facts: NodeFacts) -> str | None:
        if is_value(facts.final_version) and facts.selected is None:
            return f"{facts.final_version} is finalized and no longer there"
        on = facts.running if is_value(facts.running) else facts.final_version
        if is_value(on) and is_value(facts.selected) and facts.selected != on:
            return f"{on} is to be, the next start runs {facts.selected}"
        return None

    return _grouped(
        seen,
        what,
        lambda nodes, rest: f"changed by hand: {listed(nodes)}: {rest}",
        "look at the files by hand: liftlock doctor {cluster}{nodes}",
    )


def _replaced(seen: Survey) -> list[Deviation]:
    if not seen.versions:
        return []
    return _grouped(
        seen,
        lambda facts: "" if facts.is_absent else None,
        lambda nodes, _: f"replaced node: {are(nodes, 'has', 'have')} nothing of the product",
        "liftlock upgrade {cluster} RELEASE{nodes} installs it",
    )


def _partly_managed(seen: Survey) -> list[Deviation]:
    if not any(is_value(facts.final_version) for facts in seen.read):
        return []
    return _grouped(
        seen,
        lambda facts: "" if facts.finalized is None and not facts.is_absent else None,
        lambda nodes, _: f"partly managed: {are(nodes, 'has', 'have')} no finalized record",
        "liftlock adopt {cluster}{nodes}",
    )


def _versions_differ(seen: Survey) -> list[Deviation]:
    groups: dict[str, list[str]] = {}
    for facts in seen.read:
        if is_value(facts.version):
            groups.setdefault(facts.version, []).append(facts.node)
    if len(groups) < 2:
        return []
    most, _ = Counter({version: len(on) for version, on in groups.items()}).most_common(1)[0]
    others = tuple(node for version, on in groups.items() if version != most for node in on)
    words = "; ".join(f"{version} on {listed(on)}" for version, on in groups.items())
    return [
        Deviation(
            text=f"versions differ and no upgrade is recorded: {words}",
            nodes=others,
            next_action=f"liftlock upgrade {seen.cluster} RELEASE brings one version everywhere",
        )
    ]


def _configurations_differ(seen: Survey) -> list[Deviation]:
    return [
        Deviation(
            text=f"other configuration on {listed(nodes)} than on {listed(most)}",
            nodes=nodes,
            next_action=f"liftlock upgrade {seen.cluster} RELEASE brings one everywhere",
        )
        for most, *others in seen.configurations
        for nodes in others
    ]


def _unread_facts(seen: Survey) -> list[Deviation]:
    return _grouped(
        seen,
        lambda facts: "; ".join(f"{fact} ({why})" for fact, why in facts.missing) or None,
        lambda nodes, rest: f"could not be read on {listed(nodes)}: {rest}",
        "liftlock doctor {cluster}{nodes}",
    )


def _contradiction(seen: Survey) -> Deviation:
    """The last resort: every fact was read, and together they make no sense."""
    nodes = names(facts for facts in seen.read if not facts.is_finalized) or names(seen.read)
    return Deviation(
        text=f"what was read contradicts itself on {listed(nodes)}",
        nodes=nodes,
        next_action=f"look at the files by hand: liftlock doctor {seen.cluster} "
        f"-n {','.join(nodes)}",
    )


def _grouped(
    seen: Survey,
    what: Callable[[NodeFacts], str | None],
    say: Callable[[tuple[str, ...], str], str],
    action: str,
) -> list[Deviation]:
    """One deviation for all nodes of which `what` says the same; None: not concerned."""
    groups: dict[str, list[NodeFacts]] = {}
    for facts in seen.read:
        if (rest := what(facts)) is not None:
            groups.setdefault(rest, []).append(facts)
    return [
        Deviation(
            text=say(names(nodes), rest),
            nodes=names(nodes),
            next_action=action.format(cluster=seen.cluster, nodes=seen.selector(nodes)),
        )
        for rest, nodes in groups.items()
    ]
