"""Whole upgrades by the packed updater on a real service, undisturbed, refused and interrupted."""

import os
import re
import signal
import stat
from pathlib import Path

import pytest

from tests.support.beacon import Beacon
from tests.support.node import Node, picture, settled, wait_until

RUN = "1120-aaa"


def kinds(node: Node) -> list[str]:
    return [record["t"] for record in node.records()]


def is_whole_again(node: Node, before: dict[str, tuple[object, ...]]) -> None:
    """The old version is in place to the byte, serves, and the node says so."""
    facts = node.wait_for(lambda facts: facts["health"] == "healthy")
    assert node.product() == before
    assert (facts["selected"], facts["running"]) == ("1.0", "1.0")
    assert (facts["state"], facts["transaction"]) == ("rolled_back", None)


# --- undisturbed --------------------------------------------------------------------------------


@pytest.mark.drill
def test_a_first_install_goes_from_nothing_to_finalized(bare: Node) -> None:
    release = Beacon("1.0", more={"lib/deep/data": b"x" * 70000})
    bare.finalized(release)
    facts = bare.facts()
    assert (facts["selected"], facts["running"], facts["health"]) == ("1.0", "1.0", "healthy")
    assert facts["finalized"]["digest"] == release.digest
    assert facts["state"] == "idle"
    assert kinds(bare)[-3:] == ["ACCEPT", "FINALIZE", "END"]
    assert not list((bare.directory / ".liftlock" / "store").iterdir())


def test_an_upgrade_is_accepted_and_finalized_and_the_old_version_stays(node: Node) -> None:
    release = Beacon("2.0")
    node.finalized(release)
    facts = node.facts()
    assert (facts["selected"], facts["running"]) == ("2.0", "2.0")
    assert facts["previous"]["version"] == "1.0"
    assert facts["installed"] == ["1.0", "2.0"]
    assert node.ask("finalize", digest=release.digest).all("already")
    assert node.ask("rollback", why="too late").code == "no-upgrade-open"


def test_records_come_in_the_order_that_makes_an_undo_possible(node: Node) -> None:
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    found = kinds(node)
    wanted = ["BEGIN", "HOOK", "INTENTS", "BACKUPS", "SVC", "EFFECT", "TARGET", "TRIAL", "HEALTHY"]
    assert [kind for kind in dict.fromkeys(found) if kind in wanted] == wanted


def test_an_accepted_version_is_rolled_back_and_the_old_one_serves_again(node: Node) -> None:
    before = node.product()
    node.accepted(Beacon("2.0"))
    assert node.facts()["running"] == "2.0"
    assert node.ask("rollback", run=RUN, why="sales are down").outcome == "ok"
    node.wait_for(lambda facts: facts["transaction"] is None)
    is_whole_again(node, before)
    assert node.facts()["last"]["why"] == "sales are down"


@pytest.mark.drill
def test_a_rollback_right_after_accept_is_not_forgotten_by_the_leaving_driver(node: Node) -> None:
    before = node.product()
    for number in range(2):
        run = f"1120-{number}"
        node.upgrade(Beacon("2.0"), run)
        # Both orders wait for the same moment, while the driver is about to leave.
        accept, back = node.start("accept", run=run, how="auto"), None
        assert accept.communicate(timeout=20)[0]
        back = node.ask("rollback", run=run, why="changed my mind")
        assert back.outcome == "ok", back.messages
        node.wait_for(lambda facts: facts["transaction"] is None)
    is_whole_again(node, before)


@pytest.mark.drill
def test_a_finalize_right_after_accept_is_carried_out(node: Node) -> None:
    release = Beacon("2.0")
    node.document["health"].append(
        dict(node.document["health"][0], name="slow", kind="command", command=["sleep", "0.3"])
    )
    node.upgrade(release)
    assert node.ask("accept", run=RUN, how="auto").outcome == "ok"
    # The driver is busy with the slow check, and will find this when it looks again.
    assert node.ask("finalize", run=RUN, digest=release.digest).outcome == "ok"
    facts = node.wait_for(lambda facts: facts["transaction"] is None)
    assert facts["finalized"]["version"] == "2.0"


