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
from backends.products.profile_facts import (
    ClusterCheckTable,
    FactsTable,
    FactTable,
    LeaderTable,
    NoReturnTable,
)
from backends.products.profile_fields import (
    Command,
    FieldName,
    Url,
    absolute,
    address_text,
    directory_text,
    fetched_url,
    inside_tree,
    kept_name,
)
from backends.products.profile_service import ServiceTable
from backends.products.template import Template
from backends.settings.fields import Count, Deadline, SafeName, Table, Text
from backends.settings.toml_file import at


class ProductTable(Table):
    """`[product]`"""

    name: SafeName
    """What a cluster file's `product` means; also the name in each release."""

    layout: Literal["versions", "overlay", "swap"] = "versions"
    """How its versions lie on a node: side by side, or flat in one directory."""

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
    """How two versions are held against each other."""

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
    """How it is asked."""

    name: SafeName | None = None
    """Default: the kind and a number, such as http-1."""

    level: Literal["hard", "soft"] = "hard"
    """"hard": a failure takes the node back; "soft": a person is asked."""

    timeout: Deadline = 5.0
    """For one look."""

    url: Url | None = None
    """With `http`, what is asked on the node."""

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
    """What it is called in plans and journals."""

    when: Literal["before_stop", "after_stop", "before_start", "after_start", "before_finalize"]
    """The moment at which it is run."""

    command: Command
    """0 is well, 21 not now (it is asked again until its time is over), anything else undoes the
    upgrade. Run in the tree of the old version before and after its stop, else of the new one."""

    undo: Command | None = None
    """What takes it back, also when nobody is there. Both may be run twice."""

    timeout: Deadline = 60.0
    """For it and for its undo, each."""


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
    """After the start, until a node has to be healthy."""

    min_healthy: Deadline | None = None
    """So long without a failure, then a node counts as healthy."""

    accept_window: Deadline | None = None
    """After the start, until the node decides by itself."""

    health_poll: Deadline | None = None
    """From one look at its health to the next."""

    max_restarts: Count | None = None
    """More restarts in the trial than so many are a failure."""

    max_flaps: Count | None = None
    """More changes between healthy and failing than so many are a failure."""

    install_step: Deadline | None = None
    """The longest that one step of an installation may take."""


class ProfileFile(Table):
    """A whole profile."""

    minimum: dict[SafeName, Annotated[int, Field(ge=1)] | Literal["majority"]] = Field(
        default_factory=dict
    )
    """How many nodes of a role (`all`: of the cluster) must go on serving while others are
    changed: a number, or "majority"."""

    product: ProductTable
    """What the product is, and where it lies on a node."""

    service: ServiceTable
    """How it is started and stopped."""

    health: tuple[HealthTable, ...] = ()
    """How it is judged; all of them together. Without any, the service itself is asked."""

    check: CheckTable = CheckTable()
    """What is asked about a staged release before anything is stopped."""

    configuration: tuple[ConfigurationTable, ...] = ()
    """Files that come from elsewhere than from the release."""

    hooks: tuple[HookTable, ...] = ()
    """Commands of the product's own at given moments of an upgrade."""

    data: DataTable = DataTable()
    """What the product keeps, and what becomes of it when a node goes back."""

    facts: FactsTable = FactsTable()
    """How the product's own word is read."""
    cluster_health: tuple[ClusterCheckTable, ...] = ()
    """What has to hold of the whole cluster, at every gate and after the last accept."""

    no_return: NoReturnTable | None = None
    """From where on an upgrade cannot be taken back."""

    leader: LeaderTable | None = None
    """Which node leads the others."""

    values: dict[SafeName, FactTable] = Field(default_factory=dict)
    """Each is what `liftlock value` reads under its name, on the node."""

    finalize: FinalizeTable = FinalizeTable()
    """What belongs to a finalize."""

    limits: LimitsTable = LimitsTable()
    """Waiting times and widths that this product needs."""

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
