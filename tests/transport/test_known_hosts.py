"""known_hosts as OpenSSH reads it: who is known, who changed, who is revoked, what is ignored."""

import base64
import fcntl
import hashlib
import hmac
import os
import re
import resource
import stat
import struct
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.domain.problem import Exit, LiftlockError
from backends.transport import known_hosts
from backends.transport.known_hosts import (
    HostKey,
    Judgement,
    KnownHosts,
    Match,
    add,
    entry_for,
)

KNOWN, UNKNOWN = Judgement.KNOWN, Judgement.UNKNOWN
CHANGED, REVOKED = Judgement.CHANGED, Judgement.REVOKED

Files = Callable[..., KnownHosts]


def row(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(each)) + each for each in parts)


def blob(seed: object, algorithm: str = "ssh-ed25519") -> bytes:
    """A key nobody has the other half of."""
    return row(algorithm.encode(), hashlib.sha256(str(seed).encode()).digest())


def word(content: bytes) -> str:
    return base64.b64encode(content).decode()


def key(seed: object, algorithm: str = "ssh-ed25519") -> str:
    return f"{algorithm} {word(blob(seed, algorithm))}"


def hashed(name: str, salt: bytes = b"s" * 20) -> str:
    return f"|1|{word(salt)}|{word(hmac.digest(salt, name.encode(), 'sha1'))}"


A, B, C = blob("a"), blob("b"), blob("c")


@pytest.fixture
def of(tmp_path: Path) -> Files:
    """An index over files with these contents: known_hosts0, known_hosts1, ..."""

    def read(*contents: str | bytes) -> KnownHosts:
        paths = [tmp_path / f"known_hosts{at}" for at in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return KnownHosts.read(paths)

    return read


def blobs(keys: Sequence[HostKey]) -> list[bytes]:
    return [each.blob for each in keys]


# --- names --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "name", "port", "found"),
    [
        ("n1", "n1", 22, True),
        ("n1", "n2", 22, False),
        ("n1", "n1.example.com", 22, False),
        ("N1.Example.COM", "n1.example.com", 22, True),
        ("n1.example.com", "N1.EXAMPLE.com", 22, True),
        ("n0,n1,n2", "n1", 22, True),
        ("n0,,n2", "n1", 22, False),
        ("[n1]:2222", "n1", 2222, True),
        ("[N1]:2222", "n1", 2222, True),
        ("[n1]:2222", "n1", 22, False),
        ("[n1]:2222", "n1", 2223, False),
        ("[n1]:22", "n1", 22, False),  # OpenSSH looks port 22 up without brackets
        ("fe80::1", "fe80::1", 22, True),
        ("fe80::1", "FE80::1", 22, True),
        ("fe80::1%eth0", "fe80::1%eth0", 22, True),
        ("[::1]:2222", "::1", 2222, True),
        ("[::1]:2222", "::1", 22, False),
        ("10.0.0.0/8", "10.1.2.3", 22, False),  # networks are no patterns here
        # * and ?
        ("*", "n1", 22, True),
        ("*", "n1", 2222, True),
        ("n?", "n1", 22, True),
        ("n?", "n", 22, False),
        ("n?", "n12", 22, False),
        ("n*", "n", 22, True),
        ("*.example.com", "n1.example.com", 22, True),
        ("*.EXAMPLE.com", "n1.example.com", 22, True),
        ("*.example.com", "example.com", 22, False),
        ("*.example.com", "n1.example.com.evil.net", 22, False),
        ("n*x", "n1", 22, False),
        ("[n*]:2222", "n1", 2222, True),
        ("[n*]:2222", "n", 22, False),
        ("[n*]:2222", "n:2222", 22, False),
        ("[a-n]?", "n1", 22, False),  # brackets are no set
        ("n[1]*", "n1", 22, False),
        ("n*,m1", "m1", 22, True),
        # !
        ("!n1,n*", "n1", 22, False),
        ("n*,!n1", "n1", 22, False),
        ("n*,!n1", "n2", 22, True),
        ("n*,!N1", "n1", 22, False),
        ("n1,!n1", "n1", 22, False),
        ("!n1", "n2", 22, False),  # negation alone means nobody
        ("*,!*.evil.net", "n1.evil.net", 22, False),
        ("*,![n1]:2222", "n1", 2222, True),  # not by its port, but then by the name alone
        ("[n*]:*,![n1]:2222", "n1", 2222, False),
        ("[n*]:*,![n1]:2222", "n1", 2223, True),
        ("*,![n1]:2222", "n1", 22, True),
        ("n!1", "n!1", 22, True),
        # hashed
        (hashed("n1"), "n1", 22, True),
        (hashed("n1"), "N1", 22, True),
        (hashed("n1"), "n2", 22, False),
        (hashed("N1"), "N1", 22, False),  # OpenSSH hashes lower case
        (hashed("[n1]:2222"), "n1", 2222, True),
        (hashed("[n1]:2222"), "n1", 22, False),
        (hashed("fe80::1"), "fe80::1", 22, True),
    ],
)
def test_a_line_means_the_names_that_openssh_says(
    of: Files, names: str, name: str, port: int, found: bool
) -> None:
    known = of(f"{names} {key('a')}\n")
    assert known.notes == ()
    assert blobs(known.match(name, port).keys) == ([A] if found else [])
    assert known.judge(name, port, A) is (KNOWN if found else UNKNOWN)