@pytest.mark.drill
def test_a_status_during_a_whole_run_never_says_that_the_driver_is_gone(node: Node) -> None:
    release = Beacon("2.0")
    node.begin(release)
    seen = set()

    def look() -> dict[str, object]:
        facts = node.facts()
        seen.add(facts["state"])
        return facts

    wait_until(lambda: look()["state"] == "monitoring" and node.facts()["transaction"]["healthy"])
    for command, args in (("accept", {"how": "auto"}), ("rollback", {"why": "drill"})):
        assert node.ask(command, run=RUN, **args).outcome == "ok"
        look()
    wait_until(lambda: look()["transaction"] is None)
    assert "inconsistent" not in seen, seen


# --- it goes back by itself ---------------------------------------------------------------------


def test_a_sick_release_goes_back_by_itself_and_leaves_evidence(node: Node) -> None:
    before = node.product()
    node.document["limits"]["healthy_deadline"] = 0.5
    node.begin(Beacon("2.0", sick=True))
    node.wait_for(lambda facts: facts["transaction"] is None)
    is_whole_again(node, before)
    records = node.records()
    (evidence,) = (record for record in records if record["t"] == "EVIDENCE")
    assert "staying unready" in evidence["log"]
    (decision,) = (record for record in records if record["t"] == "ROLLBACK")
    assert "503" in decision["why"]
    assert node.facts()["last"]["why"] == decision["why"]
    assert records[-1]["outcome"] == "undone"


@pytest.mark.drill
def test_p5_silence_means_back(node: Node) -> None:
    before = node.product()
    node.document["limits"]["accept_window"] = 0.8
    node.begin(Beacon("2.0"))
    node.wait_for(lambda facts: facts["transaction"] is None)
    is_whole_again(node, before)
    assert "nobody accepted" in node.facts()["last"]["why"]


@pytest.mark.drill
def test_p5_a_check_that_cannot_be_carried_out_does_not_stop_the_dead_man(node: Node) -> None:
    before = node.product()
    node.document["limits"]["healthy_deadline"] = 0.5
    node.begin(Beacon("2.0"))
    node.wait_for(settled)
    (node.home / "started.json").unlink()
    (node.home / "started.json").mkdir()  # what the watcher writes cannot be written
    os.kill(int(node.facts()["pid"]), signal.SIGKILL)
    node.wait_for(lambda facts: facts["transaction"] is None)
    is_whole_again(node, before)


@pytest.mark.drill
def test_a_first_install_that_goes_back_removes_everything(bare: Node) -> None:
    bare.document["limits"]["healthy_deadline"] = 0.5
    bare.begin(Beacon("1.0", sick=True))
    facts = bare.wait_for(lambda facts: facts["transaction"] is None)
    assert (facts["selected"], facts["running"], facts["installed"]) == (None, None, [])
    assert facts["state"] == "rolled_back"
    assert bare.product() == {}


@pytest.mark.drill
def test_an_unhealthy_version_can_be_held_for_a_person(node: Node) -> None:
    before = node.product()
    node.document["limits"]["healthy_deadline"] = 0.5
    node.begin(Beacon("2.0", sick=True), on_failure="hold")
    facts = node.wait_for(lambda facts: facts["state"] == "held")
    assert "503" in facts["note"]
    assert facts["selected"] == "2.0"
    assert node.ask("accept", run=RUN, how="manual").code == "not-acceptable"
    assert node.ask("rollback", run=RUN, why="as you see").outcome == "ok"
    node.wait_for(lambda facts: facts["transaction"] is None)
    is_whole_again(node, before)


@pytest.mark.drill
def test_a_held_version_is_accepted_by_a_person_with_a_reason(node: Node) -> None:
    node.document["limits"]["healthy_deadline"] = 0.5
    node.begin(Beacon("2.0", sick=True), on_failure="hold")
    node.wait_for(lambda facts: facts["state"] == "held")
    answer = node.ask("accept", run=RUN, how="manual", reason="the check is wrong")
    assert answer.outcome == "ok"
    assert node.facts()["state"] == "accepted"


