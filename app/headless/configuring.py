"""`config`: what counts for a cluster and who said so; all keys that its files may have."""

import json

from app.headless.configured import Origin, Value, values
from app.headless.options import Options
from app.headless.say import out
from app.headless.work import drive, open_cluster
from app.session import Session
from backends.domain.problem import Exit
from backends.products import policy
from backends.products.profile_file import ProfileFile
from backends.settings.cluster import BUILTIN
from backends.settings.cluster_file import ClusterFile
from backends.settings.toml_schema import Defaults, schema

_TABLES = {"policy": "PolicyTable", "limits": "LimitsTable", "service": "ServiceTable"}


def show(options: Options) -> int:
    """Every value in effect, each with its origin; no node is contacted."""
    session = open_cluster(options)
    found = list(values(session, drive(session, session.ways.by_ssh_config(session.chosen))))
    if options.json:
        out([json.dumps(_as_json(session, found), sort_keys=True)])
    else:
        out(_as_lines(session, found))
    return Exit.USAGE if session.unknown else Exit.OK


def print_schema(which: str | None, *, in_one_line: bool) -> int:
    """All keys of a cluster file, or of a profile, as JSON Schema; None: of both, by name."""
    found = {
        "cluster": lambda: schema(ClusterFile, "A cluster file of Liftlock", _defaults()),
        "profile": lambda: schema(ProfileFile, "A profile of Liftlock", _defaults()),
    }
    made = {name: found[name]() for name in ([which] if which else found)}
    indent = None if in_one_line else 2
    out([json.dumps(made[which] if which else made, indent=indent)])
    return Exit.OK


def _defaults() -> Defaults:
    """What counts where neither file says anything, under the models' names."""
    known = {(_TABLES[table], key): value for (table, key), value in policy.defaults().items()}
    return known | {("DefaultsTable", key): value for key, value in BUILTIN.items()}


def _as_json(session: Session, found: list[Value]) -> dict[str, object]:
    return {
        "schema": "liftlock.config/1",
        "cluster": session.cluster.name,
        "product": session.profile.name,
        "values": [
            {
                "table": each.table,
                "key": each.key,
                "value": each.value,
                "origin": _origin(each.origin),
            }
            for each in found
        ],
    }


def _origin(origin: Origin) -> dict[str, object]:
    file = str(origin.file) if origin.file is not None else None
    return {"kind": origin.kind, "file": file, "line": origin.line}


def _as_lines(session: Session, found: list[Value]) -> list[str]:
    lines = [
        f"# cluster  {session.cluster.source}",
        f"# profile  {session.profile.source}",
    ]
    texts = [f"{each.key} = {_toml(each)}" for each in found]
    width = min(48, max(map(len, texts)))
    table = ""
    for each, text in zip(found, texts, strict=True):
        if each.table != table:
            table = each.table
            lines += ["", table]
        lines.append(f"{text:<{width}}  # {each.origin.text}")
    return lines


def _toml(each: Value) -> str:
    """As a file would have it; `-` is not set."""
    return "-" if each.value is None else json.dumps(each.value, ensure_ascii=False)
