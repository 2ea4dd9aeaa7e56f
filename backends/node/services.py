"""Which kind of service a product has."""

from typing import Any, Dict, Type

from backends.node.places import Places
from backends.node.service import Service
from backends.node.service_scripts import CommandService, ControlService, SysvService
from backends.node.service_systemd import SystemdService

_KINDS: Dict[str, Type[Service]] = {
    "control": ControlService,
    "command": CommandService,
    "sysv": SysvService,
    "systemd": SystemdService,
}


def service_of(document: Dict[str, Any], places: Places, version: str) -> Service:
    """The service of one version, as the profile says how it is started."""
    return _KINDS[document["service"]["kind"]](document, places, version)
