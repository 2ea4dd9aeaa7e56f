"""The commands that help to begin: init, config, completion. It imports nothing heavy."""

from pathlib import Path
from typing import Any

import click

from app.cli_options import any_cluster_argument, json_option, nodes_option, options


@click.group()
def config() -> None:
    """What counts for a cluster, and why; all keys."""


@config.command()
@any_cluster_argument
@json_option
@nodes_option
def show(**given: Any) -> int:
    """Every value in effect, each with its origin; no node is contacted.

    Users and passwords in addresses, and what is called like a secret, are shown as ***.
    """
    from app.headless import configuring

    return configuring.show(options(**given))


@config.command()
@click.argument("which", required=False, type=click.Choice(["cluster", "profile"]))
@json_option
def schema(which: str | None, json: bool) -> int:
    """All keys of a cluster file and of a profile, as JSON Schema; with --json in one line."""
    from app.headless import configuring

    return configuring.print_schema(which, in_one_line=json)


@click.command()
@click.argument("name")
@click.option(
    "--from-ansible",
    "inventory",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Take the nodes of an inventory, INI or YAML.",
)
@click.option("--group", metavar="G", help="Of the inventory, only the nodes of this group.")
@click.option(
    "--node",
    "nodes",
    metavar="[USER@]ADDRESS[:PORT]",
    multiple=True,
    help="A node; once for each.",
)
@click.option("--product", metavar="P", help="What runs there; its profile is written, too.")
@click.option("--directory", metavar="D", help="Where it lies on the nodes; /opt/P by default.")
@json_option
def init(
    name: str,
    inventory: Path | None,
    group: str | None,
    nodes: tuple[str, ...],
    product: str | None,
    directory: str | None,
    json: bool,
) -> int:
    """Write NAME.toml, and a profile, into this directory.

    The nodes are looked at, read only; what was found stands in the files as comments. Without
    nodes it is an example to edit. No file is ever overwritten.
    """
    from app.headless import beginning

    wanted = beginning.Wanted(name, inventory, group, nodes, product, directory)
    return beginning.init(wanted, as_json=json)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option
def completion(shell: str, json: bool) -> int:
    """Print a completion script for a shell.

    It completes commands, options, clusters, nodes and runs.

    \b
    bash:  eval "$(liftlock completion bash)"          in ~/.bashrc
    zsh:   eval "$(liftlock completion zsh)"           in ~/.zshrc, after compinit
    fish:  liftlock completion fish > ~/.config/fish/completions/liftlock.fish
    """
    from json import dumps

    from click.shell_completion import get_completion_class

    root = click.get_current_context().find_root().command
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"No completion for {shell}.")
    made = kind(root, {}, "liftlock", "_LIFTLOCK_COMPLETE")
    script = made.source_template % made.source_vars()
    found = {"schema": "liftlock.completion/1", "shell": shell, "script": script}
    click.echo(dumps(found) if json else script)
    return 0


ALL = (init, config, completion)
