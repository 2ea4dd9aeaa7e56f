"""Which cluster file is meant when somebody types a name, a path or nothing."""

import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from backends.domain.problem import Exit, LiftlockError, Problem

DEFAULT_FILE = "cluster.toml"
VARIABLE = "LIFTLOCK_CLUSTER"

_LARGEST = 4 << 20
"""As the reader of settings has it: a larger file is none of ours."""


def find_cluster(
    argument: str | None, *, cwd: Path, environment: Mapping[str, str], config_dir: Path
) -> Path:
    """The cluster file for a command line's argument.

    A path (it has a slash or ends in .toml) is that file. A name is NAME.toml in `cwd`, then in
    `config_dir`. None is ./cluster.toml, then what $LIFTLOCK_CLUSTER says in either way.

    Raises LiftlockError, exit 2: `cluster-missing`; `no-cluster` when nothing was named.
    """
    if argument is not None:
        return _named(argument, "", cwd, config_dir)
    here = cwd / DEFAULT_FILE
    if here.is_file():
        return here
    wanted = environment.get(VARIABLE, "")
    if wanted:
        return _named(wanted, f" (from ${VARIABLE})", cwd, config_dir)
    raise LiftlockError(
        Problem(
            code="no-cluster",
            summary="No cluster is named.",
            evidence=f"There is no {here}, and ${VARIABLE} is not set.",
            advice="Name a cluster file, or have one written: liftlock init NAME",
        ),
        Exit.USAGE,
    )


def known_clusters(folders: Iterable[Path]) -> list[str]:
    """The names that cluster files in these folders have, the nearest folder's first."""
    found: dict[str, None] = {}
    for folder in folders:
        with suppress(OSError):
            found |= {path.stem: None for path in sorted(folder.glob("*.toml")) if glanced(path)}
    return list(found)


def glanced(path: Path) -> dict[str, Any]:
    """What a cluster file says, unchecked; empty where it is none, or cannot be read."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return {}
        found = tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not all(isinstance(found.get(key), dict) for key in ("cluster", "nodes")):
        return {}
    return found if all(isinstance(each, dict) for each in found["nodes"].values()) else {}


def _named(argument: str, origin: str, cwd: Path, config_dir: Path) -> Path:
    if "/" in argument or argument.endswith(".toml"):
        path = cwd / Path(argument).expanduser()
        if not path.exists():
            raise _missing(argument + origin, [path], [path.parent])
        return path
    tried = [folder / f"{argument}.toml" for folder in (cwd, config_dir)]
    for path in tried:
        if path.is_file():
            return path
    raise _missing(argument + origin, tried, [cwd, config_dir])


def _missing(what: str, tried: Iterable[Path], folders: Iterable[Path]) -> LiftlockError:
    # It loads pydantic, which completion does without.
    from backends.settings.toml_keys import nearest

    known = known_clusters(folders)
    near = nearest(Path(what.split(" ")[0]).stem, known)
    if near:
        advice = f"Did you mean {near}?"
    elif known:
        advice = f"Known here: {', '.join(known[:10])}."
    else:
        advice = "Have one written: liftlock init NAME"
    evidence = "\n".join(f"no file {path}" for path in tried)
    return LiftlockError(
        Problem("cluster-missing", f"There is no cluster {what}.", evidence, advice), Exit.USAGE
    )
