"""Drills on machines without systemd: a script of the system, and cron as the second layer.

Source: issue "The node survives" and notes on reliability, rows 1 and 8; feature B21.
"""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.machines import kinds
from tests.machines.machine import need
from tests.machines.site import DIRECTORY, Site
from tests.support.node import wait_until

pytestmark = [pytest.mark.drill, pytest.mark.timeout(180)]

CRON = "/etc/cron.d/liftlock-beacon"


@pytest.fixture
def settled_sysv(settled: Callable[..., Site]) -> Callable[..., Site]:
    """Makes sites on whose nodes 1.0 runs, started by a script; cron runs if it is wanted."""

    def make(cron: bool = False, **more: Any) -> Site:
        def before(site: Site) -> None:
            if cron:
                need("cron", "cron")
                site["n1"].link("/etc/rc2.d/S01cron", "../init.d/cron")

        return settled(kind=kinds.SYSV, before=before, **more)

    return make


def is_rolled_back(status: dict[str, Any]) -> bool:
    return all(node["state"] == "rolled_back" for node in status["nodes"])


def test_b21_a_script_is_upgraded_and_comes_back(settled_sysv: Callable[..., Site]) -> None:
    site = settled_sysv()
    before = site.product("n1")
    upgraded = site.upgrade("2.0")
    assert upgraded.status == 0, upgraded
    assert "second layer: none (systemd is not PID 1; no cron runs" in upgraded.said
    assert b"Beacon 2.0" in site["n1"].path("/etc/init.d/beacon").read_bytes()
    assert site.run("rollback", "--yes").status == 0
    assert site.product("n1") == before
    assert site["n1"].run("/etc/init.d/beacon", "status").returncode == 0
    assert site.node("n1")["running"] == "1.0"


def test_a_first_install_is_started_at_boot_and_its_rollback_leaves_nothing(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(kind=kinds.SYSV)
    site.boot()
    site.release("2.0")
    upgraded = site.upgrade("2.0")
    assert upgraded.status == 0, upgraded
    site.power_cut("n1")
    site.boot("n1")
    site.wait_for(lambda status: status["nodes"][0]["running"] == "2.0")
    assert site.run("rollback", "--yes").status == 0
    assert site["n1"].ask("sh", "-c", "find /etc/rc?.d /etc/init.d -name '*beacon*'") == ""
    assert not [path for path in site["n1"].path(DIRECTORY).iterdir() if path.name != ".liftlock"]


def test_row_8_after_a_power_cut_cron_brings_the_node_back(
    settled_sysv: Callable[..., Site],
) -> None:
    site = settled_sysv(cron=True, accept="manual", accept_window="120s")
    before = site.product("n1")
    txn = site.in_trial("n1")
    assert site["n1"].path(CRON).exists()
    assert site.records("n1", kind="HOOK")[0]["layer"] == "cron"
    site.power_cut("n1")
    site.boot("n1")
    site.wait_for(is_rolled_back)
    assert site.product("n1") == before
    assert site.node("n1")["running"] == "1.0"
    (decided,) = site.records("n1", txn, "ROLLBACK")
    assert decided["why"] == "the node was restarted during the trial"
    wait_until(lambda: not site["n1"].path(CRON).exists())


def test_row_1_a_killed_updater_is_replaced_by_cron(settled_sysv: Callable[..., Site]) -> None:
    site = settled_sysv(cron=True, accept="manual", accept_window="120s")
    before = site.product("n1")
    site.in_trial("n1")
    site["n1"].ask("kill", "-9", str(site.driver("n1")))
    killed = time.monotonic()
    site.wait_for(is_rolled_back, seconds=100)
    assert time.monotonic() - killed < 75
    assert site.product("n1") == before
    assert site.node("n1")["health"] == "healthy"
