"""Every hostile archive is refused with its code and member, and nothing is written anywhere."""

import gzip
import hashlib
import io
import os
import random
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.node.archive import DEFAULT_CAPS, ArchiveError, Caps, Member, Tree, read
from tests.hostile.archives import FILE, HOSTILE, header, member, packed, pax, refusals


def everything(data: bytes, caps: Caps = DEFAULT_CAPS) -> list[tuple[str, str, bytes]]:
    """Read it all."""
    return [(each.path, each.type, content_of(each)) for each in read(io.BytesIO(data), caps)]


def content_of(each: Member) -> bytes:
    pieces = []
    while piece := each.content.read(1000):
        pieces.append(piece)
    return b"".join(pieces)


def test_b19_a_hostile_archive_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    tally = refusals(tmp_path, 1)
    assert tally.bad == []
    assert tally.cases >= 40


@pytest.mark.parametrize("name", HOSTILE)
def test_a_refusal_can_be_shown(name: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        everything(HOSTILE[name][1])

    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "name", ["hard link", "below a link", "absolute", "case fold", "link out"]
)
def test_a_refusal_names_the_member(name: str) -> None:
    with pytest.raises(ArchiveError) as caught:
        everything(HOSTILE[name][1])

    assert caught.value.member
    assert caught.value.member in str(caught.value)


def test_what_is_allowed_is_read_with_its_content_mode_and_target() -> None:
    data = packed(
        pax(("mtime", "1.5"), ("SCHILY.xattr.user.x", "y"), ("comment", "z"), kind=b"g"),
        member(b"./", kind=b"5"),
        member(b"./bin/", kind=b"5", mode=b"0004777\0"),
        member(b"./bin/tool", b"tool\n", mode=b"0006755\0"),
        member(b"lib/liba.so", kind=b"2", link=b"../bin/./tool"),
        pax(("path", "docs/größe {x} & \\x2d.md")),
        member(b"short", b"text"),
        member(b"name", b"old", prefix=b"deep/er"),
        member(b"empty", b"", b"\0"),
    )

    found = list(read(io.BytesIO(data)))

    assert [(each.path, each.type, each.mode, each.target) for each in found] == [
        ("bin", "dir", 0o777, None),
        ("bin/tool", "file", 0o755, None),
        ("lib/liba.so", "link", 0o644, "../bin/./tool"),
        ("docs/größe {x} & \\x2d.md", "file", 0o644, None),
        ("deep/er/name", "file", 0o644, None),
        ("empty", "file", 0o644, None),
    ]
    assert ("bin/tool", "file", b"tool\n") in everything(data)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_usual_tar_formats_are_read(form: int) -> None:
    wanted = {"short": b"x" * 5000, "d" * 90 + "/" + "f" * 90: b"", "other": b"y" * 512}
    if form != tarfile.USTAR_FORMAT:
        wanted["lang/" + "ü" * 120] = b"z"
        wanted["/".join(["d" * 60] * 6)] = b"long"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=form) as archive:
        for name, content in wanted.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))

    assert {path: content for path, _, content in everything(buffer.getvalue())} == wanted


def test_content_is_hashed_while_read_and_when_read_over() -> None:
    content = random.Random(1).randbytes(200_000)
    data = packed(member(b"a", content), member(b"b", b"next"))
    sha256 = hashlib.sha256(content).hexdigest()

    for before in (0, 1, 100_000, 300_000):
        members = read(io.BytesIO(data))
        first = next(members)
        while before > 0 and (piece := first.content.read(before)):
            before -= len(piece)
        assert first.content.sha256() == sha256
        assert first.content.read() == b""
        assert [each.path for each in members] == ["b"]


