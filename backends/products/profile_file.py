"""The keys of a profile, as written (design.md, sections 5 and 7). `profile.py` resolves them.

Every key in here does something; what is not implemented is refused as unknown.
"""

from itertools import permutations
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import AfterValidator, Field, model_validator

from backends.domain.after import EVERY_STEP
from backends.domain.values import BUILT_IN
from backends.node.expand import expand
from backends.node.keeping import kept, ours
from backends.products.profile_facts import FactsTable, FactTable, LeaderTable
from backends.products.profile_fields import (
    Command,
    EnvironmentName,
    FieldName,
    Url,
    absolute,
    address_text,
    directory_text,
    fetched_url,
    inside_tree,
    kept_name,
)
from backends.products.template import Template, TemplateWord
from backends.settings.fields import Count, Deadline, SafeName, Table, Text
from backends.settings.toml_file import at


class ProductTable(Table):
    """`[product]`"""

    name: SafeName
    layout: Literal["versions", "overlay", "swap"] = "versions"
    directory: Annotated[Text, AfterValidator(directory_text)]
    """Absolute. With `versions` they lie in it: `<directory>/<version>/`; else it holds the one
    that is installed."""

    pointer: Literal[".version", "current"] | None = None
    """With `versions`, what says which one the next start runs: a file with its name, or a link
    to it; default ".version"."""

    directories: tuple[Annotated[Text, AfterValidator(inside_tree)], ...] = ()
    """With `swap`, the directories inside `directory` that are exchanged, all or none; default:
    `directory` itself."""

    keep: tuple[Annotated[Text, AfterValidator(kept_name)], ...] = ()
    """Files that live on across versions, as globs: a name in any directory, or a path."""

    config: tuple[Annotated[Text, AfterValidator(kept_name)], ...] = ()
    """Configuration files, as globs like `keep`: what nobody edited is replaced by the new
    default; what was edited stays, with a new default beside it where that has changed, too."""

    owner: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?$")] | None = None
    """`user` or `user:group` of the installed files; default: of what they replace (`overlay`),
    else who Liftlock is on the node."""

    version_order: Literal["debian", "semver", "integer", "sequence"] = "debian"
    sequence: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    """All versions, oldest first, for version_order = "sequence"."""

    path: Literal["any", "successor"] = "any"
    """From which version to which: "successor" leaves none out, of the sequence or the numbers."""

    roles: tuple[SafeName, ...] = ()
    """The order in which roles are upgraded; roles not named come after them."""

    @model_validator(mode="after")
    def _fits(self) -> "ProductTable":
        if (self.version_order == "sequence") != (self.sequence is not None):
            raise at(("sequence",), 'and version_order = "sequence" go together')
        if self.sequence and len(set(self.sequence)) != len(self.sequence):
            raise at(("sequence",), "names a version twice")
        if self.path == "successor" and self.version_order not in ("sequence", "integer"):
            raise at(("path",), '"successor" needs version_order = "sequence" or "integer"')
        if len(set(self.roles)) != len(self.roles):
            raise at(("roles",), "names a role twice")
        self._keys_of_its_layout()
        return self

    def _keys_of_its_layout(self) -> None:
        if self.pointer is not None and self.layout != "versions":
            raise at(("pointer",), 'goes with layout = "versions"')
        if self.directories and self.layout != "swap":
            raise at(("directories",), 'goes with layout = "swap"')
        for one, other in permutations(self.directories, 2):
            if f"{one}/".startswith(f"{other}/"):
                raise at(("directories",), f"{one} lies in {other}")


class CommandsTable(Table):
    """`[service] commands`, for kind = "command"."""

    start: Command
    stop: Command
    status: Command | None = None
    """0 is started, anything else stopped; without it, the service's process is looked for."""

    restart: Command | None = None


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
    control: Annotated[Text, AfterValidator(inside_tree)] | None = None
    """The script in the version's tree: start, stop, status, restart, tail; default "control"."""

    commands: CommandsTable | None = None
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
    on_stop_timeout: Literal["abort", "kill"] = "abort"
    """What is done about a service that does not stop: nothing was changed yet."""

    start_timeout: Deadline = 60.0
    request_timeout: Deadline | None = None
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


