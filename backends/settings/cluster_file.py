"""The keys of a cluster file, as written (design.md, section 7). `cluster.py` resolves them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from backends.settings.fields import (
    Age,
    Count,
    Day,
    Deadline,
    Flag,
    Port,
    Rate,
    SafeName,
    Size,
    Table,
    Text,
    Variable,
    VariableName,
)
from backends.settings.toml_file import at

User = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.@\\+-]{0,99}\$?$")]
Address = Annotated[str, Field(pattern=r"^[A-Za-z0-9_:\[][A-Za-z0-9_.:%\[\]-]{0,254}$")]
"""A name or an IP address; never something that could be read as an option."""

Jump = Annotated[str, Field(pattern=r"^[A-Za-z0-9_\[][A-Za-z0-9_.:@%,\[\]\\+-]{0,254}$")]
"""`[user@]address[:port]`, several with commas between, as ProxyJump in ssh_config."""

Interpreter = Annotated[str, Field(pattern=r"^[A-Za-z0-9_/][A-Za-z0-9_./+-]{0,254}$")]
Directory = Annotated[str, Field(pattern=r"^/([A-Za-z0-9_.+@ -]+/?)*$")]
"""An absolute path on the node."""

Mirror = Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.:\[\]-]{1,255}(/[!-~]{0,1000})?$")]
"""An address of HTTP. It holds no password: what is fetched is held against the release."""

Width = Annotated[Count, Field(ge=1)]
"""How many at once."""

Become = Literal["none", "sudo", "sudo-password"]
Transport = Literal["ssh", "local"]


class ClusterTable(Table):
    """`[cluster]`"""

    name: SafeName
    """What the cluster is called: on the screen, in journals, and typed before a finalize."""

    environment: SafeName = "test"
    """The badge on the screen; finalize in "production" needs the version typed."""

    product: SafeName | None = None
    """What runs here; its profile says how it is installed."""

    products: Annotated[tuple[SafeName, ...], Field(min_length=1)] | None = None
    """Instead of `product`, where several run here; each command is about one of them."""

    profile: Text | None = None
    """File or name of the product's profile; without it, the product's name is looked for."""

    signatures: Literal["required", "optional"] = "required"
    """"required": only releases that somebody signed who is in `allowed_signers`."""

    allowed_signers: Text | None = None
    """Who may sign releases: a file as in ssh-keygen(1)."""

    revoked_keys: Text | None = None
    """Keys whose signatures no longer count: a public key or SHA256: fingerprint a line."""

    known_hosts: Text | None = None
    """The only file of host keys that counts for this cluster; without it: as ssh config says."""

    ssh_config: Text | None = None
    """Read instead of the operator's own ~/.ssh/config, as `ssh -F` does."""

    operator_state: Text | None = None
    """Where run history and locks are kept instead of in the operator's own state directory."""

    releases: Text = "releases"
    """The folder in which the screen looks for releases."""

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> "ClusterTable":
        if self.product and self.products:
            raise at(("products",), "give product or products, not both")
        if not self.product and not self.products:
            raise at(("product",), "is missing: what runs on this cluster?")
        if self.profile and self.products:
            raise at(("profile",), "goes with product; of several products each is found by name")
        if self.products and len(set(self.products)) != len(self.products):
            raise at(("products",), "names a product twice")
        return self


class Connection(Table):
    """What `[defaults]` may say for all nodes and a node for itself."""

    user: User | None = None
    """Who logs in; without it: as ssh config says, else who runs this program."""

    become: Become | None = None
    """Whether the updater runs as root by sudo; "sudo-password" where it asks for one."""

    port: Port | None = None
    """Of SSH; without it: as ssh config says, else 22."""

    jump: Jump | None = None
    """Gateways on the way, as in "ops@bastion"; several with commas between."""

    python: Interpreter | None = None
    """The interpreter on the node; without it, the usual places are searched."""

    state_dir: Directory | None = None
    """Where the updater keeps its state on the node; default: for root /var/lib/liftlock, else
    ~/.local/state/liftlock."""

    transport: Transport | None = None
    """"local": this machine itself, without SSH."""

    @model_validator(mode="after")
    def _state_dir_stays(self) -> "Connection":
        if self.state_dir and ".." in self.state_dir.split("/"):
            raise at(("state_dir",), "must not contain ..")
        return self


class DefaultsTable(Connection):
    """`[defaults]`"""


class NodeTable(Connection):
    """One line of `[nodes]`"""

    address: Address | None = None
    """A name or an IP address; needed unless transport = "local"."""

    role: SafeName | None = None
    """What `-n role:X` means, and what the profile's `roles` puts in an order."""

    canary: Flag = False
    """Whether it is upgraded before the others of its role."""

    vars: dict[VariableName, Variable] = Field(default_factory=dict)
    """The values of {vars.X} in the profile."""

    exclude: Text | None = None
    """Why the node is left out."""

    pin: Text | None = None
    """Why the node stays at what it runs; it is read and shown."""

    until: Day | None = None
    """The last day on which `exclude` or `pin` counts."""

    @model_validator(mode="after")
    def _until_needs_a_reason(self) -> "NodeTable":
        if self.until and not (self.exclude or self.pin):
            raise at(("until",), 'goes with exclude = "the reason", or with pin')
        if self.exclude and self.pin:
            raise at(("pin",), "goes without exclude: what is left out is not read")
        return self


