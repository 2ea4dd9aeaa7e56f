"""An operator's program is killed at an event, and somebody else goes on who knows nothing of it.

At every event of an upgrade, and of a rollback: SIGKILL as soon as the event is printed, and then,
in the accept window and with a state directory that is empty, `resume` (or the upgrade from its
beginning, where nothing was open yet). It must end as it was planned, with everything done once.
"""

import random
from pathlib import Path

from tests.faults import once
from tests.faults.ground import GROUNDS, NEW, OLD, Ground, Said
from tests.faults.sweeps import Tally
from tests.support.node import wait_until

_QUIET_SECONDS = 20.0
"""In which the updaters must have ended whose operator is gone, and those who had work."""

_LAST_EVENTS = 20
"""So shortly before its end a program may have ended before it is killed."""

_FINE = {
    once.NEW: {"accepted", "already"},
    once.FINAL: {"finalized", "already"},
    once.OLD: {"rolled_back", "already"},
}
_STATES = {once.NEW: "accepted", once.FINAL: "idle", once.OLD: "rolled_back"}
_VERDICTS = {once.NEW: ("ready_to_finalize", 10), once.FINAL: ("settled", 0)}
_VERDICTS[once.OLD] = ("settled", 0)


def upgrades(kind: str, top: Path, sample: int = 1, share: int = 0, shares: int = 1) -> Tally:
    """Kill an upgrade at every `sample`-th of its events, and go on; one share of those.

    A third of those who go on are killed once more, and a quarter of all is finalized.
    """
    top.mkdir(parents=True)
    tally = Tally()
    with GROUNDS[kind](top) as ground:
        length = whole_upgrade(ground)
        for at in range(1 + share * sample, length + 1, shares * sample):
            tally.cases += 1
            lucky = random.Random(at)
            again_at = lucky.randint(1, length // 3) if lucky.random() < 1 / 3 else None
            finalize = lucky.random() < 1 / 4
            found = upgrade_killed(ground, at, again_at, finalize=finalize)
            tally.bad += _named(f"{kind}, upgrade", at, found)
    return tally


def rollbacks(kind: str, top: Path, sample: int = 1) -> Tally:
    """Kill a rollback at every `sample`-th of its events, and have another one go on."""
    top.mkdir(parents=True)
    tally = Tally()
    with GROUNDS[kind](top) as ground:
        whole_upgrade(ground)
        ground.keep("accepted", NEW)
        length = _whole(ground.roll_back())
        for at in range(1, length + 1, sample):
            tally.cases += 1
            tally.bad += _named(f"{kind}, rollback", at, rollback_killed(ground, at))
    return tally


def whole_upgrade(ground: Ground) -> int:
    """An upgrade that nobody disturbs; how many events it has. It must pass the same judge."""
    ground.put_back("settled", OLD)
    length = _whole(ground.upgrade())
    problems = judged(ground, once.NEW)
    assert not problems, problems
    return length


def _whole(said: Said) -> int:
    assert said.exit == 0, said.text()
    return len(said.events)


def _named(what: str, at: int, problems: list[str]) -> list[str]:
    return [f"{what} killed at event {at}: {'; '.join(problems)}"] if problems else []


def upgrade_killed(
    ground: Ground, at: int, again_at: int | None = None, *, finalize: bool = False
) -> list[str]:
    """One case; what must not be.

    With `again_at` whoever goes on is killed, too, at that event, and a third one goes on; with
    `finalize` one more makes it final.
    """
    ground.put_back("settled", OLD)
    problems = _if_not_killed(ground.upgrade(kill_at=at), at)
    if again_at is not None:
        _went_on(ground, problems, again_at)
    problems += _ended_as(_went_on(ground, problems), once.NEW)
    planned = once.NEW
    if finalize and not problems:
        planned = once.FINAL
        problems += _ended_as(ground.operator("finalize", "--json", "--yes"), planned)
    return problems + judged(ground, planned)


def rollback_killed(ground: Ground, at: int) -> list[str]:
    """One case; what must not be."""
    ground.put_back("accepted", NEW)
    problems = _if_not_killed(ground.roll_back(kill_at=at), at)
    before = ground.opened()
    said = ground.roll_back()
    if said.code == "nothing-to-roll-back":
        problems += _if_open(ground, before, said)
    else:
        problems += _ended_as(said, once.OLD)
    return problems + judged(ground, once.OLD)


def _if_not_killed(said: Said, at: int) -> list[str]:
    if said.killed or len(said.events) <= at + _LAST_EVENTS:
        return []
    return [f"not killed at event {at}: {said.text()}"]


def _went_on(ground: Ground, problems: list[str], kill_at: int | None = None) -> Said:
    """`resume`; where nothing is open, which only the nodes know, `upgrade` from its beginning."""
    before = ground.opened()
    said = ground.resume(kill_at)
    if said.code == "nothing-to-resume":
        problems += _if_open(ground, before, said)
        return ground.upgrade(kill_at)
    # What the killed one had asked for may have begun only now.
    known = {*before.values(), *ground.opened().values()}
    runs = {line["run"] for line in said.events}
    if not runs <= known:
        problems.append(f"{said.text()}: it took up {runs}, open are {known}")
    return said


def _if_open(ground: Ground, before: dict[str, str], said: Said) -> list[str]:
    """What was open before it said that nothing is, and still is, was so when it looked.

    A way back that has begun ends by itself.
    """
    open_still = sorted(set(before) & set(ground.opened()))
    return [f"{', '.join(open_still)} open, and {said.text()}"] if open_still else []


def _ended_as(said: Said, planned: str) -> list[str]:
    outcome = said.outcome
    if said.exit or outcome is None or outcome["exit"]:
        return [said.text()]
    results = {each["name"]: each["result"] for each in outcome["nodes"]}
    return [] if set(results.values()) <= _FINE[planned] else [f"{said.words[0]}: {results}"]


# --- the judge ----------------------------------------------------------------------------------


def judged(ground: Ground, planned: str) -> list[str]:
    """What must not be on the nodes: as they say, as their journals say, and as it is there."""
    version = OLD if planned == once.OLD else NEW
    problems = _still(ground)
    for name in ground.nodes:
        found = [*once.wrong(ground.product_home(name), planned), *_there(ground, name, version)]
        problems += [f"{name}: {text}" for text in found]
    return problems + _as_said(ground, planned, version)


def _still(ground: Ground) -> list[str]:
    """Nobody is at work any more, and there are as many services as nodes."""
    try:
        wait_until(lambda: not ground.others(), _QUIET_SECONDS)
    except AssertionError:
        return [f"processes are left: {ground.others()}"]
    problems = [f"a lock is held by {pid}" for pid in ground.lock_holders()]
    services = ground.services()
    if len(services) != len(ground.nodes):
        problems.append(f"{len(services)} services on {len(ground.nodes)} nodes")
    # Nothing is written where an operator has their own things.
    problems += [f"left at home: {path}" for path in (ground.top / "home").rglob("*")]
    return problems


def _there(ground: Ground, name: str, version: str) -> list[str]:
    """The pointer, and how often the service was started, by its own word.

    The old version was started by whoever put it there, and once more after a way back.
    """
    pointer = (ground.tree(name, version).parent / ".version").read_text().strip()
    starts = ground.starts(name, version)
    problems = [] if pointer == version else [f"{pointer} is selected"]
    return problems + ([] if starts == 1 else [f"{version} was started {starts} times"])


def _as_said(ground: Ground, planned: str, version: str) -> list[str]:
    said = ground.operator("status", "--json")
    ((about),) = said.lines
    kind, code = _VERDICTS[planned]
    problems = []
    if (about["verdict"]["kind"], said.exit) != (kind, code):
        problems.append(f"{about['verdict']}, exit {said.exit}")
    for node in about["nodes"]:
        told = (node["state"], node["running"], node["service"], node["health"], node["problem"])
        if told != (_STATES[planned], version, "started", "healthy", None):
            problems.append(f"{node['name']} says {told}")
    return problems
