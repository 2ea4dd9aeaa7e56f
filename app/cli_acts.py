"""The single acts beside an upgrade, as commands. Importing this loads nothing heavy."""

from pathlib import Path
from typing import Any

import click

from app import cli_complete
from app.cli_options import (
    cluster_argument,
    json_option,
    meant,
    nodes_option,
    note_option,
    options,
    pace_options,
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
@click.argument("node", nargs=-1, shell_complete=cli_complete.node, required=True)
@click.option(
    "--by", "seconds", metavar="DURATION", default="10m", help="From now; 10m by default."
)
@json_option
@reason_option
@product_option
def extend(node: tuple[str, ...], seconds: str, **given: Any) -> int:
    """Give a node in trial more time before it decides by itself; never less."""
    from app.headless import acting

    return acting.extend(options(nodes=",".join(node), **given), seconds)


@click.command()
@cluster_argument
@click.argument("release", required=False, type=click.Path(path_type=Path))
@note_option
@pace_options
@json_option
@yes_option
@reason_option
@nodes_option
def resume(release: Path | None, **given: Any) -> int:
    """Take up a run that waits or was broken off, from what the nodes say.

    RELEASE only where this workstation does not know the file, or on another one.
    """
    from app.headless import upgrading

    wanted = meant(given)
    return upgrading.resume(options(**given), release, wanted)


@click.command()
@cluster_argument
@click.option(
    "--policy",
    type=click.Choice(["first", "all", "none", "after_role"]),
    help="Go on, with this pause policy from the next node on.",
)
@json_option
@reason_option
@product_option
def pause(policy: str | None, **given: Any) -> int:
    """Have the run that is under way wait before its next node."""
    from app.headless import controlling

    return controlling.pause(options(**given), policy)


@click.command()
@cluster_argument
@json_option
@yes_option
@reason_option
@product_option
def abort(**given: Any) -> int:
    """End the run: what is in the middle goes back, what is accepted stays.

    Exit 0 when no node is on the new version; 10 where some have accepted it.
    """
    from app.headless import controlling

    return controlling.abort(options(**given))


@click.command()
@cluster_argument
@click.argument("node", nargs=-1, shell_complete=cli_complete.node)
@click.option("--pin", is_flag=True, help="It stays at what it runs; it is read and shown.")
@click.option("--forbid", metavar="VERSION", default="", help="This version, on them or anywhere.")
@click.option("--until", metavar="DAY", help="The last day on which it counts: 2026-12-01.")
@json_option
@reason_option
@product_option
def exclude(node: tuple[str, ...], pin: bool, forbid: str, until: str | None, **given: Any) -> int:
    """Leave nodes out, with a reason; also in the middle of a run.

    Your own mark, kept beside the run history. For the whole team it belongs into the cluster
    file: exclude or pin, and until.
    """
    from app.headless import marking

    if pin and forbid:
        raise click.UsageError("--pin and --forbid exclude each other.")
    return marking.exclude(options(**given), node, pin=pin, forbid=forbid, until=until)


@click.command()
@cluster_argument
@click.argument("node", nargs=-1, shell_complete=cli_complete.node)
@click.option("--forbid", metavar="VERSION", default="", help="Allow this version again.")
@json_option
@reason_option
@product_option
def include(node: tuple[str, ...], forbid: str, **given: Any) -> int:
    """Take your marks away again."""
    from app.headless import marking

    return marking.include(options(**given), node, forbid=forbid)


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
@cluster_argument
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
@cluster_argument
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


ALL = (
    resume,
    pause,
    abort,
    accept,
    extend,
    exclude,
    include,
    rollback,
    takeover,
    finalize,
    restart,
    adopt,
    verify,
    value,
    clean,
)
