"""The commands about releases, `liftlock release ...`. It imports nothing heavy, as `cli`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from app.cli_options import json_option, release_argument


@click.group()
def release() -> None:
    """Build, import, sign, verify, show and compare releases."""


def _said(function: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(
        (
            click.option("--name", required=True, help="The product's name."),
            click.option("--version", required=True),
            click.option(
                "-o",
                "--out",
                required=True,
                type=click.Path(path_type=Path),
                help="The folder to write to.",
            ),
            click.option("--sequence", type=click.IntRange(0), help="Grows with each release."),
            click.option("--expires", metavar="TIME", help="UTC: 2027-01-01T00:00:00Z."),
            click.option("--arch", default="any", show_default=True, help="E.g. x86_64."),
            click.option("--from", "from_", metavar="V", multiple=True, help="Only from these."),
            click.option("--needs-command", "needs", metavar="NAME", multiple=True),
            click.option("--needs-library", "libraries", metavar="NAME", multiple=True),
            click.option("--needs-python", "python", metavar="3.N", default=""),
            click.option("--irreversible", metavar="TEXT", multiple=True, help="Not undone."),
        )
    ):
        function = option(function)
    return json_option(function)


@release.command()
@click.argument("directory", type=click.Path(path_type=Path))
@_said
def build(directory: Path, out: Path, json: bool, **said: Any) -> int:
    """Pack a directory into a tarball and its manifest, reproducibly."""
    from app.headless import releasing

    return releasing.build(directory, out, releasing.Said(**said), as_json=json)


@release.command("import")
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--strip", type=click.IntRange(0), default=0, help="Drop N leading directories.")
@_said
def take_in(archive: Path, strip: int, out: Path, json: bool, **said: Any) -> int:
    """Make a release of a vendor's .tar.gz; it stays marked.

    ARCHIVE.sha256 or ARCHIVE.md5 beside it must fit.
    """
    from app.headless import releasing

    return releasing.take_in(archive, out, releasing.Said(**said), strip, as_json=json)


@release.command()
@release_argument
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path),
    help="A private key, or the .pub of one that the agent has.",
)
@json_option
def sign(release: Path, key: Path, json: bool) -> int:
    """Sign a release: ssh-keygen does it, so agents and FIDO keys work."""
    from app.headless import releasing

    return releasing.sign(release, key, as_json=json)


@release.command()
@release_argument
@click.option(
    "--signers",
    required=True,
    type=click.Path(path_type=Path),
    help="Who may sign: an OpenSSH allowed_signers file.",
)
@click.option("--revoked", type=click.Path(path_type=Path), help="Keys that no longer count.")
@json_option
def verify(release: Path, signers: Path, revoked: Path | None, json: bool) -> int:
    """Is it signed by somebody who may, and are its bytes those? Exit 0, or 4."""
    from app.headless import releasing

    return releasing.verify(release, signers, revoked, as_json=json)


@release.command()
@release_argument
@json_option
def show(release: Path, json: bool) -> int:
    """What a release holds, after its bytes were checked."""
    from app.headless import releasing

    return releasing.display(release, as_json=json)


@release.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@json_option
def diff(old: Path, new: Path, json: bool) -> int:
    """What differs between two releases, file by file."""
    from app.headless import releasing

    return releasing.compare(old, new, as_json=json)
