"""`restart`: by a person's word, detached, written down, and never a service left stopped."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from backends.node import (
    clock,
    drivers,
    driving,
    locks,
    restart,
    restart_begun,
    restarting,
    second_layer,
    takeover,
    tick,
)
from backends.node.call import Call
from backends.node.journal import AppendFailed, Journal
from backends.node.places import Places, read_json, write_json
from backends.node.refusal import Refused
from backends.node.service import Service
from backends.node.services import service_of
from tests.node.test_drivers import call, drive
from tests.support.beacon import Beacon
from tests.support.interpreters import Interpreter
from tests.support.node import Answer, Node, a_node, settled, wait_until

ABOUT: dict[str, Any] = {"run": "1127-rrr", "reason": "it leaks", "second_layer": "none"}


def restarted(node: Node, run: str = "1127-rrr") -> Answer:
    return node.ask("restart", **{**ABOUT, "run": run})


def own(node: Node, *kinds: str) -> list[dict[str, Any]]:
    """Records of the product's own journal."""
    found = [message["record"] for message in node.ask("journal", run="-").all("record")]
    return [record for record in found if record["t"] in kinds]


def results(node: Node) -> list[tuple[bool, str]]:
    return [(record["ok"], record["text"]) for record in own(node, "RESTARTED")]


def service(node: Node, version: str = "1.0") -> Service:
    return service_of(node.document, node.places, version)


def args(node: Node, **more: Any) -> dict[str, Any]:
    return {**ABOUT, "operator": "ann@jump", **more}


def begun(node: Node, **more: Any) -> restart_begun.Begun:
    """Write down that a restart is begun, as a driver does before it stops anything."""
    return restart.begin(node.places, node.document, args(node, **more), "0" * 64)


def break_off(node: Node, *, stopped: bool) -> None:
    """A driver that was killed behind its first word, or behind the stop."""
    begun(node)
    if stopped:
        node.control("1.0", "stop")
        wait_until(lambda: not service(node).living())


def slow_to_stop(node: Node, seconds: str) -> None:
    """Its control script takes so long until it stops anything."""
    path = node.tree("1.0") / "control"
    text = path.read_text()
    path.write_text(text.replace("stop)", f"stop) sleep {seconds};", 1))
    assert path.read_text() != text


# --- done ---------------------------------------------------------------------------------------


def test_it_is_stopped_and_started_and_serves_again(
    tmp_path: Path, node_python: Interpreter
) -> None:
    with a_node(tmp_path / "node", str(node_python.path)) as node:
        node.put_in_place(Beacon("1.0"))
        before = node.facts()
        answer = restarted(node)
        assert answer.outcome == "ok", answer.messages
        after = node.facts()
        assert after["start_id"] not in (None, before["start_id"])
        assert (after["running"], after["health"], after["state"]) == ("1.0", "healthy", "idle")
        (first,), (last,) = own(node, "RESTARTING"), own(node, "RESTARTED")
        assert (first["operator"], first["reason"]) == ("ann@jump", "it leaks")
        assert (last["ok"], last["start_id"]) == (True, after["start_id"])
        assert not Path(node.places.restarting).exists()


@pytest.mark.drill
def test_asked_twice_by_the_same_run_it_is_done_once(node: Node) -> None:
    first = restarted(node).all("restarted")[0]
    assert restarted(node).all("restarted") == [first]
    assert len(own(node, "RESTARTING")) == 1
    another = restarted(node, "1127-sss").all("restarted")[0]
    assert another["start_id"] != first["start_id"]


def test_what_is_stopped_is_started(node: Node) -> None:
    node.control("1.0", "stop")
    wait_until(lambda: node.facts()["service"] == "stopped")
    assert restarted(node).outcome == "ok"
    assert node.facts()["health"] == "healthy"


@pytest.mark.drill
def test_what_is_accepted_is_restarted_and_stays_accepted(node: Node) -> None:
    node.accepted(Beacon("2.0"))
    node.wait_for(lambda facts: not facts["transaction"]["driver"])
    assert restarted(node).outcome == "ok"
    facts = node.facts()
    assert (facts["state"], facts["running"], facts["health"]) == ("accepted", "2.0", "healthy")
    assert "RESTARTING" not in [record["t"] for record in node.records("1120-aaa")]


