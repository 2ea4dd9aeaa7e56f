"""The manifest of a release, `liftlock.release/1` (design.md, section 7)."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from backends.domain.problem import Exit, LiftlockError, Problem
from backends.node.archive import ArchiveError, Tree, shown
from backends.node.canonical import StrictError, canonical, files_digest, parse

SCHEMA: Literal["liftlock.release/1"] = "liftlock.release/1"

MAX_BYTES = 64 << 20
"""Largest manifest that is read; 200,000 files take about 50 MB."""

SAFE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._+~-]{0,99}$"
"""Letters, digits and `.`, `_`, `+`, `~`, `-`; no leading dot, no slash (seed feature O23)."""


def _time(text: str) -> str:
    datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return text


def _line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("must be one line of visible characters")
    return text


SafeName = Annotated[str, Field(pattern=SAFE_NAME)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"), AfterValidator(_time)]
"""A moment in UTC, to the second: 2026-11-20T06:20:00Z."""

Line = Annotated[str, Field(max_length=1000), AfterValidator(_line)]
Bytes = Annotated[int, Field(ge=0, le=2**53 - 1)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TarballEntry(_Closed):
    """The tarball as a whole."""

    sha256: Sha256
    size: Bytes


class FileEntry(_Closed):
    """One file, directory or link of the tree.

    Modes are what the node gets, whatever the archive says: for a directory, rwx for the owner
    at least; never writable for others than the owner; 0o777 for a link.
    """

    path: str
    type: Literal["file", "dir", "link"]
    mode: Annotated[int, Field(ge=0, le=0o777)]
    size: Bytes
    sha256: Sha256 | None
    target: str | None

    @model_validator(mode="after")
    def _fits_its_type(self) -> "FileEntry":
        if (self.sha256 is not None) != (self.type == "file"):
            raise ValueError("sha256 is for files, and every file has one")
        if (self.target is not None) != (self.type == "link"):
            raise ValueError("target is for links, and every link has one")
        if self.type != "file" and self.size:
            raise ValueError(f"a {self.type} has size 0")
        if self.type == "link":
            if self.mode != 0o777:
                raise ValueError("a link has mode 0777")
        elif self.mode & 0o022 or self.mode & 0o400 == 0:
            raise ValueError(f"mode {self.mode:04o} is not allowed")
        elif self.type == "dir" and self.mode & 0o700 != 0o700:
            raise ValueError(f"mode {self.mode:04o} is not allowed for a directory")
        return self


class Needs(_Closed):
    """What a node must have."""

    python: Annotated[str, Field(pattern=r"^3\.[0-9]{1,2}$")] = "3.6"
    """At least this version."""

    commands: Annotated[tuple[SafeName, ...], Field(strict=False)] = ()
    """Programs that must be on the PATH."""

    libraries: Annotated[tuple[SafeName, ...], Field(strict=False)] = ()
    """Shared libraries, by the names that the loader knows them by: libssl.so.3."""

    bytes: Bytes = 0
    """Free space for the unpacked tree."""


class Imported(_Closed):
    """The archive of a vendor that a release was made from."""

    file: Line
    sha256: Sha256
    checksum: Literal["sha256", "md5", "none"]
    """What lay beside it and fitted; "none": nothing did."""


class Manifest(_Closed):
    """Everything that is known about one release."""

    # `schema` and `from` are taken by pydantic and Python.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, populate_by_name=True, serialize_by_alias=True
    )

    schema_: Literal["liftlock.release/1"] = Field(default=SCHEMA, alias="schema")
    name: SafeName
    version: SafeName
    sequence: Bytes
    """Grows with each release; by default `created` in seconds since 1970."""

    created: Time
    expires: Time | None
    arch: SafeName = "any"
    tarball: TarballEntry
    files: Annotated[tuple[FileEntry, ...], Field(strict=False, min_length=1)]
    """Sorted by path, every directory included."""

    from_: Annotated[tuple[SafeName, ...], Field(strict=False)] | Literal["*"] = Field(
        default="*", alias="from"
    )
    """From which versions an upgrade is allowed; "*" is from any."""

    irreversible: Annotated[tuple[Line, ...], Field(strict=False)] = ()
    """What a roll back does not undo, in words."""

    needs: Needs = Needs()
    imported: Imported | None = None
    """Set when it was not built but made from a vendor's archive."""

    @model_validator(mode="after")
    def _files_make_a_tree(self) -> "Manifest":
        check_tree(self.files)
        return self

    @property
    def imported_from(self) -> str:
        """The vendor's archive in words; empty when there is none."""
        if self.imported is None:
            return ""
        told = self.imported.checksum
        return f"{self.imported.file} ({'no checksum' if told == 'none' else f'{told} fits'})"

    @property
    def total_bytes(self) -> int:
        """Bytes of all files together, unpacked."""
        return sum(entry.size for entry in self.files)


def check_tree(files: tuple[FileEntry, ...]) -> None:
    """Insist that the entries are sorted, safe, and name every directory.

    Raises ValueError.
    """
    tree = Tree()
    last = ""
    for entry in files:
        if entry.path <= last:
            raise ValueError(f"{shown(entry.path)}: the files are not sorted by path")
        last = entry.path
        try:
            tree.add(entry.path, entry.type, entry.size, entry.target)
        except ArchiveError as error:
            raise ValueError(str(error)) from error
    if implied := tree.implied():
        raise ValueError(f"{shown(implied[0])}: the directory is not listed")


def to_json(manifest: Manifest) -> dict[str, Any]:
    """The manifest as plain JSON values, keys as in the file."""
    return manifest.model_dump(mode="json", by_alias=True)


def to_bytes(manifest: Manifest) -> bytes:
    """The file: canonical JSON and a newline, the same bytes for the same manifest."""
    return canonical(to_json(manifest)) + b"\n"


def digest(manifest: Manifest) -> str:
    """The content digest that the node computes, too; sha256 in hex over the list of files."""
    return files_digest([entry.model_dump() for entry in manifest.files])


def from_bytes(data: bytes, name: str) -> Manifest:
    """Read a manifest strictly; `name` is the file's, for the message.

    Raises LiftlockError, exit 4: `manifest-invalid`.
    """
    try:
        value = parse(data, MAX_BYTES)
    except StrictError as error:
        raise _invalid(name, [str(error)]) from error
    if isinstance(value, dict) and value.get("schema") not in (None, SCHEMA):
        raise _invalid(name, [f"schema {value['schema']!r}; this program reads {SCHEMA}"])
    try:
        return Manifest.model_validate(value)
    except ValidationError as error:
        raise _invalid(name, _lines(error)) from error


def _lines(error: ValidationError) -> list[str]:
    lines: list[str] = []
    for each in error.errors()[:20]:
        place = ".".join(str(part) for part in each["loc"])
        text = each["msg"].removeprefix("Value error, ")
        lines.append(f"{shown(place)}: {text}" if place else text)
    return lines


def _invalid(name: str, lines: list[str]) -> LiftlockError:
    return LiftlockError(
        Problem(
            code="manifest-invalid",
            summary=f"{name} is not a release manifest.",
            evidence="\n".join(lines),
            advice="Get the release again, or build it again with liftlock release build.",
        ),
        Exit.REFUSED,
    )
