"""Releases: built, imported, signed, verified, shown, compared."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.headless.say import out, talk
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.releases.build import Built
from backends.releases.build import build as build_release
from backends.releases.difference import Difference, difference
from backends.releases.difference import to_json as difference_to_json
from backends.releases.importing import import_archive
from backends.releases.manifest import Needs
from backends.releases.read import open_release, show, verify_tarball
from backends.releases.signature_rule import Rule, vouched
from backends.releases.signing import sign as sign_release

_UNSIGNED = "not signed yet: liftlock release sign RELEASE --key KEY"


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of a release when it is made; the rest is found out."""

    name: str
    version: str
    sequence: int | None = None
    expires: str | None = None
    arch: str = "any"
    from_: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    python: str = ""
    irreversible: tuple[str, ...] = ()

    def about(self) -> dict[str, Any]:
        """The arguments of `build` beside name and version.

        Raises:
            LiftlockError: `release-needs`, exit 2.
        """
        try:
            needs = Needs(
                commands=self.needs,
                libraries=self.libraries,
                python=self.python or Needs().python,
            )
        except ValueError as error:
            raise LiftlockError(
                Problem(
                    "release-needs",
                    "What the release needs cannot be said like that.",
                    str(error),
                    "--needs-python 3.9, --needs-command NAME, --needs-library libssl.so.3",
                ),
                Exit.USAGE,
            ) from error
        return {
            "sequence": self.sequence,
            "expires": self.expires,
            "arch": self.arch,
            "from_versions": self.from_ or "*",
            "needs": needs,
            "irreversible": self.irreversible,
        }


def build(directory: Path, target: Path, said: Said, *, as_json: bool) -> int:
    """Pack a directory into a release: tarball and manifest, the same bytes every time."""
    built = build_release(directory, said.name, said.version, target, **said.about())
    return _tell_built(built, as_json=as_json)


def take_in(archive: Path, target: Path, said: Said, strip: int, *, as_json: bool) -> int:
    """Make a release of a vendor's archive, after its checksum was looked at."""
    built = import_archive(archive, said.name, said.version, target, strip=strip, **said.about())
    return _tell_built(built, as_json=as_json)


def _tell_built(built: Built, *, as_json: bool) -> int:
    release = open_release(built.manifest)
    origin = release.manifest.imported_from
    if as_json:
        found = {
            "schema": "liftlock.built/1",
            "tarball": str(built.tarball),
            "manifest": str(built.manifest),
            "digest": built.digest,
        }
        out([json.dumps(found, sort_keys=True)])
        return Exit.OK
    out([str(built.tarball), str(built.manifest)])
    talk([f"content {built.digest}", *([f"imported from {origin}"] if origin else []), _UNSIGNED])
    return Exit.OK


def sign(path: Path, key: Path, *, as_json: bool) -> int:
    """Sign a release that is whole."""
    release = open_release(path)
    signature = sign_release(release, key)
    if as_json:
        found = {
            "schema": "liftlock.signed/1",
            "signature": str(release.signature_path),
            "digest": release.digest,
            "key": signature.fingerprint,
        }
        out([json.dumps(found, sort_keys=True)])
        return Exit.OK
    out([str(release.signature_path)])
    talk([f"signed with {signature.fingerprint}"])
    return Exit.OK


def verify(path: Path, signers: Path, revoked: Path | None, *, as_json: bool) -> int:
    """Hold a release against its signature, and its bytes against its manifest."""
    release = vouched(open_release(path), Rule(True, signers, revoked), time.time())
    verify_tarball(release)
    manifest, origin = release.manifest, release.provenance
    if as_json:
        found = {
            "schema": "liftlock.verified/1",
            "name": manifest.name,
            "version": manifest.version,
            "digest": release.digest,
            "signer": origin.signer,
            "key": origin.key,
            "imported": origin.imported or None,
            "expires": manifest.expires,
        }
        out([json.dumps(found, sort_keys=True)])
    else:
        out([f"{manifest.name} {manifest.version}: {origin}", f"content {release.digest}"])
    return Exit.OK


def display(path: Path, *, as_json: bool) -> int:
    """Show what a release is, after its bytes were held against its manifest."""
    release = open_release(path)
    verify_tarball(release)
    found = show(release)
    if as_json:
        out([json.dumps(found, sort_keys=True)])
        return Exit.OK
    counts, origin = found["counts"], release.manifest.imported_from
    signature = "there; release verify tells whose" if found["has_signature"] else "NONE"
    needs = ", ".join(
        [
            f"Python {found['needs']['python']}",
            *found["needs"]["commands"],
            *found["needs"]["libraries"],
        ]
    )
    lines = [
        f"{found['name']} {found['version']}  (sequence {found['sequence']})",
        f"  created    {found['created']}, expires {found['expires'] or 'never'}",
        f"  content    {found['digest']}",
        f"  tarball    {found['tarball']['size']} bytes, as the manifest says",
        f"  holds      {counts['file']} files, {counts['dir']} directories, "
        f"{counts['link']} links: {found['total_bytes']} bytes unpacked",
        f"  from       {'any version' if found['from'] == '*' else ', '.join(found['from'])}",
        f"  needs      {needs}, arch {found['arch']}",
        *([f"  imported   from {origin}"] if origin else []),
        f"  signature  {signature}",
    ]
    lines += [f"  does not come back on roll back: {text}" for text in found["irreversible"]]
    lines += [
        f"  {entry['mode']:04o} {entry['size']:>10}  {entry['path']}" for entry in found["files"]
    ]
    out(lines)
    return Exit.OK


def compare(old: Path, new: Path, *, as_json: bool) -> int:
    """What an upgrade from one release to another changes; both are looked at, not contacted."""
    before, after = open_release(old), open_release(new)
    for release in (before, after):
        verify_tarball(release)
    found = difference(before.manifest, after.manifest)
    if as_json:
        versions = {"from": before.manifest.version, "to": after.manifest.version}
        said = {"schema": "liftlock.diff/1", **versions, **difference_to_json(found)}
        out([json.dumps(said, sort_keys=True)])
        return Exit.OK
    head = f"{before.manifest.name} {before.manifest.version} -> {after.manifest.version}"
    out([head, *_difference(found)])
    return Exit.OK


def _difference(found: Difference) -> list[str]:
    if found.is_empty:
        return ["  nothing differs"]
    return [
        *(f"  + {entry.path}" for entry in found.added),
        *(f"  - {entry.path}" for entry in found.removed),
        *(f"  ~ {each.new.path}: {each.what}" for each in found.changed),
        f"  {len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed; "
        f"{found.new_bytes} bytes are new",
    ]
