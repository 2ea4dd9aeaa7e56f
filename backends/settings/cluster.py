"""A cluster: its nodes with everything they inherit, as one immutable value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

from backends.domain.marks import Mark
from backends.settings.cluster_file import (
    Become,
    ClusterFile,
    Connection,
    DefaultsTable,
    HistoryTable,
    NodeTable,
    NotifyTable,
    PolicyTable,
    StagingTable,
    Transport,
)
from backends.settings.toml_file import Mistake, TomlFile, read_toml
from backends.settings.toml_lines import Place

BUILTIN: Mapping[str, Any] = MappingProxyType({"become": "none", "transport": "ssh"})
"""What counts of a connection where neither a node nor `[defaults]` says anything."""


@dataclass(frozen=True, slots=True)
class Node:
    """One machine, with the cluster's defaults already taken over."""

    name: str
    address: str
    role: str = ""
    canary: bool = False
    vars: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    user: str | None = None
    """None: as ssh config says, else who runs this program."""

    become: Become = "none"
    port: int | None = None
    """None: as ssh config says, else 22."""

    jump: str | None = None
    python: str | None = None
    state_dir: str | None = None
    transport: Transport = "ssh"
    excluded: str | None = None
    """Why the node is left out today, or None."""

    pinned: str | None = None
    """Why the node stays today at what it runs, or None."""

    until: date | None = None
    """The last day of the exclusion, or of the pin."""

    said_at: Mapping[str, Place] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )
    """Where in the cluster file what it inherits was said; what nobody said is not in it."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a cluster file says."""

    source: Path
    name: str
    environment: str
    products: tuple[str, ...]
    profile: str | None
    """File or name of the profile, relative to `source`; None: found by the product's name."""

    signatures: str
    """"required" or "optional"."""

    allowed_signers: Path | None
    revoked_keys: Path | None
    known_hosts: Path | None
    ssh_config: Path | None
    operator_state: Path | None
    releases: Path
    """The folder in which the screen looks for releases; it need not exist."""

    nodes: tuple[Node, ...]
    policy: PolicyTable
    """Only what the file says; `backends.products.policy` adds profile and defaults."""

    staging: StagingTable
    """How releases come to the nodes."""

    forbidden: tuple[Mark, ...] = ()
    """Versions that are not to come here."""

    history: HistoryTable = field(default_factory=HistoryTable)
    """How much of the run history is kept."""

    notify: NotifyTable | None = None
    """Whom to tell when a run pauses or ends."""

    notes: tuple[str, ...] = ()
    """What an operator should know about the file although it is valid."""

    lines: Mapping[Place, int] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )
    """Where each key that `source` states stands in it."""

    @property
    def product(self) -> str:
        """The first, usually only, product."""
        return self.products[0]

    def profile_name(self, product: str) -> str:
        """Which profile describes a product: a name or a path relative to `source`."""
        return self.profile or product

    def node(self, name: str) -> Node:
        """The node of that name.

        Raises KeyError.
        """
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)


def load_cluster(path: Path, *, today: date) -> Cluster:
    """Read and resolve a cluster file; nothing is contacted.

    An exclusion counts up to and including its day `until`; one that has lapsed is a note.

    Raises LiftlockError, exit 2: see `read_toml` and `TomlFile.validate`.
    """
    file = read_toml(path)
    written = file.validate(ClusterFile)
    notes: list[str] = []
    nodes = tuple(
        _node(name, table, written.defaults, today, notes) for name, table in written.nodes.items()
    )
    mistakes = [*_without_address(file, written), *_same_machines(file, nodes)]
    if mistakes:
        file.refuse(mistakes)
    cluster = written.cluster
    if cluster.signatures == "required" and cluster.allowed_signers is None:
        notes.append(
            "signatures are required, but allowed_signers names no file: no release will pass"
        )
    return Cluster(
        source=path,
        name=cluster.name,
        environment=cluster.environment,
        products=cluster.products or (cluster.product or "",),
        profile=cluster.profile,
        signatures=cluster.signatures,
        allowed_signers=_beside(path, cluster.allowed_signers),
        revoked_keys=_beside(path, cluster.revoked_keys),
        known_hosts=_beside(path, cluster.known_hosts),
        ssh_config=_beside(path, cluster.ssh_config),
        operator_state=_beside(path, cluster.operator_state),
        releases=path.parent / Path(cluster.releases).expanduser(),
        nodes=nodes,
        policy=written.policy,
        staging=written.staging,
        history=written.history,
        notify=written.notify,
        notes=tuple(notes),
        lines=file.lines,
    )


