"""`init`: a cluster file and a profile that one can go on with. Nodes are only looked at."""

import asyncio
import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from app.headless import draft as text_of
from app.headless import shapes
from app.headless.ask import Terminal
from app.headless.draft import Draft
from app.headless.lines import wrapped
from app.headless.say import out, talk
from app.headless.work import drive
from app.session import Session, open_session
from backends.domain.clean import line
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.engine.glance import Glance, glance
from backends.products.profile import load_profile
from backends.settings.ansible import Imported, Taken, take
from backends.settings.locations import config_dir
from backends.settings.new_files import exists, write_new
from backends.transport.payload import CANDIDATES

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NODE = re.compile(
    r"(?:(?P<user>.+)@)?(?:\[(?P<v6>[^\]]+)\]|(?P<name>[^:@\[\]]+))"
    r"(?::(?P<port>\d{1,5}))?"
)
_VARIABLE = re.compile(r"\{vars\.([A-Za-z_][A-Za-z0-9_-]*)\}")
_EXAMPLE = "example"
"""What the product is called where nobody said it."""

_AT_ONCE = 16
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for."""

    name: str
    inventory: Path | None = None
    group: str | None = None
    nodes: tuple[str, ...] = ()
    product: str | None = None
    directory: str | None = None


def init(wanted: Wanted, *, as_json: bool) -> int:
    """Write NAME.toml and, unless there is a profile already, PRODUCT.toml; both or none.

    Raises:
        LiftlockError: Something of it is there already, or is not usable (exit 2); nothing was
            written.
    """
    _refuse_odd(wanted)
    taken = _nodes(wanted)
    draft, given = _drafted(wanted, taken)
    cluster, profile = Path(f"{draft.name}.toml"), Path(f"{draft.product}.toml")
    wanted_files = [cluster] if given else [profile, cluster]
    for path in wanted_files:
        if os.path.lexists(path):
            raise exists(path)
    if draft.nodes:
        draft = replace(draft, glances=_looked_at(draft, given))
    texts = {cluster: text_of.cluster_file(draft)}
    if given is None:
        texts = {profile: text_of.profile_file(draft), **texts}
    with _tried(draft, given):
        write_new(texts)
    talk(taken.notes)
    if as_json:
        out([json.dumps(_as_json(draft, taken, given, list(texts)), sort_keys=True)])
    else:
        out(map(str, texts))
    _say(draft, given, list(texts))
    return Exit.OK


def _refuse_odd(wanted: Wanted) -> None:
    for what, name in (("NAME", wanted.name), ("--product", wanted.product)):
        if name is not None and not _NAME.fullmatch(name):
            text = f"{what} {line(name)!r} cannot be a name."
            advice = "Letters, digits, dots, _ and -; the first is a letter or a digit."
            raise _usage("init-name", text, "", advice)
    if wanted.inventory is not None and wanted.nodes:
        raise _usage("init-nodes", "Nodes come from --from-ansible or from --node, not from both.")
    if wanted.group is not None and wanted.inventory is None:
        raise _usage("init-nodes", "--group is one of an inventory: it goes with --from-ansible.")
    if wanted.name == (wanted.product or _EXAMPLE):
        text = f"The cluster and its product would both be {wanted.name}.toml."
        raise _usage("init-same-name", text, "", "Give the cluster another name.")


def _nodes(wanted: Wanted) -> Taken:
    if wanted.inventory is not None:
        return take(wanted.inventory, wanted.group)
    found: list[Imported] = []
    for number, word in enumerate(wanted.nodes, 1):
        match = _NODE.fullmatch(word)
        if match is None:
            raise _usage("init-node", f"--node {line(word)} is no [USER@]ADDRESS[:PORT].")
        address = match["v6"] or match["name"]
        keys: dict[str, str | int] = {"address": address}
        keys |= {"user": match["user"]} if match["user"] else {}
        keys |= {"port": int(match["port"])} if match["port"] else {}
        label = address.split(".")[0]
        is_number = (
            ":" in address or re.fullmatch(r"[\d.]+", address) or not _NAME.fullmatch(label)
        )
        name = f"n{number}" if is_number else label
        found.append(Imported(name if _is_new(name, found) else f"n{number}", keys))
    return Taken(tuple(found), ())


def _is_new(name: str, found: list[Imported]) -> bool:
    return all(each.name != name for each in found)


def _drafted(wanted: Wanted, taken: Taken) -> tuple[Draft, Path | None]:
    """What is to be written, as far as it is known without looking; a profile that is there."""
    product = wanted.product or _EXAMPLE
    source = wanted.inventory.name if wanted.inventory is not None else ""
    if wanted.group:
        source += f", group {wanted.group}"
    draft = Draft(
        name=wanted.name,
        product=product,
        profile=None,
        directory=wanted.directory or f"/opt/{product}",
        nodes=taken.nodes,
        variables=tuple(dict.fromkeys(_VARIABLE.findall(wanted.directory or ""))),
        source=source,
    )
    if wanted.product is None:
        return draft, None
    try:
        profile = load_profile(product, beside=Path.cwd(), config_dir=config_dir())
    except LiftlockError as error:
        if error.problem.code != "profile-missing":
            raise
        return draft, None
    if profile.name != product:
        text = f"The profile {profile.source} is about {profile.name}, not {product}."
        raise _usage("profile-other-product", text, "", "Name the product that it is about.")
    if wanted.directory is not None:
        text = f"There is a profile of {product} already, and it says where the product lies."
        raise _usage("init-directory", text, str(profile.source), "Leave --directory away.")
    needed = sorted(set(_VARIABLE.findall(profile.source.read_text("utf-8-sig"))))
    return replace(draft, variables=tuple(needed)), profile.source


def _looked_at(draft: Draft, given: Path | None) -> dict[str, Glance]:
    """What the nodes show; those that cannot be reached say why."""
    with _tried(draft, given) as session:
        return drive(session, _glances(session, draft.product))


async def _glances(session: Session, product: str) -> dict[str, Glance]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str) -> Glance:
        node = session.cluster.node(name)
        link = session.ways.link(node)
        directory = str(session.subjects[name].document["directory"])
        pythons = (node.python,) if node.python else CANDIDATES
        try:
            async with gate:
                return await glance(link, directory, product, pythons)
        finally:
            await link.close()

    found = await asyncio.gather(*map(one, session.chosen))
    return {each.node: each for each in found}


@contextmanager
def _tried(draft: Draft, given: Path | None) -> Iterator[Session]:
    """A session on what would be written, in a directory of its own.

    Raises:
        LiftlockError: Our own reader does not take it (exit 2).
    """
    if given is not None:
        draft = replace(draft, profile=str(given))
    with tempfile.TemporaryDirectory(prefix="liftlock-init-") as place:
        folder = Path(place)
        path = folder / f"{draft.name}.toml"
        path.write_text(text_of.cluster_file(draft), "utf-8")
        if given is None:
            (folder / f"{draft.product}.toml").write_text(text_of.profile_file(draft), "utf-8")
        try:
            session = open_session(str(path), prompt=Terminal())
        except LiftlockError as error:
            if error.problem.code != "file-invalid":
                raise
            problem = error.problem
            advice = "Nothing was written. Correct what was given for it on the command line."
            raise LiftlockError(replace(problem, advice=advice), error.exit_code) from error
        yield session


def _as_json(
    draft: Draft, taken: Taken, given: Path | None, written: list[Path]
) -> dict[str, object]:
    return {
        "schema": "liftlock.init/1",
        "cluster": draft.name,
        "product": draft.product,
        "written": [str(path) for path in written],
        "profile_there": None if given is None else str(given),
        "to_change": list(draft.variables),
        "not_taken": list(taken.notes),
        "nodes": [
            {
                "name": node.name,
                "found": text_of.told(draft.glances[node.name]),
                "problem": shapes.problem(draft.glances[node.name].problem),
            }
            for node in draft.nodes
        ],
    }


def _say(draft: Draft, given: Path | None, written: list[Path]) -> None:
    for each in draft.glances.values():
        talk(wrapped(f"{each.node}: {'; '.join(text_of.told(each))}", "    "))
    missed = [each.node for each in draft.glances.values() if each.problem is not None]
    if given is not None:
        talk([f"The profile is there already: {given}"])
    if not draft.nodes:
        talk(["An example, nothing was looked at: edit it, above all the nodes."])
    elif missed:
        named = ", ".join(missed[:_NAMED])
        more = f" and {len(missed) - _NAMED} more" if len(missed) > _NAMED else ""
        talk(wrapped(f"Not looked at to the end: {named}{more}. The cluster file says why.", "  "))
    if draft.variables:
        needed = ", ".join(draft.variables)
        talk([f"The profile needs vars that nobody could know, {needed}: they say CHANGE."])
    talk(
        [
            f"Next: read {' and '.join(map(str, written))}, then",
            f"  liftlock trust {draft.name}          # where host keys are not known yet",
            f"  liftlock status {draft.name}",
        ]
    )


def _usage(code: str, summary: str, evidence: str = "", advice: str = "") -> LiftlockError:
    return LiftlockError(Problem(code, summary, evidence, advice), Exit.USAGE)
