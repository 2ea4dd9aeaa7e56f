"""Open a release, prove its tarball against its manifest, and take the content out of it."""

import hashlib
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.provenance import NOBODY, Provenance
from backends.node.archive import ArchiveError, Content, Member, read, shown
from backends.releases.contents import entry_of
from backends.releases.manifest import MAX_BYTES, FileEntry, Manifest, digest, from_bytes, to_json

TARBALL_SUFFIX = ".tar.gz"
MANIFEST_SUFFIX = ".release.json"
SIGNATURE_SUFFIX = ".sig"

_CHUNK = 1 << 20

Progress = Callable[[int, int], None]
"""Told how many bytes of how many are done."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A configuration file that lies elsewhere, as it was there."""

    path: str
    """In the version's tree."""

    url: str
    """As it may be shown."""

    mode: int
    content: bytes

    @property
    def is_unprotected(self) -> bool:
        """Whether anybody on the way could have changed it."""
        return self.url.startswith("http:")

    @property
    def sha256(self) -> str:
        """Its digest, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    def announced(self) -> dict[str, Any]:
        """What a node is told before it comes."""
        size = len(self.content)
        return {"path": self.path, "mode": self.mode, "size": size, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Release:
    """A tarball and its manifest; neither proven nor signed by being opened."""

    tarball: Path
    manifest_path: Path
    manifest_bytes: bytes
    """The manifest as it lies on disk: what a signature is over."""

    manifest: Manifest
    digest: str
    """The content digest: of all that a node gets."""

    packaged: str
    """The same, of what is in the tarball; see `backends.releases.manifest.digest`."""

    fetched: tuple[Fetched, ...] = ()
    """Configuration from elsewhere that comes with it: `fetched.with_configuration`."""

    provenance: Provenance = NOBODY
    """Who vouches for it, as far as somebody looked: `signature_rule.vouched`."""

    signature: bytes = b""
    """The signature that `provenance` speaks of, armored."""

    signer: str = ""
    """A line of allowed_signers that this signature, and nothing else, holds against."""

    @property
    def signature_path(self) -> Path:
        """Where the signature lies, if there is one."""
        return self.manifest_path.with_name(self.manifest_path.name + SIGNATURE_SUFFIX)


@dataclass(frozen=True, slots=True)
class Blob:
    """One content, named by its sha256; `open` gives a new stream of its `size` bytes."""

    sha256: str
    size: int
    open: Callable[[], BinaryIO]


def open_release(path: Path) -> Release:
    """Read the manifest of a release that is named by its tarball or by its manifest.

    Raises LiftlockError: `release-missing`, `manifest-missing`, `release-unreadable` (exit 2);
    `manifest-invalid` (exit 4).
    """
    if path.name.endswith(MANIFEST_SUFFIX):
        stem = path.name.removesuffix(MANIFEST_SUFFIX)
    else:
        stem = path.name.removesuffix(TARBALL_SUFFIX)
    tarball = path.with_name(stem + TARBALL_SUFFIX)
    manifest_path = path.with_name(stem + MANIFEST_SUFFIX)
    if not tarball.is_file():
        raise _usage(
            "release-missing",
            f"There is no release {path}.",
            f"no file {tarball}",
            _others(path.parent, TARBALL_SUFFIX),
        )
    if not manifest_path.is_file():
        raise _usage(
            "manifest-missing",
            f"The release {tarball.name} has no manifest.",
            f"no file {manifest_path}",
            "Put the .release.json beside the tarball, or make both: liftlock release build.",
        )
    try:
        with manifest_path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(manifest_path, error) from error
    manifest = from_bytes(data, manifest_path.name)
    packaged = digest(manifest)
    return Release(tarball, manifest_path, data, manifest, packaged, packaged)


def verify_tarball(release: Release, progress: Progress | None = None) -> None:
    """Prove that the tarball is the one of the manifest, and holds what the manifest says.

    Size and sha256 of the whole come first, then every member: none missing, none extra, type,
    size, sha256 and target as stated. Modes and owners in the archive do not count; a node gets
    the manifest's. A directory that the archive only implies is not missing.

    Raises LiftlockError, exit 4: `tarball-truncated`, `tarball-size` (longer), `tarball-digest`,
    `tarball-member-missing`, `tarball-member-extra`, `tarball-member-changed`, and for what the
    strict reader refuses, `tarball-damaged`, `tarball-trailing` and `tarball-member-` with its
    code; exit 2: `release-unreadable`.
    """
    try:
        with release.tarball.open("rb") as stream:
            _check_whole(release, stream, progress)
            stream.seek(0)
            for _ in _proven(release, stream):
                pass
    except OSError as error:
        raise _unreadable(release.tarball, error) from error


def blobs(release: Release, spool: Path, wanted: Collection[str] | None = None) -> Iterator[Blob]:
    """Each different file content once, in the order of the tarball, spooled under its sha256.

    `spool` is an existing private directory of the caller, who also removes it; it takes as many
    bytes as the contents together. Only the contents in `wanted` (sha256), or all. A blob is
    given out when its bytes have been compared with the manifest, so the tarball is proven as
    far as it was read, and completely when the iterator ends; memory use does not grow.

    Raises LiftlockError as `verify_tarball` does for members; OSError when `spool` is full.
    """
    done: set[str] = set()
    with release.tarball.open("rb") as stream:
        for entry, content in _proven(release, stream):
            sha256 = entry.sha256
            if sha256 is None or sha256 in done or (wanted is not None and sha256 not in wanted):
                continue
            path = spool / sha256
            with open(os.open(path, _NEW, 0o600), "wb") as target:
                while piece := content.read(_CHUNK):
                    target.write(piece)
            if content.sha256() != sha256:
                path.unlink()
                _refuse_member("changed", entry.path, "has other bytes than the manifest says")
            done.add(sha256)
            yield Blob(sha256, entry.size, lambda path=path: path.open("rb"))  # type: ignore[misc]


_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def show(release: Release) -> dict[str, Any]:
    """What `liftlock release show` prints: the manifest's words, counted and put together."""
    manifest = release.manifest
    words = to_json(manifest)
    files = words.pop("files")
    return words | {
        "digest": release.digest,
        "paths": {"tarball": str(release.tarball), "manifest": str(release.manifest_path)},
        "has_signature": release.signature_path.is_file(),
        "total_bytes": manifest.total_bytes,
        "counts": {
            kind: sum(entry.type == kind for entry in manifest.files)
            for kind in ("file", "dir", "link")
        },
        "files": files,
    }


