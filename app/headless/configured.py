"""Every value that counts for a cluster and a product, and who said it.

Nothing is computed here: values are those that the session drives nodes with, and those that the
updater is told. What is nobody's word is a default.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any

from app.session import Session, operator_state
from app.wiring import BySsh
from backends.domain import hiding
from backends.domain.clean import line
from backends.products import policy
from backends.products.profile import Profile
from backends.settings.cluster import Cluster, Node
from backends.settings.fields import Table
from backends.settings.toml_lines import Place
from backends.settings.units import format_duration

Shown = str | int | bool | list[str] | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Who said a value."""

    kind: str
    """`cluster`, `profile`, `builtin` (a profile that comes with this program), `ssh` (what ssh
    config says, or its default), `default`."""

    file: Path | None = None
    line: int | None = None

    @property
    def text(self) -> str:
        """For a person."""
        if self.kind == "builtin" and self.file is not None:
            return f"builtin profile {self.file.stem}:{self.line}"
        if self.file is not None:
            return f"{line(self.file.name)}:{self.line}"
        return "ssh config, or its default" if self.kind == "ssh" else self.kind


DEFAULT = Origin("default")


@dataclass(frozen=True, slots=True)
class Value:
    """One value in effect."""

    table: str
    """As the file has it: `[policy]`, `[[health]] http-1`, `[nodes] n1`."""

    key: str
    value: Shown
    origin: Origin


def values(session: Session, by_ssh: Mapping[str, BySsh]) -> Iterator[Value]:
    """All of them; `by_ssh` is what ssh config adds to the ways to nodes."""
    cluster, profile = session.cluster, session.profile
    yield from _cluster(cluster, profile)
    yield from _staging(session)
    yield from _policy(session)
    yield from _profile(session)
    for node in cluster.nodes:
        if node.name in session.chosen:
            yield from _node(session, node, by_ssh.get(node.name))


class _Said:
    """The origin of what a file says."""

    def __init__(self, kind: str, file: Path, lines: Mapping[Place, int]) -> None:
        self._kind = kind
        self._file = file
        self._lines = lines

    def at(self, *place: str | int) -> Origin:
        """Where a key stands; default when it stands nowhere."""
        if place not in self._lines:
            return DEFAULT
        return Origin(self._kind, self._file, self._lines[place])


def _in_cluster(cluster: Cluster) -> _Said:
    return _Said("cluster", cluster.source, cluster.lines)


def _in_profile(profile: Profile) -> _Said:
    kind = "builtin" if profile.is_builtin else "profile"
    return _Said(kind, profile.source, profile.lines)


def _cluster(cluster: Cluster, profile: Profile) -> Iterator[Value]:
    said = _in_cluster(cluster)
    products = "products" if len(cluster.products) > 1 else "product"
    for key, value in {
        "name": cluster.name,
        "environment": cluster.environment,
        products: [*cluster.products] if products == "products" else cluster.product,
        "profile": str(profile.source),
        "signatures": cluster.signatures,
        "allowed_signers": cluster.allowed_signers,
        "revoked_keys": cluster.revoked_keys,
        "known_hosts": cluster.known_hosts,
        "ssh_config": cluster.ssh_config,
        "operator_state": operator_state(cluster),
        "releases": cluster.releases,
    }.items():
        yield Value("[cluster]", key, _shown(value), said.at("cluster", key))


def _staging(session: Session) -> Iterator[Value]:
    said, found = _in_cluster(session.cluster), session.staging
    stated = {"url": found.url, "directory": found.directory, "rate": found.bytes_per_second}
    for key, value in {"how": found.how, **stated}.items():
        if value:
            text = f"{value} B" if key == "rate" else value
            yield Value("[staging]", key, _shown(text), said.at("staging", key))


def _policy(session: Session) -> Iterator[Value]:
    names = policy.keys()
    known = policy.vars_of(session.policy) | policy.vars_of(session.limits)
    told = policy.said(session.cluster, session.profile)
    who = told[0] | told[1]
    files = {
        "policy": _in_cluster(session.cluster),
        "limits": _in_profile(session.profile),
        "service": _in_profile(session.profile),
    }
    for inner, value in known.items():
        if inner not in names:
            continue  # a number of the house, or a reason that is given with each upgrade
        said = who.get(inner)
        origin = files[said.table].at(said.table, said.key) if said else DEFAULT
        shown = format_duration(value) if inner.endswith("_seconds") else value
        yield Value("[policy]", names[inner], _shown(shown), origin)


