"""The check phase: what must hold of a staged release before anything is switched to it."""

import os
from typing import Any, Dict, Tuple

from backends.node import (
    checks_parse,
    checks_release,
    checks_service,
    configuration,
    fitting,
    images,
    provenance,
)
from backends.node.canonical import files_digest
from backends.node.checks_order import Answer, Checks, Order
from backends.node.places import read_json
from backends.node.services import service_of


def _signature(order: Order) -> Answer:
    version = order.args["version"]
    if order.manifest is None:
        return "refused", "%s is not staged" % version
    return provenance.check(order.places, version, order.manifest)


def _digest(order: Order) -> Answer:
    """What is recorded here as the release's files is what was planned, and nothing else."""
    version, wanted = order.args["version"], order.args["digest"]
    mark = read_json(order.places.stage_mark(version))
    if order.manifest is None or mark is None:
        return "refused", "%s is not staged" % version
    for found in (mark["digest"], files_digest(order.manifest["files"])):
        if found != wanted:
            return "refused", "other content is staged: %s, planned was %s" % (found, wanted)
    return "ok", wanted


def _tree(order: Order) -> Answer:
    """R4: one altered, missing or extra file in the staged tree, and it is refused by name."""
    if order.manifest is None:
        return "refused", "%s is not staged" % order.args["version"]
    found = images.compare(_tree_of(order), order.manifest["files"])
    return ("ok" if found.is_exact else "refused"), found.text()


def _service(order: Order) -> Answer:
    service = service_of(order.document, order.places, order.args["version"])
    return checks_service.check(service, order.layout, _tree_of(order))


def _same(order: Order) -> Answer:
    """O18: another release under the version that is installed is never put over it."""
    version = order.args["version"]
    if order.layout.selected() != version:
        return "ok", "%s is not what is selected now" % version
    marker = read_json(order.places.finalized) or {}
    if marker.get("digest") == order.args["digest"]:
        return "ok", "the same content"
    if not provenance.is_same_release(marker, order.manifest or {}):
        return "refused", "%s is installed with other content" % version
    return "ok", "the same release, with other configuration"


def _fitting(order: Order) -> Answer:
    return fitting.check(order.upgrading, order.args["version"])


def _rehearsal(order: Order) -> Answer:
    """The way back, proven before the way forward: its target is there and whole."""
    version = order.layout.selected()
    if version is None:
        return "ok", "the way back is to remove the product"
    manifest = order.layout.manifest(version)
    if manifest is None:
        return "refused", "nothing is recorded about %s: adopt it first" % version
    found = order.layout.compare(version, manifest["files"])
    if not found.is_whole and (order.places.flat or version == order.args["version"]):
        return "warn", (
            "%s is not what was recorded: %s. The way back is to what lies here now; what is "
            "replaced of it is kept in conflicts when %s is finalized"
            % (version, found.text(), order.args["version"])
        )
    if not found.is_whole:
        return "refused", "%s is not what was recorded: %s" % (version, found.text())
    return "ok", "back to %s: %s" % (version, found.text())


def _configuration(order: Order) -> Answer:
    """Old default, what lies there, new default: a person is told where all three differ."""
    if not order.document["config"]:
        return "ok", "the profile names none"
    decided = order.decided
    return ("warn" if decided.beside else "ok"), configuration.in_words(decided)


def _tree_of(order: Order) -> str:
    staged_tree = order.places.staged_tree(order.args["version"])
    placed = order.places.tree(order.args["version"])
    return staged_tree if os.path.isdir(staged_tree) else placed


def _parse(order: Order) -> Answer:
    version = order.args["version"]
    service = service_of(order.document, order.places, version)
    settings = order.document["check"]
    return checks_parse.check(order.upgrading, service, version, _tree_of(order), settings)


def asked_of_the_operator(
    order: Order,
) -> Tuple[str, Dict[str, Any], Dict[str, str], str]:
    """Directory, settings, environment and working directory of the operator's own checks."""
    places, version = order.places, order.args["version"]
    service = service_of(order.document, places, version)
    settings = order.document["check"]
    environment = dict(
        service.environment(),
        LIFTLOCK_NODE=order.document["values"]["node"],
        LIFTLOCK_PRODUCT=places.product,
        LIFTLOCK_RUN=order.args["run"],
        LIFTLOCK_FROM=order.layout.selected() or "",
        LIFTLOCK_TO=version,
        LIFTLOCK_STAGED=_tree_of(order),
        LIFTLOCK_DIRECTORY=places.directory,
    )
    return service.expand(settings["directory"]), settings, environment, "/"


CHECKS: Checks = [
    ("signature", _signature),
    ("digest", _digest),
    ("staged files", _tree),
    ("architecture", checks_release.architecture),
    ("sequence", checks_release.sequence),
    ("service", _service),
    ("same version, other content", _same),
    ("rename and link", _fitting),
    ("rollback rehearsal", _rehearsal),
    ("configuration", _configuration),
    ("parse", _parse),
]
