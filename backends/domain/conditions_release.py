"""The conditions that are about the release: may it take the place of what each node runs?

Each is one line, none is silent (design.md, section 6).
"""

from backends.domain.conditions import Condition, ConditionState, Target, as_far_as_read
from backends.domain.facts import Fact, Finalized, NodeFacts, is_value
from backends.domain.survey import Survey, are, listed, names

NEWER = "newer than what runs"
"""What a person may set aside, by saying why."""


def same_content(seen: Survey, target: Target) -> Condition:
    """The version that is to be installed is not known on a node with another content."""
    name = "same version, same content"

    def differs(facts: NodeFacts) -> bool:
        final = facts.finalized
        return (
            isinstance(final, Finalized)
            and final.version == target.version
            and bool(final.digest and target.digest)
            and final.digest != target.digest
        )

    other = [facts for facts in seen.read if differs(facts)]
    if other:
        return Condition(
            name,
            ConditionState.REFUSED,
            f"{are(names(other), 'has', 'have')} {target.version} with another digest",
            then="give the release another version",
        )
    return as_far_as_read(seen, name, f"no other {target.version} is finalized")


def path_allowed(seen: Survey, target: Target) -> Condition:
    """The path rule allows to come from what each node runs. Without a rule, any path is.

    A version that does not order is no reason to forbid (design.md, section 4), so no order is
    asked here.
    """
    name = f"path to {target.version}"
    allowed = target.from_versions
    if target.ordering.only_successor:
        skipping = [
            f"{facts.node} is on {facts.version if is_value(facts.version) else 'an unknown one'}"
            for facts in seen.read
            if target.concerns(facts.node)
            and facts.version is not None
            and not _follows(facts.version, target)
        ]
        if skipping:
            return Condition(
                name,
                ConditionState.REFUSED,
                f"no version may be left out, and {listed(skipping)}",
                then="first upgrade to the version before it",
            )
    if allowed is None:
        rule = "each follows directly" if target.ordering.only_successor else "no rule"
        return Condition(name, ConditionState.OK, rule)
    off = [
        f"{facts.node} is on {facts.version if is_value(facts.version) else 'an unknown version'}"
        for facts in seen.read
        if target.concerns(facts.node)
        and facts.version is not None
        and not (is_value(facts.version) and facts.version in (*allowed, target.version))
    ]
    if off:
        return Condition(
            name,
            ConditionState.REFUSED,
            listed(off),
            then=f"first upgrade to one of: {listed(allowed)}" if allowed else "",
        )
    return Condition(name, ConditionState.OK, f"allowed from {listed(allowed)}")


def _follows(version: Fact, target: Target) -> bool:
    if not is_value(version):
        return False
    return version == target.version or target.ordering.is_successor(version, target.version)


def not_expired(target: Target) -> Condition:
    """The release may still be begun with (TUF's freeze attack)."""
    name = "release not expired"
    if not target.expires:
        return Condition(name, ConditionState.OK, "never expires")
    if target.now >= target.expires:
        return Condition(
            name,
            ConditionState.REFUSED,
            f"expired at {target.expires}",
            then="get a newer release, or one whose time was extended",
        )
    return Condition(name, ConditionState.OK, f"until {target.expires}")


def newer(seen: Survey, target: Target) -> Condition:
    """The release is newer than what each node runs (R5); an older one is wanted by word.

    A version that does not order is no reason to forbid (design.md, section 4).
    """
    name = NEWER
    older, unordered = [], []
    for facts in seen.read:
        if not target.concerns(facts.node) or not is_value(facts.version):
            continue
        found = target.ordering.compare(target.version, facts.version)
        if found is not None and found < 0:
            older.append(f"{facts.node} runs {facts.version}")
        elif found is None and facts.version != target.version:
            unordered.append(f"{facts.node} runs {facts.version}")
    if older and not target.downgrade:
        return Condition(
            name,
            ConditionState.REFUSED,
            f"{target.version} is older: {listed(older)}",
            then="if that is meant, say why: --downgrade REASON",
        )
    if older:
        text = f"DOWNGRADE to {target.version}: {listed(older)}; because: {target.downgrade}"
        return Condition(name, ConditionState.WARN, text)
    if unordered:
        text = f"{target.version} does not order with what runs: {listed(unordered)}"
        return Condition(name, ConditionState.WARN, text)
    return as_far_as_read(seen, name, f"{target.version} is")
