"""The keys of a demo: made once, kept in its directory, good for nothing else."""

from pathlib import Path

import asyncssh

from backends.demo.places import write_private
from backends.domain.problem import Exit, LiftlockError, Problem


def key_in(path: Path, comment: str) -> asyncssh.SSHKey:
    """The ed25519 key in a file, which is made when it is missing; `.pub` is written beside it.

    Raises:
        LiftlockError: `demo-key`, exit 2: what lies there is no private key.
        OSError: The file cannot be read or written.
    """
    if path.exists():
        try:
            return asyncssh.read_private_key(path)
        except asyncssh.KeyImportError as error:
            raise LiftlockError(
                Problem("demo-key", f"{path} is no private key.", str(error), "Remove the file."),
                Exit.USAGE,
            ) from error
    key = asyncssh.generate_private_key("ssh-ed25519", comment=comment)
    write_private(path.with_name(path.name + ".pub"), key.export_public_key())
    write_private(path, key.export_private_key())  # last: with it the pair is whole
    return key
