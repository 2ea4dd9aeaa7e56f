"""`[service]` of a profile, as written: how the product is started and stopped."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from backends.products.profile_fields import Command, EnvironmentName, inside_tree
from backends.products.template import Template, TemplateWord
from backends.settings.fields import Deadline, SafeName, Table, Text
from backends.settings.toml_file import at


class CommandsTable(Table):
    """`[service] commands`, for kind = "command"."""

    start: Command
    """Starts the service; run in the version's tree."""

    stop: Command
    """Stops the service."""

    status: Command | None = None
    """0 is started, anything else stopped; without it, the service's process is looked for."""

    restart: Command | None = None
    """Without it: stop, then start."""


UnitName = Annotated[str, Field(pattern=r"^[A-Za-z0-9:_.@-]{1,200}\.service$")]
TriggerName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9:_.@-]{1,200}\.(socket|timer|path|automount)$")
]

_OWN_KEYS = {
    "control": "control",
    "commands": "command",
    "unit": "systemd",
    "triggers": "systemd",
    "script": "sysv",
}
"""Keys of `[service]` that go with one kind."""

_NEEDED_KEYS = {
    "command": ("commands", "needs start and stop"),
    "systemd": ("unit", "needs it"),
    "sysv": ("script", "needs it"),
}


class ServiceTable(Table):
    """`[service]`"""

    kind: Literal["control", "command", "systemd", "sysv"]
    """Who starts the product: a script of its own, commands, systemd, or a SysV script."""

    control: Annotated[Text, AfterValidator(inside_tree)] | None = None
    """The script in the version's tree: start, stop, status, restart, tail; default "control"."""

    commands: CommandsTable | None = None
    """With `command`, what starts and stops it."""

    unit: UnitName | None = None
    """With `systemd`, the unit's whole name."""

    triggers: tuple[TriggerName, ...] = ()
    """With `systemd`, units that start it by themselves; they are stopped and started with it."""

    script: SafeName | None = None
    """With `sysv`, the script's name in /etc/init.d."""

    definition: Annotated[Text, AfterValidator(inside_tree)] | None = None
    """With `systemd` and `sysv`, the file of the release that becomes the unit or the script."""

    env: dict[EnvironmentName, TemplateWord] = Field(default_factory=dict)
    """For the commands of the service and of the checks; a unit gets what its definition says."""

    pid_file: Template | None = None
    """Relative to the version's tree, or absolute."""

    stop_timeout: Deadline | None = None
    """Until a stopped service has to be seen gone; `stop_timeout` of `[policy]` wins."""

    on_stop_timeout: Literal["abort", "kill"] = "abort"
    """What is done about a service that does not stop: nothing was changed yet."""

    start_timeout: Deadline = 60.0
    """Until a command that starts it has to return."""

    request_timeout: Deadline | None = None
    """For a question to the service; `node_request` of `[policy]` wins."""

    log: Template | None = None
    """"control tail", "journald", a path (relative to the version's tree, or absolute), or
    "none"."""

    @model_validator(mode="after")
    def _fits(self) -> "ServiceTable":
        needed, why = _NEEDED_KEYS.get(self.kind, ("", ""))
        if needed and getattr(self, needed) is None:
            raise at((needed,), f'is missing: kind = "{self.kind}" {why}')
        for key, kind in _OWN_KEYS.items():
            if getattr(self, key) and self.kind != kind:
                raise at((key,), f'goes with kind = "{kind}"')
        if self.definition and self.kind not in ("systemd", "sysv"):
            raise at(("definition",), 'goes with kind = "systemd" or "sysv"')
        for log, kind in (("control tail", "control"), ("journald", "systemd")):
            if self.log == log and self.kind != kind:
                raise at(("log",), f'"{log}" goes with kind = "{kind}"')
        return self
