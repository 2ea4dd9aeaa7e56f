"""Journals that end where nobody expects it."""

import errno
import os
import zlib
from pathlib import Path

import pytest

from backends.node.journal import AppendFailed, Journal, JournalDamaged, scan
from tests.support.raising import says


@pytest.mark.parametrize("body", [b"{no json}", b'{"t":"BEGIN"}'])
def test_row_32_a_line_with_the_right_sum_that_is_no_record_is_damage(
    tmp_path: Path, body: bytes
) -> None:
    path = tmp_path / "journal"
    journal = Journal(str(path), create=True)
    journal.append("BEGIN")
    journal.close()
    line = b"%08x %08x %s\n" % (len(body), zlib.crc32(body), body)
    with pytest.raises(JournalDamaged):
        scan(line + path.read_bytes())


def test_a_journal_that_ends_while_it_is_read_is_read_as_far_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    writer = Journal(str(path), create=True)
    reader = Journal(str(path))
    writer.append("BEGIN")
    monkeypatch.setattr(os, "pread", lambda fd, size, offset: b"")
    reader.refresh()
    assert reader.records == []
    writer.close()
    reader.close()


def test_a_torn_tail_that_cannot_be_cut_takes_no_record_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    journal = Journal(str(path), create=True)
    journal.append("BEGIN")
    journal.close()
    with path.open("ab") as stream:
        stream.write(b"00000")
    journal = Journal(str(path))
    monkeypatch.setattr(os, "ftruncate", says(OSError(errno.EIO, "no")))
    with pytest.raises(AppendFailed):
        journal.append("HOOK")
    journal.close()
