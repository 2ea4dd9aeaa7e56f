"""The journal: what was acknowledged is there, what was torn never happened, damage is refused."""

import errno
import functools
import os
import signal
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.node import standing
from backends.node.canonical import canonical
from backends.node.journal import (
    MAX_RECORD,
    AppendFailed,
    Journal,
    JournalDamaged,
    Scan,
    frame,
    link,
    scan,
)
from tests.faults.journals import KINDS, invents_nothing, sample, trial


def write(path: Path, kinds: list[str] = KINDS) -> bytes:
    """A journal with these records; its bytes."""
    journal = Journal(str(path), create=True)
    for kind in kinds:
        journal.append(kind, text="ä\n00000002 00000000 {}\n", pids=[1, 2])
    journal.close()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def kinds(found: Scan) -> list[str]:
    return [record["t"] for record in found.records]


def lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


# --- framing and chain --------------------------------------------------------------------------


def test_a_record_is_one_line_of_length_checksum_and_canonical_json(path: Path) -> None:
    for number, line in enumerate(lines(write(path))):
        body = line[18:-1]
        assert line == b"%08x %08x " % (len(body), zlib.crc32(body)) + body + b"\n"
        assert b'"n":%d' % number in body
        assert body.isascii()


def test_each_record_names_the_one_before(path: Path) -> None:
    data = write(path)
    before = "0" * 16
    for line, record in zip(lines(data), scan(data).records, strict=True):
        assert record["p"] == before
        before = link(line)
    assert scan(data).last == before


def test_a_journal_read_again_says_the_same(path: Path) -> None:
    data = write(path)
    journal = Journal(str(path))
    journal.close()
    assert journal.records == scan(data).records
    assert [record["t"] for record in journal.records] == KINDS


def test_the_fields_of_the_journal_cannot_be_given(path: Path) -> None:
    journal = Journal(str(path), create=True)
    with pytest.raises(ValueError, match="own"):
        journal.append("BEGIN", n=7)
    journal.close()
    assert path.read_bytes() == b""


def test_a_record_beyond_the_limit_is_refused_and_nothing_is_written(path: Path) -> None:
    data = write(path)
    journal = Journal(str(path))
    with pytest.raises(ValueError, match="side file"):
        journal.append("EVIDENCE", log="x" * MAX_RECORD)
    journal.append("END")
    journal.close()
    assert path.read_bytes().startswith(data)
    assert kinds(scan(path.read_bytes())) == [*KINDS, "END"]


def test_a_link_is_no_journal(tmp_path: Path, path: Path) -> None:
    write(path)
    other = tmp_path / "other"
    other.symlink_to(path)
    with pytest.raises(OSError, match=r"symbolic|loop|ELOOP"):
        Journal(str(other))


# --- torn and damaged ---------------------------------------------------------------------------


def test_row_4_torn_at_any_byte_the_last_record_never_happened(path: Path) -> None:
    data = write(path)
    ends = [0]
    for line in lines(data):
        ends.append(ends[-1] + len(line))
    for cut in range(len(data) + 1):
        found = scan(data[:cut])
        whole = sum(1 for end in ends[1:] if end <= cut)
        assert (len(found.records), found.end) == (whole, ends[whole])
        assert found.torn == cut - ends[whole]


def test_row_32_any_flipped_byte_is_damage_or_a_torn_last_record(path: Path) -> None:
    data = write(path)
    last = len(data) - len(lines(data)[-1])
    for place in range(len(data)):
        for bits in (0x01, 0x20, 0x80, 0xFF):
            broken = bytearray(data)
            broken[place] ^= bits
            if place >= last:
                assert kinds(scan(bytes(broken))) == KINDS[:-1]
            else:
                with pytest.raises(JournalDamaged):
                    scan(bytes(broken))


def test_row_32_records_in_another_order_or_left_out_are_damage(path: Path) -> None:
    parts = lines(write(path))
    for at in range(len(parts) - 2):
        swapped = [*parts[:at], parts[at + 1], parts[at], *parts[at + 2 :]]
        with pytest.raises(JournalDamaged):
            scan(b"".join(swapped))
        with pytest.raises(JournalDamaged):
            scan(b"".join(parts[:at] + parts[at + 1 :]))


def test_row_32_a_well_framed_record_of_another_chain_is_not_believed(path: Path) -> None:
    data = write(path)
    stray = dict(scan(data).records[-1], t="ACCEPT")
    stray["n"] += 1
    stray["p"] = "f" * 16
    found = scan(data + frame(stray))
    assert kinds(found) == KINDS
    assert found.torn == len(frame(stray))


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.replace(b'":', b'": ', 1),
        lambda body: b" " + body,
        lambda body: body[:-1] + b',"t":"END"}',
        lambda body: b"[" + body + b"]",
    ],
    ids=["space", "space in front", "key twice", "list"],
)
def test_only_the_one_canonical_text_is_a_record(
    path: Path, change: Callable[[bytes], bytes]
) -> None:
    body = change(lines(write(path, ["BEGIN"]))[0][18:-1])
    line = b"%08x %08x " % (len(body), zlib.crc32(body)) + body + b"\n"
    assert scan(line).records == []