@pytest.mark.drill
def test_the_policy_hold_waits_for_ever_at_the_end_of_the_window(node: Node) -> None:
    node.document["limits"]["accept_window"] = 0.8
    node.begin(Beacon("2.0"), if_operator_vanishes="hold")
    node.wait_for(lambda facts: facts["state"] == "held")
    wait_until(lambda: not node.drivers())
    assert node.ask("recover").outcome == "ok"
    assert node.facts()["state"] == "held"
    assert node.ask("extend", run=RUN, seconds=30).outcome == "ok"
    facts = node.wait_for(settled)
    assert (facts["state"], facts["transaction"]["driver"]) == ("monitoring", True)
    assert node.ask("accept", run=RUN, how="auto").outcome == "ok"


@pytest.mark.drill
def test_the_policy_keep_if_healthy_accepts_at_the_end_of_the_window(node: Node) -> None:
    node.document["limits"]["accept_window"] = 1.0
    node.begin(Beacon("2.0"), if_operator_vanishes="keep_if_healthy")
    facts = node.wait_for(lambda facts: facts["state"] == "accepted")
    assert facts["running"] == "2.0"
    assert node.records()[-1]["how"] == "unattended"


@pytest.mark.drill
def test_the_policy_keep_if_healthy_does_not_keep_what_died(node: Node) -> None:
    before = node.product()
    node.document["limits"].update(accept_window=4.0, healthy_deadline=30.0)
    node.begin(Beacon("2.0"), if_operator_vanishes="keep_if_healthy")
    node.wait_for(settled)
    os.kill(int(node.facts()["pid"]), signal.SIGKILL)
    node.wait_for(lambda facts: facts["transaction"] is None)
    is_whole_again(node, before)


# --- accept, extend, refuse ---------------------------------------------------------------------


@pytest.mark.drill
def test_accept_twice_is_one_decision(node: Node) -> None:
    node.upgrade(Beacon("2.0"))
    answers = [node.ask("accept", run=RUN, how="auto").outcome for _ in range(2)]
    assert answers == ["ok", "ok"]
    assert kinds(node).count("ACCEPT") == 1


@pytest.mark.drill
def test_accept_of_an_unhealthy_version_is_refused(node: Node) -> None:
    node.document["limits"]["healthy_deadline"] = 30.0
    node.begin(Beacon("2.0", sick=True))
    node.wait_for(lambda facts: facts["state"] == "monitoring")
    answer = node.ask("accept", run=RUN, how="auto")
    assert (answer.outcome, answer.code) == ("refused", "not-acceptable")
    assert "ACCEPT" not in kinds(node)


@pytest.mark.drill
def test_accept_is_refused_once_the_healthy_version_died(node: Node) -> None:
    node.document["limits"]["healthy_deadline"] = 30.0
    node.upgrade(Beacon("2.0"))
    os.kill(int(node.facts()["pid"]), signal.SIGKILL)
    node.wait_for(lambda facts: not facts["transaction"]["healthy"], 5)
    assert node.ask("accept", run=RUN, how="auto").code == "not-acceptable"


@pytest.mark.drill
def test_accept_is_refused_until_a_restarted_process_was_healthy_for_long_enough(
    node: Node,
) -> None:
    node.document["limits"]["healthy_deadline"] = 30.0
    node.upgrade(Beacon("2.0"))
    node.control("2.0", "restart")
    wait_until(lambda: "RESTART" in kinds(node) or "UNHEALTHY" in kinds(node))
    found = kinds(node)
    again = [kind for kind in found if kind in ("HEALTHY", "UNHEALTHY", "RESTART")]
    assert again[0] == "HEALTHY"
    assert len(again) > 1
    node.wait_for(settled)
    assert kinds(node).count("HEALTHY") == 2
    assert node.ask("accept", run=RUN, how="auto").outcome == "ok"


