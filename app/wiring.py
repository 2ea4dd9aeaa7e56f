"""The composition root: the only place that chooses how nodes are reached.

From a cluster file to something that can be asked and driven. Nothing is contacted here.
"""

import getpass
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from backends.domain.policy import Limits, Policy
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.engine.contact import Contact, Subject
from backends.products.node_document import node_document
from backends.products.policy import effective_policy
from backends.products.profile import Profile, load_cluster_profile
from backends.settings.cluster import Cluster, Node, load_cluster, select_nodes
from backends.settings.find import find_cluster
from backends.settings.locations import config_dir, ensure_private, state_dir
from backends.store.book import Book
from backends.transport.link import Link
from backends.transport.local import LocalLink
from backends.transport.payload import Payload, pack


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
    """Every node that was selected and is not excluded, in the order of the cluster file."""

    excluded: Mapping[str, Subject]
    unknown: tuple[str, ...]
    """Names that were asked for and are no node."""

    selected: bool
    """Whether only a part of the cluster was asked for."""

    @property
    def subjects(self) -> dict[str, Subject]:
        """Every selected node, excluded ones, too."""
        found = {name: contact.subject for name, contact in self.contacts.items()}
        order = [node.name for node in self.cluster.nodes]
        found.update(self.excluded)
        return dict(sorted(found.items(), key=lambda item: order.index(item[0])))


def open_session(
    argument: str | None, *, selection: str | None = None, product: str | None = None
) -> Session:
    """Read the cluster file and the profile; prepare a contact for every selected node.

    Raises:
        LiftlockError: The files are missing or wrong (exit 2).
    """
    path = find_cluster(argument, cwd=Path.cwd(), environment=os.environ, config_dir=config_dir())
    cluster = load_cluster(
        path, today=datetime.fromtimestamp(time.time(), UTC).astimezone().date()
    )
    profile = load_cluster_profile(cluster, product, config_dir=config_dir())
    policy, limits = effective_policy(cluster, profile)
    chosen, unknown = select_nodes(cluster, selection)
    if unknown and not chosen:
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
    subjects = {node.name: _subject(profile, node, limits) for node in chosen}
    return Session(
        name=argument or path.stem,
        cluster=cluster,
        profile=profile,
        policy=policy,
        limits=limits,
        payload=payload,
        operator=operator,
        contacts={
            node.name: Contact(subjects[node.name], _link(node), payload, limits, operator)
            for node in chosen
            if node.excluded is None
        },
        excluded={node.name: subjects[node.name] for node in chosen if node.excluded is not None},
        unknown=unknown,
        selected=selection is not None,
    )


@contextmanager
def open_book() -> Iterator[Book]:
    """The operator's run history, in the state directory.

    Raises:
        LiftlockError: It cannot be used (exit 2).
    """
    book = Book(ensure_private(state_dir()) / "history.sqlite3")
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
        document=node_document(profile, node, limits),
        state_dir=node.state_dir,
        python=node.python,
    )


def _link(node: Node) -> Link:
    if node.transport == "local":
        return LocalLink(node.name)
    raise LiftlockError(
        Problem(
            "no-ssh-yet",
            "This version reaches only the machine that it runs on.",
            f"{node.name}: transport {node.transport}",
            'Set transport = "local" for a cluster of this machine.',
        ),
        Exit.USAGE,
    )
