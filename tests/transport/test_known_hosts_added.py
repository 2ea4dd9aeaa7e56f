"""What `trust` writes into a known_hosts file, and what stays there as it was."""

import fcntl
import os
import resource
import stat
import threading
from pathlib import Path

import pytest

from backends.domain.problem import Exit, LiftlockError
from backends.transport.known_hosts import (
    add,
    entry_for,
)
from tests.transport.known_keys import (
    CHANGED,
    KNOWN,
    UNKNOWN,
    A,
    B,
    Files,
    blob,
    key,
)


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
