"""New files: all of them or none, and never over another one."""

import os
from pathlib import Path

import pytest

from backends.domain.problem import Exit, LiftlockError
from backends.settings.new_files import write_new
from tests.support.disks import fill, small_disk


def test_all_of_them_are_there_and_nothing_else(tmp_path: Path) -> None:
    write_new({tmp_path / "a": "1\n", tmp_path / "b": "2\n"})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "1\n", "b": "2\n"}
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("taken", ["a", "b"])
def test_one_that_is_there_stays_and_the_other_does_not_come(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")
    with pytest.raises(LiftlockError) as caught:
        write_new({tmp_path / "a": "1\n", tmp_path / "b": "2\n"})
    assert (caught.value.problem.code, caught.value.exit_code) == ("file-exists", Exit.USAGE)
    assert taken in caught.value.problem.summary
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {taken: "mine"}


def test_a_full_disk_leaves_none(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        fill(disk / "full")
        before = sorted(os.listdir(disk))
        with pytest.raises(LiftlockError) as caught:
            write_new({disk / "a": "1\n" * 100_000, disk / "b": "2\n"})
        assert caught.value.problem.code == "file-unwritable"
        assert sorted(os.listdir(disk)) == before
