"""The single acts beside an upgrade, as commands. Importing this loads nothing heavy."""

from pathlib import Path
from typing import Any

import click

from app import cli_complete
from app.cli_options import (
    cluster_argument,
    json_option,
    nodes_option,
    options,
    product_option,
    reason_option,
    yes_option,
)


@click.command()
@cluster_argument
@click.argument("node", nargs=-1, required=True, shell_complete=cli_complete.node)
@json_option
@reason_option
@product_option
def accept(node: tuple[str, ...], **given: Any) -> int:
    """Stop the dead-man timer of a node: it stays, still reversible."""
    from app.headless import acting

    return acting.accept(options(nodes=",".join(node), **given))


@click.command()
@cluster_argument
@json_option
@yes_option
@reason_option
@nodes_option
@click.option(
    "--data",
    type=click.Choice(["keep", "restore"]),
    help="Where data was copied: keep what is newer, or restore the copy.",
)
def rollback(**given: Any) -> int:
    """Take back every upgrade that is not final, one node first.

    The next node only when those that are back serve again; --yes does not agree to less.
    """
    from app.headless import acting

    return acting.rollback(options(**given))


@click.command()
@cluster_argument
@json_option
@yes_option
@reason_option
@nodes_option
def takeover(**given: Any) -> int:
    """End an updater that hangs on a node; another one goes on."""
    from app.headless import acting

    return acting.takeover(options(**given))


@click.command()
@cluster_argument
@click.argument("version", required=False)
@json_option
@yes_option
@product_option
def finalize(version: str | None, **given: Any) -> int:
    """Make the accepted version final everywhere: no way back."""
    from app.headless import acting

    return acting.finalize(options(**given), version)


@click.command()
@cluster_argument
@click.option(
    "--release", type=click.Path(path_type=Path), help="What it was installed from, if known."
)
@json_option
@yes_option
@nodes_option
def adopt(release: Path | None, **given: Any) -> int:
    """Record what runs, and its content, as finalized.

    With --release it is held against that, and what differs is named.
    """
    from app.headless import acting

    return acting.adopt(options(**given), release)


@click.command()
@cluster_argument
@json_option
@nodes_option
def verify(**given: Any) -> int:
    """Is what runs still what was installed? Every byte is read.

    Exit 6 where something is changed or missing, 4 where a check says no; files beside what
    was shipped are named.
    """
    from app.headless import acting

    return acting.verify(options(**given))


@click.command()
@cluster_argument
@click.option("--staged", is_flag=True, help="Staged releases (the default).")
@click.option("--everything", is_flag=True, help="Every trace of this program; products stay.")
@json_option
@yes_option
@nodes_option
def clean(staged: bool, everything: bool, **given: Any) -> int:
    """Give back what is kept on the nodes."""
    from app.headless import acting

    if staged and everything:
        raise click.UsageError("--staged and --everything exclude each other.")
    return acting.clean(options(**given), everything=everything)


ALL = (accept, rollback, takeover, finalize, adopt, verify, clean)