def test_only_the_name_that_was_asked_for_is_looked_up(of: Files) -> None:
    known = of(f"127.0.0.1 {key('a')}\n")
    assert known.judge("localhost", 22, A) is UNKNOWN


def test_a_name_that_looks_like_a_pattern_is_no_pattern(of: Files) -> None:
    known = of(f"n1 {key('a')}\n{hashed('n1')} {key('a')}\n[n1]:2222 {key('a')}\n")
    for name in ("*", "n?", "n1,n2", "!n2", "", "|1|", "n1 ", "[n1"):
        assert known.match(name) == Match((), (), ())


def test_all_files_count_and_a_missing_one_is_empty(of: Files, tmp_path: Path) -> None:
    of(f"n1 {key('a')}\n", f"x {key('c')}\nn1 {key('b')}\n")
    first, second, missing = (tmp_path / f"known_hosts{at}" for at in range(3))
    known = KnownHosts.read([missing, second, first])
    assert [each.where for each in known.match("n1").keys] == [f"{second}:2", f"{first}:1"]
    assert known.judge("n1", 22, A) is known.judge("n1", 22, B) is KNOWN


def test_keys_come_in_the_order_of_the_lines_whatever_their_form(of: Files) -> None:
    lines = [f"n* {key(1)}", f"{hashed('n1')} {key(2)}", f"n1,n1 {key(3)}", f"?1 {key(4)}"]
    known = of("\n".join(lines))
    assert blobs(known.match("n1").keys) == [blob(each) for each in (1, 2, 3, 4)]


def test_no_file_and_an_empty_file_know_nobody(of: Files) -> None:
    for known in (KnownHosts(), KnownHosts.read([]), of(""), KnownHosts.read([Path(os.devnull)])):
        assert known.match("n1") == Match((), (), ())
        assert known.judge("n1", 22, A) is UNKNOWN


# --- judging ------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["n1", "n*", hashed("n1")])
def test_another_key_than_the_trusted_one_is_a_change(of: Files, names: str) -> None:
    known = of(f"{names} {key('a')}\n")
    assert known.judge("n1", 22, A) is KNOWN
    assert known.judge("n1", 22, B) is CHANGED
    assert known.judge("m1", 22, B) is UNKNOWN


def test_a_key_of_another_algorithm_is_a_change_too(of: Files) -> None:
    known = of(f"n1 {key('a', 'ssh-rsa')}\n")
    assert known.judge("n1", 22, A) is CHANGED


def test_one_of_several_trusted_keys_is_known(of: Files) -> None:
    known = of(f"n1 {key('a')}\nn1 {key('b')}\nn2 {key('c')}\n")
    assert known.judge("n1", 22, A) is known.judge("n1", 22, B) is KNOWN
    assert known.judge("n1", 22, C) is CHANGED


def test_an_authority_makes_no_plain_key_known_or_changed(of: Files) -> None:
    known = of(f"@cert-authority n* {key('a')}\n")
    match = known.match("n1")
    assert (blobs(match.keys), blobs(match.authorities)) == ([], [A])
    assert known.judge("n1", 22, A) is UNKNOWN
    assert known.judge("n1", 22, B) is UNKNOWN


