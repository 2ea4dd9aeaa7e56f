"""The operator's program is killed at an event of a run, and taken up with another, empty state.

At some events here; `make faults` does every one of them. And the judge of that, which must see
what was done twice.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.node.journal import Journal
from tests.faults import once
from tests.faults.ground import NEW, Ground, local_ground
from tests.faults.killed_operators import (
    judged,
    rollbacks,
    upgrade_killed,
    upgrades,
    whole_upgrade,
)

pytestmark = [pytest.mark.drill, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Three nodes on this machine."""
    with local_ground(tmp_path_factory.mktemp("ground")) as found:
        yield found


@pytest.fixture(scope="module")
def length(ground: Ground) -> int:
    """How many events an upgrade has."""
    return whole_upgrade(ground)


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Another three, upgraded by nobody who was disturbed; the judge has nothing against them."""
    with local_ground(tmp_path_factory.mktemp("upgraded")) as found:
        whole_upgrade(found)
        found.keep("upgraded", NEW)
        yield found


@pytest.fixture
def home(upgraded: Ground) -> Path:
    """What one of them has written down until then."""
    return upgraded.top / "kept" / "upgraded" / "n1" / "state" / "beacon"


@pytest.mark.parametrize(
    ("share", "again_at", "finalize"),
    [(0.35, 5, False), (0.65, None, True), (0.8, 20, False)],
    ids=["stage", "first install", "second install"],
)
def test_an_upgrade_killed_at_an_event_ends_as_planned_and_does_nothing_twice(
    ground: Ground, length: int, share: float, again_at: int | None, finalize: bool
) -> None:
    assert upgrade_killed(ground, int(length * share), again_at, finalize=finalize) == []


def test_the_same_over_ssh(tmp_path: Path) -> None:
    tally = upgrades("ssh", tmp_path / "ssh", sample=150)
    assert tally.cases == 2
    assert not tally.bad, tally.text()


def test_a_rollback_killed_at_an_event_is_ended_by_another_operator(tmp_path: Path) -> None:
    tally = rollbacks("local", tmp_path / "back", sample=31)
    assert tally.cases == 2
    assert not tally.bad, tally.text()


# --- the judge ----------------------------------------------------------------------------------


def test_it_sees_in_a_journal_what_was_done_twice_is_missing_or_was_not_planned(
    home: Path, tmp_path: Path
) -> None:
    assert once.wrong(home, once.NEW) == []
    for kind, field, value, said in (
        ("EFFECT", "step", 0, "2 times EFFECT 0"),
        ("SVC", "verb", "stop", "2 times SVC stop"),
        ("SVC", "verb", "start", "2 times SVC start"),
        ("TRIAL", "until", 1.0, "2 times TRIAL"),
        ("ACCEPT", "how", "auto", "2 times ACCEPT"),
        ("ROLLBACK", "why", "", "ROLLBACK, and new was planned"),
        ("TAKEOVER", "by", "", "TAKEOVER, and new was planned"),
    ):
        copy, path = _copied(home, tmp_path / f"{kind} {value}")
        journal = Journal(str(path))
        journal.append(kind, **{field: value})
        journal.close()
        assert any(said in text for text in once.wrong(copy, once.NEW)), said
    for planned in (once.OLD, once.FINAL):
        assert any(f"and {planned} was planned" in text for text in once.wrong(home, planned))


def test_it_sees_a_journal_with_a_gap_a_torn_one_and_none(home: Path, tmp_path: Path) -> None:
    lines = (home / "active" / "journal").read_bytes().splitlines(keepends=True)
    assert len(lines) > 10
    for number in range(len(lines)):
        copy, path = _copied(home, tmp_path / f"without {number}")
        path.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))
        assert once.wrong(copy, once.NEW), f"without record {number}"
    copy, path = _copied(home, tmp_path / "torn")
    path.write_bytes(b"".join(lines) + lines[0][:-5])
    assert any("are no record" in text for text in once.wrong(copy, once.NEW))
    copy, path = _copied(home, tmp_path / "none")
    shutil.rmtree(path.parent)
    assert once.wrong(copy, once.NEW) == ["0 transactions changed the node, not one: none"]


def _copied(home: Path, copy: Path) -> tuple[Path, Path]:
    shutil.copytree(home, copy)
    return copy, copy / "active" / "journal"


def test_it_sees_a_start_that_no_journal_tells_of(upgraded: Ground) -> None:
    control = upgraded.tree("n2", NEW) / "control"
    (pid, *_) = [each for each in upgraded.services() if _lies_in(each, control.parent)]
    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    env = dict(each.decode().split("=", 1) for each in words if each)
    for verb in ("stop", "start"):
        subprocess.run([control, verb], env=env, stdout=subprocess.DEVNULL, check=True)
    assert f"n2: {NEW} was started 2 times" in judged(upgraded, once.NEW)


def _lies_in(pid: int, folder: Path) -> bool:
    return os.readlink(f"/proc/{pid}/cwd") == str(folder)


def test_it_sees_that_what_was_accepted_was_installed_again(upgraded: Ground) -> None:
    """As a program would that does not take the nodes' word for what is done."""
    assert upgraded.roll_back().exit == 0
    assert upgraded.upgrade().exit == 0
    problems = judged(upgraded, once.NEW)
    for name in upgraded.nodes:
        assert any(f"{name}: 2 transactions changed the node" in text for text in problems)
    assert len(problems) == len(upgraded.nodes), "all else is as planned"
