"""The commands that tell what was done. Importing this loads nothing heavy, as in `cli.py`."""

import re
from pathlib import Path

import click

from app import cli_complete
from app.cli_options import any_cluster_argument, json_option

RUN_ID = re.compile(r"\d{4}-[0-9a-z]{3}")
"""How a run is named: its day and three characters (design.md, section 6)."""

run_argument = click.argument("run", required=False, shell_complete=cli_complete.runs)


@click.command()
@any_cluster_argument
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, help="At most so many; 50.")
@click.option("--all", "watches", is_flag=True, help="Also what was only noticed by watching.")
@json_option
def runs(cluster: str | None, limit: int, watches: bool, json: bool) -> int:
    """The runs, newest first: what, who, when, and how it ended.

    Without CLUSTER, of ./cluster.toml or $LIFTLOCK_CLUSTER, else of all clusters.
    """
    from app.headless import history

    return history.runs(cluster, limit=limit, watches=watches, as_json=json)


@click.command()
@any_cluster_argument
@run_argument
@click.option("--node", shell_complete=cli_complete.node, help="Only this node.")
@click.option("--follow", is_flag=True, help="Go on while the run is open, until it has ended.")
@json_option
def journal(
    cluster: str | None, run: str | None, node: str | None, follow: bool, json: bool
) -> int:
    """What happened in a run, the newest one by default.

    Without CLUSTER, of ./cluster.toml or $LIFTLOCK_CLUSTER, else of all clusters.
    """
    from app.headless import history

    cluster, run = _meant(cluster, run)
    return history.journal(cluster, run, node=node, follow=follow, as_json=json)


@click.command()
@any_cluster_argument
@run_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Into this file.")
@click.option("--yes", is_flag=True, help="Replace the file that is there.")
@json_option
def report(
    cluster: str | None, run: str | None, output: Path | None, yes: bool, json: bool
) -> int:
    """A run for the change ticket, as Markdown or JSON; the newest one by default.

    It is made of the run history alone: no node is contacted. What is not known is listed.
    """
    from app.headless import history

    cluster, run = _meant(cluster, run)
    return history.report(cluster, run, path=output, replaces=yes, as_json=json)


def _meant(cluster: str | None, run: str | None) -> tuple[str | None, str | None]:
    """A single word that looks like a run is one."""
    if cluster is not None and run is None and RUN_ID.fullmatch(cluster):
        return None, cluster
    return cluster, run


ALL = (runs, journal, report)