@pytest.mark.drill
def test_accept_after_the_window_is_refused_and_says_why(node: Node) -> None:
    node.document["limits"]["accept_window"] = 0.8
    node.begin(Beacon("2.0"))
    node.wait_for(lambda facts: facts["transaction"] is None)
    answer = node.ask("accept", run=RUN, how="auto")
    assert (answer.outcome, answer.code) == ("refused", "no-upgrade-open")
    assert "nobody accepted" in answer.end["problem"]["evidence"]


@pytest.mark.drill
def test_an_extended_window_ends_later_and_is_never_shortened(node: Node) -> None:
    node.document["limits"]["accept_window"] = 3.0
    node.upgrade(Beacon("2.0"))
    assert node.ask("extend", run=RUN, seconds=60).outcome == "ok"
    assert node.facts()["transaction"]["seconds_left"] > 30
    assert node.ask("extend", run=RUN, seconds=5).code == "not-later"
    assert node.facts()["transaction"]["seconds_left"] > 30
    assert node.ask("accept", run=RUN, how="auto").outcome == "ok"
    assert node.ask("extend", run=RUN, seconds=600).code == "not-extendable"


@pytest.mark.drill
def test_b16_a_second_install_is_refused_and_the_first_is_undisturbed(node: Node) -> None:
    node.document["limits"]["healthy_deadline"] = 30.0
    node.begin(Beacon("2.0"))
    second = node.install(Beacon("3.0"), "1120-bbb")
    assert (second.outcome, second.code) == ("refused", "upgrade-open")
    assert "1120-aaa" in second.end["problem"]["summary"]
    assert "ann@jump" in second.end["problem"]["evidence"]
    assert node.stage(Beacon("3.0"), "1120-bbb").code == "upgrade-open"
    node.wait_for(settled)
    assert node.ask("accept", run="1120-bbb", how="auto").code == "other-run"
    assert node.ask("accept", run=RUN, how="auto").outcome == "ok"


@pytest.mark.drill
def test_p12_of_many_installs_at_once_exactly_one_begins(node: Node) -> None:
    release = Beacon("2.0")
    for answer in (node.stage(release), node.check(release)):
        assert answer.outcome == "ok"
    order = {
        "version": "2.0",
        "digest": release.digest,
        "policy": {
            "if_operator_vanishes": "rollback",
            "on_failure": "rollback",
            "second_layer": "none",
        },
        "reason": "",
    }
    running = [node.start("install", run=f"1120-{number}", **order) for number in range(4)]
    outs = [process.communicate(timeout=60)[0] for process in running]
    begun = [out for out in outs if b'"t":"begun"' in out]
    refused = [out for out in outs if b'"outcome":"refused"' in out]
    assert (len(begun), len(refused)) == (1, 3), outs
    for out in refused:
        assert b'"locked"' in out or b'"upgrade-open"' in out
    run = str(node.wait_for(settled)["transaction"]["run"])
    assert node.ask("accept", run=run, how="auto").outcome == "ok"


@pytest.mark.drill
def test_an_install_that_was_begun_already_says_so_and_begins_nothing(node: Node) -> None:
    release = Beacon("2.0")
    node.begin(release)
    again = node.install(release)
    assert again.outcome == "ok"
    assert again.all("begun")[0]["already"] is True
    assert kinds(node).count("BEGIN") == 1


def test_what_was_not_checked_is_not_installed(node: Node) -> None:
    wait_until((node.directory / "1.0" / "beacon.log").read_text)  # what it writes at its start
    before = picture(node.directory)
    release = Beacon("2.0")
    assert node.install(release).code == "not-checked"
    assert picture(node.directory) == before
    node.stage(release)
    assert node.install(release).code == "not-checked"
    assert node.facts()["transaction"] is None


def test_r20_a_node_marked_disabled_takes_nothing(node: Node) -> None:
    (node.home / "disabled").write_text("disk is being replaced\n")
    before = picture(node.top)
    assert node.stage(Beacon("2.0")).code == "disabled"
    assert picture(node.top) == before
    facts = node.facts()
    assert (facts["state"], facts["note"]) == ("disabled", "disk is being replaced")
    assert node.install(Beacon("2.0")).code == "disabled"


# --- interrupted --------------------------------------------------------------------------------