_ONLY = {
    "http": ("url", "status", "version_field"),
    "command": ("command",),
    "tcp": ("address",),
    "status_file": ("path", "package"),
}
_NEEDED = {"http": "url", "command": "command", "tcp": "address", "status_file": "path"}


class HealthTable(Table):
    """One `[[health]]`"""

    kind: Literal["control", "command", "http", "tcp", "version", "status_file"]
    name: SafeName | None = None
    """Default: the kind and a number, such as http-1."""

    level: Literal["hard", "soft"] = "hard"
    timeout: Deadline = 5.0
    url: Url | None = None
    status: Annotated[Count, Field(ge=100, le=599)] | None = None
    """The answer's HTTP status; default 200."""

    version_field: FieldName | None = None
    """A field of the JSON answer that must equal the version."""

    command: Command | None = None
    """0 is healthy; run in the version's tree."""

    address: Annotated[Template, AfterValidator(address_text)] | None = None
    """With `tcp`, host:port; whoever takes a connection there is healthy."""

    path: Annotated[Template, AfterValidator(absolute)] | None = None
    """With `status_file`, what the new version writes once it works, as BindPlane's does."""

    package: Template | None = None
    """With `status_file`, the package's name in it; default: the product's."""

    @model_validator(mode="after")
    def _keys_of_its_kind(self) -> "HealthTable":
        for kind, keys in _ONLY.items():
            for key in keys:
                if self.kind != kind and getattr(self, key) is not None:
                    raise at((key,), f'goes with kind = "{kind}"')
        needed = _NEEDED.get(self.kind)
        if needed and getattr(self, needed) is None:
            raise at((needed,), f'is missing: kind = "{self.kind}" needs it')
        return self


class HookTable(Table):
    """One `[[hooks]]`: a command of the product's own, run on the node at a moment."""

    name: SafeName
    when: Literal["before_stop", "after_stop", "before_start", "after_start", "before_finalize"]
    command: Command
    """0 is well, 21 not now (it is asked again until its time is over), anything else undoes the
    upgrade. Run in the tree of the old version before and after its stop, else of the new one."""

    undo: Command | None = None
    """What takes it back, also when nobody is there. Both may be run twice."""

    timeout: Deadline = 60.0


class CheckTable(Table):
    """`[check]`: what the product and the operator have to say about a staged release."""

    parse: Command | None = None
    """0: the product can run what is staged, with the files that live on. Run in a tree of both,
    before the running version is touched."""

    directory: Annotated[Template, AfterValidator(absolute)] | None = None
    """Executables on the node, run in lexical order. 0 passes, 1 to 31 fail (21: ask again
    later), 32 to 63 warn."""

    timeout: Deadline = 20.0
    """For each."""

    contract: Literal["exit", "nagios"] = "exit"
    """What the exit codes of the operator's mean; "nagios": 0 ok, 1 warning, 2 critical,
    3 unknown."""


class ConfigurationTable(Table):
    """One `[[configuration]]`: a file from elsewhere, which wins over the packaged one."""

    path: Annotated[Text, AfterValidator(inside_tree)]
    """Its place in the version's tree."""

    url: Annotated[Text, AfterValidator(fetched_url)]
    """Where it lies: fetched by Liftlock, not by the nodes, with each release that is opened."""

    def url_of(self, version: str) -> str:
        """Where it lies for a version, which is a safe name."""
        return expand(self.url, {"version": quote(version, safe="")})


