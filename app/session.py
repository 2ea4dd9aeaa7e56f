"""From a cluster file to something that can be asked and driven. Nothing is contacted here."""

import asyncio
import getpass
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from app.wiring import Links, Ways
from backends.domain.marks import Mark, MarkKind
from backends.domain.policy import Limits, Policy
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.staging import PUSHED, How, Staging
from backends.engine.answer import Subject
from backends.engine.contact import Contact
from backends.products.node_document import node_document
from backends.products.policy import effective_policy
from backends.products.profile import Profile, load_cluster_profile
from backends.settings.cluster import Cluster, Node, load_cluster, select_nodes
from backends.settings.find import find_cluster
from backends.settings.locations import config_dir, ensure_private, state_dir
from backends.store.book import Book
from backends.store.marks import Marks
from backends.transport.payload import Payload, pack
from backends.transport.prompt import Nobody, Prompt


@dataclass(frozen=True, slots=True)
class Session:
    """One cluster and product, ready to be asked."""

    name: str
    """What an operator types to mean this cluster again."""

    cluster: Cluster
    profile: Profile
    policy: Policy
    limits: Limits
    payload: Payload
    operator: str
    contacts: Mapping[str, Contact]
    """Every node that is not excluded, in the order of the cluster file."""

    subjects: Mapping[str, Subject]
    """Every node, excluded ones, too."""

    chosen: tuple[str, ...]
    """The nodes that are to be shown or acted upon; the verdict is about all."""

    unknown: tuple[str, ...]
    """Names that were asked for and are no node."""

    ways: Ways
    staging: Staging = PUSHED
    """How releases come to the nodes."""

    @property
    def chosen_contacts(self) -> dict[str, Contact]:
        """The contacts of the chosen nodes."""
        return {name: self.contacts[name] for name in self.chosen if name in self.contacts}

    @property
    def state_dir(self) -> Path:
        """Where the operator's run history and locks for this cluster are."""
        return operator_state(self.cluster)

    async def close(self) -> None:
        """Give all connections back."""
        await asyncio.gather(*(contact.close() for contact in self.contacts.values()))
        await self.ways.close()


def open_session(
    argument: str | None,
    *,
    selection: str | None = None,
    product: str | None = None,
    prompt: Prompt | None = None,
    links: Links | None = None,
) -> Session:
    """Read the cluster file and the profile; prepare a contact for every node.

    `prompt` asks a person for passwords; without it, what needs one is refused. `links` are those
    of simulated nodes.

    Raises:
        LiftlockError: The files are missing or wrong (exit 2).
    """
    cluster = read_cluster(argument)
    profile = load_cluster_profile(cluster, product, config_dir=config_dir())
    policy, limits = effective_policy(cluster, profile)
    chosen, unknown = select_nodes(cluster, selection)
    if not chosen:
        raise LiftlockError(
            Problem(
                "node-unknown",
                f"No node of {cluster.name} is meant by {selection}.",
                ", ".join(unknown),
                f"Nodes: {', '.join(node.name for node in cluster.nodes)}",
            ),
            Exit.USAGE,
        )
    payload = pack()
    operator = f"{getpass.getuser()}@{socket.gethostname()}"
    subjects = {node.name: _subject(profile, node, limits) for node in cluster.nodes}
    _refuse_shared_directories(cluster, subjects)
    ways = Ways(cluster, limits, prompt or Nobody(), links)
    return Session(
        name=_called(argument, cluster.source),
        cluster=cluster,
        profile=profile,
        policy=policy,
        limits=limits,
        payload=payload,
        operator=operator,
        contacts={
            node.name: Contact(subjects[node.name], ways.link(node), payload, limits, operator)
            for node in cluster.nodes
            if node.excluded is None
        },
        subjects=subjects,
        chosen=tuple(node.name for node in chosen),
        unknown=unknown,
        ways=ways,
        staging=_staging(cluster),
    )


def _staging(cluster: Cluster) -> Staging:
    written = cluster.staging
    return Staging(How(written.how), written.url or "", written.directory or "", written.rate)


def read_cluster(argument: str | None) -> Cluster:
    """The cluster that is meant by a name, a path or nothing.

    Raises:
        LiftlockError: There is none, or its file is wrong (exit 2).
    """
    path = find_cluster(argument, cwd=Path.cwd(), environment=os.environ, config_dir=config_dir())
    today = datetime.fromtimestamp(time.time(), UTC).astimezone().date()
    return marked(load_cluster(path, today=today), today)


def marked(cluster: Cluster, today: date) -> Cluster:
    """The cluster with the operator's own marks on its nodes; those that lapsed are notes.

    Raises:
        LiftlockError: The marks cannot be read (exit 2).
    """
    marks = Marks(operator_state(cluster), cluster.name).read()
    notes = [
        f"{each.node or each.version}: the mark {each.kind} ({each.reason}) lapsed on {each.until}"
        for each in marks
        if not each.counts(str(today))
    ]
    now = [each for each in marks if each.counts(str(today))]
    by_node = {each.node: each for each in now if each.kind is not MarkKind.FORBID}
    return replace(
        cluster,
        nodes=tuple(_marked(node, by_node.get(node.name)) for node in cluster.nodes),
        forbidden=tuple(each for each in now if each.kind is MarkKind.FORBID),
        notes=(*cluster.notes, *notes),
    )


def _marked(node: Node, mark: Mark | None) -> Node:
    if mark is None:
        return node
    is_out = mark.kind is MarkKind.EXCLUDE
    return replace(
        node,
        excluded=str(mark) if is_out else node.excluded,
        pinned=None if is_out else str(mark),
        until=date.fromisoformat(mark.until) if mark.until else None,
    )


def operator_state(cluster: Cluster | None) -> Path:
    """Where run history and locks are: the cluster file's place, else the operator's own."""
    if cluster is not None and cluster.operator_state is not None:
        return cluster.operator_state
    return state_dir()


def _called(argument: str | None, path: Path) -> str:
    """What an operator types to mean this cluster again; nothing, where that is enough."""
    if argument is not None:
        return argument
    return path.stem if path == Path.cwd() / path.name else str(path)


def _refuse_shared_directories(cluster: Cluster, subjects: Mapping[str, Subject]) -> None:
    """Two nodes of one machine cannot have the product in the same directory."""
    seen: dict[tuple[object, ...], str] = {}
    for node in cluster.nodes:
        directory = subjects[node.name].document["directory"]
        place = (node.transport, node.address, node.port, node.jump, directory)
        other = seen.setdefault(place, node.name)
        if other != node.name and node.excluded is None:
            raise LiftlockError(
                Problem(
                    "directory-shared",
                    f"{other} and {node.name} are one machine with one product directory.",
                    f"{directory}",
                    "Use {node} or {vars.X} in [product] directory, or remove one of them.",
                ),
                Exit.USAGE,
            )


@contextmanager
def open_book(folder: Path) -> Iterator[Book]:
    """The operator's run history in `folder`, for the thread that opens it.

    Raises:
        LiftlockError: It cannot be used (exit 2).
    """
    book = Book(ensure_private(folder) / "history.sqlite3")
    try:
        yield book
    finally:
        book.close()


def _subject(profile: Profile, node: Node, limits: Limits) -> Subject:
    return Subject(
        node=node.name,
        role=node.role,
        address=node.address,
        canary=node.canary,
        excluded=node.excluded,
        pinned=node.pinned,
        gateway=node.jump,
        document=node_document(profile, node, limits),
        state_dir=node.state_dir,
        python=node.python,
    )
