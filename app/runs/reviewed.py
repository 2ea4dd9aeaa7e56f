"""A plan as a file: written to be reviewed, and carried out only while its facts still hold.

The file is `liftlock.plan/1`, the same object that `plan --json` prints. Source: notes on peers,
section 2, number 21.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.runs.keeping import plain
from app.session import Session
from backends.domain.clean import line
from backends.domain.plan import ID_LENGTH, Plan, Treatment
from backends.domain.policy import Pause, Policy, Skip
from backends.domain.problem import Exit, LiftlockError, Problem

SCHEMA = "liftlock.plan/1"

_UNDERWAY = {Treatment.RESUME.value, Treatment.ACCEPTED.value}
"""What becomes of a node by carrying out the plan itself."""

_MOST_BYTES = 64 << 20
_SHOWN = 40
"""So many differences are listed; the others are counted."""


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A plan that was read from a file, as far as it is needed before the nodes are read."""

    path: Path
    run: str
    id: str
    content: Mapping[str, Any]

    def paced(self, session: Session) -> Session:
        """The session with what a person may say for one upgrade, as it was reviewed."""
        written = self.content["policy"]
        policy = replace(
            session.policy,
            batch=written["batch"],
            pause=Pause(written["pause"]),
            downgrade=written["downgrade"],
            reinstall=written["reinstall"],
            skips=tuple(Skip(each["name"], each["reason"]) for each in written["skips"]),
        )
        return replace(session, policy=policy)

    def refuse_changes(self, now: Plan, called: str) -> None:
        """Hold a plan that was made from what is so now against what was reviewed.

        `called` is what an operator types to mean this cluster.

        Raises:
            LiftlockError: `plan-changed`, with a list of what differs (exit 4).
        """
        found = list(differences(self.content, plain(now)))
        if not found:
            return
        more = [f"... and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
        raise LiftlockError(
            Problem(
                "plan-changed",
                f"What plan {self.id} was made from has changed since.",
                "\n".join([*found[:_SHOWN], *more]),
                "Nothing was changed. Make the plan anew and have it reviewed: liftlock plan "
                f"{called} RELEASE --out {line(str(self.path))}",
            ),
            Exit.REFUSED,
        )


def as_json(made: Plan) -> str:
    """What is written into the file: the same plan gives the same text."""
    return json.dumps({"schema": SCHEMA, **plain(made)}, sort_keys=True)


def read(path: Path) -> Reviewed:
    """The plan in a file.

    Raises:
        LiftlockError: It cannot be read, or is no plan of this program (exit 2).
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        content = json.loads(data)
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        found = Reviewed(path, _text(content, "run"), _text(content, "id"), content)
        _refuse_other_shapes(content)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise LiftlockError(
            Problem(
                "plan-unreadable",
                f"{line(str(path))} is not a plan that can be carried out.",
                line(str(why)),
                "Write one: liftlock plan CLUSTER RELEASE --out FILE.",
            ),
            Exit.USAGE,
        ) from error
    return found


def differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What differs, one line each. What this very plan has brought about is no difference."""
    before = {item["node"]: item for item in was["nodes"]}
    after = {item["node"]: item for item in now["nodes"]}
    yield from (f"{line(node)}: is no longer among the nodes" for node in before.keys() - after)
    yield from (f"{line(node)}: was not among the nodes" for node in after.keys() - before)
    both = [node for node in before if node in after]
    is_its_own = now["run"] == was["run"]
    begun = {node for node in both if is_its_own and after[node]["treatment"] in _UNDERWAY}
    for node in both:
        if node not in begun:
            yield from _between(line(node), before[node], after[node])
    if both != [node for node in after if node in before]:
        yield "the order of the nodes has changed"
    beside = {"schema", "run", "id", "nodes"} | ({"batches"} if begun else set())
    for key in sorted((was.keys() | now.keys()) - beside):
        yield from _between(line(key), was.get(key), now.get(key))


def _between(name: str, was: object, now: object) -> Iterator[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted(was.keys() | now.keys()):
            yield from _between(f"{name} {line(str(key))}", was.get(key), now.get(key))
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for number, (one, other) in enumerate(zip(was, now, strict=True), 1):
            known = one.get("phase") if isinstance(one, dict) else None
            yield from _between(f"{name} {line(str(known or number))}", one, other)
    elif was != now:
        yield f"{name}: was {_short(was)}, is {_short(now)}"


def _short(value: object) -> str:
    if value is None or isinstance(value, int | float):
        return "none" if value is None else f"{value:g}"
    text = line(value if isinstance(value, str) else json.dumps(value))
    return text if len(text) <= 100 else f"{text[:97]}..."


def _refuse_other_shapes(content: Mapping[str, Any]) -> None:
    """Raise what a look at a policy or a node of another shape raises."""
    if len(content["id"]) != ID_LENGTH:
        raise ValueError("its id is none")
    policy = content["policy"]
    Policy(
        batch=int(policy["batch"]),
        pause=Pause(policy["pause"]),
        downgrade=_text(policy, "downgrade"),
        reinstall=_text(policy, "reinstall"),
        skips=tuple(Skip(_text(each, "name"), _text(each, "reason")) for each in policy["skips"]),
    )
    for item in content["nodes"]:
        _text(item, "node")
        _text(item, "treatment")


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is not a text")
    return value
