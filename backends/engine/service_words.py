"""The service in a plan's words: the command of each verb, and what becomes of its definition."""

from collections.abc import Mapping

from backends.engine.switching import switch_of
from backends.node.expand import expand

Document = Mapping[str, object]
"""What the updater is told about a product on one node, see `products.node_document`."""


def command(document: Document, verb: str, version: str | None) -> str:
    """The command of a verb, expanded as the node will expand it."""
    service = _table(document["service"])
    match service["kind"]:
        case "control":
            tree = switch_of(document, None, version or "").tree
            return f"{tree}/{service['control']} {verb}"
        case "systemd":
            return " ".join(
                ["systemctl", verb, *_words(service["triggers"]), f"{service['unit']}"]
            )
        case "sysv":
            return f"/etc/init.d/{service['script']} {verb}"
    words = _table(service["commands"] or {}).get(verb)
    return _said(document, words, version) if words else f"({verb}: no command)"


def definition(document: Document, source: str | None) -> tuple[list[str], list[str]]:
    """What is done about the service's definition, and what takes it back; nothing for most."""
    service = _table(document["service"])
    named = service["definition"]
    if named is None:
        return [], []
    what = service["unit"] or f"/etc/init.d/{service['script']}"
    if source is None:
        return (
            [f"{named} of the release becomes {what}; started at boot"],
            [f"not started at boot any more; take {what} away"],
        )
    return [f"{named} of the release becomes {what}, if they differ"], [f"put the old {what} back"]


def data(document: Document) -> list[str]:
    """That the product's data is copied; what becomes of it on the way back is asked then."""
    found = _words(_table(document["data"])["directories"])
    paths = ", ".join(_said(document, [path], None) for path in found)
    return [f"copy the data: {paths}; kept until it is finalized"] if found else []


def hooks(document: Document, when: str, version: str | None) -> tuple[list[str], list[str]]:
    """The hooks of a moment, and what undoes them, the last first."""
    found = [_table(hook) for hook in _tables(document["hooks"]) if hook["when"] == when]
    forward = [
        f"hook {hook['name']}: {_said(document, hook['command'], version)}" for hook in found
    ]
    back = [
        f"undo the hook {hook['name']}: {_said(document, hook['undo'], version)}"
        for hook in reversed(found)
        if hook["undo"]
    ]
    return forward, back


def _said(document: Document, words: object, version: str | None) -> str:
    values = {key: str(value) for key, value in _table(document["values"]).items()}
    values |= {"directory": str(document["directory"]), "version": version or ""}
    return " ".join(expand(word, values) for word in _words(words))


def _tables(value: object) -> list[Mapping[str, object]]:
    return [_table(each) for each in value] if isinstance(value, list) else []


def _table(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise TypeError(f"a node document has a table here, not {value!r}")
    return value


def _words(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def leadership(document: Mapping[str, object]) -> list[str]:
    """What is done first on a node that leads the others."""
    how = document.get("leader")
    if not isinstance(how, dict) or not how["move"]:
        return []
    words = _said(document, how["move"], None)
    return [f"if it leads: {words}, until it does not  (up to {how['timeout']:g} s)"]
