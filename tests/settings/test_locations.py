"""Directories come from the variables, then XDG, and are made private only when asked for."""

from pathlib import Path

import pytest

from backends.domain.problem import LiftlockError
from backends.settings.locations import config_dir, ensure_private, state_dir


def test_our_own_variables_win_over_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xc"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xs"))
    assert config_dir() == tmp_path / "xc" / "liftlock"
    assert state_dir() == tmp_path / "xs" / "liftlock"
    monkeypatch.setenv("LIFTLOCK_CONFIG_DIR", str(tmp_path / "c"))
    monkeypatch.setenv("LIFTLOCK_STATE_DIR", str(tmp_path / "s"))
    assert (config_dir(), state_dir()) == (tmp_path / "c", tmp_path / "s")
    monkeypatch.setenv("LIFTLOCK_CONFIG_DIR", "  ")
    assert config_dir() == tmp_path / "xc" / "liftlock"


def test_asking_where_creates_nothing(home: Path) -> None:
    assert config_dir().is_relative_to(home)
    assert state_dir().is_relative_to(home)
    assert list(home.iterdir()) == []


def test_a_private_directory_is_made_or_made_private(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert ensure_private(path) == path
    assert path.stat().st_mode & 0o777 == 0o700
    path.chmod(0o755)
    ensure_private(path)
    assert path.stat().st_mode & 0o777 == 0o700


def test_a_link_or_a_file_is_no_private_directory(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "file").touch()
    for name, code in (
        ("link", "directory-not-private"),
        ("file", "directory-not-private"),
        ("file/below", "directory-unusable"),
    ):
        with pytest.raises(LiftlockError) as caught:
            ensure_private(tmp_path / name)
        assert caught.value.problem.code == code