def test_a_damaged_journal_is_not_touched_and_leaves_no_file_open(path: Path) -> None:
    data = bytearray(write(path))
    data[50] ^= 1
    path.write_bytes(data)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(JournalDamaged):
            Journal(str(path))
    assert len(os.listdir("/proc/self/fd")) == before
    assert path.read_bytes() == data


def test_a_journal_that_was_damaged_while_open_takes_no_record(path: Path) -> None:
    journal = Journal(str(path), create=True)
    journal.append("BEGIN")
    path.write_bytes(b"")
    with pytest.raises(JournalDamaged):
        journal.append("ACCEPT")
    journal.close()
    assert path.read_bytes() == b""


mutations = st.lists(
    st.tuples(
        st.integers(0, len(sample()) - 1),
        st.integers(0, 60),
        st.binary(max_size=60),
    ),
    min_size=1,
    max_size=4,
)


@given(mutations)
def test_whatever_happens_to_the_bytes_no_record_is_invented(
    changes: list[tuple[int, int, bytes]],
) -> None:
    data = sample()
    for at, gone, new in changes:
        data = data[:at] + new + data[at + gone :]
    assert invents_nothing(data)


@given(st.binary(max_size=300))
def test_any_bytes_behind_are_a_torn_tail(tail: bytes) -> None:
    found = scan(sample() + tail)
    assert (kinds(found), found.torn) == (KINDS, len(tail))


# --- appending ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 17, 18, 60, -1])
def test_row_4_an_append_behind_a_torn_tail_cuts_it_off_first(path: Path, cut: int) -> None:
    data = write(path)
    whole = b"".join(lines(data)[:-1])
    path.write_bytes(whole + lines(data)[-1][:cut])
    journal = Journal(str(path))
    journal.append("ROLLBACK", why="torn")
    journal.close()
    assert path.read_bytes().startswith(whole)
    assert kinds(scan(path.read_bytes())) == [*KINDS[:-1], "ROLLBACK"]


