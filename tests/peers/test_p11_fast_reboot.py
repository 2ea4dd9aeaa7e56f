"""A node that was restarted so fast that nobody missed it: the boot id says so."""

import os
import signal
import subprocess
from typing import Any

import pytest

from backends.node import clock, locks, monitor, takeover
from backends.node.places import read_json, write_json
from tests.faults.bench import Bench, attempt, run
from tests.faults.injector import Injector
from tests.faults.oracle import same
from tests.support.node import Node

UPTIME_SECONDS = 4.0


def rebooted() -> None:
    """Another boot, a moment ago; every pid and start time may be there again."""
    begun, real = clock.since_boot(), clock.since_boot
    clock.boot_id = lambda: "of-another-boot"
    clock.since_boot = lambda: UPTIME_SECONDS + real() - begun


def lost_in_trial(bench: Bench, policy: str, window: float) -> None:
    """2.0 in its trial, healthy, and everything of the node is gone at once."""

    def plant() -> None:
        real = monitor._say_healthy

        def dies(*args: Any) -> None:
            real(*args)
            os.kill(os.getpid(), signal.SIGKILL)

        monitor._say_healthy = dies

    bench.document["limits"]["accept_window"] = window
    bench.seed = plant
    attempt(bench, lambda: bench.install(policy), Injector(0, "none"))
    bench.seed = None
    assert (bench.decision(), bench.running()) == (None, "2.0")


def test_p11_a_trial_that_a_reboot_ended_goes_back_and_says_why(flat: Bench) -> None:
    """colmena 166: the node was up again before it was asked, and its reboot was not noticed."""
    was = flat.product()
    lost_in_trial(flat, "rollback", 600.0)
    flat.seed = rebooted
    run(flat, flat.recover)
    same(flat.product(), was)
    last = read_json(flat.places.last)
    assert last is not None
    assert last["why"] == "the node was restarted during the trial"


@pytest.mark.parametrize("window", [0.0, 1.0])
def test_p11_a_reboot_makes_no_deadline_later(flat: Bench, window: float) -> None:
    """colmena 166: seconds of the other boot mean nothing; what was spent there is spent."""
    lost_in_trial(flat, "keep_if_healthy", window)
    flat.seed = rebooted
    run(flat, flat.recover)
    opened = flat.opened()
    opened.close()
    (moved,) = [each for each in opened.records if each["t"] == "EXTEND"]
    assert (moved["why"], moved["bid"]) == ("the node was restarted", "of-another-boot")
    assert UPTIME_SECONDS <= moved["until"] < UPTIME_SECONDS + 1 + window
    assert opened.records[-1]["t"] == "ACCEPT"


def test_p11_who_had_the_lock_in_another_boot_is_not_ended(bare: Node) -> None:
    """colmena 166: pid and start time are there again, and belong to somebody else."""
    bare.places.make_home()
    lock = locks.DriverLock(bare.places)
    lock.take(run="r1", operator="ann@jump", command="install")
    with subprocess.Popen(["sleep", "60"]) as other:
        owner = dict(read_json(bare.places.owner) or {}, pid=other.pid)
        owner.update(start=clock.start_of(other.pid), boot_id="of-another-boot")
        write_json(bare.places.owner, owner)
        assert not takeover.take_over(bare.places, "it hangs", "ann")
        assert other.poll() is None
        other.terminate()
    lock.release()