def _check_whole(release: Release, stream: BinaryIO, progress: Progress | None) -> None:
    stated = release.manifest.tarball
    size = os.fstat(stream.fileno()).st_size
    if size != stated.size:
        is_short = size < stated.size
        _refuse(
            "tarball-truncated" if is_short else "tarball-size",
            f"{release.tarball.name} is too {'short' if is_short else 'long'}.",
            f"{size} bytes; the manifest says {stated.size}",
        )
    sha256 = hashlib.sha256()
    done = 0
    while piece := stream.read(_CHUNK):
        sha256.update(piece)
        done += len(piece)
        if progress is not None:
            progress(done, size)
    if sha256.hexdigest() != stated.sha256:
        _refuse(
            "tarball-digest",
            f"{release.tarball.name} has other bytes than its manifest says.",
            f"sha256 {sha256.hexdigest()}; the manifest says {stated.sha256}",
        )


def _proven(release: Release, stream: BinaryIO) -> Iterator[tuple[FileEntry, Content]]:
    """Each member with the manifest's entry for it, compared when the next one is asked for."""
    stated = {entry.path: entry for entry in release.manifest.files}
    missing = {entry.path for entry in release.manifest.files}
    try:
        for member in read(stream):
            entry = stated.get(member.path)
            if entry is None:
                _refuse_member("extra", member.path, "is not in the manifest")
            _check_head(entry, member)
            yield entry, member.content
            if entry_of(member).sha256 != entry.sha256:
                _refuse_member("changed", entry.path, "has other bytes than the manifest says")
            missing.discard(member.path)
            parent = member.path.rpartition("/")[0]
            while parent in missing and stated[parent].type == "dir":
                missing.discard(parent)
                parent = parent.rpartition("/")[0]
    except ArchiveError as error:
        code = f"tarball-{error.code}"
        if error.code not in ("truncated", "damaged", "trailing", "not-gzip"):
            code = f"tarball-member-{error.code}"
        _refuse(code, f"{release.tarball.name} is refused.", str(error))
    if missing:
        paths = sorted(missing)
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        _refuse_member("missing", paths[0], f"is not in the tarball{more}")


def _check_head(entry: FileEntry, member: Member) -> None:
    if entry.type != member.type:
        _refuse_member("changed", entry.path, f"is a {member.type}, not a {entry.type}")
    if entry.size != member.size:
        _refuse_member("changed", entry.path, f"has {member.size} bytes, not {entry.size}")
    if entry.target != member.target:
        _refuse_member("changed", entry.path, f"links to {shown(member.target or '')}")


def _refuse_member(code: str, path: str, text: str) -> NoReturn:
    _refuse(
        f"tarball-member-{code}",
        f"The tarball does not hold what its manifest says: {shown(path)}.",
        f"{shown(path)} {text}",
    )


def _refuse(code: str, summary: str, evidence: str) -> NoReturn:
    advice = "Nothing was changed. Get the release again from where it was built."
    raise LiftlockError(Problem(code, summary, evidence, advice), Exit.REFUSED)


def _others(folder: Path, suffix: str) -> str:
    found = sorted(path.name for path in folder.glob(f"*{suffix}"))
    return f"Here is: {', '.join(found[:10])}." if found else "Check the name."


def _unreadable(path: Path, error: OSError) -> LiftlockError:
    return _usage(
        "release-unreadable", f"{path} cannot be read.", error.strerror or str(error), ""
    )


def _usage(code: str, summary: str, evidence: str, advice: str) -> LiftlockError:
    return LiftlockError(Problem(code, summary, evidence, advice), Exit.USAGE)