@pytest.mark.parametrize("names", ["n1", "*", hashed("n1")])
def test_a_revoked_key_is_revoked_even_where_it_is_trusted(of: Files, names: str) -> None:
    known = of(f"n1 {key('a')}\n@revoked {names} {key('a')}\n")
    assert known.judge("n1", 22, A) is REVOKED
    assert known.judge("n1", 22, B) is CHANGED
    assert blobs(known.match("n1").revoked) == [A]


def test_a_revoked_line_alone_makes_no_other_key_changed(of: Files) -> None:
    known = of(f"@revoked n1 {key('a')}\n")
    assert known.judge("n1", 22, B) is UNKNOWN
    assert known.match("n1").keys == ()


# --- another port -------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["n1", "n1*", hashed("n1")])
def test_on_another_port_the_name_alone_can_make_known_but_not_changed(
    of: Files, names: str
) -> None:
    known = of(f"{names} {key('a')}\n")
    assert known.judge("n1", 2222, A) is KNOWN
    assert known.judge("n1", 2222, B) is UNKNOWN
    assert blobs(known.match("n1", 2222).keys) == [A]


@pytest.mark.parametrize("names", ["[n1]:2222", hashed("[n1]:2222")])
def test_a_port_with_a_key_of_its_own_does_not_ask_the_name_alone(of: Files, names: str) -> None:
    known = of(f"n1 {key('a')}\n{names} {key('b')}\n")
    assert known.judge("n1", 2222, B) is KNOWN
    assert known.judge("n1", 2222, A) is CHANGED
    assert blobs(known.match("n1", 2222).keys) == [B]
    assert known.judge("n1", 22, B) is CHANGED


def test_a_port_is_never_asked_for_the_name_alone(of: Files) -> None:
    known = of(f"[n1]:2222 {key('a')}\n")
    assert known.judge("n1", 22, A) is UNKNOWN
    assert known.judge("n1", 2223, A) is UNKNOWN


def test_what_is_revoked_under_the_name_or_the_port_is_revoked_on_the_port(of: Files) -> None:
    lines = f"[n1]:2222 {key('a')}\n[n1]:2222 {key('b')}\n[n1]:2222 {key('c')}\n"
    known = of(f"{lines}@revoked n1 {key('a')}\n@revoked [n1]:2222 {key('b')}\n")
    judged = [known.judge("n1", 2222, each) for each in (A, B, C)]
    assert judged == [REVOKED, REVOKED, KNOWN]
    assert known.judge("n1", 22, B) is UNKNOWN
    assert set(blobs(known.match("n1", 2222).revoked)) == {A, B}


def test_a_revoked_line_that_means_both_is_listed_once(of: Files) -> None:
    known = of(f"@revoked * {key('a')}\n")
    assert blobs(known.match("n1", 2222).revoked) == [A]


def test_authorities_fall_back_to_the_name_alone_without_regard_to_keys(of: Files) -> None:
    known = of(f"@cert-authority n1 {key('a')}\n[n1]:2222 {key('b')}\n")
    match = known.match("n1", 2222)
    assert (blobs(match.keys), blobs(match.authorities)) == ([B], [A])
    known = of(f"@cert-authority [n1]:2222 {key('a')}\nn1 {key('b')}\n")
    match = known.match("n1", 2222)
    assert (blobs(match.keys), blobs(match.authorities)) == ([B], [A])
    assert known.judge("n1", 2222, C) is UNKNOWN


# --- lines --------------------------------------------------------------------------------------

ACCEPTED = [
    f"n1 {key('a')}",
    f"n1 {key('a')}\r",
    f"n1 {key('a')} root@n1 on 3 May\r",
    f"  \t n1 {key('a')}",
    "n1\t" + key("a").replace(" ", "\t"),
    "n1  \t " + key("a").replace(" ", " \t "),
    f"n1 {key('a')} # a comment",
    f"n1 {key('a')} \t ",
]


@pytest.mark.parametrize("line", ACCEPTED)
def test_blanks_tabs_crlf_and_comments_are_accepted(of: Files, line: str) -> None:
    known = of(f"{line}\n")
    assert (known.judge("n1", 22, A), known.notes) == (KNOWN, ())


def test_a_comment_may_have_any_bytes(of: Files) -> None:
    known = of(f"n1 {key('a')} B".encode() + b"\xfcro\n")
    assert (known.judge("n1", 22, A), known.notes) == (KNOWN, ())


