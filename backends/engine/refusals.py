"""What makes an upgrade impossible whatever a gate says: told before anything is changed."""

from collections.abc import Sequence

from backends.domain.facts import NodeReading
from backends.domain.marks import Mark
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.releases.read import Release


def refuse_other_product(release: Release, product: str) -> None:
    """A release of another product is never put in this one's place.

    Raises:
        LiftlockError: `release-other-product`, exit 4.
    """
    name = release.manifest.name
    if name != product:
        raise LiftlockError(
            Problem(
                "release-other-product",
                f"This is a release of {name}, the cluster runs {product}.",
                str(release.tarball),
                "Name a release of that product, or another cluster.",
            ),
            Exit.REFUSED,
        )


def refuse_forbidden(release: Release, nodes: Sequence[str], forbidden: Sequence[Mark]) -> None:
    """A version that somebody has forbidden does not come to these nodes.

    Raises:
        LiftlockError: `version-forbidden`, exit 4.
    """
    version = release.manifest.version
    found = [
        mark for mark in forbidden if mark.version == version and (mark.node or nodes[0]) in nodes
    ]
    if found:
        raise LiftlockError(
            Problem(
                "version-forbidden",
                f"{version} is forbidden here.",
                "\n".join(f"{mark.node or 'every node'}: {mark}" for mark in found),
                "Nothing was changed. Take another version, leave the node out with -n, or lift "
                "the mark: liftlock include.",
            ),
            Exit.REFUSED,
        )


def refuse_other_configuration(
    readings: Sequence[NodeReading], release: Release, called: str
) -> None:
    """What was begun with other configuration is not taken up with this one.

    Raises:
        LiftlockError: `configuration-changed`, exit 4.
    """
    version, packaged = release.manifest.version, release.packaged
    for reading in readings:
        counts = reading.read and reading.left_out is None
        begun = reading.facts.transaction if counts and reading.facts else None
        if begun is None or (begun.to_version, begun.to_packaged) != (version, packaged):
            continue
        if begun.to_digest != release.digest:
            raise LiftlockError(
                Problem(
                    "configuration-changed",
                    f"Run {begun.run} has begun {version} with other configuration than now.",
                    "\n".join(
                        [f"open on {reading.name}, begun by {begun.operator}"]
                        + [f"now: {each.path} from {each.url}" for each in release.fetched]
                    ),
                    "Nothing was changed. Put the configuration that it began with back at its "
                    f"address, then start again; or take it back: liftlock rollback {called}.",
                ),
                Exit.REFUSED,
            )


def problem_of_refusal(gate_name: str, lines: Sequence[str]) -> Problem:
    """A gate that is shut, as a problem: every condition that keeps it shut."""
    return Problem(
        "gate-shut",
        f"The gate {gate_name} is shut.",
        "\n".join(lines),
        "Nothing was changed. Settle what is named, then start again.",
    )
