"""Build a release from a directory: the same content gives the same bytes, anywhere."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal

from pydantic import ValidationError

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.node.archive import ArchiveError
from backends.releases.contents import list_tarball
from backends.releases.manifest import (
    MAX_BYTES,
    SAFE_NAME,
    FileEntry,
    Imported,
    Manifest,
    Needs,
    digest,
    to_bytes,
)
from backends.releases.pack import pack
from backends.releases.source import Found, look_through
from backends.releases.whole_file import WholeFile

EPOCH_VARIABLE = "SOURCE_DATE_EPOCH"
"""See https://reproducible-builds.org/specs/source-date-epoch/."""


@dataclass(frozen=True, slots=True)
class Built:
    """A release on disk."""

    tarball: Path
    manifest: Path
    digest: str
    """The content digest: `backends.releases.manifest.digest`."""


def build(
    directory: Path,
    name: str,
    version: str,
    out: Path,
    *,
    from_versions: Sequence[str] | Literal["*"] = "*",
    irreversible: Sequence[str] = (),
    needs: Needs | None = None,
    expires: str | None = None,
    arch: str = "any",
    sequence: int | None = None,
    imported: Imported | None = None,
) -> Built:
    """Write `{name}-{version}.tar.gz` and `{name}-{version}.release.json` into `out`.

    Bytes depend only on names, content, which files may be executed, the arguments, `created`
    ($SOURCE_DATE_EPOCH, else the newest modification time of a file or link) and the zlib in
    use; the content digest not even on the last two. Owner, umask, order on disk and further
    mode bits change nothing. Each file appears whole or not at all, the manifest last.
    `needs.bytes` 0 becomes the size of the tree; `sequence` defaults to `created`; `expires` is
    UTC, "2027-01-01T00:00:00Z".

    Raises LiftlockError, exit 2: see `look_through`; `release-name`, `release-version`,
    `release-epoch`, `release-out-inside`, `release-source-changed`, `release-unusual` (our own
    strict reader would refuse it), `release-manifest`, `release-out-unwritable`.
    """
    for word, value in (("name", name), ("version", version)):
        if not re.match(SAFE_NAME, value) or "\n" in value:
            raise _refusal(
                f"release-{word}",
                f"{value!a} cannot be a {word}.",
                "Letters, digits, . _ + ~ -; no leading dot, no slash, at most 100 characters.",
            )
    if out.resolve().is_relative_to(directory.resolve()):
        raise _refusal("release-out-inside", f"{out} lies inside of {directory}.", "Use another.")
    found = look_through(directory)
    created = _created(found)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with WholeFile(out) as packed, WholeFile(out) as written:
            entries, tarball = pack(directory, found, packed.stream, created)
            manifest = _manifest(
                name=name,
                version=version,
                sequence=created if sequence is None else sequence,
                created=_utc(created),
                expires=expires,
                arch=arch,
                tarball=tarball,
                files=entries,
                from_=from_versions if from_versions == "*" else tuple(from_versions),
                irreversible=tuple(irreversible),
                needs=_needs(needs, entries),
                imported=imported,
            )
            _prove(packed.stream, entries)
            stem = out / f"{name}-{version}"
            built = Built(Path(f"{stem}.tar.gz"), Path(f"{stem}.release.json"), digest(manifest))
            readable = _readable(to_bytes(manifest))
            _refuse_other(built.manifest, readable)
            written.stream.write(readable)
            packed.put(built.tarball)
            written.put(built.manifest)
    except OSError as error:
        raise _refusal(
            "release-out-unwritable", f"{out} cannot be written.", error.strerror or str(error)
        ) from error
    return built


def _refuse_other(path: Path, manifest: bytes) -> None:
    """A release that lies there under this name and version is not replaced by other content."""
    if path.exists() and path.read_bytes() != manifest:
        raise _refusal(
            "release-exists",
            f"{path} is there, and it is other content under the same name and version.",
            advice="Give the release another version, or remove the old one.",
        )


def _created(found: tuple[Found, ...]) -> int:
    text = os.environ.get(EPOCH_VARIABLE, "")
    if text:
        if not re.fullmatch(r"[0-9]{1,11}", text):
            raise _refusal("release-epoch", f"${EPOCH_VARIABLE} is not a number of seconds.", text)
        return int(text)
    return max(0, *(each.mtime_ns // 10**9 for each in found if each.type != "dir"))


def _manifest(**values: object) -> Manifest:
    try:
        return Manifest.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _refusal(
            "release-manifest", f"The manifest cannot say this: {place}.", str(first["msg"])
        ) from error


def _needs(needs: Needs | None, entries: tuple[FileEntry, ...]) -> Needs:
    asked = needs or Needs()
    size = sum(entry.size for entry in entries)
    return asked if asked.bytes else asked.model_copy(update={"bytes": size})


def _readable(data: bytes) -> bytes:
    if len(data) > MAX_BYTES:
        raise _refusal("release-unusual", f"The manifest would have {len(data)} bytes.")
    return data


def _prove(packed: BinaryIO, entries: tuple[FileEntry, ...]) -> None:
    """Nothing is handed out that we would refuse ourselves."""
    packed.flush()
    packed.seek(0)
    try:
        is_same = list_tarball(packed) == entries
    except ArchiveError as error:
        raise _refusal(
            "release-unusual",
            "The strict reader refuses what was built.",
            str(error),
            "Very repetitive content and very large trees are refused; see the README.",
        ) from error
    if not is_same:
        raise _refusal("release-unusual", "What was built is not what was asked for.")


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _refusal(code: str, summary: str, evidence: str = "", advice: str = "") -> LiftlockError:
    return LiftlockError(Problem(code, summary, evidence, advice), Exit.USAGE)
