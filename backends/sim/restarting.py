"""`restart` on a simulated node: written down as on a real one, and it outlives a link."""

from typing import Any

from backends.node import wire
from backends.sim import facts
from backends.sim import records as standing
from backends.sim.call import OK, Answer, Answering, Call, Refused
from backends.sim.driver import let_go
from backends.sim.node import SimNode
from backends.sim.opened import start, stop
from backends.sim.routine import Routine, Steps
from backends.sim.service import Service

_TRIES = 2
_LOOK_SECONDS = 0.1

Begun = dict[str, Any]


def restart(call: Call) -> Answering:
    """Restart the service; ok once it serves again. Asked twice, it is done once."""
    said, begun = _what_came(call), call.disk.restarting
    if said is None and (begun is None or not _is_about(call, begun)):
        version = _version_to_restart(call)
        call.refuse_disabled()
        call.refuse_busy()
        _begin(call, version)
        call.send({"t": "begun", "version": version})
    while said is None and call.node.driver is not None:
        yield _LOOK_SECONDS
        said = _what_came(call)
    return _answer(call, said or _what_came(call))


def bring_back(call: Call) -> None:
    """Have a driver go on where another one died: it starts what may have been stopped."""
    begun = call.disk.restarting
    if begun is None:
        raise AssertionError("nothing was begun that could be gone on with")
    _launch(call.node, _bring_back(call.node, begun), call.args.get("operator", ""), call.command)


def _is_about(call: Call, record: Any) -> bool:
    return (record["run"], record["operator"]) == (call.args["run"], call.args["operator"])


def _what_came(call: Call) -> standing.Record | None:
    records = call.disk.own.all if call.disk.own is not None else []
    found = (each for each in reversed(records) if each["t"] == "RESTARTED")
    return next((each for each in found if _is_about(call, each)), None)


def _version_to_restart(call: Call) -> str:
    opened, selected = call.disk.active, call.disk.pointer
    if opened is not None and standing.decision(opened.records) != "ACCEPT":
        plan = opened.plan
        raise Refused(
            "upgrade-open",
            f"run {plan['run']} to {plan['to']['version']} is in the middle on this node",
            f"begun by {plan['operator']}",
            "accept it or roll it back first",
        )
    if selected is None or selected not in call.disk.trees:
        where = call.places.directory
        raise Refused("nothing-to-restart", "the product is not here", where)
    process = call.node.process
    if process is not None and process.version != selected:
        raise Refused(
            "other-version-runs",
            f"{process.version} runs and {selected} is selected: a restart would be a switch",
            f"processes {process.pid}",
            "find out who changed that; an upgrade or a rollback goes from one to the other",
        )
    return selected


def _begin(call: Call, version: str) -> None:
    service = call.service(version)
    word, text = service.status()
    begun: Begun = {
        "run": call.args["run"],
        "operator": call.args["operator"],
        "reason": call.args["reason"],
        "version": version,
        "was": "started" if service.process is not None else word,
        "start_id": service.identity,
        "layer": "none" if call.args["second_layer"] == "none" else "systemd",
    }
    call.disk.has_home = True
    call.book().append("RESTARTING", text=text[:500], **begun)
    call.disk.restarting = dict(begun, product=call.document, boot_id=call.node.boot_id)
    steps = _carry_out(call.node, call.disk.restarting)
    _launch(call.node, steps, call.args["operator"], call.command, run=call.args["run"])


def _launch(node: SimNode, steps: Steps, operator: str, command: str, run: str = "") -> None:
    node.owner = {"run": run, "operator": operator, "command": command, "since": node.clock.now()}
    node.driver = Routine(node.clock, steps, lambda: let_go(node))
    node.driver.step()
    node.changed()


def _carry_out(node: SimNode, begun: Begun) -> Steps:
    service = Service(node, begun["product"], begun["version"])
    if begun["was"] == "started":
        gone, text = yield from stop(node, service)
        for _ in range(_TRIES - 1):
            if not gone:
                gone, text = yield from stop(node, service)
        if not gone:
            _end(node, begun, service, f"it did not stop: {text}")
            return
    yield from _start_and_see(node, begun, service)


def _bring_back(node: SimNode, begun: Begun) -> Steps:
    service = Service(node, begun["product"], begun["version"])
    before = begun["start_id"] if begun["boot_id"] == node.boot_id else None
    if before is not None and service.identity == before:
        yield float(service.settings["stop_timeout"])
        if service.identity == before:
            _end(node, begun, service, "the updater died before it was stopped; it runs on")
            return
    yield from _start_and_see(node, begun, service)


def _start_and_see(node: SimNode, begun: Begun, service: Service) -> Steps:
    if service.process is None:
        ok, text = yield from start(node, service)
        if not ok:
            _end(node, begun, service, f"it did not start: {text}")
            return
    limits = begun["product"]["limits"]
    give_up = node.clock.now() + limits["healthy_deadline"]
    why = _what_is_missing(node, begun)
    while why and node.clock.now() <= give_up:
        yield float(limits["health_poll"])
        why = _what_is_missing(node, begun)
    _end(node, begun, service, why)


def _what_is_missing(node: SimNode, begun: Begun) -> str:
    found = facts.slow(node, begun["product"])
    if found["service"] != "started":
        return f"its service is {found['service']}: {found['service_text']}"
    if found["start_id"] == begun["start_id"] and begun["boot_id"] == node.boot_id:
        return "the process is the one from before"
    if found["running"] != begun["version"]:
        return f"{begun['version']} is selected, and what runs is {found['running']!r}"
    return str(found["health_text"]) if found["health"] == "failing" else ""


def _end(node: SimNode, begun: Begun, service: Service, why: str) -> None:
    if node.disk.own is not None:
        node.disk.own.append(
            "RESTARTED",
            run=begun["run"],
            operator=begun["operator"],
            version=begun["version"],
            ok=not why,
            text=why[:2000] or "serves again",
            start_id=service.identity,
            log=service.log_tail()[-4000:] if why else "",
        )
    node.disk.restarting = None


def _answer(call: Call, said: standing.Record | None) -> Answer:
    if said is None:
        return "failed", wire.problem(
            "restart-broken-off",
            "the updater died while it restarted the service",
            f"see {call.places.home}/updater.log on the node",
            "run restart again: it first starts what was stopped",
        )
    told = {name: said[name] for name in ("version", "start_id", "text")}
    call.send({"t": "restarted", **told})
    if said["ok"]:
        return OK
    return "failed", wire.problem(
        "not-serving",
        f"restarted, and {said['version']} does not serve: {said['text']}",
        said["log"],
        "look at the service and its log on the node",
    )