class PolicyTable(Table):
    """`[policy]`: each key overrides the profile's `[limits]` and the defaults."""

    batch: Width | None = None
    """So many nodes are installed at once."""

    pause: Literal["first", "all", "none", "after_role"] | None = None
    """When a person is waited for between two nodes."""

    accept: Literal["auto", "manual"] | None = None
    """Who accepts a healthy node: "auto" this program, "manual" a person."""

    if_operator_vanishes: Literal["rollback", "hold", "keep_if_healthy"] | None = None
    """What a node does when `accept_window` ends and nobody has accepted."""

    on_failure: Literal["rollback", "hold"] | None = None
    """What a node does when a hard check fails."""

    second_layer: Literal["auto", "none"] | None = None
    """What takes up a dead updater's work: "auto" is systemd, else cron, else nothing."""

    accept_window: Deadline | None = None
    """After the start, until the node decides by itself; above `healthy_deadline`."""

    min_healthy: Deadline | None = None
    """So long without a failure, then a node counts as healthy."""

    healthy_deadline: Deadline | None = None
    """After the start, until a node has to be healthy."""

    health_poll: Deadline | None = None
    """From one look at its health to the next."""

    connect: Deadline | None = None
    """For connection and login together."""

    node_request: Deadline | None = None
    """For a question to the service, on the node; below `operator_request`."""

    operator_request: Deadline | None = None
    """For a question to the node, here."""

    stop_timeout: Deadline | None = None
    """Until a stopped service has to be seen gone."""

    install_step: Deadline | None = None
    """The longest that one step of an installation may take."""

    verify_every: Deadline | None = None
    """So often whoever watches has every byte of what runs read again."""

    max_restarts: Count | None = None
    """More than so many are a failure."""

    max_flaps: Count | None = None
    """More changes between healthy and failing than so many are a failure."""

    max_failed: Count | None = None
    """The run stops when so many nodes have failed; 0 and 1 both mean: at the first."""

    max_unreachable: Count | None = None
    """As `max_failed`, for nodes that could not be reached."""

    max_timed_out: Count | None = None
    """As `max_failed`, for nodes that did not come to an end in time."""

    max_refused: Count | None = None
    """As `max_failed`, for nodes that a check refused."""

    uploads: Width | None = None
    """To so many nodes at once."""

    uploads_per_gateway: Width | None = None
    """To so many nodes behind one gateway at once."""

    handshakes: Width | None = None
    """So many logins at once."""

    handshakes_per_gateway: Width | None = None
    """So many logins at once through one gateway."""


class StagingTable(Table):
    """`[staging]`: how releases come to the nodes."""

    how: Literal["push", "pull", "present"] = "push"
    """Who moves the bytes: "push" this program, "pull" each node, "present" nobody."""

    url: Mirror | None = None
    """For pull: each node gets {url}/{arch}/{name}-{version}.tar.gz, arch as in linux_amd64."""

    directory: Directory | None = None
    """For present: where {name}-{version}.tar.gz lies on each node."""

    rate: Rate | None = None
    """For push: bytes a second to all nodes together, as in "20 MB"."""

    @model_validator(mode="after")
    def _what_goes_together(self) -> "StagingTable":
        for key, how in (("url", "pull"), ("directory", "present"), ("rate", "push")):
            if getattr(self, key) is not None and self.how != how:
                raise at((key,), f'goes with how = "{how}"')
        if self.how == "pull" and self.url is None:
            raise at(("url",), 'is missing: how = "pull" needs the mirror\'s address')
        if self.how == "present" and self.directory is None:
            raise at(("directory",), 'is missing: how = "present" needs the place on the nodes')
        return self


class HistoryTable(Table):
    """`[history]`: how much of this cluster's run history is kept on the workstation."""

    keep: Age = 365 * 86400.0
    """How long after its end a run is kept, as in "60 d"."""

    keep_bytes: Size = 200_000_000
    """Of all its runs together, as in "200 MB"; the oldest are forgotten first."""


class NotifyTable(Table):
    """`[notify]`: whom to tell when a run pauses or ends."""

    command: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Run here, with LIFTLOCK_RUN, LIFTLOCK_STATE and others; JSON on its standard input."""

    timeout: Deadline = 20.0
    """For it."""


class ClusterFile(Table):
    """A whole cluster file."""

    cluster: ClusterTable
    """What the cluster is, and who may sign for it."""

    defaults: DefaultsTable = DefaultsTable()
    """How nodes are reached that say nothing else for themselves."""

    nodes: dict[SafeName, NodeTable]
    """The nodes, a line each: NAME = { address = ... }."""

    policy: PolicyTable = PolicyTable()
    """How an upgrade proceeds, and what stops it."""

    staging: StagingTable = StagingTable()
    """How releases come to the nodes."""

    history: HistoryTable = HistoryTable()
    """How much of the run history is kept."""

    notify: NotifyTable | None = None
    """Whom to tell when a run pauses or ends."""

    @model_validator(mode="after")
    def _nodes_fit_together(self) -> "ClusterFile":
        if not self.nodes:
            raise at(("nodes",), "has no node")
        return self
