"""Archives that an enemy could send: each is refused by name, and nothing is written anywhere."""

import gzip
import hashlib
import itertools
import json
import os
from pathlib import Path

from backends.domain.problem import LiftlockError
from backends.node.archive import ArchiveError, read
from backends.releases.build import build
from backends.releases.read import blobs, open_release
from tests.faults.sweeps import Tally

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


def refusals(top: Path, sample: int) -> Tally:
    """Take each for a release whose manifest fits, and unpack it."""
    tally = Tally()
    source = top / "source" / "bin"
    source.mkdir(parents=True)
    (source / "tool").write_bytes(b"tool\n")
    built = build(source.parent, "beacon", "1.0", top / "releases")
    words = json.loads(built.manifest.read_bytes())
    inside = top / "inside"
    inside.mkdir()
    before = os.getcwd()
    os.chdir(inside)
    try:
        for name, (code, data) in HOSTILE.items():
            tally.cases += 1
            words["tarball"] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            built.manifest.write_text(json.dumps(words))
            built.tarball.write_bytes(data)
            said = _said(built.tarball, inside)
            if said != code:
                tally.bad.append(f"{name}: {said}, wanted {code}")
            tally.bad += [f"{name}: wrote {left}" for left in _strangers(top)]
            for spooled in inside.iterdir():
                spooled.unlink()
    finally:
        os.chdir(before)
    return tally


def _said(tarball: Path, spool: Path) -> str:
    """With which code it was refused, by the reader itself and as a release."""
    with tarball.open("rb") as stream:
        try:
            for member in read(stream):
                while member.content.read():
                    pass
        except ArchiveError as error:
            code = error.code
        else:
            return "read to its end"
    try:
        for _ in blobs(open_release(tarball), spool):
            pass
    except LiftlockError as error:
        return code if error.problem.code.startswith("tarball-") else error.problem.code
    return "unpacked"


def _strangers(top: Path) -> list[Path]:
    """What is there and has no business there; a spooled content is named by its digest."""
    ours = {"source", "source/bin", "source/bin/tool", "releases", "inside"}
    return [
        path
        for path in top.rglob("*")
        if str(path.relative_to(top)) not in ours
        and path.parent != top / "releases"
        and not (path.parent == top / "inside" and len(path.name) == 64)
    ]
