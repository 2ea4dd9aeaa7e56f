"""Drills on machines whose PID 1 is systemd: a unit is upgraded, and nothing takes the node along.

Source: issue "The node survives" and notes on reliability, rows 1, 7 to 9, 12 and 13.
"""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.machines import kinds
from tests.machines.site import DIRECTORY, STATE, Site
from tests.support.node import wait_until

pytestmark = [pytest.mark.drill, pytest.mark.timeout(180)]

OURS = "/etc/systemd/system/liftlock-beacon"


def second_layer(site: Site, name: str = "n1") -> list[str]:
    """The files of the second layer that are there."""
    found = site[name].ask("sh", "-c", "find /etc/systemd/system -name 'liftlock-*' | sort")
    return found.splitlines()


def is_rolled_back(status: dict[str, Any]) -> bool:
    return all(node["state"] == "rolled_back" for node in status["nodes"])


# --- an upgrade ---------------------------------------------------------------------------------


def test_b21_a_unit_is_upgraded_on_three_nodes_of_which_one_differs(
    make_site: Callable[..., Site],
) -> None:
    site = make_site(3)
    site.boot()
    site.lay_down("1.0", "n1", "n2")
    odd = site.source("1.0-odd", notes__txt="of n3\n")
    (odd / "VERSION").write_text("1.0\n")
    site.lay_down("1.0", "n3", source=odd)
    site["n3"].write(
        "/etc/systemd/system/beacon.service", kinds.SYSTEMD.text.format(version="1.0 of n3")
    )
    site["n3"].ask("systemctl", "daemon-reload")
    site.wait_for(lambda status: status["verdict"]["kind"] == "unmanaged")
    assert site.run("adopt", "--yes").status == 0
    site.release("2.0")
    began = {name: site.node(name)["running"] for name in site.names}
    assert set(began.values()) == {"1.0"}

    upgraded = site.upgrade("2.0")
    assert upgraded.status == 0, upgraded
    for name in site.names:
        assert site[name].ask("systemctl", "show", "-P", "Description", "beacon") == "Beacon 2.0"
        assert second_layer(site, name) == []
        assert site.driver(name) == 0
    assert site["n1"].ask("systemctl", "show", "-P", "KillMode", "beacon") == "control-group"
    finalized = site.run("finalize", "--yes", "--json")
    assert finalized.status == 0, finalized
    assert site.status()["verdict"]["kind"] == "settled"
    kept = site["n3"].ask("find", f"{STATE}/beacon/conflicts", "-type", "f")
    unit = next(path for path in kept.splitlines() if path.endswith("definition/beacon.service"))
    assert "of n3" in site["n3"].ask("cat", unit)
    assert site["n3"].path(f"{DIRECTORY}/notes.txt").read_text() == "of n3\n"
    assert site.run("clean", "--everything", "--yes").status == 0
    assert site["n3"].run("test", "-e", STATE).returncode == 1


def test_b10_a_rollback_ends_with_the_very_unit_and_the_old_version_runs(
    settled: Callable[..., Site],
) -> None:
    site = settled()
    before = site.product("n1")
    assert site.upgrade("2.0").status == 0
    assert site.product("n1") != before
    assert site.run("rollback", "--yes").status == 0
    assert site.product("n1") == before
    assert site["n1"].ask("systemctl", "show", "-P", "Description", "beacon") == "Beacon 1.0"
    assert site["n1"].ask("systemctl", "is-enabled", "beacon") == "enabled"
    assert site.node("n1")["running"] == "1.0"
    assert second_layer(site) == []


def test_a_first_install_enables_its_unit_and_its_rollback_leaves_none(
    make_site: Callable[..., Site],
) -> None:
    site = make_site()
    site.boot()
    site.release("2.0")
    assert site.upgrade("2.0").status == 0
    assert site["n1"].ask("systemctl", "is-enabled", "beacon") == "enabled"
    site.power_cut("n1")
    site.boot("n1")
    site.wait_for(lambda status: status["nodes"][0]["running"] == "2.0")
    assert site.run("rollback", "--yes").status == 0
    left = site["n1"].ask("find", "/etc/systemd/system", "-name", "*beacon*")
    assert left == ""
    assert site["n1"].ask("systemctl", "show", "-P", "LoadState", "beacon") == "not-found"
    assert not [path for path in site["n1"].path(DIRECTORY).iterdir() if path.name != ".liftlock"]


