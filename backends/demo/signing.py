"""The demo's releases are signed, as its cluster requires: with a key made for it."""

import asyncssh

from backends.demo.keys import key_in
from backends.demo.places import Places, write_private
from backends.releases.read import TARBALL_SUFFIX, open_release
from backends.releases.signature import NAMESPACE

SIGNER = "release@demo"


def sign_releases(places: Places) -> None:
    """Sign every release of the demo, and name its key as the only one that may.

    Raises:
        LiftlockError: `demo-key`, exit 2, or a release cannot be opened.
        OSError: Something cannot be read or written.
    """
    key = key_in(places.release_key, "liftlock-demo-release")
    public = key.export_public_key().decode("ascii").strip()
    signers = f'{SIGNER} namespaces="{NAMESPACE}" {public}\n'
    write_private(places.signers, signers.encode("ascii"))
    for tarball in sorted(places.releases.glob(f"*{TARBALL_SUFFIX}")):
        release = open_release(tarball)
        armored = asyncssh.create_sshsig(key, release.manifest_bytes, namespace=NAMESPACE)
        write_private(release.signature_path, armored)