@pytest.mark.drill
@pytest.mark.parametrize("everything", [False, True], ids=["driver", "everything"])
def test_p2_a_killed_install_is_only_looked_at_by_status_and_restored_by_the_next_command(
    node: Node, everything: bool
) -> None:
    before = node.product()
    node.begin(Beacon("2.0"))
    wait_until(lambda: "TRIAL" in kinds(node))
    node.kill_all() if everything else node.kill_drivers()
    frozen = picture(node.top)
    facts = node.facts()
    assert facts["state"] == "inconsistent"
    assert facts["problem"]["code"] == "driver-gone"
    assert facts["transaction"]["driver"] is False
    node.ask("journal")
    assert picture(node.top) == frozen
    answer = node.ask("recover")
    assert [each["t"] for each in answer.messages] == ["hello", "recovering", "recovered", "end"]
    is_whole_again(node, before)
    assert node.ask("recover").messages[1]["t"] == "end"


@pytest.mark.drill
def test_a_later_install_first_restores_what_a_killed_one_left(node: Node) -> None:
    node.begin(Beacon("2.0"))
    node.wait_for(lambda facts: facts["state"] == "monitoring")
    node.kill_all()
    release = Beacon("2.0")
    assert node.stage(release, "1120-bbb").outcome == "ok"
    assert node.facts()["running"] == "1.0"
    node.finalized(release, "1120-bbb")
    assert node.facts()["running"] == "2.0"


@pytest.mark.drill
@pytest.mark.parametrize("everything", [False, True], ids=["driver", "everything"])
def test_after_accept_a_killed_driver_changes_nothing_and_the_way_back_stays(
    node: Node, everything: bool
) -> None:
    before = node.product()
    node.accepted(Beacon("2.0"))
    node.kill_all() if everything else node.kill_drivers()
    frozen = node.product()
    assert node.ask("recover").outcome == "ok"
    assert node.product() == frozen
    facts = node.facts()
    assert (facts["state"], facts["selected"]) == ("accepted", "2.0")
    assert node.ask("rollback", run=RUN, why="drill").outcome == "ok"
    node.wait_for(lambda facts: facts["transaction"] is None)
    is_whole_again(node, before)


@pytest.mark.drill
def test_the_policy_keep_if_healthy_watches_on_after_its_watcher_was_killed(node: Node) -> None:
    node.upgrade(Beacon("2.0"), if_operator_vanishes="keep_if_healthy")
    ends = node.facts()["transaction"]["seconds_left"]
    node.kill_drivers()
    assert node.facts()["transaction"]["seconds_left"] is None  # nobody counts any more
    assert node.ask("recover").outcome == "ok"
    facts = node.facts()
    assert (facts["state"], facts["transaction"]["driver"]) == ("monitoring", True)
    assert facts["transaction"]["seconds_left"] <= ends
    assert node.ask("accept", run=RUN, how="auto").outcome == "ok"


