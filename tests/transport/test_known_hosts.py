"""known_hosts as OpenSSH reads it: who is known, who changed, who is revoked, what is ignored."""

import hmac
import os
from pathlib import Path

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.domain.problem import Exit, LiftlockError
from backends.transport import known_hosts
from backends.transport.known_hosts import (
    KnownHosts,
    Match,
)
from tests.transport.known_keys import (
    ACCEPTED,
    CHANGED,
    IGNORED,
    KNOWN,
    REVOKED,
    UNKNOWN,
    WORD,
    A,
    B,
    C,
    Files,
    blob,
    blobs,
    hashed,
    key,
)

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
