"""What must hold of a version that is there already, to be left alone."""

from backends.node import health
from backends.node.checks_order import Answer, Checks, Order
from backends.node.services import service_of


def _installed(order: Order) -> Answer:
    """Z10: a version that is there already is left alone, after its bytes were looked at."""
    version = order.args["version"]
    selected = order.layout.selected()
    if selected != version:
        return "refused", "%s is selected, not %s" % (selected, version)
    manifest = order.manifest
    if manifest is None or manifest["digest"] != order.args["digest"]:
        return "refused", "what is recorded of %s is other content" % version
    found = order.layout.compare(version, manifest["files"])
    return ("ok" if found.is_whole else "refused"), found.text()


def _serving(order: Order) -> Answer:
    """The version that is there runs, says so itself, and is healthy."""
    service = service_of(order.document, order.places, order.args["version"])
    word, text = service.status()
    if word != "started":
        return "refused", "the service is %s: %s" % (word, text)
    checks = health.run_all(order.document, service)
    failure = health.first_failure(checks)
    if failure is not None:
        return "refused", "%s fails: %s" % (failure.name, failure.evidence)
    return "ok", ", ".join(check.name for check in checks) or "no checks"


CHECKS: Checks = [("installed files", _installed), ("serving", _serving)]