@pytest.mark.drill
def test_a_decision_that_came_meanwhile_is_carried_out(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = Beacon("2.0")
    node.accepted(release)
    node.wait_for(lambda facts: not facts["transaction"]["driver"])
    carry_out = restart.carry_out

    def decides(places: Places, about: restart_begun.Begun) -> None:
        answer = node.ask("finalize", run="1120-aaa", digest=release.digest)
        assert answer.outcome == "ok", answer.messages
        carry_out(places, about)

    monkeypatch.setattr(restart, "carry_out", decides)
    order = call(node, "restart", **ABOUT)
    drivers.drive(order, {"drive": "restart"}, lambda said: None)
    assert node.facts()["finalized"]["version"] == "2.0"
    assert results(node) == [(True, "serves again")]


# --- refused ------------------------------------------------------------------------------------


@pytest.mark.drill
def test_in_a_trial_nothing_is_restarted(node: Node) -> None:
    node.document["limits"].update(accept_window=30.0, healthy_deadline=20.0)
    node.begin(Beacon("2.0"))
    before = node.wait_for(settled)["start_id"]
    assert restarted(node).code == "upgrade-open"
    assert node.facts()["start_id"] == before
    assert own(node, "RESTARTING") == []


def test_where_nothing_is_there_is_nothing_to_restart(bare: Node) -> None:
    assert restarted(bare).code == "nothing-to-restart"
    assert not bare.state.exists(), "to refuse leaves no trace"


def test_a_pointer_without_its_version_is_refused(node: Node) -> None:
    (node.directory / ".version").write_text("7.0\n")
    assert restarted(node).code == "nothing-to-restart"
    (node.directory / ".version").write_bytes(b"\xff/\n")
    assert restarted(node).code == "pointer-unreadable"


def test_a_disabled_node_is_left_alone(node: Node) -> None:
    Path(node.places.disabled).write_text("closed\n")
    assert restarted(node).code == "disabled"


def test_what_would_be_a_switch_is_no_restart(node: Node) -> None:
    (node.directory / "2.0").mkdir()
    (node.directory / ".version").write_text("2.0\n")
    answer = restarted(node)
    assert answer.code == "other-version-runs"
    assert node.facts()["running"] == "1.0"


def test_beside_another_driver_nothing_is_restarted(node: Node) -> None:
    lock = locks.DriverLock(node.places)
    lock.take(run="1127-zzz", operator="eve@there", command="adopt")
    try:
        assert restarted(node).code == "locked"
    finally:
        lock.release()
    assert own(node, "RESTARTING") == []


def test_what_became_wrong_before_the_lock_was_had_is_refused_under_it(node: Node) -> None:
    (node.directory / ".version").unlink()
    (said,) = drive_restart(node)
    assert (said["t"], said["problem"]["code"]) == ("refused", "nothing-to-restart")


def drive_restart(node: Node) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    drivers.drive(call(node, "restart", **ABOUT), {"drive": "restart"}, said.append)
    return said


def test_a_full_disk_begins_nothing(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    before = node.facts()["start_id"]

    def full(*said: Any, **fields: Any) -> None:
        raise AppendFailed("no room")

    monkeypatch.setattr(Journal, "append", full)
    with pytest.raises(AppendFailed):
        drive_restart(node)
    monkeypatch.undo()
    assert node.facts()["start_id"] == before
    assert node.facts()["problem"] is None


# --- not well -----------------------------------------------------------------------------------


def test_one_that_does_not_serve_again_is_no_success(node: Node) -> None:
    node.document["limits"]["healthy_deadline"] = 0.5
    (node.tree("1.0") / "sick").write_text("yes\n")
    answer = restarted(node)
    assert (answer.outcome, answer.code) == ("failed", "not-serving")
    problem = answer.end["problem"]
    assert "HTTP 503" in problem["summary"]
    assert problem["evidence"], "the end of its log"
    assert restarted(node).code == "not-serving", "asked again it is told again"
    assert node.facts()["problem"] is None, "nothing is under way"


def test_one_that_does_not_start_is_told_with_what_it_said(node: Node) -> None:
    control = node.tree("1.0") / "control"
    text = control.read_text().replace("start)", 'start) echo "no such port"; exit 7;', 1)
    control.write_text(text)
    answer = restarted(node)
    assert answer.code == "not-serving"
    assert "it did not start: start said exit 7" in answer.end["problem"]["summary"]
    assert node.facts()["service"] == "stopped"


@pytest.mark.drill
def test_one_that_is_slow_to_stop_is_asked_again_and_started(node: Node) -> None:
    node.document["service"]["stop_timeout"] = 0.5
    path = node.tree("1.0") / "control"
    once = "stop) test -e asked || { touch asked; exit 0; };"
    path.write_text(path.read_text().replace("stop)", once, 1))
    answer = restarted(node)
    assert answer.outcome == "ok", answer.messages
    assert node.facts()["health"] == "healthy"


@pytest.mark.drill
def test_one_that_does_not_stop_runs_on_and_is_not_killed(node: Node) -> None:
    node.document["service"]["stop_timeout"] = 0.3
    slow_to_stop(node, "30")
    before = node.facts()["start_id"]
    answer = restarted(node)
    assert "it did not stop: still running" in answer.end["problem"]["summary"]
    assert node.facts()["start_id"] == before


@pytest.mark.drill
def test_it_is_killed_where_the_profile_says_so(node: Node) -> None:
    node.document["service"].update(stop_timeout=0.3, on_stop_timeout="kill")
    slow_to_stop(node, "30")
    assert restarted(node).outcome == "ok"


GOOD: dict[str, Any] = {
    "service": "started",
    "service_text": "",
    "start_id": "2:2",
    "running": "1.0",
    "health": "healthy",
    "health_text": "",
}
"""What a look finds that nothing is wrong with."""


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({}, ""),
        ({"health": "none"}, ""),
        ({"health": "soft_failing"}, ""),
        ({"service": "unknown", "service_text": "what?"}, "its service is unknown: what?"),
        ({"start_id": None}, "no process of it is known"),
        ({"start_id": "1:1"}, "the process is the one from before"),
        ({"running": "2.0"}, "1.0 is selected, and what runs is '2.0'"),
        ({"running": {"unknown": "no answer"}}, "1.0 is selected, and what runs is {'unknown'"),
        ({"health": "failing", "health_text": "http-1: no"}, "http-1: no"),
        ({"health": "unknown"}, "its health is unknown"),
    ],
)
def test_nothing_passes_for_serving_that_does_not(found: dict[str, Any], why: str) -> None:
    about = {"version": "1.0", "start_id": "1:1", "boot_id": clock.boot_id()}
    said = restart._what_is_missing({**GOOD, **found}, about)
    assert said.startswith(why) if why else said == ""


