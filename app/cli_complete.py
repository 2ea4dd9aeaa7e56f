"""What the shell completes: cluster names, node names, runs. It loads nothing heavy.

A file that cannot be read completes nothing: whoever is typing is not told about mistakes, and
the command itself will say what is wrong with it.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

_MOST_RUNS = 50


def clusters(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names in this directory and in the config directory; a path where one is begun."""
    if "/" in incomplete or incomplete.startswith("~"):
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(name) for name in cluster_names() if name.startswith(incomplete)]


def nodes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What `-n` takes: names and role:NAME, several with commas between."""
    before, comma, last = incomplete.rpartition(",")
    table = _cluster(ctx).get("nodes", {})
    roles = {str(each["role"]) for each in table.values() if isinstance(each.get("role"), str)}
    named = set(before.split(","))
    words = [*table, *sorted(f"role:{role}" for role in roles)]
    fitting = (word for word in words if word.startswith(last) and word not in named)
    return [CompletionItem(f"{before}{comma}{word}") for word in fitting]


def node(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """One node; not one that was given already."""
    given = ctx.params.get(param.name or "") or ()
    names = (name for name in _cluster(ctx).get("nodes", {}) if name not in given)
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Runs of the cluster, the newest first."""
    from backends.settings.locations import state_dir
    from backends.store.book import run_ids

    path = _file(ctx)
    place: object = _cluster(ctx).get("cluster", {}).get("operator_state")
    folder = state_dir()
    if path is not None and isinstance(place, str):
        folder = path.parent / Path(place).expanduser()
    name = _cluster(ctx).get("cluster", {}).get("name")
    found = run_ids(folder / "history.sqlite3", name, _MOST_RUNS)
    return [CompletionItem(run) for run in found if run.startswith(incomplete)]


def cluster_names() -> list[str]:
    """The cluster files that can be meant by a name."""
    from backends.settings.find import known_clusters
    from backends.settings.locations import config_dir

    return known_clusters((Path.cwd(), config_dir()))


def _cluster(ctx: click.Context) -> dict[str, Any]:
    from backends.settings.find import glanced

    path = _file(ctx)
    return glanced(path) if path is not None else {}


def _file(ctx: click.Context) -> Path | None:
    """The file that the command line means so far."""
    from backends.domain.problem import LiftlockError
    from backends.settings.find import find_cluster
    from backends.settings.locations import config_dir

    # Behind an option that still lacks its value, click has not sorted the words yet.
    named = ctx.params.get("cluster") or next(iter(ctx.args), None)
    with suppress(LiftlockError):
        return find_cluster(
            named,
            cwd=Path.cwd(),
            environment=os.environ,
            config_dir=config_dir(),
        )
    return None
