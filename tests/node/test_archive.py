"""Every hostile archive is refused with its code and member, and nothing is written anywhere."""

import gzip
import hashlib
import io
import itertools
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

END = bytes(1024)


def header(
    name: bytes,
    kind: bytes = b"0",
    size: int = 0,
    link: bytes = b"",
    *,
    mode: bytes = b"0000644\0",
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    size_field: bytes = b"",
    checksum: bytes = b"",
) -> bytes:
    """One tar header, as wrong as the arguments."""
    block = bytearray(512)
    block[:100] = name.ljust(100, b"\0")[:100]
    block[100:108] = mode
    block[124:136] = size_field or b"%011o\0" % size
    block[156:157] = kind
    block[157:257] = link.ljust(100, b"\0")[:100]
    block[257:265] = magic
    block[345:500] = prefix.ljust(155, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = checksum or b"%06o\0 " % sum(block)
    return bytes(block)


def member(name: bytes, content: bytes = b"", kind: bytes = b"0", **options: bytes) -> bytes:
    """A header and content, padded."""
    link = options.pop("link", b"")
    head = header(name, kind, len(content), link, **options)
    return head + content + bytes(-len(content) % 512)


def pax(*records: tuple[str, str], kind: bytes = b"x") -> bytes:
    """An extended header."""
    lines = []
    for key, value in records:
        body = f" {key}={value}\n".encode("utf-8", "surrogateescape")
        length = next(n for n in itertools.count() if n == len(str(n)) + len(body))
        lines.append(str(length).encode() + body)
    return member(b"./PaxHeaders/x", b"".join(lines), kind)


def packed(*parts: bytes, end: bytes = END) -> bytes:
    """The `.tar.gz` of these pieces."""
    return gzip.compress(b"".join(parts) + end, mtime=0)


def everything(data: bytes, caps: Caps = DEFAULT_CAPS) -> list[tuple[str, str, bytes]]:
    """Read it all."""
    return [(each.path, each.type, content_of(each)) for each in read(io.BytesIO(data), caps)]


def content_of(each: Member) -> bytes:
    pieces = []
    while piece := each.content.read(1000):
        pieces.append(piece)
    return b"".join(pieces)


FILE = member(b"bin/tool", b"tool\n")
LONG = b"a/" * 520 + b"b"
NFC, NFD = "é".encode(), "e\u0301".encode()

HOSTILE: dict[str, tuple[str, bytes]] = {
    # names
    "absolute": ("name", packed(member(b"/etc/passwd", b"x"))),
    "absolute after dot slash": ("name", packed(member(b".//etc/passwd", b"x"))),
    "dot dot": ("name", packed(member(b"../outside", b"x"))),
    "dot dot in the middle": ("name", packed(member(b"a/../../outside", b"x"))),
    "dot dot at the end": ("name", packed(member(b"a/..", kind=b"5"))),
    "dot dot in prefix": ("name", packed(member(b"outside", b"x", prefix=b".."))),
    "dot dot in pax path": ("name", packed(pax(("path", "../outside")), member(b"inside", b"x"))),
    "dot dot in a long name": (
        "name",
        packed(member(b"././@LongLink", b"../outside\0", b"L"), member(b"inside", b"x")),
    ),
    "sibling prefix": ("name", packed(member(b"../tree-evil/x", b"x"))),
    "empty name": ("name", packed(member(b"", b"x"))),
    "dot as a file": ("name", packed(member(b".", b"x"))),
    "double slash": ("name", packed(member(b"a//b", b"x"))),
    "dot component": ("name", packed(member(b"a/./b", b"x"))),
    "file with a slash at the end": ("name", packed(member(b"a/", b"x"))),
    "NUL in the name": ("name", packed(member(b"a\0/../b", b"x"))),
    "NUL in a pax path": ("name", packed(pax(("path", "a\0b")), member(b"a", b"x"))),
    "newline in the name": ("name", packed(member(b"a\nb", b"x"))),
    "escape sequence": ("name", packed(member(b"a\x1b[2Jb", b"x"))),
    "C1 control": ("name", packed(member("a\x9bb".encode(), b"x"))),
    "bidi override": ("name", packed(member("a\u202etxt.exe".encode(), b"x"))),
    "zero width": ("name", packed(member("a\u200bb".encode(), b"x"))),
    "not UTF-8": ("name", packed(member(b"a\xffb", b"x"))),
    "not UTF-8 in pax": ("name", packed(pax(("path", "a\udcffb")), member(b"a", b"x"))),
    "path too long": ("long-name", packed(pax(("path", LONG.decode())), member(b"a", b"x"))),
    "component too long": ("long-name", packed(pax(("path", "a" * 256)), member(b"a", b"x"))),
    "long name block too long": ("long-name", packed(member(b"L", b"a" * 2000, b"L"), FILE)),
    # duplicates
    "twice": ("duplicate", packed(FILE, FILE)),
    "directory twice": ("duplicate", packed(member(b"a/", kind=b"5"), member(b"a", kind=b"5"))),
    "case fold": ("duplicate", packed(member(b"Tool", b"x"), member(b"tool", b"y"))),
    "case fold of a parent": ("duplicate", packed(member(b"A/x", b"x"), member(b"a/y", b"y"))),
    "case fold, not ASCII": (
        "duplicate",
        packed(member("straße".encode(), b"x"), member(b"strasse", b"y")),
    ),
    "unicode form": ("duplicate", packed(member(NFC, b"x"), member(NFD, b"y"))),
    # parents
    "below a file": ("parent", packed(member(b"a", b"x"), member(b"a/b", b"y"))),
    "below a link": (
        "parent",
        packed(member(b"a", kind=b"2", link=b"b"), member(b"a/x", b"y")),
    ),
    "deep below a link": (
        "parent",
        packed(member(b"a", kind=b"2", link=b"b"), member(b"a/x/y/z", b"y")),
    ),
    "link where members are": (
        "parent",
        packed(member(b"a/x", b"y"), member(b"a", kind=b"2", link=b"b")),
    ),
    "file where members are": ("parent", packed(member(b"a/x", b"y"), member(b"a", b"x"))),
    # links
    "absolute link": ("link", packed(member(b"a", kind=b"2", link=b"/etc/passwd"))),
    "empty link": ("link", packed(member(b"a", kind=b"2"))),
    "link out": ("link", packed(member(b"a", kind=b"2", link=b"../x"))),
    "link out from below": ("link", packed(member(b"a/b", kind=b"2", link=b"../../x"))),
    "link that goes in and out": ("link", packed(member(b"a", kind=b"2", link=b"b/../../x"))),
    "link up through a link": (
        "link",
        packed(
            member(b"x/y/up", kind=b"2", link=b"../.."),
            member(b"out", kind=b"2", link=b"x/y/up/.."),
        ),
    ),
    "link target with a control character": (
        "name",
        packed(member(b"a", kind=b"2", link=b"b\x07")),
    ),
    "pax link out": (
        "link",
        packed(pax(("linkpath", "../x")), member(b"a", kind=b"2", link=b"b")),
    ),
    "long link out": (
        "link",
        packed(member(b"K", b"../x\0", b"K"), member(b"a", kind=b"2", link=b"b")),
    ),
    "link chain longer than a path": (
        "long-name",
        packed(pax(("linkpath", "a/" * 2000)), member(b"a", kind=b"2", link=b"b")),
    ),
    # kinds
    "hard link": ("type", packed(FILE, member(b"a", kind=b"1", link=b"bin/tool"))),
    "hard link out": ("type", packed(member(b"a", kind=b"1", link=b"/etc/passwd"))),
    "character device": ("type", packed(member(b"a", kind=b"3"))),
    "block device": ("type", packed(member(b"a", kind=b"4"))),
    "fifo": ("type", packed(member(b"a", kind=b"6"))),
    "contiguous file": ("type", packed(member(b"a", kind=b"7"))),
    "GNU sparse": ("type", packed(member(b"a", kind=b"S", magic=b"ustar  \0"))),
    "pax sparse": ("type", packed(pax(("GNU.sparse.major", "1")), member(b"a", b"x"))),
    "directory dump": ("type", packed(member(b"a", b"x", kind=b"D"))),
    "continued volume": ("type", packed(member(b"a", kind=b"M"))),
    "volume label": ("type", packed(member(b"a", kind=b"V"))),
    "unknown kind": ("type", packed(member(b"a", kind=b"Z"))),
    # headers
    "no magic": ("header", packed(member(b"a", b"x", magic=bytes(8)))),
    "wrong checksum": ("header", packed(member(b"a", b"x", checksum=b"000001\0 "))),
    "no number": ("header", packed(header(b"a", size_field=b"0000000008\0\0"), bytes(512))),
    "negative size": ("header", packed(header(b"a", size_field=b"\xff" * 12), bytes(512))),
    "directory with content": ("header", packed(member(b"a/", b"x", kind=b"5"))),
    "link with content": ("header", packed(member(b"a", b"x", kind=b"2", link=b"b"))),
    "pax size against header": ("header", packed(pax(("size", "0")), member(b"a", b"hidden"))),
    "pax path twice": (
        "header",
        packed(pax(("path", "a")), pax(("path", "b")), member(b"c", b"x")),
    ),
    "pax and long name": (
        "header",
        packed(pax(("path", "a")), member(b"L", b"b\0", b"L"), member(b"c", b"x")),
    ),
    "global path": ("header", packed(pax(("path", "a"), kind=b"g"), member(b"c", b"x"))),
    "pax without a member": ("header", packed(FILE, pax(("path", "a")))),
    "pax record too short": ("header", packed(member(b"x", b"3 a\n", b"x"), FILE)),
    "pax record too long": ("header", packed(member(b"x", b"99 path=a\n", b"x"), FILE)),
    "pax record without length": ("header", packed(member(b"x", b"path=a\n", b"x"), FILE)),
    "pax header of 2 MB": ("header", packed(header(b"x", b"x", 2 << 20), bytes(2 << 20))),
    # sizes
    "9 GB promised": (
        "too-big",
        packed(header(b"a", size_field=b"\x80" + (9 << 30).to_bytes(11, "big"))),
    ),
    "20 MB of zeros": ("ratio", packed(member(b"a", bytes(20 << 20)))),
    "zeros after the end": ("trailing", packed(FILE, end=bytes(20 << 20))),
    "padding without end": ("trailing", gzip.compress(FILE + END + bytes(3 << 19), 0)),
    # the stream
    "empty": ("truncated", b""),
    "one byte": ("truncated", b"\x1f"),
    "plain tar": ("not-gzip", FILE + END),
    "zip": ("not-gzip", b"PK\x03\x04" + bytes(100)),
    "no end mark": ("truncated", packed(FILE, end=b"")),
    "half an end mark": ("truncated", packed(FILE, end=bytes(512))),
    "content cut off": ("truncated", packed(header(b"a", size=5000), bytes(512), end=b"")),
    "padding cut off": ("truncated", packed(header(b"a", size=5), b"12345", end=b"")),
    "bytes after the end mark": ("trailing", packed(FILE, end=END + b"x")),
    "member after the end mark": ("trailing", packed(FILE, end=END + FILE + END)),
    "member after one empty block": ("trailing", packed(FILE, end=bytes(512) + FILE + END)),
    "bytes after gzip": ("trailing", packed(FILE) + b"x"),
    "zeros after gzip": ("trailing", packed(FILE) + bytes(100)),
    "second gzip stream": ("trailing", packed(FILE) + packed(FILE)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_b19_a_hostile_archive_is_refused_and_nothing_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "tree"
    inside.mkdir()
    monkeypatch.chdir(inside)
    code, data = HOSTILE[name]

    with pytest.raises(ArchiveError) as caught:
        everything(data)

    assert caught.value.code == code
    assert str(caught.value).isprintable()
    assert os.listdir(tmp_path) == ["tree"]
    assert os.listdir(inside) == []


def test_there_are_at_least_forty_hostile_cases() -> None:
    assert len(HOSTILE) >= 40


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
