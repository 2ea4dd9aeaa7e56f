"""The single acts beside an upgrade, as commands. Importing this loads nothing heavy."""

from pathlib import Path
from typing import Any

import click

from app.cli_options import (
    json_option,
    nodes_option,
    options,
    product_option,
    reason_option,
    yes_option,
)


@click.command()
@click.argument("cluster")
@click.argument("node", nargs=-1, required=True)
@json_option
@reason_option
@product_option
def accept(node: tuple[str, ...], **given: Any) -> int:
    """Stop the dead-man timer of a node: it stays, still reversible."""
    from app.headless import acting

    return acting.accept(options(nodes=",".join(node), **given))


@click.command()
@click.argument("cluster")
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
@click.argument("cluster")
@json_option
@yes_option
@reason_option
@nodes_option
def takeover(**given: Any) -> int:
    """End an updater that hangs on a node; another one goes on."""
    from app.headless import acting

    return acting.takeover(options(**given))


@click.command()
@click.argument("cluster")
@click.argument("version", required=False)
@click.option("--preview", is_flag=True, help="What becomes final and what that frees, only.")
@click.option(
    "--done",
    metavar="STEP",
    multiple=True,
    help='A step after it that is done, by its text; "all". Needs --reason.',
)
@json_option
@yes_option
@reason_option
@product_option
def finalize(version: str | None, preview: bool, **given: Any) -> int:
    """Make the accepted version final everywhere: no way back.

    What the profile says is to be done after it is asked step by step; --yes ticks none of them.
    """
    if preview:
        from app.headless import finality

        if given["yes"] or given["done"]:
            raise click.UsageError("--preview only looks: it goes without --yes and --done.")
        return finality.preview(options(**given), version)
    from app.headless import acting

    return acting.finalize(options(**given), version)


@click.command()
@click.argument("cluster")
@json_option
@yes_option
@reason_option
@nodes_option
def restart(**given: Any) -> int:
    """Restart the service, node by node, and see it serve again.

    A node that serves is restarted only while the others do; --yes does not agree to less.
    """
    from app.headless import acting

    return acting.restart(options(**given))


@click.command()
@click.argument("cluster")
@click.argument("name", required=False)
@json_option
@nodes_option
def value(name: str | None, **given: Any) -> int:
    """Read a value of the profile on each node.

    Without NAME: which there are. Exit 6 where one is unknown, 3 where a node is not reached.
    """
    from app.headless import valuing

    return valuing.value(options(**given), name)


@click.command()
@click.argument("cluster")
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
@click.argument("cluster")
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
@click.argument("cluster")
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


ALL = (accept, rollback, takeover, finalize, restart, adopt, verify, value, clean)
