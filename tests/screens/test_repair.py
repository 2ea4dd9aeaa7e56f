"""Drift on the screen: seen by the watch, verified, and repaired without leaving it."""

from pathlib import Path

import pytest

from backends.releases.read import open_release
from backends.releases.signing import sign
from tests.screens.test_pictures import SMALL, choose, to_be_repaired
from tests.support.signing import fixed_key
from tests.support.stage import Stage, on_stage


async def agrees(stage: Stage, why: str) -> None:
    """Give the reason and agree."""
    await stage.sees("the reason")
    await stage.presses(*(("space" if each == " " else each) for each in why), "enter")
    await stage.presses("right", "enter")


async def test_drift_is_seen_verified_and_repaired_by_keyboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_stage("drifted", SMALL, tmp_path, monkeypatch) as stage:
        await stage.sees("DRIFT n3", "changed beacon.bin", "verify n3")
        await to_be_repaired(stage)
        await stage.presses("n")
        await agrees(stage, "bit rot")
        await stage.sees("preflight for 4.12.0 on n3", "again: bit rot")
        for then in ("send", "check", "install"):
            await stage.steps(then=then)
        await stage.presses("n")
        await stage.sees("n3 changes now")
        await stage.moves(40)
        await stage.sees("finalize 4.12.0 for good")
        assert not stage.cluster.nodes["n3"].disk.trees["4.12.0"].changed
        assert "DRIFT" not in stage.text


async def test_what_is_verified_and_as_recorded_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_stage("settled", SMALL, tmp_path, monkeypatch) as stage:
        await stage.presses("v")
        await stage.sees("as recorded, every byte: n1, n2, n3, n4, n5")


async def test_only_the_node_that_is_open_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_stage("settled", SMALL, tmp_path, monkeypatch) as stage:
        await stage.presses("down", "enter")
        await stage.sees("node n2")
        await stage.presses("v")
        await stage.sees("as recorded, every byte: n2")


async def test_an_older_release_is_planned_once_it_was_said_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `--downgrade` says on the command line."""
    async with on_stage("drifted", SMALL, tmp_path, monkeypatch) as stage:
        older = stage.cluster.release("4.10.0").build(tmp_path)
        sign(open_release(older), fixed_key(tmp_path / "key"))
        older.rename(tmp_path / "releases" / older.name)
        await choose(stage)
        await stage.presses("down", "down", "enter")
        await stage.sees("say why an older version is wanted: 4.10.0 is older")
        await stage.presses("n")
        await agrees(stage, "it loses data")
        await stage.sees("preflight for 4.10.0 on n1, n2, n3, n4, n5")
