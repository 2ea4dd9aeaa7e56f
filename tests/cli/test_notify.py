"""A command of the operator's own is told when a run pauses or ends, and changes nothing (N6)."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.support.cluster import Cluster

pytestmark = pytest.mark.drill

SCHEMA = Path(__file__).parents[2] / "app" / "schemas" / "notice.json"


def test_n6_a_pause_and_an_end_are_told_and_what_fails_changes_nothing(
    make_cluster: Callable[..., Cluster],
) -> None:
    cluster = make_cluster(nodes=2, pause="first")
    cluster.settle("4.11.0")
    cluster.release("4.12.0")
    told = cluster.top / "told"
    words = f'cat >>{told}; echo "$LIFTLOCK_STATE $LIFTLOCK_EXIT $LIFTLOCK_KIND" >>{told}.words'
    plain = cluster.file.read_text()
    cluster.file.write_text(f"{plain}\n[notify]\ncommand = ['sh', '-c', '{words}']\n")
    assert cluster.upgrade("4.12.0").status == 10
    assert cluster.run("resume", str(cluster.file), "--yes").status == 0
    assert (told.parent / "told.words").read_text().splitlines() == [
        "paused 10 upgrade",
        "ended 0 upgrade",
    ]
    first, second = map(json.loads, told.read_text().splitlines())
    for each in (first, second):
        Draft202012Validator(json.loads(SCHEMA.read_text("utf-8"))).validate(each)
    assert first["nodes"] == {"n1": "accepted", "n2": "not_started"}
    assert (second["exit"], second["state"]) == (0, "ended")
    cluster.file.write_text(f"{plain}\n[notify]\ncommand = ['sh', '-c', 'echo no; exit 3']\n")
    ran = cluster.run("rollback", str(cluster.file), "--yes")
    assert ran.status == 0, ran
    assert "not-notified" in ran.err
    cluster.file.write_text(f"{plain}\n[notify]\ncommand = ['/nonexistent']\n")
    again = cluster.upgrade("4.12.0", "--pause", "none")
    assert again.status == 0, again
    assert "not-notified" in again.err