@pytest.mark.drill
def test_b1_the_channel_closed_right_after_begin_changes_nothing(node: Node) -> None:
    release = Beacon("2.0")
    for answer in (node.stage(release), node.check(release)):
        assert answer.outcome == "ok"
    process = node.start(
        "install",
        run=RUN,
        version="2.0",
        digest=release.digest,
        policy={
            "if_operator_vanishes": "rollback",
            "on_failure": "rollback",
            "second_layer": "none",
        },
        reason="",
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    wait_until(lambda: (node.home / "active").exists())
    for stream in (process.stdin, process.stdout, process.stderr):
        stream.close()
    try:
        os.killpg(process.pid, signal.SIGHUP)
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait(timeout=20)
    node.wait_for(settled)
    assert node.ask("accept", run=RUN, how="auto").outcome == "ok"


@pytest.mark.drill
def test_row_15_the_service_does_not_inherit_the_lock(node: Node) -> None:
    node.upgrade(Beacon("2.0"))
    pid = int(node.facts()["pid"])
    open_files = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    assert not [name for name in open_files if name.endswith(("/lock", "/journal", "updater.log"))]
    node.kill_drivers()
    assert node.facts()["state"] == "inconsistent"


@pytest.mark.drill
def test_row_28_and_29_what_others_wrote_during_the_trial_is_kept_aside(node: Node) -> None:
    before = node.product()
    node.upgrade(Beacon("2.0"))
    (node.directory / "2.0" / "notes.txt").write_text("mine\n")
    (node.directory / "2.0" / "VERSION").write_text("2.0\n# edited\n")
    pointer = node.directory / ".version"
    pointer.write_text("2.0\n\n")
    assert node.ask("rollback", run=RUN, why="drill").outcome == "ok"
    node.wait_for(lambda facts: facts["transaction"] is None)
    is_whole_again(node, before)
    kept = {path.name: path for path in (node.home / "conflicts" / RUN).rglob("*")}
    assert kept["notes.txt"].read_text() == "mine\n"
    assert kept["VERSION"].read_text() == "2.0\n# edited\n"
    assert kept[".version"].read_text() == "2.0\n\n"


@pytest.mark.drill
def test_row_30_and_31_what_cannot_be_proven_is_named_and_never_called_restored(
    node: Node,
) -> None:
    node.upgrade(Beacon("2.0"))
    for path in (node.directory / ".liftlock" / "store").iterdir():
        path.unlink()
    assert node.ask("rollback", run=RUN, why="drill").outcome == "ok"
    facts = node.wait_for(lambda facts: facts["state"] == "inconsistent")
    assert facts["problem"]["code"] == "undo-unproven"
    assert str(node.directory / ".version") in facts["problem"]["evidence"]
    assert "RESTORED" not in kinds(node)


@pytest.mark.drill
@pytest.mark.parametrize("decided", [False, True], ids=["in trial", "accepted"])
def test_without_its_before_images_nothing_is_called_restored(node: Node, decided: bool) -> None:
    node.upgrade(Beacon("2.0"))
    if decided:
        assert node.ask("accept", run=RUN, how="manual", reason="").outcome == "ok"
    node.wait_for(lambda facts: facts["transaction"]["driver"] is not decided)
    node.kill_drivers()
    intents = node.home / "active" / "intents.json"
    content = intents.read_bytes()
    intents.unlink()
    answer = node.ask("rollback", run=RUN, why="drill")
    if decided:
        assert (answer.code, node.facts()["running"]) == ("old-version-changed", "2.0")
        assert "intents.json" in answer.end["problem"]["evidence"]
    else:
        facts = node.wait_for(lambda facts: facts["state"] == "inconsistent")
        assert "intents.json" in facts["problem"]["evidence"]
    assert "RESTORED" not in kinds(node)
    intents.write_bytes(content)  # a person put it back
    again = ("rollback", {"run": RUN, "why": "again"}) if decided else ("recover", {})
    assert node.ask(again[0], **again[1]).outcome == "ok"
    facts = node.wait_for(lambda facts: facts["transaction"] is None)
    assert (facts["state"], facts["running"]) == ("rolled_back", "1.0")


@pytest.mark.drill
def test_row_32_a_damaged_journal_is_refused_and_nothing_is_touched(node: Node) -> None:
    node.accepted(Beacon("2.0"))
    journal = node.home / "active" / "journal"
    content = bytearray(journal.read_bytes())
    content[200] ^= 1
    journal.write_bytes(content)
    before = node.product()
    for command, args in (
        ("rollback", {"why": "drill", "run": RUN}),
        ("finalize", {"digest": "0" * 64, "run": RUN}),
        ("recover", {}),
    ):
        answer = node.ask(command, **args)
        assert (answer.outcome, answer.code) == ("refused", "journal-damaged")
    facts = node.facts()
    assert (facts["state"], facts["problem"]["code"]) == ("inconsistent", "journal-damaged")
    assert node.product() == before
    assert journal.read_bytes() == content


# --- the node is left as it was -----------------------------------------------------------------


def test_p9_looking_at_a_node_leaves_not_a_single_file(bare: Node) -> None:
    bare.directory.mkdir(parents=True)
    (bare.directory / "readme").write_text("not ours\n")
    before = picture(bare.top)
    facts = bare.facts()
    assert (facts["selected"], facts["state"], facts["transaction"]) == (None, "idle", None)
    bare.ask("journal")
    bare.ask("recover")
    bare.ask("check", scope="preflight", bytes=1, files=1, now=__import__("time").time())
    assert picture(bare.top) == before


def test_p9_looking_works_where_nothing_can_be_written(node: Node) -> None:
    node.accepted(Beacon("2.0"))
    for path in (node.state, node.home, node.home / "active"):
        path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        facts = node.facts()
    finally:
        for path in (node.state, node.home, node.home / "active"):
            path.chmod(0o700)
    assert (facts["state"], facts["running"]) == ("accepted", "2.0")


def test_clean_gives_back_what_was_staged(node: Node) -> None:
    before = node.product()
    node.stage(Beacon("2.0"))
    assert node.facts()["state"] == "staged"
    shown = node.ask("clean", everything=False, preview=True)
    assert node.facts()["state"] == "staged"
    assert any("staging" in path for path in shown.all("clean")[0]["paths"])
    assert node.ask("clean", everything=False).outcome == "ok"
    facts = node.facts()
    assert (facts["state"], facts["staged"]) == ("idle", [])
    assert node.product() == before
    assert not list((node.directory / ".liftlock" / "staging").iterdir())


@pytest.mark.drill
def test_clean_everything_leaves_the_node_as_it_was_found(node: Node) -> None:
    before = picture(node.directory)
    node.upgrade(Beacon("2.0"))
    assert node.ask("clean", everything=True).code == "upgrade-open"
    assert node.ask("rollback", run=RUN, why="drill").outcome == "ok"
    node.wait_for(lambda facts: facts["transaction"] is None)
    assert node.ask("clean", everything=True).outcome == "ok"
    same = {
        name: about
        for name, about in picture(node.directory).items()
        if not re.search(r"beacon\.(pid|log)$", name)
    }
    assert same == {
        name: about
        for name, about in before.items()
        if not re.search(r"beacon\.(pid|log)$|^\.liftlock", name)
    }
    assert not node.state.exists()
    assert node.facts()["running"] == "1.0"


def test_clean_everything_also_removes_directories_that_only_we_made(bare: Node) -> None:
    bare.stage(Beacon("1.0"))
    assert bare.directory.exists()
    assert bare.ask("clean", everything=True).outcome == "ok"
    assert not bare.state.exists()
    assert not bare.directory.exists()


# --- adopt --------------------------------------------------------------------------------------


def test_adopt_counts_what_was_installed_and_not_what_the_service_writes(bare: Node) -> None:
    release = Beacon("1.0", more={"lib/a": b"a"})
    bare.put_in_place(release)
    assert bare.ask("clean", everything=True).outcome == "ok"
    assert bare.facts()["finalized"] is None
    shown = bare.ask("adopt", preview=True).all("adopted")[0]
    assert shown["digest"] == release.digest
    assert sorted(shown["own"]) == ["beacon.log", "beacon.pid"]
    assert not bare.state.exists()
    answer = bare.ask("adopt", run="1119-one", version="1.0", digest=release.digest)
    assert answer.outcome == "ok"
    assert bare.facts()["finalized"]["digest"] == release.digest
    again = bare.ask("adopt", preview=True)
    assert (again.outcome, again.code) == ("refused", "already-managed")


def test_adopt_of_something_else_than_was_shown_is_refused(node: Node) -> None:
    assert node.ask("clean", everything=True).outcome == "ok"
    shown = node.ask("adopt", preview=True).all("adopted")[0]
    assert not node.state.exists()
    assert "beacon.pid" in shown["own"]
    changed = node.directory / "1.0" / "VERSION"
    changed.chmod(0o600)
    answer = node.ask("adopt", run="1120-ccc", version="1.0", digest=shown["digest"])
    assert (answer.outcome, answer.code) == ("refused", "changed-meanwhile")
    assert node.facts()["finalized"] is None


def test_there_is_nothing_to_adopt_where_nothing_is(bare: Node) -> None:
    assert bare.ask("adopt", preview=True).code == "nothing-to-adopt"
    assert not bare.state.exists()
