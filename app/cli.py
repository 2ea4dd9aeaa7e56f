"""The command line. Importing this loads neither Textual nor asyncssh nor pydantic.

Each command imports what it needs when it runs: `--help` has to be quick, and a script that only
asks for the status does not pay for a screen.
"""

import os
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from app import cli_acts, cli_begin, cli_complete, cli_history
from app.cli_options import (
    any_cluster_argument,
    cluster_argument,
    json_option,
    meant,
    meant_options,
    nodes_option,
    note_option,
    options,
    pace_options,
    product_option,
    release_argument,
    yes_option,
)
from app.cli_release import release
from backends.domain import clean
from backends.domain.problem import Exit, LiftlockError

EXIT_CODES = """\b
Exit codes:
    0  the asked-for state is reached (status: settled)
    1  unexpected error
    2  usage or configuration; nothing was contacted
    3  node unreachable, login, host key, privilege, no python; nothing changed
    4  refused by a gate or an integrity check; nothing changed
    5  failed and rolled back, proven; no node is left on the new version
    6  needs a person
    7  locked by another run
    8  contact lost while nodes were changing
   10  paused or in progress; waits for a person
  130  interrupted here; the text says what the nodes do by themselves
"""


class Commands(click.Group):
    """Commands, and a cluster's name in place of one: `liftlock harbor` shows it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """A known command, else the screen of the cluster that was named."""
        name = args[0]
        known = self.list_commands(ctx)
        if name in known or name.startswith("-"):
            return super().resolve_command(ctx, args)
        is_file = Path(name).exists() or Path(f"{name}.toml").exists()
        near = [] if is_file or ctx.resilient_parsing else get_close_matches(name, known, 1)
        if near:
            ctx.fail(f"No such command {name!r}. Did you mean {near[0]!r}?")
        return "screen", self.get_command(ctx, "screen"), args

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands, and the names of clusters in place of one."""
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("-"):
            return found
        return found + cli_complete.clusters(ctx, self.params[0], incomplete)


@click.group(
    cls=Commands,
    invoke_without_command=True,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 90},
)
@click.version_option(package_name="liftlock", message="liftlock %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> int:
    """Upgrade software on a cluster of nodes, safely, and always with a way back.

    \b
    A first look and a first upgrade:
      liftlock init harbor                 write harbor.toml and a profile to begin with
      liftlock harbor                      the screen: watch, upgrade, roll back, finalize
      liftlock trust harbor                record host keys that are unknown yet
      liftlock status harbor               what the cluster is, what is next
      liftlock adopt harbor                record what runs as finalized
      liftlock plan harbor R.tar.gz        every step, and how it is undone
      liftlock upgrade harbor R.tar.gz     stage, check, install, watch, accept
      liftlock finalize harbor             ... or: liftlock rollback harbor

    CLUSTER is a file, or a name (./NAME.toml, then the config directory). `liftlock CLUSTER`
    opens the screen on it; `liftlock` alone takes ./cluster.toml or $LIFTLOCK_CLUSTER, and
    without them says how to begin.
    """
    if ctx.invoked_subcommand is not None:
        return Exit.OK
    if not Path("cluster.toml").is_file() and not os.environ.get("LIFTLOCK_CLUSTER"):
        click.echo(_greeting())
        return Exit.OK
    return _open(None)


GREETING = """\
Liftlock upgrades software on the nodes of a cluster, safely, and always with a way back.

There is no ./cluster.toml, and $LIFTLOCK_CLUSTER is not set. To begin:

  liftlock demo                        a cluster of your own on loopback, to try everything on
  liftlock init harbor                 write harbor.toml and a profile, as an example to edit
  liftlock init harbor --node 10.0.0.11 --node 10.0.0.12 --product nats
                                       ... with what these nodes say; they are only looked at
  liftlock init harbor --from-ansible inventory.ini --group brokers --product nats
                                       ... with the nodes of an Ansible inventory
  liftlock doctor                      is this workstation fit?
  liftlock --help                      every command, and what the exit codes mean"""


def _greeting() -> str:
    names = cli_complete.cluster_names()
    if not names:
        return GREETING
    known = "\n".join(f"  liftlock {clean.line(name)}" for name in names)
    return f"{GREETING}\n\nCluster files that can be meant by name:\n\n{known}"


@cli.command(hidden=True)
@any_cluster_argument
@json_option
@product_option
def screen(cluster: str | None, product: str | None, json: bool) -> int:
    """The cluster, live, with every step on it. Without a terminal, or as JSON: its status."""
    return _open(cluster, product, as_json=json)


def _open(cluster: str | None, product: str | None = None, *, as_json: bool = False) -> int:
    from app.opening import has_terminal, open_screen

    if has_terminal() and not as_json:
        return open_screen(cluster, product=product)
    from app.headless import looking

    return looking.status(options(cluster=cluster, product=product, json=as_json))


@cli.command()
@any_cluster_argument
@click.option("--expect", metavar="V", help="Exit 0 only when settled on this version.")
@click.option("--watch", is_flag=True, help="Go on and tell every change.")
@json_option
@nodes_option
def status(expect: str | None, watch: bool, **given: Any) -> int:
    """What every node runs, what is final, and one verdict."""
    from app.headless import looking

    return looking.status(options(**given), expect=expect, watch=watch)


@cli.command()
@cluster_argument
@release_argument
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the plan into this file, for `upgrade --plan`.",
)
@pace_options
@meant_options
@json_option
@nodes_option
def plan(release: Path, out: Path | None, **given: Any) -> int:
    """Every step of an upgrade and its undo; changes nothing."""
    from app.headless import looking

    wanted = meant(given)
    return looking.plan(options(**given), release, wanted, out)