@pytest.mark.parametrize("sizes", [[1], [7, 30], [18, 0]], ids=["bytes", "pieces", "then nothing"])
def test_row_22_a_short_write_is_continued_or_taken_back(
    path: Path, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(path)
    journal = Journal(str(path))
    real = os.write
    left = iter(sizes if 0 in sizes else [])

    def short(fd: int, content: bytes) -> int:
        size = next(left, None)
        if size == 0:
            return 0
        return real(fd, bytes(content)[: size or sizes[0]])

    monkeypatch.setattr(os, "write", short)
    if 0 in sizes:
        with pytest.raises(AppendFailed):
            journal.append("END")
        assert path.read_bytes() == data
    else:
        journal.append("END")
        assert kinds(scan(path.read_bytes())) == [*KINDS, "END"]
    journal.close()


@pytest.mark.parametrize("call", ["write", "fdatasync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS])
def test_row_16_an_append_that_fails_leaves_the_file_as_it_was(
    path: Path, call: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(path)
    journal = Journal(str(path))
    calls = []

    def fail(*args: Any) -> None:
        calls.append(args)
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(AppendFailed):
            journal.append("ACCEPT")
    assert len(calls) == 1  # row 21: never tried again
    assert path.read_bytes() == data
    journal.append("ROLLBACK", why="disk")
    journal.close()
    assert kinds(scan(path.read_bytes())) == [*KINDS, "ROLLBACK"]


def test_half_a_record_that_cannot_be_taken_back_is_a_torn_tail(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path)
    journal = Journal(str(path))
    real = os.write
    state = iter([lambda fd, content: real(fd, bytes(content)[:30])])

    def half(fd: int, content: bytes) -> int:
        for once in state:
            return once(fd, content)
        raise OSError(errno.EIO, "no")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        patch.setattr(os, "ftruncate", lambda *args: (_ for _ in ()).throw(OSError(5, "no")))
        with pytest.raises(AppendFailed):
            journal.append("ACCEPT")
    assert scan(path.read_bytes()).torn == 30
    journal.append("ROLLBACK", why="half")
    journal.close()
    assert kinds(scan(path.read_bytes())) == [*KINDS, "ROLLBACK"]


def test_row_20_a_journal_that_cannot_be_written_can_be_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(path)
    real = os.open

    def read_only(name: str, flags: int, *args: Any) -> int:
        if flags & os.O_RDWR:
            raise OSError(errno.EROFS, "read-only")
        return real(name, flags, *args)

    monkeypatch.setattr(os, "open", read_only)
    journal = Journal(str(path))
    assert [record["t"] for record in journal.records] == KINDS
    with pytest.raises(AppendFailed):
        journal.append("END")
    journal.close()
    assert path.read_bytes() == data


def test_a_reader_never_waits_for_a_writer(path: Path) -> None:
    import fcntl

    write(path)
    writer = os.open(path, os.O_RDWR)
    fcntl.flock(writer, fcntl.LOCK_EX)
    journal = Journal(str(path))
    assert journal.refresh() == []
    journal.close()
    os.close(writer)


# --- several writers ----------------------------------------------------------------------------


class Children:
    """Forked processes that all begin at the same moment."""

    def __init__(self) -> None:
        self._pids: list[int] = []
        self._start = os.pipe()

    def add(self, work: Callable[[], int]) -> None:
        """One more; its exit status is what `work` returns."""
        pid = os.fork()
        if pid == 0:
            status = 99
            try:
                os.close(self._start[1])
                os.read(self._start[0], 1)
                status = work()
            finally:
                os._exit(status)
        self._pids.append(pid)

    def go(self) -> list[int]:
        """Let them begin; their exit statuses."""
        for end in self._start:
            os.close(end)
        return [os.WEXITSTATUS(os.waitpid(pid, 0)[1]) for pid in self._pids]


def test_two_processes_that_append_at_once_keep_the_chain(path: Path) -> None:
    write(path, ["BEGIN"])
    children = Children()

    def work(name: str) -> int:
        journal = Journal(str(path))
        for number in range(40):
            journal.append("CHECK", durable=False, name=name, number=number)
        journal.close()
        return 0

    for name in ("a", "b", "c"):
        children.add(functools.partial(work, name))
    assert children.go() == [0, 0, 0]
    records = scan(path.read_bytes()).records
    assert len(records) == 121
    for name in ("a", "b", "c"):
        said = [record["number"] for record in records if record.get("name") == name]
        assert said == list(range(40))


OBJECTIONS: dict[str, Callable[[list[dict[str, Any]]], str | None]] = {
    "ACCEPT": lambda records: standing.why_not_accept(records, 0.0, False),
    "ROLLBACK": standing.why_not_roll_back,
}


def race(path: Path, orders: list[str]) -> list[str]:
    """All orders at once; which of them were told that they had won."""
    children = Children()

    def work(kind: str) -> int:
        journal = Journal(str(path))
        record, _ = journal.append_unless(OBJECTIONS[kind], kind, durable=False, why="race")
        journal.close()
        return 0 if record is not None else 1

    for kind in orders:
        children.add(functools.partial(work, kind))
    return [kind for kind, status in zip(orders, children.go(), strict=True) if status == 0]


@pytest.mark.drill
def test_p4_of_four_who_decide_at_once_the_first_wins_and_nobody_else(path: Path) -> None:
    orders = ["ACCEPT", "ROLLBACK", "ACCEPT", "ROLLBACK"]
    firsts = set()
    for number in range(30):
        trial(path)
        won = race(path, orders[number % 2 :] + orders[: number % 2])
        decided = [
            record["t"]
            for record in scan(path.read_bytes()).records
            if record["t"] in ("ACCEPT", "ROLLBACK")
        ]
        assert sorted(won) == sorted(decided)
        assert decided in (["ACCEPT"], ["ROLLBACK"], ["ACCEPT", "ROLLBACK"])
        firsts.add(decided[0])
    assert firsts


@pytest.fixture
def stopped(path: Path) -> Iterator[Path]:
    """A journal whose lock is held by a process that was stopped."""
    import fcntl

    write(path)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            fcntl.flock(os.open(path, os.O_RDWR), fcntl.LOCK_EX)
            os.write(writing, b"x")
            signal.pause()
        finally:
            os._exit(0)
    os.read(reading, 1)
    os.close(reading)
    os.close(writing)
    yield path
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_p15_an_append_does_not_wait_for_ever_for_the_lock(
    stopped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.node.journal._LOCK_SECONDS", 0.2)
    data = stopped.read_bytes()
    journal = Journal(str(stopped))
    with pytest.raises(AppendFailed, match="locked"):
        journal.append("END")
    journal.close()
    assert stopped.read_bytes() == data


def test_the_bodies_are_what_both_sides_call_canonical(path: Path) -> None:
    for line, record in zip(lines(write(path)), Journal(str(path)).records, strict=True):
        assert canonical(record) == line[18:-1]