class DataTable(Table):
    """`[data]`: what the product keeps, and what becomes of it when a node goes back."""

    directories: tuple[Annotated[Template, AfterValidator(absolute)], ...] = ()
    """Copied while the service is stopped, kept until the upgrade is finalized."""

    old_can_read: Command | None = None
    """0: the old version can read the data as it is now; asked before newer data is kept."""

    timeout: Deadline = 60.0
    """For `old_can_read`."""

    unattended: Literal["keep", "restore"] = "keep"
    """What a node does that goes back by itself."""

    @model_validator(mode="after")
    def _apart(self) -> "DataTable":
        for one, other in permutations(self.directories, 2):
            if f"{one}/".startswith(f"{other}/"):
                raise at(("directories",), f"{one} lies in {other}")
        return self


class FinalizeTable(Table):
    """`[finalize]`"""

    after: tuple[Text, ...] = ()
    """What a person has to do once it is final everywhere; each is ticked, and kept."""

    @model_validator(mode="after")
    def _apart(self) -> "FinalizeTable":
        if len(set(self.after)) != len(self.after):
            raise at(("after",), "names a step twice")
        if EVERY_STEP in self.after:
            raise at(("after",), f'"{EVERY_STEP}" stands for all of them')
        return self


class LimitsTable(Table):
    """`[limits]`: each key overrides the defaults; a cluster's `[policy]` overrides it."""

    healthy_deadline: Deadline | None = None
    min_healthy: Deadline | None = None
    accept_window: Deadline | None = None
    health_poll: Deadline | None = None
    max_restarts: Count | None = None
    max_flaps: Count | None = None
    install_step: Deadline | None = None


class ProfileFile(Table):
    """A whole profile."""

    minimum: dict[SafeName, Annotated[int, Field(ge=1)] | Literal["majority"]] = Field(
        default_factory=dict
    )
    """How many nodes of a role (`all`: of the cluster) must go on serving while others are
    changed: a number, or "majority"."""

    product: ProductTable
    service: ServiceTable
    health: tuple[HealthTable, ...] = ()
    check: CheckTable = CheckTable()
    configuration: tuple[ConfigurationTable, ...] = ()
    hooks: tuple[HookTable, ...] = ()
    data: DataTable = DataTable()
    facts: FactsTable = FactsTable()
    leader: LeaderTable | None = None
    values: dict[SafeName, FactTable] = Field(default_factory=dict)
    """Each is what `liftlock value` reads under its name, on the node."""

    finalize: FinalizeTable = FinalizeTable()
    limits: LimitsTable = LimitsTable()

    @model_validator(mode="after")
    def _checks_fit(self) -> "ProfileFile":
        seen: set[str] = set()
        has_version = self.facts.version is not None or any(
            check.version_field for check in self.health
        )
        for index, check in enumerate(self.health):
            if check.name in seen:
                raise at(("health", index, "name"), f"there are two checks {check.name}")
            seen |= {check.name} if check.name else set()
            if check.kind == "version" and not has_version:
                raise at(
                    ("health", index, "kind"),
                    '"version" needs [facts] version or a check with version_field',
                )
        for name in BUILT_IN.intersection(self.values):
            raise at(("values", name), "is read of every product already; choose another name")
        is_kept = kept(list(self.product.keep))
        for index, each in enumerate(self.configuration):
            if any(other.path == each.path for other in self.configuration[:index]):
                raise at(("configuration", index, "path"), f"there are two of {each.path}")
            if ours(each.path):
                raise at(("configuration", index, "path"), "is a name of Liftlock's own")
            if is_kept(each.path):
                text = "is on the keep-list: what lies there always stays"
                raise at(("configuration", index, "path"), text)
        names = [hook.name for hook in self.hooks]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise at(("hooks", index, "name"), f"there are two hooks {name}")
        if self.product.layout != "versions" and not has_version:
            raise at(
                ("product", "layout"),
                f'"{self.product.layout}" needs [facts] version or a check with version_field: '
                "no directory's name tells which version runs",
            )
        return self
