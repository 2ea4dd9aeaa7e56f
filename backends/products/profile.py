"""A profile: how a product is laid out, started, asked and judged, as one immutable value."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from backends.domain.cluster_health import ClusterCheck
from backends.domain.minimum import Minimum
from backends.domain.no_return import Crossing, NoReturn
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.versions import Ordering, VersionOrder
from backends.products.profile_facts import (
    ClusterCheckTable,
    FactsTable,
    FactTable,
    LeaderTable,
    NoReturnTable,
)
from backends.products.profile_file import (
    CheckTable,
    ConfigurationTable,
    DataTable,
    FinalizeTable,
    HealthTable,
    HookTable,
    LimitsTable,
    ProductTable,
    ProfileFile,
)
from backends.products.profile_service import ServiceTable
from backends.settings.toml_file import read_toml
from backends.settings.toml_keys import nearest
from backends.settings.toml_lines import Place

BUILTIN = Path(str(files("backends.products.builtin")))
"""The profiles that come with this program."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile says, with names and default checks filled in."""

    source: Path
    product: ProductTable
    service: ServiceTable
    health: tuple[HealthTable, ...]
    """Each has a name; without any check there is one of kind control, which asks the service
    itself, unless that is started by commands."""

    check: CheckTable
    configuration: tuple[ConfigurationTable, ...]
    hooks: tuple[HookTable, ...]
    data: DataTable
    facts: FactsTable
    values: Mapping[str, FactTable]
    finalize: FinalizeTable
    limits: LimitsTable
    cluster_health: tuple[ClusterCheck, ...] = ()
    no_return: NoReturn | None = None
    leader: LeaderTable | None = None
    minimums: tuple[Minimum, ...] = ()
    """How many nodes must go on serving while others are changed."""
    lines: Mapping[Place, int] = field(
        default_factory=lambda: MappingProxyType({}), compare=False, repr=False
    )
    """Where each key that `source` states stands in it."""

    @property
    def is_builtin(self) -> bool:
        """Whether it came with this program."""
        return self.source.parent == BUILTIN

    @property
    def name(self) -> str:
        """The product's name."""
        return self.product.name

    @property
    def ordering(self) -> Ordering:
        """How the product's versions order, and which step is allowed."""
        return Ordering(
            VersionOrder(self.product.version_order),
            self.product.sequence or (),
            self.product.path == "successor",
        )


class NamesProducts(Protocol):
    """What says which products there are; `backends.settings.cluster.Cluster` does."""

    @property
    def source(self) -> Path: ...
    @property
    def products(self) -> tuple[str, ...]: ...
    def profile_name(self, product: str) -> str: ...


def load_profile(name_or_path: str, *, beside: Path, config_dir: Path) -> Profile:
    """Find and read a profile.

    A relative path or a name (`.toml` may be left out) is looked for beside the cluster file
    (`beside`, the file or its directory), then in `config_dir`, then among the built-in ones.

    Raises LiftlockError, exit 2: `profile-missing` with the nearest known name, and what
    `read_toml` and `TomlFile.validate` raise.
    """
    folder = beside.parent if beside.is_file() else beside
    return read_profile(_find(name_or_path, folder, config_dir))


def load_cluster_profile(
    cluster: NamesProducts, product: str | None = None, *, config_dir: Path
) -> Profile:
    """The profile of a cluster's product; its first, when none is named.

    Raises LiftlockError, exit 2: as `load_profile`; `product-unknown` when the cluster file does
    not name the product; `profile-other-product` when the profile is about another one.
    """
    product = product or cluster.products[0]
    if product not in cluster.products:
        near = nearest(product, [*cluster.products])
        raise _problem(
            "product-unknown",
            f"{cluster.source.name} does not name the product {product}.",
            f"It names {', '.join(cluster.products)}.",
            f"Did you mean {near}?" if near else "",
        )
    profile = load_profile(
        cluster.profile_name(product), beside=cluster.source.parent, config_dir=config_dir
    )
    if profile.name != product:
        raise _problem(
            "profile-other-product",
            f"The profile {profile.source} is about {profile.name}, not {product}.",
            f"{cluster.source.name}: product {product}; {profile.source.name}: {profile.name}",
            "Name another profile in [cluster] profile, or correct one of the two names.",
        )
    return profile


def read_profile(path: Path) -> Profile:
    """The profile in a file.

    Raises LiftlockError, exit 2: see `read_toml` and `TomlFile.validate`.
    """
    file = read_toml(path)
    written = file.validate(ProfileFile)
    service = written.service
    if service.kind == "control" and service.control is None:
        service = service.model_copy(update={"control": "control"})
    checks = written.health
    if not checks and service.kind != "command":
        checks = (HealthTable(kind="control"),)
    return Profile(
        source=path,
        product=written.product,
        service=service,
        health=tuple(_named(checks)),
        check=written.check,
        configuration=written.configuration,
        hooks=written.hooks,
        data=written.data,
        facts=written.facts,
        values=written.values,
        finalize=written.finalize,
        limits=written.limits,
        cluster_health=tuple(map(_cluster_check, written.cluster_health)),
        no_return=_no_return(written.no_return),
        leader=written.leader,
        minimums=tuple(
            Minimum(role, count if isinstance(count, int) else None)
            for role, count in written.minimum.items()
        ),
        lines=file.lines,
    )


def _cluster_check(table: ClusterCheckTable) -> ClusterCheck:
    return ClusterCheck(
        name=table.name,
        command=table.command or (),
        value=table.value or "",
        node=table.node or "",
        equals=table.equals or "",
        timeout_seconds=table.timeout,
    )


def _no_return(table: NoReturnTable | None) -> NoReturn | None:
    return None if table is None else NoReturn(Crossing(table.when), table.text)


def _named(checks: tuple[HealthTable, ...]) -> Iterator[HealthTable]:
    taken = {check.name for check in checks}
    counts: Counter[str] = Counter()
    for check in checks:
        name = check.name
        while name is None:
            counts[check.kind] += 1
            candidate = f"{check.kind}-{counts[check.kind]}"
            name = None if candidate in taken else candidate
        yield check.model_copy(update={"name": name})


def _find(name: str, folder: Path, config_dir: Path) -> Path:
    wanted = Path(name).expanduser()
    if wanted.suffix != ".toml":
        wanted = wanted.with_name(wanted.name + ".toml")
    # A name with a slash is the operator's own file; only plain names are built in.
    folders = [folder, config_dir] + ([BUILTIN] if len(wanted.parts) == 1 else [])
    tried = [each / wanted for each in folders]
    for path in tried:
        if path.is_file():
            return path
    if wanted.is_absolute():
        tried = [wanted]
    known = sorted({path.stem for each in folders for path in each.glob("*.toml")})
    near = nearest(wanted.stem, known)
    raise _problem(
        "profile-missing",
        f"There is no profile {name}.",
        "\n".join(f"no file {path}" for path in tried),
        f"Did you mean {near}?" if near else "Write one: see the README, profiles.",
    )


def _problem(code: str, summary: str, evidence: str, advice: str) -> LiftlockError:
    return LiftlockError(Problem(code, summary, evidence, advice), Exit.USAGE)