def test_members_bytes_and_names_are_capped() -> None:
    many = packed(*(member(b"f%d" % n) for n in range(11)))
    deep = packed(member(b"/".join([b"d"] * 11), b"x"))
    big = packed(member(b"a", b"x" * 600), member(b"b", b"x" * 600))

    for data, caps, code in (
        (many, Caps(members=10), "too-many"),
        (deep, Caps(members=10), "too-many"),
        (many, Caps(name_bytes=20), "too-many"),
        (big, Caps(total_bytes=1199), "too-big"),
    ):
        with pytest.raises(ArchiveError) as caught:
            everything(data, caps)
        assert caught.value.code == code
    assert len(everything(many, Caps(members=11))) == 11
    assert len(everything(big, Caps(total_bytes=1200))) == 2


def test_a_bomb_is_refused_after_a_few_megabytes_not_after_all_of_it() -> None:
    engine = zlib.compressobj(9, wbits=31)
    bomb = engine.compress(header(b"a", size=1 << 30))
    bomb += b"".join(engine.compress(bytes(1 << 20)) for _ in range(64)) + engine.flush()
    taken = 0

    class Source(io.BytesIO):
        def seekable(self) -> bool:
            return False

    bomb_member = next(read(Source(bomb)))

    def take() -> None:
        nonlocal taken
        while piece := bomb_member.content.read():
            assert len(piece) <= 65536
            taken += len(piece)

    with pytest.raises(ArchiveError) as caught:
        take()
    assert caught.value.code == "ratio"
    assert taken < 4 << 20


def good() -> bytes:
    content = random.Random(2).randbytes(3000)
    return packed(
        member(b"bin/", kind=b"5"),
        member(b"bin/a", content),
        member(b"b", kind=b"2", link=b"bin/a"),
    )


def test_every_truncation_is_refused() -> None:
    data = good()

    for size in range(len(data)):
        with pytest.raises(ArchiveError) as caught:
            everything(data[:size])
        assert caught.value.code == "truncated"


def test_every_flipped_byte_is_refused_or_changes_nothing() -> None:
    data = good()
    wanted = everything(data)
    harmless = {*range(3, 10)}  # gzip's text flag, time, level and system

    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 0x01
        try:
            found = everything(bytes(flipped))
        except ArchiveError:
            continue
        assert found == wanted
        assert position in harmless


@given(st.binary(max_size=3000))
def test_random_bytes_are_refused_and_nothing_else_happens(data: bytes) -> None:
    for attempt in (data, gzip.compress(data), gzip.compress(FILE + b"x" + data)):
        with pytest.raises(ArchiveError):
            everything(attempt)


NAMES = st.lists(
    st.sampled_from(["a", "b", "A", "..", ".", "", "é", "e\u0301", "c d"]), max_size=4
)


@given(st.lists(st.tuples(NAMES, st.sampled_from(["file", "dir", "link"]), NAMES), max_size=6))
def test_b19_no_accepted_tree_has_a_way_out(
    members: list[tuple[list[str], str, list[str]]],
) -> None:
    accepted = {}
    tree = Tree()
    for parts, kind, target in members:
        path = "/".join(parts)
        try:
            tree.add(path, kind, 0, "/".join(target) if kind == "link" else None)
        except ArchiveError:
            return
        accepted[path] = "/".join(target) if kind == "link" else None

    for path in accepted:
        assert stays_inside(path, accepted), (path, accepted)


def stays_inside(path: str, links: dict[str, str | None]) -> bool:
    """Follow the path as a kernel would, over all links; whether it never leaves the top."""
    waiting = path.split("/")
    here: list[str] = []
    for _ in range(200):
        if not waiting:
            return True
        part = waiting.pop(0)
        if part == "..":
            if not here:
                return False
            here.pop()
        elif part not in ("", "."):
            target = links.get("/".join([*here, part]))
            if target is not None:
                waiting = [*target.split("/"), *waiting]
            else:
                here.append(part)
    return True  # a loop


def test_a_pipe_can_be_read(tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        data = good()
        yield from (data[start : start + 7] for start in range(0, len(data), 7))

    reading, writing = os.pipe()
    with open(writing, "wb") as sink:
        sink.write(b"".join(pieces()))
    with open(reading, "rb") as source:
        assert [each.path for each in read(source)] == ["bin", "bin/a", "b"]