def _profile(session: Session) -> Iterator[Value]:
    profile = session.profile
    said = _in_profile(profile)
    document = session.subjects[session.cluster.nodes[0].name].document
    product = {key: value for key, value in document.items() if key != "directory"}
    service: Any = document["service"]
    limits = ("stop_timeout", "request_timeout")  # told with the policy
    yield from _table("[product]", profile.product, product, said, ("product",))
    yield from _table("[service]", profile.service, service, said, ("service",), limits)
    for kind, tables in (("health", profile.health), ("hooks", profile.hooks)):
        told: Any = document[kind]
        for index, (each, one) in enumerate(zip(tables, told, strict=True)):
            yield from _table(f"[[{kind}]] {one['name']}", each, one, said, (kind, index))
    for index, each in enumerate(profile.configuration):
        head = f"[[configuration]] {each.path}"
        yield from _table(head, each, {}, said, ("configuration", index))
    for kind, table in (("check", profile.check), ("data", profile.data)):
        one = document[kind]
        yield from _table(f"[{kind}]", table, one, said, (kind,))
    facts: Any = document["facts"]
    if profile.facts.version is not None:
        place = ("facts", "version")
        yield from _table("[facts] version", profile.facts.version, facts["version"], said, place)


def _table(
    head: str,
    table: Table,
    told: Any,
    said: _Said,
    place: tuple[str | int, ...],
    without: Sequence[str] = (),
) -> Iterator[Value]:
    """What a node is told, else what the profile says; what is not set is left out."""
    for key in type(table).model_fields:
        value = told[key] if key in told else getattr(table, key)
        if value is None or value in ("", (), []) or key in without:
            continue
        if isinstance(value, Mapping):
            for name, each in value.items():
                origin = said.at(*place, key, name)
                yield Value(head, f"{key}.{name}", _shown(each, name), origin)
        else:
            yield Value(head, key, _shown(value), said.at(*place, key))


def _node(session: Session, node: Node, by_ssh: BySsh | None) -> Iterator[Value]:
    said = _in_cluster(session.cluster)
    head = f"[nodes] {node.name}"
    at = ("nodes", node.name)
    for key, value in (("address", node.address), ("role", node.role), ("canary", node.canary)):
        yield Value(head, key, _shown(value), said.at(*at, key))
    for key in ("transport", "user", "become", "port", "jump", "python", "state_dir"):
        value, origin = getattr(node, key), DEFAULT
        if key in node.said_at:
            origin = said.at(*node.said_at[key])
        elif (found := getattr(by_ssh, key, None)) is not None:
            value, origin = found, Origin("ssh")
        yield Value(head, key, _shown(value), origin)
    for name, value in node.vars.items():
        yield Value(head, f"vars.{name}", _shown(value, name), said.at(*at, "vars", name))
    if node.excluded is not None:
        yield Value(head, "exclude", _shown(node.excluded), said.at(*at, "exclude"))
    if node.until is not None:
        yield Value(head, "until", _shown(node.until), said.at(*at, "until"))
    origin = _in_profile(session.profile).at("product", "directory")
    directory = session.subjects[node.name].document["directory"]
    yield Value(head, "directory", _shown(directory), origin)


def _shown(value: object, name: str = "") -> Shown:
    """A value as a file would have it, without secrets and control codes.

    `name` is one that somebody gave it, in `env` or `vars`: it may be that of a secret.
    """
    match value:
        case None | "":
            return None
        case Enum():
            return str(value.value)
        case bool() | int() if not hiding.is_secret(name):
            return value
        case float():
            return format_duration(value)
        case list() | tuple():
            return [line(each) for each in hiding.words([str(each) for each in value])]
        case date() | Path():
            return line(str(value))
    return line(hiding.value_of(name, str(value)))
