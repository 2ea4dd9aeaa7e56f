"""The switch in a plan's words: what each layout does on a node, and how it is taken back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True, slots=True)
class Switch:
    """What is said about putting one version in the place of another."""

    tree: str
    """Where the version lies once it is in place."""

    staged: str
    """Where it lies before."""

    forward: tuple[str, ...]
    back: tuple[str, ...]


def switch_of(document: Mapping[str, object], source: str | None, version: str) -> Switch:
    """The switch from `source` (None for a first install) to `version` on one node."""
    layout, directory = document["layout"], str(document["directory"])
    if layout == "versions":
        return _versions(document, directory, source, version)
    staged = f"{_beside(document, directory)}/staging/{version}"
    kept = _words(document["keep"])
    keep = (f"what lives on stays as it is: {', '.join(kept)}",) if kept else ()
    if layout == "overlay":
        forward = (
            f"replace what differs below {directory}, file by file, by renames",
            "remove what the old release shipped and the new one does not",
            *keep,
        )
        back = (
            "put each replaced and removed file back",
            "take each created file away",
        )
        return Switch(directory, staged, forward, back if source else back[1:])
    live = [f"{directory}/{part}" for part in _words(document["directories"])] or [directory]
    exchange = tuple(f"exchange {path} for the staged directory" for path in live)
    return Switch(directory, staged, (*exchange, *keep), tuple(_back(live, source)))


def _versions(
    document: Mapping[str, object], directory: str, source: str | None, version: str
) -> Switch:
    tree = f"{directory}/{version}"
    pointer = f"{directory}/{document['pointer']}"
    kept = _words(document["keep"])
    return Switch(
        tree,
        f"{directory}/.liftlock/staging/{version}",
        (
            *((f"copy what lives on into it: {', '.join(kept)}",) if kept and source else ()),
            *((f"set {tree} aside",) if source == version else ()),
            f"move the staged tree to {tree}",
            f"{pointer}: {source or 'nothing'} -> {version}",
        ),
        (
            f"{pointer}: back to {source}" if source else f"remove {pointer}",
            f"take {tree} away",
            *((f"put the {tree} of before back",) if source == version else ()),
        ),
    )


def _beside(document: Mapping[str, object], directory: str) -> str:
    if document["layout"] == "swap" and not document["directories"]:
        return f"{PurePosixPath(directory).parent}/.liftlock/{document['name']}"
    return f"{directory}/.liftlock"


def _back(live: list[str], source: str | None) -> list[str]:
    word = "rename the old {} back" if source else "take {} away"
    return [word.format(path) for path in reversed(live)]


def _words(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