def test_after_a_boot_another_process_may_have_the_same_numbers() -> None:
    about = {"version": "1.0", "start_id": "2:2", "boot_id": "of another boot"}
    assert restart._what_is_missing(GOOD, about) == ""


@pytest.mark.drill
def test_a_disk_that_forgets_what_was_started_fails_nothing(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str, value: object) -> None:
        if path == node.places.started:
            raise OSError("no room")
        write_json(path, value)  # type: ignore[arg-type]

    monkeypatch.setattr(restart, "write_json", full)
    assert drive_restart(node)[0]["t"] == "begun"
    assert results(node) == [(True, "serves again")]


# --- nobody drives it ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["operator", "driver"])
def test_whoever_dies_in_the_middle_the_service_is_not_left_stopped(node: Node, how: str) -> None:
    """The operator's channel goes: the driver goes on. The driver goes: the next act starts it."""
    node.document["service"]["stop_timeout"] = 10.0
    slow_to_stop(node, "1")
    before = node.facts()["start_id"]
    asking = node.start("restart", operator="ann@jump", **ABOUT)
    wait_until(lambda: Path(node.places.restarting).exists())
    if how == "operator":
        os.killpg(asking.pid, signal.SIGKILL)
        asking.communicate()
        wait_until(lambda: not Path(node.places.restarting).exists())
    else:
        assert "is being restarted by ann@jump: it leaks" in node.facts()["note"]
        node.kill_drivers()
        said = asking.communicate()[0]
        assert b"restart-broken-off" in said
        facts = node.facts()
        assert facts["problem"]["code"] == "restart-broken-off"
        assert "run restart again" in facts["problem"]["advice"]
        recovered = node.ask("recover")
        assert [message["t"] for message in recovered.messages][1:3] == ["recovering", "recovered"]
    facts = node.facts()
    assert facts["start_id"] not in (None, before)
    assert (facts["health"], facts["problem"]) == ("healthy", None)
    assert results(node) == [(True, "serves again")]


def test_a_tick_of_the_second_layer_starts_what_was_stopped(node: Node) -> None:
    break_off(node, stopped=True)
    assert node.facts()["service"] == "stopped"
    assert node.second_layer().returncode == 0
    assert node.facts()["health"] == "healthy"
    assert results(node) == [(True, "serves again")]


