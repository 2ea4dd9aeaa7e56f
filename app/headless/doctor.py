"""`doctor`: whether this program, this workstation and these nodes are fit for an upgrade.

It only looks. Each row has a name, a result, the evidence and, where something is wrong, advice.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from app.headless import workstation
from app.headless.advice import Row, advised
from app.headless.lines import wrapped
from app.headless.options import Options
from app.headless.say import out
from app.headless.work import drive, open_cluster
from app.runs.looking import unknown_nodes
from app.session import Session
from backends.domain.clean import line
from backends.domain.problem import Exit, Problem, worst
from backends.domain.states import Outcome
from backends.engine.answer import Answer
from backends.engine.contact import Contact

_SAID_IN_ROWS = ("check-refused", "locked")
"""Problems of an answer that only repeat what its rows have said."""


def doctor(options: Options) -> int:
    """Look at this workstation and, where a cluster is named, at every selected node.

    Exit 3: a node is not reached; 4: something would refuse an upgrade; else 0.
    """
    session = open_cluster(options) if options.cluster is not None else None
    found = drive(session, _all(session)) if session else workstation.alone()
    rows = [row for each, _ in found for row in each]
    code = worst([code for _, code in found])
    if options.json:
        out(json.dumps(row.as_json(), sort_keys=True) for row in rows)
    else:
        out(_lines(rows))
    return Exit.USAGE if session is not None and session.unknown and code is Exit.OK else code


Found = tuple[list[Row], Exit]


async def _all(session: Session) -> list[Found]:
    rows = await workstation.rows(session)
    found = [(rows, workstation.code_of(rows))]
    layer = session.policy.second_layer.value
    contacts = session.chosen_contacts.values()
    found += await asyncio.gather(*(_node(session, contact, layer) for contact in contacts))
    for name in session.chosen:
        reason = session.subjects[name].excluded
        if reason is not None:
            found.append(([advised(name, "excluded", "warn", reason)], Exit.OK))
    for item in unknown_nodes(session):
        found.append(([advised(item.node, "known", "refused", "there is no such node")], Exit.OK))
    return found


async def _node(session: Session, contact: Contact, second_layer: str) -> Found:
    become = session.cluster.node(contact.node).become
    if (problem := await contact.prepare()) is not None:
        name = "sudo" if problem.code == "sudo" else "reach"
        return [_of_problem(contact.node, name, problem)], Exit.UNREACHABLE
    rows = [advised(contact.node, "reach", "ok", contact.subject.address)]

    def see(message: Mapping[str, Any]) -> None:
        name, result, evidence = (str(message[key]) for key in ("name", "result", "evidence"))
        rows.append(advised(contact.node, name, result, evidence))

    about = {"bytes": 0, "files": 0, "second_layer": second_layer}
    for number, scope in enumerate(("preflight", "fitness")):
        answer = await contact.rows(scope, see, **about)
        if number == 0:
            rows.insert(1, _privilege(contact.node, become, answer))
        if answer.outcome in (Outcome.UNREACHABLE, Outcome.TIMED_OUT) or not answer.has_end:
            problem = answer.problem or Problem("no-end", "the answer broke off")
            rows.append(_of_problem(contact.node, "answer", problem))
            return rows, Exit.UNREACHABLE
        if answer.problem is not None and answer.problem.code not in _SAID_IN_ROWS:
            rows.append(_of_problem(contact.node, "updater", answer.problem))
    return rows, workstation.code_of(rows)


def _privilege(node: str, become: str, answer: Answer) -> Row:
    """Who the updater is, by its own word."""
    hello = next(iter(answer.all("hello")), None)
    user = None if hello is None else hello.get("user")
    if become == "none":
        return advised(node, "sudo", "ok", f'not asked for: become = "none", uid {user}')
    if user is None:
        return advised(node, "sudo", "unknown", "the updater did not say who it is")
    if user != 0:
        return advised(node, "sudo", "refused", f'become = "{become}", and it is uid {user}')
    asked = "without a password" if become == "sudo" else "with a password"
    return advised(node, "sudo", "ok", f"root, {asked}")


def _of_problem(node: str, name: str, problem: Problem) -> Row:
    evidence = line(" ".join(filter(None, (problem.summary, problem.evidence))))
    return Row(node, name, "refused", f"{evidence} [{problem.code}]", line(problem.advice))


def _lines(rows: Sequence[Row]) -> list[str]:
    where = max(len(row.where) for row in rows)
    what = max(len(row.what) for row in rows)
    lines = []
    for row in rows:
        head = f"{row.result:<7}  {row.where:<{where}}  {row.what:<{what}}  "
        lines.append(f"{head}{row.evidence}".rstrip())
        if row.advice:
            lines += wrapped(f"           -> {row.advice}", " " * 14)
    return lines