@pytest.mark.parametrize("blank", [" ", "\t", " \t "])
def test_a_marker_may_be_followed_by_any_blanks(of: Files, blank: str) -> None:
    known = of(f"n1 {key('a')}\n \t@revoked{blank}n1 {key('a')}\r\n")
    assert (known.judge("n1", 22, A), known.notes) == (REVOKED, ())


@pytest.mark.parametrize(
    "line",
    ["", " ", "\t", "\r", "#", f"# n1 {key('a')}", f" #n1 {key('a')}", f"\t# n1 {key('a')}"],
)
def test_blank_lines_and_comment_lines_say_nothing(of: Files, line: str) -> None:
    known = of(f"{line}\n")
    assert (known.judge("n1", 22, A), known.notes) == (UNKNOWN, ())


CERTIFICATE = row(b"ssh-ed25519-cert-v01@openssh.com", b"nonce", b"k" * 32)
CERTIFICATE += struct.pack(">QI", 7, 2) + row(b"id", row(b"n1"))
WORD = word(A)

IGNORED = {
    "no key": "n1",
    "no blob": "n1 ssh-ed25519",
    "a comment for a key": "n1 # later",
    "a comment for a blob": "n1 ssh-ed25519 # later",
    "no names": key("a"),
    "another algorithm": f"n1 ssh-rsa {WORD}",
    "algorithm in capitals": f"n1 SSH-ED25519 {WORD}",
    "a signature's algorithm": f"n1 rsa-sha2-512 {word(blob('a', 'ssh-rsa'))}",
    "not base64": f"n1 ssh-ed25519 {WORD[:20]}!{WORD[20:]}",
    "no padding": f"n1 {key('a', 'ssh-rsa').rstrip('=')}",
    "key cut": f"n1 ssh-ed25519 {WORD[:-4]}",
    "key cut after its word": f"n1 ssh-ed25519 {word(A[:15])}",
    "key with more after it": f"n1 ssh-ed25519 {word(A + b'x')}",
    "only zeros": f"n1 ssh-ed25519 {word(bytes(51))}",
    "a word that is not ASCII": f"n1 ssh-ed25519 {word(row(bytes([255]), b'k'))}",
    "SSH 1": "n1 1024 35 1293847",
    "a certificate": f"n1 ssh-ed25519-cert-v01@openssh.com {word(CERTIFICATE)}",
    "unknown marker": f"@trusted n1 {key('a')}",
    "marker in capitals": f"@Revoked n1 {key('a')}",
    "marker without blank": f"@n1 {key('a')}",
    "only a marker": "@revoked",
    "two markers": f"@cert-authority @revoked n1 {key('a')}",
    "the same marker twice": f"@revoked @revoked n1 {key('a')}",
    "another hash": f"{hashed('n1').replace('|1|', '|2|')} {key('a')}",
    "half a hash": f"{hashed('n1').rpartition('|')[0]} {key('a')}",
    "hash of three": f"{hashed('n1')}|{word(b's' * 20)} {key('a')}",
    "hash and name": f"{hashed('n1')},n1 {key('a')}",
    "hash not base64": f"|1|{word(b's' * 20)}|%% {key('a')}",
    "short salt": f"{hashed('n1', b'short')} {key('a')}",
    "empty hash": f"|1|| {key('a')}",
    "a name without end": f"{'x' * 1023},n1 {key('a')}",
}


@pytest.mark.parametrize("line", IGNORED.values(), ids=IGNORED.keys())
def test_a_line_that_cannot_be_read_is_noted_and_says_nothing(
    of: Files, tmp_path: Path, line: str
) -> None:
    known = of(f"n2 {key('b')}\n{line}\nn3 {key('b')}\n")
    (note,) = known.notes
    place, _, reason = note.partition(": ")
    assert place == f"{tmp_path}/known_hosts0:2"
    assert reason
    assert known.match("n1") == Match((), (), ())
    assert known.judge("n2", 22, B) is known.judge("n3", 22, B) is KNOWN


def test_a_note_does_not_repeat_what_the_line_says(of: Files) -> None:
    known = of("\n".join(["\x1b[2Jx", "@\x1b[2J n1 x y", "n1 \x1b[2J x", "n1 x \x1b[2J"]))
    assert len(known.notes) == 4
    assert "\x1b" not in "".join(known.notes)