def test_row_38_a_unit_that_cannot_start_comes_back_over_its_own_start_limit(
    settled: Callable[..., Site],
) -> None:
    site = settled()
    before = site.product("n1")
    unit = kinds.SYSTEMD.text.format(version="3.0").replace("[Unit]", "[Unit]\nStartLimitBurst=2")
    site.release("3.0", beacon__py="raise SystemExit(3)\n", beacon__service=unit)
    ran = site.upgrade("3.0")
    assert ran.status == 5, ran
    assert site.product("n1") == before
    assert site["n1"].ask("systemctl", "is-active", "beacon") == "active"
    assert site.status()["verdict"]["kind"] == "settled"


# --- nothing takes the updater along ------------------------------------------------------------


def test_b1_row_12_row_13_the_updater_survives_the_unit_sshd_and_the_login(
    settled: Callable[..., Site],
) -> None:
    site = settled(
        before=lambda site: site.have_logins("n1"), accept="manual", accept_window="60s"
    )
    machine = site["n1"]
    machine.write("/etc/systemd/logind.conf.d/drill.conf", "[Login]\nKillUserProcesses=yes\n")
    machine.ask("systemctl", "restart", "systemd-logind")
    begun = site.start("upgrade", str(site.file), str(site.releases["2.0"]), "--yes")
    wait_until(lambda: site.node("n1")["state"] == "monitoring", seconds=60)
    pid = site.driver("n1")
    group = machine.ask("cat", f"/proc/{pid}/cgroup")
    assert "/system.slice/liftlock-beacon-" in group, group

    assert machine.ask("loginctl", "list-sessions", "--no-legend"), "nobody is logged in"
    machine.ask("loginctl", "terminate-user", "root")
    machine.ask("systemctl", "stop", "ssh.service")
    machine.run("pkill", "-9", "sshd")
    machine.ask("systemctl", "restart", "beacon.service")
    time.sleep(1.0)
    assert site.driver("n1") == pid
    begun.kill()
    begun.communicate()

    machine.ask("systemctl", "start", "ssh.service")
    site.wait_for(lambda status: status["nodes"][0]["health"] == "healthy")
    accepted = site.run("accept", "n1")
    assert accepted.status in (0, 10), accepted
    assert site.node("n1")["state"] == "accepted"


def test_row_1_a_killed_updater_is_replaced_by_the_timer(settled: Callable[..., Site]) -> None:
    site = settled(accept="manual", accept_window="120s")
    before = site.product("n1")
    site.in_trial("n1")
    assert f"{OURS}.timer" in second_layer(site)
    assert site["n1"].ask("systemctl", "is-active", "liftlock-beacon.timer") == "active"
    site["n1"].ask("kill", "-9", str(site.driver("n1")))
    killed = time.monotonic()
    site.wait_for(is_rolled_back, seconds=80)
    assert time.monotonic() - killed < 70
    assert site.product("n1") == before
    assert site["n1"].ask("systemctl", "is-active", "beacon") == "active"
    wait_until(lambda: second_layer(site) == [])


def test_row_9_a_watcher_that_hangs_is_ended_and_its_work_taken_over(
    settled: Callable[..., Site],
) -> None:
    site = settled(accept="manual", accept_window="40s")
    before = site.product("n1")
    site.in_trial("n1")
    txn = str(site.records("n1")[0]["txn"])
    pid = site.driver("n1")
    site["n1"].ask("kill", "-STOP", str(pid))
    site["n1"].ask("systemctl", "start", "liftlock-beacon.service")
    assert site.driver("n1") == pid, "it has time until its window is over"

    def is_taken_over() -> bool:
        time.sleep(3.0)  # systemd refuses a sixth start within ten seconds
        site["n1"].ask("systemctl", "start", "liftlock-beacon.service")
        return site.driver("n1") != pid

    wait_until(is_taken_over, seconds=90)
    site.wait_for(is_rolled_back)
    assert site.product("n1") == before
    (taken,) = site.records("n1", txn, "TAKEOVER")
    assert taken["pid"] == pid
    assert "accept window" in taken["why"]


# --- power --------------------------------------------------------------------------------------


def test_row_8_a_power_cut_in_the_trial_is_undone_before_the_unit_starts(
    settled: Callable[..., Site],
) -> None:
    site = settled(accept="manual", accept_window="120s")
    before = site.product("n1")
    site.in_trial("n1")
    txn = str(site.records("n1")[0]["txn"])
    site.power_cut("n1")
    site.boot("n1")
    assert site.product("n1") == before
    said = site["n1"].ask("journalctl", "--no-pager", "-b", "-u", "beacon.service")
    assert "beacon 1.0 on port" in said
    assert "beacon 2.0 on port" not in said
    site.wait_for(is_rolled_back)
    assert site["n1"].ask("systemctl", "is-active", "beacon") == "active"
    (decided,) = site.records("n1", txn, "ROLLBACK")
    assert decided["why"] == "the node was restarted during the trial"
    wait_until(lambda: second_layer(site) == [])


