"""Sign a release through `ssh-keygen -Y sign`, so that files, agents and FIDO keys can do it."""

import subprocess
from pathlib import Path

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.releases.read import Release, verify_tarball
from backends.releases.signature import NAMESPACE, BadSignature, Signature, take_apart
from backends.releases.whole_file import WholeFile


def sign(release: Release, key: Path) -> Signature:
    """Write the signature beside the manifest, in place of one that is there.

    `key` is a private key, or a public one whose private half an agent has. ssh-keygen itself
    asks for a passphrase or a touch, on the terminal. What does not hold is not signed.

    Raises:
        LiftlockError: `sign-key-missing`, `sign-no-ssh-keygen`, `sign-failed`,
            `release-out-unwritable`, exit 2; what `verify_tarball` raises, exit 4.
    """
    verify_tarball(release)
    if not key.is_file():
        raise _usage("sign-key-missing", f"There is no key {key}.", "", "Check the name.")
    armored = _asked(release.manifest_bytes, key)
    try:
        signature = take_apart(armored)
        does_fit = signature.fits(release.manifest_bytes)
    except BadSignature as error:
        raise _failed(key, str(error)) from error
    if not does_fit:
        raise _failed(key, "what ssh-keygen made does not fit the manifest")
    path = release.signature_path
    try:
        with WholeFile(path.parent) as file:
            file.stream.write(armored)
            file.put(path)
    except OSError as error:
        raise _usage(
            "release-out-unwritable", f"{path} cannot be written.", error.strerror or "", ""
        ) from error
    return signature


def _asked(content: bytes, key: Path) -> bytes:
    # Absolute: a name that begins with a dash is no option.
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(key.absolute())]
    try:
        # What it says goes to the terminal: it may ask for a touch there.
        done = subprocess.run(command, input=content, stdout=subprocess.PIPE, check=False)
    except FileNotFoundError as error:
        raise _usage(
            "sign-no-ssh-keygen",
            "There is no ssh-keygen here.",
            str(error),
            "Install OpenSSH's client, 8.1 or newer.",
        ) from error
    if done.returncode != 0:
        raise _failed(key, f"exit {done.returncode}; what it said is above")
    return done.stdout


def _failed(key: Path, why: str) -> LiftlockError:
    return _usage(
        "sign-failed",
        f"ssh-keygen did not sign with {key}.",
        why,
        "Name a private key, or a public one whose private half the agent has.",
    )


def _usage(code: str, summary: str, evidence: str, advice: str) -> LiftlockError:
    return LiftlockError(Problem(code, summary, evidence, advice), Exit.USAGE)