@pytest.mark.drill
def test_a_tick_starts_it_also_beside_what_is_accepted(node: Node) -> None:
    node.accepted(Beacon("2.0"))
    node.wait_for(lambda facts: not facts["transaction"]["driver"])
    begun(node)
    node.control("2.0", "stop")
    wait_until(lambda: not service(node, "2.0").living())
    assert node.second_layer().returncode == 0
    facts = node.facts()
    assert (facts["state"], facts["running"], facts["health"]) == ("accepted", "2.0", "healthy")


@pytest.mark.drill
def test_who_comes_later_stops_nothing(node: Node) -> None:
    """It runs as before: whoever takes it up is not the one who was asked to stop it."""
    node.document["service"]["stop_timeout"] = 0.2
    break_off(node, stopped=False)
    before = node.facts()["start_id"]
    assert node.second_layer().returncode == 0
    assert node.facts()["start_id"] == before
    assert results(node) == [(False, "the updater died before it was stopped; it runs on")]


@pytest.mark.drill
def test_a_stop_that_is_still_under_way_is_waited_for(node: Node) -> None:
    break_off(node, stopped=False)
    node.document["service"]["stop_timeout"] = 10.0
    about = dict(restart_begun.under_way(node.places) or {}, product=node.document)
    write_json(node.places.restarting, about)
    stopping = subprocess.Popen(
        ["sh", "-c", f"sleep 0.5; exec {node.tree('1.0') / 'control'} stop"],
        cwd=node.tree("1.0"),
        env={"PATH": os.environ["PATH"], **node.document["service"]["env"]},
        stdout=subprocess.DEVNULL,
    )
    assert node.second_layer().returncode == 0
    assert stopping.wait(timeout=20) == 0
    assert results(node) == [(True, "serves again")]


@pytest.mark.drill
def test_after_a_boot_whatever_runs_is_a_new_one(node: Node) -> None:
    break_off(node, stopped=False)
    about = dict(restart_begun.under_way(node.places) or {}, boot_id="of another boot")
    restart.bring_back(node.places, about)
    assert results(node) == [(True, "serves again")]