def select_nodes(
    cluster: Cluster, expression: str | None
) -> tuple[tuple[Node, ...], tuple[str, ...]]:
    """The nodes that `-n n1,role:voter` means, in the cluster's order, and the unknown names.

    None means all nodes. Excluded nodes can be selected; whoever asked decides about them.
    """
    if expression is None:
        return cluster.nodes, ()
    wanted: set[str] = set()
    unknown: dict[str, None] = {}
    for word in filter(None, (each.strip() for each in expression.split(","))):
        kind, colon, role = word.partition(":")
        if colon and kind == "role":
            found = {node.name for node in cluster.nodes if node.role == role}
        else:
            found = {node.name for node in cluster.nodes if node.name == word}
        wanted |= found
        if not found:
            unknown[word] = None
    return tuple(node for node in cluster.nodes if node.name in wanted), tuple(unknown)


def _node(
    name: str, table: NodeTable, defaults: DefaultsTable, today: date, notes: list[str]
) -> Node:
    taken, said_at = _inherited(name, table, defaults)
    excluded, pinned = table.exclude, table.pin
    if (excluded or pinned) and table.until and table.until < today:
        what = "exclusion" if excluded else "pin"
        notes.append(f"{name}: the {what} ({excluded or pinned}) lapsed on {table.until}")
        excluded = pinned = None
    return Node(
        name=name,
        address=table.address or ("local" if taken["transport"] == "local" else name),
        role=table.role or "",
        canary=table.canary,
        vars=MappingProxyType(dict(table.vars)),
        excluded=excluded,
        pinned=pinned,
        until=table.until if excluded or pinned else None,
        said_at=said_at,
        **taken,
    )


def _inherited(
    name: str, table: NodeTable, defaults: DefaultsTable
) -> tuple[dict[str, Any], dict[str, Place]]:
    """How a node is reached: its line, else `[defaults]`, else `BUILTIN`; and who said it."""
    taken: dict[str, Any] = {}
    said_at: dict[str, Place] = {}
    for key in Connection.model_fields:
        taken[key] = BUILTIN.get(key)
        for place, who in ((("nodes", name, key), table), (("defaults", key), defaults)):
            if value := getattr(who, key):
                taken[key], said_at[key] = value, place
                break
    return taken, said_at


def _without_address(file: TomlFile, written: ClusterFile) -> Iterable[Mistake]:
    for name, table in written.nodes.items():
        if not table.address and (table.transport or written.defaults.transport) != "local":
            yield file.mistake(("nodes", name), "address is missing")


def _same_machines(file: TomlFile, nodes: Iterable[Node]) -> Iterable[Mistake]:
    """Two names for one machine would be two drivers on it (promise P12)."""
    machines: dict[tuple[object, ...], list[Node]] = {}
    for node in nodes:
        if node.transport == "local":
            machines.setdefault(("local",), []).append(node)
        else:
            machine = ("ssh", node.address.lower(), node.port or 22, node.jump)
            machines.setdefault(machine, []).append(node)
    for alike in machines.values():
        states = [node.state_dir for node in alike]
        shared = [node for node in alike if not node.state_dir or states.count(node.state_dir) > 1]
        if len(alike) == 1 or not shared:
            continue
        first = alike[0]
        for node in shared[1:] or shared:
            other = next(each.name for each in (first, alike[-1]) if each is not node)
            what = "this machine" if node.transport == "local" else node.address
            text = f"is {what}, as {other} is; each of them needs a state_dir of its own"
            yield file.mistake(("nodes", node.name), text)


def _beside(cluster_file: Path, name: str | None) -> Path | None:
    return cluster_file.parent / Path(name).expanduser() if name else None
