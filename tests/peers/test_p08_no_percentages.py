"""Limits and batches are numbers of nodes: at least one, and never a share that rounds to none."""

from collections.abc import Callable

import pytest

from backends.domain.plan import batches
from backends.domain.policy import Limits, Pause, Policy, invariants, is_reached
from backends.domain.states import Outcome
from tests.support.cluster import Cluster
from tests.support.readings import item

FIVE = [item(f"n{number}") for number in range(1, 6)]


@pytest.mark.parametrize("limit", [0, 1])
def test_p08_the_first_one_reaches_every_limit_below_two(limit: int) -> None:
    """k0sctl: 10 % of 5 nodes was 0, and 0 meant that nothing was ever reached."""
    assert not is_reached(limit, 0)
    assert is_reached(limit, 1)
    stop = Policy(limit_failed=limit, limit_unreachable=limit, limit_timed_out=limit)
    for outcome in (Outcome.FAILED, Outcome.UNDONE, Outcome.UNREACHABLE, Outcome.TIMED_OUT):
        assert stop.stopped_by({outcome: 1}) is not None
    assert stop.stopped_by({}) is None


def test_p08_a_limit_is_reached_and_not_exceeded() -> None:
    """k0sctl: 50 % of 5 was 3 in one place and 2 in the other; here 2 is the second one."""
    two = Policy(limit_failed=2)
    assert two.stopped_by({Outcome.FAILED: 1}) is None
    assert two.stopped_by({Outcome.FAILED: 2}) is Outcome.FAILED
    assert two.stopped_by({Outcome.FAILED: 1, Outcome.UNDONE: 1}) is Outcome.FAILED


@pytest.mark.parametrize(("size", "found"), [(1, [1] * 5), (2, [2, 2, 1]), (9, [5])])
def test_p08_every_batch_has_a_node_and_no_node_is_left_out(size: int, found: list[int]) -> None:
    """k0sctl: a batch of 0 nodes went on for ever, or was none."""
    made = batches(FIVE, Policy(batch=size, pause=Pause.NONE))
    assert [len(each) for each in made] == found
    assert [each.node for part in made for each in part] == [each.node for each in FIVE]
    assert [each.code for each in invariants(Limits(), Policy(batch=0))] == ["limit-out-of-range"]


@pytest.mark.parametrize(
    "key", ["batch", "max_failed", "max_unreachable", "max_timed_out", "max_refused"]
)
@pytest.mark.parametrize("value", ["10%", "50 %", "0.1"])
def test_p08_a_share_in_the_cluster_file_is_refused_with_its_key_and_line(
    make_cluster: Callable[..., Cluster], key: str, value: str
) -> None:
    """k0sctl: a share was taken and rounded to nothing; here it is refused, and nobody asked."""
    cluster = make_cluster(**{key: value})
    line = next(
        number
        for number, text in enumerate(cluster.file.read_text().splitlines(), 1)
        if text.startswith(f"{key} =")
    )
    for words in (["status"], ["config", "show"]):
        ran = cluster.run(*words, str(cluster.file))
        assert ran.status == 2, ran
        assert f"harbor.toml:{line}: [policy] {key}: must be a whole number" in ran.said, ran
        assert "Traceback" not in ran.err
    assert not (cluster.top / "n1").exists()


@pytest.mark.parametrize("value", ["10%", "50%", "0", "0.5", "-1"])
def test_p08_a_share_on_the_command_line_is_refused_and_nobody_asked(
    make_cluster: Callable[..., Cluster], value: str
) -> None:
    """k0sctl: the same for what is typed."""
    cluster = make_cluster()
    tarball = cluster.release("4.12.0")
    ran = cluster.run("upgrade", str(cluster.file), str(tarball), "--yes", "--batch", value)
    assert ran.status == 2, ran
    assert "batch" in ran.err
    assert "Traceback" not in ran.err
    assert not (cluster.top / "n1").exists()
