"""What several commands can be told, each word with one meaning. It imports nothing heavy."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from app import cli_complete
from backends.domain.problem import Exit, LiftlockError, Problem

Command = Callable[..., int]

cluster_argument = click.argument("cluster", shell_complete=cli_complete.clusters)
any_cluster_argument = click.argument(
    "cluster", required=False, shell_complete=cli_complete.clusters
)
"""Without a name it is ./cluster.toml or $LIFTLOCK_CLUSTER."""

release_argument = click.argument("release", type=click.Path(path_type=Path))


INTERRUPTED = Problem(
    "interrupted",
    "Interrupted here.",
    advice="What a node has begun it finishes by itself: liftlock status tells where each is.",
)


def json_option(function: Command) -> Command:
    """Adds `--json`, with which a problem is the last line of standard output, too."""

    @wraps(function)
    def telling(*words: Any, **given: Any) -> int:
        try:
            return function(*words, **given)
        except LiftlockError as error:
            if given["json"]:
                from app.headless.say import refused

                refused(error)
            raise
        except (KeyboardInterrupt, click.Abort):
            if given["json"]:
                from app.headless.say import refused

                refused(LiftlockError(INTERRUPTED, Exit.INTERRUPTED))
            raise

    return click.option("--json", "json", is_flag=True, help="JSON on standard output.")(telling)


def product_option(function: Command) -> Command:
    """Adds `--product`."""
    return click.option(
        "--product", metavar="NAME", help="Which product, where there are several."
    )(function)


def nodes_option(function: Command) -> Command:
    """Adds `--nodes` and `--product`."""
    return click.option(
        "-n",
        "--nodes",
        metavar="SEL",
        shell_complete=cli_complete.nodes,
        help="Only these: n1,n2 or role:voter, with commas.",
    )(product_option(function))


def yes_option(function: Command) -> Command:
    """Adds `--yes`."""
    return click.option(
        "--yes", is_flag=True, help="Agree in advance to what would be asked; never to a pause."
    )(function)


def reason_option(function: Command) -> Command:
    """Adds `--reason`."""
    return click.option("--reason", default="", help="Why; it is kept in every journal.")(function)


def meant_options(function: Command) -> Command:
    """Adds `--downgrade` and `--reinstall`: what is only done where somebody says why."""
    downgrade = click.option(
        "--downgrade", metavar="REASON", default="", help="Why an older version is wanted."
    )
    reinstall = click.option(
        "--reinstall",
        metavar="REASON",
        default="",
        help="Why what is there already is installed again.",
    )
    return downgrade(reinstall(function))


def pace_options(function: Command) -> Command:
    """Adds `--batch`, `--pause` and `--skip`."""
    batch = click.option("--batch", type=click.IntRange(1), help="Nodes that are changed at once.")
    pause = click.option("--pause", type=click.Choice(["first", "all", "none", "after_role"]))
    skip = click.option(
        "--skip",
        multiple=True,
        metavar="NAME=REASON",
        help="A condition that is not to keep a gate shut; it stays red everywhere.",
    )
    return batch(pause(skip(function)))


def note_option(function: Command) -> Command:
    """Adds `--note`."""
    return click.option("--note", default="", help="Kept with the run, e.g. a change number.")(
        function
    )


def meant(given: dict[str, Any]) -> Any:
    """What is taken out of `given` about one upgrade, `app.headless.options.Meant`."""
    from dataclasses import fields

    from app.headless.options import Meant

    names = [each.name for each in fields(Meant) if each.name in given]
    return Meant(**{name: given.pop(name) for name in names})


def options(**given: Any) -> Any:
    """All of it as a value, `app.headless.options.Options`."""
    from app.headless.options import Options

    return Options(**given)