@pytest.mark.drill
def test_at_boot_it_waits_for_the_tick(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    break_off(node, stopped=True)
    assert node.second_layer("boot").returncode == 0
    assert node.facts()["service"] == "stopped"
    assert Path(node.places.restarting).exists()


def test_what_has_come_to_its_end_meanwhile_is_left_alone(node: Node) -> None:
    assert drive(node, "bring_back") == [{"t": "driving", "txn": None}]


def test_a_driver_at_work_is_left_alone_until_it_hangs(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = begun(node)
    assert restart_begun.hangs({**about, "boot_id": "of another boot"}) == ""
    assert restart_begun.hangs(about) == ""
    late = {**about, "until": clock.since_boot() - 5}
    assert restart_begun.hangs(late) == "the restart should have ended 5 s ago"
    driven: list[str] = []
    monkeypatch.setattr(tick.locks, "is_held", lambda places: True)
    monkeypatch.setattr(tick.drivers, "drive", lambda *said: driven.append("driven"))
    ended: list[bool] = []
    monkeypatch.setattr(takeover, "take_over", lambda *said: ended.pop())
    order = call(node)
    tick._start_again(order, about)
    assert driven == []
    ended[:] = [False]
    tick._start_again(order, late)
    assert driven == []
    ended[:] = [True]
    tick._start_again(order, late)
    assert driven == ["driven"]


@pytest.mark.drill
def test_the_second_layer_is_armed_before_the_stop_and_stays_while_it_is_under_way(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def armed(places: Places, document: object, ordered: str, updater: str) -> second_layer.Layer:
        told.append(ordered)
        return second_layer.Layer("cron", "")

    monkeypatch.setattr(second_layer, "put", armed)
    monkeypatch.setattr(second_layer, "disarm", lambda places: told.append("disarmed"))

    def dies(places: Places, about: restart_begun.Begun) -> None:
        raise OSError("it died here")

    monkeypatch.setattr(restart, "carry_out", dies)
    with pytest.raises(OSError, match="it died here"):
        drive_restart(node)
    assert told == ["none"], "it stays: there is something to take up"
    assert "its second layer (cron) starts the service" in node.facts()["problem"]["advice"]
    drive(node, "bring_back")
    assert told == ["none", "disarmed"]


@pytest.mark.drill
def test_a_second_layer_that_cannot_be_armed_stops_no_restart(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*said: object) -> second_layer.Layer:
        raise OSError("no room")

    monkeypatch.setattr(second_layer, "put", full)
    assert drive_restart(node)[0]["t"] == "begun"
    assert own(node, "RESTARTING")[0]["layer"] == "none"
    assert results(node) == [(True, "serves again")]


@pytest.mark.drill
def test_what_came_of_it_is_written_down_before_it_is_forgotten(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = Journal.append

    def full(book: Journal, kind: str, *said: Any, **fields: Any) -> Any:
        if kind == "RESTARTED":
            raise AppendFailed("no room")
        return append(book, kind, *said, **fields)

    monkeypatch.setattr(Journal, "append", full)
    with pytest.raises(AppendFailed):
        drive_restart(node)
    monkeypatch.undo()
    assert node.facts()["problem"]["code"] == "restart-broken-off"
    assert restarted(node).outcome == "ok", "it is taken up, and what came of it is the answer"
    assert results(node) == [(True, "serves again")]


# --- a record that cannot be read ---------------------------------------------------------------


@pytest.mark.drill
def test_a_damaged_record_is_told_and_keeps_no_act_away(node: Node) -> None:
    Path(node.places.restarting).write_text("{")
    assert node.facts()["problem"]["code"] == "restart-broken-off"
    assert "cannot be read" in node.facts()["problem"]["summary"]
    assert node.second_layer().returncode == 0, "nobody could go on with it"
    assert not restarting._is_ours(call(node, "restart", **ABOUT))
    assert restarted(node).outcome == "ok"
    assert node.facts()["problem"] is None
    write_json(node.places.restarting, {"run": "1127-rrr"})
    assert "KeyError" in node.facts()["problem"]["evidence"]


def test_a_restart_that_ended_between_two_looks_is_none(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = [{"operator": "ann", "reason": "it leaks"}, None]
    monkeypatch.setattr(restart_begun, "under_way", lambda places: found.pop(0))
    told: dict[str, Any] = {"note": "", "problem": None}
    restart_begun.tell(node.places, told)
    assert told == {"note": "", "problem": None}


def test_a_note_of_a_person_stays(held_by_a_restart: Node) -> None:
    told: dict[str, Any] = {"note": "closed", "problem": None}
    restart_begun.tell(held_by_a_restart.places, told)
    assert told == {"note": "closed", "problem": None}


@pytest.fixture
def held_by_a_restart(node: Node, monkeypatch: pytest.MonkeyPatch) -> Node:
    """A restart is under way, and its driver lives."""
    begun(node)
    monkeypatch.setattr(locks, "is_held", lambda places: True)
    return node


# --- waiting for it -----------------------------------------------------------------------------


def test_whoever_asks_for_what_is_under_way_waits_for_it(
    held_by_a_restart: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, said = held_by_a_restart, []
    monkeypatch.setattr(restarting, "_BEAT_SECONDS", 0.0)
    order: Call = call(node, "restart", **ABOUT)

    def heard(message: dict[str, Any]) -> None:
        said.append(message["t"])
        if said == ["beat", "beat"]:
            about = restart_begun.under_way(node.places) or {}
            restart._end(node.places, about, service(node), "")

    order.send = heard
    assert restarting.begin(order) == ("ok", None)
    assert said[:2] == ["beat", "beat"]
    assert said[-1] == "restarted"


def test_where_the_lock_is_held_nothing_is_taken_up(held_by_a_restart: Node) -> None:
    driving._bring_back(call(held_by_a_restart))
    assert restart_begun.under_way(held_by_a_restart.places) is not None


def test_what_ends_while_the_lock_is_looked_at_is_seen(node: Node) -> None:
    order = call(node, "restart", **ABOUT)
    assert restarting._awaited(order) is None
    restart._end(node.places, begun(node), service(node), "")
    assert (restarting._awaited(order) or {})["ok"] is True
    assert read_json(node.places.restarting) is None
    restart_begun.forget(node.places)


def test_without_a_journal_nothing_came_of_it(bare: Node) -> None:
    assert restarting._what_came(call(bare, "restart", **ABOUT)) is None


def test_refused_is_refused_in_words(bare: Node) -> None:
    with pytest.raises(Refused):
        restart.version_to_restart(bare.places, bare.document)
