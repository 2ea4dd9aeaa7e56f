"""The conditions that are about the release: may it take the place of what each node runs?

Each is one line, none is silent (design.md, section 6).
"""

from backends.domain.conditions import Condition, ConditionState, Target, as_far_as_read
from backends.domain.facts import Fact, Finalized, NodeFacts, is_value, same
from backends.domain.survey import Survey, are, listed, names

NEWER = "newer than what runs"
"""What a person may set aside, by saying why."""


def same_content(seen: Survey, target: Target) -> Condition:
    """The version that is to be installed is no other release on any node.

    The same release with other configuration may take its place.
    """
    name = "same version, same content"

    def differs(facts: NodeFacts) -> bool:
        final = facts.finalized
        return (
            isinstance(final, Finalized)
            and final.version == target.version
            and bool(final.digest and target.digest)
            and final.digest != target.digest
            and not final.is_same_release(target.version, target.packaged)
        )

    other = [facts for facts in seen.read if differs(facts)]
    if other:
        return Condition(
            name,
            ConditionState.REFUSED,
            f"{are(names(other), 'has', 'have')} {target.version} with another digest",
            then="give the release another version",
        )
    anew = [
        facts.node
        for facts in seen.read
        if target.concerns(facts.node)
        and same(facts.final_version, target.version)
        and bool(facts.digest and target.digest)
        and facts.digest != target.digest
    ]
    if anew:
        text = f"{are(anew, 'gets', 'get')} other configuration of the same release"
        return as_far_as_read(seen, name, text)
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
    older, unordered, equal = [], [], []
    concerned = [facts for facts in seen.read if target.concerns(facts.node)]
    versions = {facts.node: facts.version for facts in concerned if is_value(facts.version)}
    for node, version in versions.items():
        found = target.ordering.compare(target.version, version)
        if found is not None and found < 0:
            older.append(f"{node} runs {version}")
        elif version == target.version:
            equal.append(node)
        elif found is None:
            unordered.append(f"{node} runs {version}")
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
    words = [] if equal and len(equal) == len(versions) else [f"{target.version} is"]
    words += [f"the same version on {listed(equal)}"] if equal else []
    return as_far_as_read(seen, name, "; ".join(words))