@cli.command()
@cluster_argument
@click.argument("release", required=False, type=click.Path(path_type=Path))
@click.option("--list", "listed", is_flag=True, help="What lies ready on the nodes, since when.")
@click.option("--fresh", is_flag=True, help="Bring and verify every byte, whatever is there.")
@note_option
@meant_options
@json_option
@yes_option
@nodes_option
def stage(release: Path | None, listed: bool, fresh: bool, **given: Any) -> int:
    """Bring a release to the nodes, and no further.

    Days before the window, if you like: nothing that runs is touched.
    """
    if listed == (release is not None) or (listed and fresh):
        raise click.UsageError("Give a RELEASE, or --list alone.")
    wanted = meant(given)
    if release is None:
        from app.headless import looking

        return looking.stages(options(**given))
    from app.headless import upgrading
    from backends.domain.states import Phase

    return upgrading.upgrade(options(**given), release, wanted, until=Phase.STAGE, fresh=fresh)


@cli.command()
@cluster_argument
@release_argument
@note_option
@pace_options
@meant_options
@json_option
@yes_option
@nodes_option
def check(release: Path, **given: Any) -> int:
    """All that comes before an install, and no further.

    It stages what is not there, and asks every check; nothing that runs is touched.
    """
    from app.headless import upgrading
    from backends.domain.states import Phase

    wanted = meant(given)
    return upgrading.upgrade(options(**given), release, wanted, until=Phase.CHECK)


@cli.command()
@cluster_argument
@release_argument
@click.option(
    "--plan",
    "reviewed",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Carry out the plan in this file; refused with a list when its facts have changed.",
)
@note_option
@pace_options
@meant_options
@json_option
@yes_option
@nodes_option
def upgrade(release: Path, reviewed: Path | None, **given: Any) -> int:
    """Stage, check, install, watch and accept. Never finalizes.

    Started again, it takes up what the nodes say.
    """
    from app.headless import upgrading

    wanted = meant(given)
    return upgrading.upgrade(options(**given), release, wanted, reviewed=reviewed)


@cli.command()
@cluster_argument
@json_option
@yes_option
@nodes_option
def trust(**given: Any) -> int:
    """Record unknown host keys, after showing their fingerprints."""
    from app.headless import trusting

    return trusting.trust(options(**given))


@cli.command()
@cluster_argument
@json_option
@nodes_option
def conflicts(**given: Any) -> int:
    """Edited configuration beside which a new default lies, and what differs."""
    from app.headless import looking

    return looking.conflicts(options(**given))


@cli.command()
@any_cluster_argument
@json_option
@nodes_option
def doctor(**given: Any) -> int:
    """Is this workstation, and is each node, fit for an upgrade?"""
    from app.headless.doctor import doctor as examine

    return examine(options(**given))


@cli.command()
@click.option("--nodes", type=click.IntRange(1, 100), help="How many; 5 by default.")
@click.option(
    "--dir", "directory", type=click.Path(path_type=Path), help="Keep everything in this folder."
)
@click.option("--serve", is_flag=True, help="Say one line of JSON when it is ready, nothing else.")
def demo(nodes: int | None, directory: Path | None, serve: bool) -> int:
    """A cluster of your own to try everything on.

    It needs neither root nor a network, and reads and changes nothing of yours.
    """
    from app.headless import demonstration

    return demonstration.demo(nodes, directory, serve=serve)


for command in (*cli_acts.ALL, *cli_begin.ALL, *cli_history.ALL, release):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; the exit code of design.md, section 9."""
    try:
        code = cli.main(arguments, prog_name="liftlock", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except LiftlockError as error:
        from app.headless import lines

        for text in lines.problem(error.problem):
            print(text, file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        sys.stdout = sys.stderr  # whoever read us has gone: no flush at the end complains
        return Exit.OK
    return int(code or 0)