def test_what_was_accepted_is_still_new_and_still_reversible_after_a_power_cut(
    settled: Callable[..., Site],
) -> None:
    site = settled()
    before = site.product("n1")
    assert site.upgrade("2.0").status == 0
    site.power_cut("n1")
    site.boot("n1")
    site.wait_for(lambda status: status["nodes"][0]["running"] == "2.0")
    assert site.node("n1")["state"] == "accepted"
    assert site.run("rollback", "--yes").status == 0
    assert site.product("n1") == before


@pytest.mark.parametrize("policy", ["hold", "keep_if_healthy"])
def test_other_policies_watch_on_after_a_power_cut(
    settled: Callable[..., Site], policy: str
) -> None:
    site = settled(accept="manual", accept_window="15s", if_operator_vanishes=policy)
    site.in_trial("n1")
    site.power_cut("n1")
    site.boot("n1")
    ended = {"hold": "held", "keep_if_healthy": "accepted"}[policy]
    site.wait_for(lambda status: status["nodes"][0]["state"] == ended, seconds=90)
    assert site.node("n1")["running"] == "2.0"
    wait_until(lambda: second_layer(site) == [])


def test_row_7_a_power_cut_between_two_effects_is_undone_before_the_unit_starts(
    settled: Callable[..., Site],
) -> None:
    site = settled()
    before = site.product("n1")
    site.release("2.1", **{f"part{number}": "x\n" for number in range(400)})
    begun = site.start("upgrade", str(site.file), str(site.releases["2.1"]), "--yes")
    effects = site["n1"].path(f"{STATE}/beacon/active/journal")
    wait_until(lambda: effects.exists() and b'"t":"EFFECT"' in effects.read_bytes(), seconds=60)
    site.power_cut("n1")
    begun.kill()
    begun.communicate()
    site.boot("n1")
    assert site.product("n1") == before
    site.wait_for(is_rolled_back)
    assert site["n1"].ask("systemctl", "is-active", "beacon") == "active"


# --- refusals -----------------------------------------------------------------------------------


def test_a_unit_that_a_socket_starts_is_refused_unless_the_profile_names_it(
    settled: Callable[..., Site],
) -> None:
    site = settled()
    socket = "[Socket]\nListenStream=127.0.0.1:9999\n[Install]\nWantedBy=sockets.target\n"
    site["n1"].write("/etc/systemd/system/beacon.socket", socket)
    site["n1"].ask("systemctl", "stop", "beacon.service")
    site["n1"].ask("systemctl", "daemon-reload")
    site["n1"].ask("systemctl", "start", "beacon.socket", "beacon.service")
    site.wait_for(lambda status: status["nodes"][0]["health"] == "healthy")
    ran = site.upgrade("2.0")
    assert ran.status == 4, ran
    assert "beacon.socket" in ran.said
    site.profile = site.profile.replace(
        'unit = "beacon.service"', 'unit = "beacon.service"\ntriggers = ["beacon.socket"]'
    )
    site.write_cluster()
    ran = site.upgrade("2.0")
    assert ran.status == 0, ran
    assert site["n1"].ask("systemctl", "is-active", "beacon.socket") == "active"


def test_row_36_a_unit_that_ignores_its_stop_is_killed_only_where_the_profile_says_so(
    settled: Callable[..., Site],
) -> None:
    site = settled()
    deaf = "[Service]\nKillMode=none\n"
    site["n1"].write("/etc/systemd/system/beacon.service.d/deaf.conf", deaf)
    site["n1"].ask("systemctl", "daemon-reload")
    site.profile = site.profile.replace('stop_timeout = "10s"', 'stop_timeout = "2s"')
    site.write_cluster()
    ran = site.upgrade("2.0")
    assert ran.status == 6, ran  # it serves, outside of its unit: that is not as it was
    assert "still running after 2 s: pid" in ran.said
    assert "never stopped, and its service says: inactive" in ran.said
    assert site.node("n1")["running"] == "1.0"
    site["n1"].ask("pkill", "-f", "beacon.py")
    assert site.run("rollback", "--yes").status == 0
    assert site.node("n1")["health"] == "healthy"
    site.profile = site.profile.replace(
        'stop_timeout = "2s"', 'stop_timeout = "2s"\non_stop_timeout = "kill"'
    )
    site.write_cluster()
    ran = site.upgrade("2.0")
    assert ran.status == 0, ran
    assert "killed after 2 s" in ran.said