@given(st.integers(0, len(key("a")) - 1))
def test_a_torn_key_is_never_trusted(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.getbasetemp() / "torn"
    path.write_text(f"n1 {key('a')[:cut]}")
    assert KnownHosts.read([path]).match("n1") == Match((), (), ())


@given(st.lists(st.binary() | st.sampled_from([b"n1", b"ssh-ed25519", WORD.encode(), b"|1|"])))
def test_no_content_without_nul_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / "anything"
    path.write_bytes(b" ".join(pieces).replace(b"\0", b"\n"))
    known = KnownHosts.read([path])
    assert set(blobs(known.match("n1").keys)) <= {A}


# --- limits -------------------------------------------------------------------------------------


def test_a_line_may_have_64_kib_and_not_a_byte_more(of: Files) -> None:
    line = f"n1 {key('a')} ".ljust(64 * 1024, "c")
    assert of(f"{line}\n").judge("n1", 22, A) is KNOWN
    known = of(f"{line}c\nn2 {key('b')}\n")
    assert known.judge("n1", 22, A) is UNKNOWN
    assert known.judge("n2", 22, B) is KNOWN
    assert "longer than 65536 bytes" in known.notes[0]


def test_a_file_over_the_limit_is_refused(of: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    assert known_hosts.MAX_FILE == 64 * 1024 * 1024
    content = f"n1 {key('a')}\n"
    monkeypatch.setattr(known_hosts, "MAX_FILE", len(content))
    assert of(content).judge("n1", 22, A) is KNOWN
    with pytest.raises(LiftlockError) as caught:
        of(content + "\n")
    assert caught.value.problem.evidence == f"over {len(content)} bytes"


def test_the_notes_end_somewhere(of: Files) -> None:
    known = of("x\n" * 5000 + f"n1 {key('a')}\n")
    assert len(known.notes) == known_hosts.MAX_NOTES
    assert known.notes[0].endswith("known_hosts0:1: names, algorithm and key are needed")
    assert known.judge("n1", 22, A) is KNOWN


@pytest.mark.parametrize("content", [b"\0", f"n1 {key('a')}\n".encode("utf-16")])
def test_a_file_that_is_not_text_is_refused(of: Files, content: bytes) -> None:
    with pytest.raises(LiftlockError) as caught:
        of(content)
    problem = caught.value.problem
    assert (problem.code, caught.value.exit_code) == ("known-hosts-unreadable", Exit.USAGE)
    assert (problem.evidence, bool(problem.advice)) == ("not a text file", True)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "below"):
        with pytest.raises(LiftlockError, match="known-hosts-unreadable") as caught:
            KnownHosts.read([path])
        assert str(path) in caught.value.problem.summary
        assert caught.value.exit_code is Exit.USAGE


def test_hashes_are_computed_once_for_each_name(
    of: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 30
    lines = [f"{hashed(f'n{at}')} {key(at)}" for at in range(count)]
    known = of("\n".join([*lines, f"@revoked {hashed('n1')} {key('r')}", f"x {key('a')}"]))
    asked: list[bytes] = []
    real = hmac.digest

    def counted(salt: bytes, message: bytes, how: str) -> bytes:
        asked.append(message)
        return real(salt, message, how)

    monkeypatch.setattr("backends.transport.known_hosts.hmac.digest", counted)
    for _ in range(3):
        assert known.judge("n7", 22, blob(7)) is KNOWN
        assert known.judge("N7", 22, A) is CHANGED
        assert blobs(known.match("n7").keys) == [blob(7)]
        assert known.match("nobody") == Match((), (), ())
    assert sorted(asked) == [b"n7"] * (count + 1) + [b"nobody"] * (count + 1)
    del asked[:]
    for _ in range(3):
        assert known.judge("n7", 2222, blob(7)) is KNOWN
    assert asked == [b"[n7]:2222"] * (count + 1)


# --- one key ------------------------------------------------------------------------------------


def test_a_key_reads_as_in_a_public_key_file(of: Files) -> None:
    (found,) = of(f"n1 {key('a')} comment\n").match("n1").keys
    assert (found.algorithm, found.text) == ("ssh-ed25519", key("a"))
    assert found.fingerprint == asyncssh.import_public_key(found.text).get_fingerprint()


# --- what `trust` writes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "port", "names"),
    [
        ("n1", 22, "n1"),
        ("N1.Example.com", 22, "n1.example.com"),
        ("n1", 2222, "[n1]:2222"),
        ("fe80::1%eth0", 22, "fe80::1%eth0"),
        ("::1", 2222, "[::1]:2222"),
    ],
)
def test_an_entry_is_read_back_as_that_name_and_port(
    of: Files, name: str, port: int, names: str
) -> None:
    entry = entry_for(name, port, "ssh-ed25519", A)
    assert entry == f"{names} {key('a')}"
    known = of(entry)
    assert (known.judge(name, port, A), known.judge(name, port, B)) == (KNOWN, CHANGED)
    assert known.judge(name, port + 1, B) is UNKNOWN


@pytest.mark.parametrize(
    "name",
    ["", "*", "n?", "!n1", "n1,n2", "n1 n2", "n1\n* x", "n\t1", "#n1", "@revoked", "|1|a|b"]
    + ["[n1]:2222", "n\\1", "n'1", 'n"1', "n\0", "n\x1b", "n\u2028", "n\xa01", "x" * 256],
)
def test_a_name_that_would_be_read_as_another_is_refused(name: str) -> None:
    with pytest.raises(LiftlockError) as caught:
        entry_for(name, 22, "ssh-ed25519", A)
    assert caught.value.problem.code == "known-hosts-name"
    assert caught.value.exit_code is Exit.USAGE


@pytest.mark.parametrize(
    ("algorithm", "content"),
    [("rsa-sha2-512", blob("a", "ssh-rsa")), ("ssh-rsa", A), ("ssh-ed25519", A[:-1])],
)
def test_an_entry_that_would_be_ignored_is_never_made(algorithm: str, content: bytes) -> None:
    with pytest.raises(ValueError, match="key"):
        entry_for("n1", 22, algorithm, content)


def test_a_new_file_and_its_folder_are_private(tmp_path: Path) -> None:
    path = tmp_path / ".ssh" / "known_hosts"
    add(path, [f"n1 {key('a')}", f"n2 {key('b')}"])
    assert path.read_text() == f"n1 {key('a')}\nn2 {key('b')}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_was_there_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_bytes(b"# B\xfcro\r\n\n")
    path.chmod(0o644)
    tmp_path.chmod(0o755)
    add(path, [f"n1 {key('a')}"])
    assert path.read_bytes() == b"# B\xfcro\r\n\n" + f"n1 {key('a')}\n".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_last_line_without_an_end_gets_one(of: Files, tmp_path: Path) -> None:
    of(f"n1 {key('a')}")
    path = tmp_path / "known_hosts0"
    add(path, [f"n2 {key('b')}"])
    add(path, [f"n3 {key('c')}"])
    assert path.read_text() == f"n1 {key('a')}\nn2 {key('b')}\nn3 {key('c')}\n"


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("")
    (tmp_path / "known_hosts").symlink_to("real")
    add(tmp_path / "known_hosts", ["n1 x y"])
    assert (tmp_path / "known_hosts").is_symlink()
    assert (tmp_path / "real").read_text() == "n1 x y\n"


def test_nothing_to_add_makes_no_file(tmp_path: Path) -> None:
    add(tmp_path / ".ssh" / "known_hosts", [])
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("line", ["a\nb", "a\r", "a\0"])
def test_two_lines_in_one_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        add(tmp_path / "known_hosts", ["fine", line])
    assert not (tmp_path / "known_hosts").exists()


def test_where_nothing_can_be_added_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    places = [tmp_path, tmp_path / "file/below", tmp_path / "loop", tmp_path / "pipe"]
    for path in [*places, Path(os.devnull)]:
        with pytest.raises(LiftlockError) as caught:
            add(path, ["n1 x y"])
        problem = caught.value.problem
        assert (problem.code, caught.value.exit_code) == ("known-hosts-unwritable", Exit.USAGE)
        assert str(path) in problem.summary
        assert problem.evidence


def test_on_a_full_disk_nothing_is_added_not_even_half_a_line(of: Files, tmp_path: Path) -> None:
    of(f"n1 {key('a')}")
    path = tmp_path / "known_hosts0"
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 50, hard))
    try:
        with pytest.raises(LiftlockError, match="known-hosts-unwritable"):
            add(path, [f"n2 {key('b')}"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before


def test_the_file_and_its_folder_are_on_the_disk_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".ssh" / "known_hosts"
    synced: list[tuple[int, int]] = []
    real = os.fsync

    def seen(fd: int) -> None:
        synced.append((os.fstat(fd).st_ino, os.fstat(fd).st_size))
        real(fd)

    monkeypatch.setattr("backends.transport.known_hosts.os.fsync", seen)
    add(path, ["n1 x y"])
    assert synced[0] == (path.stat().st_ino, len("n1 x y\n"))
    assert synced[1][0] == path.parent.stat().st_ino


def test_who_adds_waits_for_who_is_adding(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    with path.open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        second = threading.Thread(target=add, args=(path, ["n2 x y"]))
        second.start()
        second.join(0.2)
        assert second.is_alive()
        first.write("n1 x y")
    second.join(10)
    assert path.read_text() == "n1 x y\nn2 x y\n"


# --- asyncssh says the same ---------------------------------------------------------------------

NAMES = ["n1", "n2", "n10.example.com", "m1.example.com", "example.com"]
PATTERNS = [
    "*",
    "n?",
    "n*",
    "*.example.com",
    "n1*",
    "?1*",
    "[n1]:*",
    "[n*]:2222",
    "m?.example.???",
]
PORTS = [22, 2222, 2223]

plain_names = st.sampled_from(
    [*NAMES, *(f"[{name}]:{port}" for name in NAMES for port in PORTS[1:])]
)
pattern_lists = st.lists(
    st.sampled_from([*PATTERNS, *(f"!{each}" for each in [*PATTERNS, *NAMES])]) | plain_names,
    min_size=1,
    max_size=4,
).map(",".join)
hashed_names = st.builds(hashed, plain_names, st.binary(min_size=20, max_size=20))
named = st.tuples(pattern_lists | plain_names | hashed_names, st.integers(0, 5))
markers = st.sampled_from(["", "", "@cert-authority ", "@revoked "])


def ours(path: Path, name: str, port: int) -> list[set[bytes]]:
    known = KnownHosts.read([path])
    assert known.notes == ()
    match = known.match(name, port)
    return [set(blobs(each)) for each in (match.keys, match.authorities, match.revoked)]


def theirs(path: Path, name: str, port: int) -> list[set[bytes]]:
    with pytest.MonkeyPatch.context() as patch:
        # It asks the resolver whether a name or a pattern is an address with a zone. None is.
        patch.setattr("asyncssh.misc._normalize_scoped_ip", lambda address: address)
        known = asyncssh.import_known_hosts(path.read_text())
        found = known.match(name, "", None if port == 22 else port)
    return [{each.public_data for each in keys} for keys in found[:3]]


@given(st.lists(named, max_size=8), st.sampled_from(NAMES), st.sampled_from(PORTS))
def test_for_trusted_lines_asyncssh_finds_the_same_keys(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[str, int]],
    name: str,
    port: int,
) -> None:
    path = tmp_path_factory.getbasetemp() / "trusted"
    path.write_text("".join(f"{names} {key(seed)}\n" for names, seed in lines))
    assert ours(path, name, port) == theirs(path, name, port)


@given(st.lists(st.tuples(markers, named), max_size=8), st.sampled_from(NAMES))
def test_on_port_22_asyncssh_finds_the_same_keys_of_every_kind(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[str, tuple[str, int]]],
    name: str,
) -> None:
    path = tmp_path_factory.getbasetemp() / "marked"
    path.write_text("".join(f"{mark}{names} {key(seed)}\n" for mark, (names, seed) in lines))
    assert ours(path, name, 22) == theirs(path, name, 22)


# --- OpenSSH says the same (needs ssh-keygen) ---------------------------------------------------


def keygen(folder: Path, *words: str, status: int = 0) -> str:
    done = subprocess.run(
        ["ssh-keygen", *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout


def found_by_keygen(path: Path, name: str, port: int) -> list[list[int]]:
    """Line numbers of keys, authorities, revoked; with `-l` it reads the keys, too."""
    asked = name if port == 22 else f"[{name}]:{port}"
    done = subprocess.run(
        ["ssh-keygen", "-l", "-F", asked, "-f", str(path)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    found = re.findall(r"found: line (\d+) ?(\w*)", done.stdout)
    return [[int(n) for n, kind in found if kind == want] for want in ("", "CA", "REVOKED")]


def found_by_us(known: KnownHosts, name: str, port: int) -> list[list[int]]:
    match = known.match(name, port)
    kinds = (match.keys, match.authorities, match.revoked)
    return [[int(each.where.rpartition(":")[2]) for each in keys] for keys in kinds]


@pytest.mark.drill
@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_fingerprint_is_what_ssh_keygen_prints(of: Files, tmp_path: Path, kind: str) -> None:
    keygen(tmp_path, "-q", "-t", kind, "-N", "", "-C", "", "-f", "key")
    printed = keygen(tmp_path, "-l", "-f", "key.pub").split()[1]
    text = (tmp_path / "key.pub").read_text().strip()
    (found,) = of(f"n1 {text}\n").match("n1").keys
    assert (found.fingerprint, found.text) == (printed, text)


@pytest.mark.drill
def test_a_file_that_ssh_keygen_hashed_says_the_same(of: Files, tmp_path: Path) -> None:
    lines = [f"n{at},N{at}.example.com,[n{at}]:2222,fe80::{at} {key(at)}" for at in range(5)]
    plain = of("\n".join([*lines, f"@revoked n1 {key('r')}", f"*.net {key('w')}", ""]))
    keygen(tmp_path, "-H", "-f", "known_hosts0")
    path = tmp_path / "known_hosts0"
    assert path.read_text().count("|1|") >= 20
    assert "example.com" not in path.read_text()
    known = KnownHosts.read([path])
    assert known.notes == ()
    asked = [(name, port) for name in ("n{}", "n{}.example.com", "fe80::{}") for port in PORTS]
    for at in range(6):
        for name, port in [(name.format(at), port) for name, port in asked] + [("a.net", 22)]:
            before, after = plain.match(name, port), known.match(name, port)
            assert blobs(before.keys) == blobs(after.keys)
            # ssh-keygen takes marked lines over as they are
            assert blobs(before.revoked) == blobs(after.revoked)


@pytest.mark.drill
def test_ssh_keygen_finds_the_lines_that_we_find(of: Files, tmp_path: Path) -> None:
    lists = [*NAMES, *PATTERNS, "n*,!n1", "!n1,n*", "!n1", "n1,m1.example.com", "N1.EXAMPLE.com"]
    lists += [
        "n1,,n2",
        "[n1]:2222",
        "[n1]:22",
        "fe80::1",
        "[fe80::1]:2222",
        "n[1]*",
        "*,![n1]:2222",
    ]
    lists += [hashed("n1"), hashed("[n2]:2222"), hashed("N1"), "10.0.0.0/8", "x" * 1023 + ",n1"]
    lines = [f"{names} {key(at)}" for at, names in enumerate(lists)]
    lines += [f"@cert-authority *.example.com {key('ca')}", f"@revoked n1 {key('r')}"]
    lines += [*ACCEPTED, *(line for line in IGNORED.values() if line != IGNORED["a certificate"])]
    lines += ["", "# n1", f" # n1 {key('a')}", "\r"]
    known = of("\n".join(lines) + "\n")
    path = tmp_path / "known_hosts0"
    some = 0
    for name in (*NAMES, "n3", "fe80::1", "10.1.2.3", "localhost"):
        assert found_by_us(known, name, 22) == found_by_keygen(path, name, 22), name
        for port in PORTS[1:]:
            found = found_by_keygen(path, name, port)
            some += bool(found[0])
            if found[0]:
                assert found_by_us(known, name, port)[0] == found[0], (name, port)
    assert some


@pytest.mark.drill
def test_ssh_keygen_finds_and_removes_what_we_added(tmp_path: Path) -> None:
    path = tmp_path / ".ssh" / "known_hosts"
    places = [("n1", 22), ("N2.example.com", 2222), ("fe80::1", 22), ("::1", 2222)]
    for at, (name, port) in enumerate(places):
        add(path, [entry_for(name, port, "ssh-ed25519", blob(at))])
    for at, (name, port) in enumerate(places, 1):
        assert found_by_keygen(path, name.lower(), port) == [[at], [], []]
    keygen(tmp_path, "-R", "n1", "-f", str(path))
    assert KnownHosts.read([path]).judge("n1", 22, blob(0)) is UNKNOWN


@pytest.mark.drill
@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_certificate_in_the_file_is_noted_and_trusted_by_nobody(
    of: Files, tmp_path: Path, kind: str
) -> None:
    for name in ("key", "ca"):
        keygen(tmp_path, "-q", "-t", kind, "-N", "", "-f", name)
    keygen(tmp_path, "-q", "-s", "ca", "-h", "-I", "id", "-n", "n1", "key.pub")
    known = of(f"n1 {(tmp_path / 'key-cert.pub').read_text()}")
    assert len(known.notes) == 1
    assert known.match("n1") == Match((), (), ())
