"""The two files that `init` writes, as texts: values that were chosen, comments that say why."""

import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from backends.domain.clean import line
from backends.engine.glance import Glance
from backends.settings.ansible import Imported

CHANGE = "CHANGE"
"""Stands for what nobody could know."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SHARED = ("user", "become", "port", "jump", "python")
_WIDTH = 38


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be written."""

    name: str
    product: str
    profile: str | None
    """Another name or path of the profile than the product's."""

    directory: str
    nodes: tuple[Imported, ...]
    """None: the files are an example."""

    variables: tuple[str, ...] = ()
    """Those that the profile needs and nobody could know."""

    source: str = ""
    """Where the nodes come from."""

    glances: Mapping[str, Glance] = field(default_factory=dict)


def cluster_file(draft: Draft) -> str:
    """NAME.toml"""
    example = not draft.nodes
    nodes = draft.nodes or _EXAMPLE
    shared = _shared(nodes)
    head = [
        f"# The cluster {draft.name}{', an example to edit' if example else ''}."
        f"{f' Its nodes are from {line(draft.source)}.' if draft.source else ''}",
        "# All keys: liftlock config schema cluster. What counts, and who says so: "
        f"liftlock config show {draft.name}",
        "",
        "[cluster]",
        _said("name", draft.name),
        _said("environment", "test", 'the badge on the screen; "production" asks for more'),
        _said("product", draft.product, "what runs here"),
        *([_said("profile", draft.profile)] if draft.profile else []),
        _said("signatures", "required", '"optional" also takes what nobody signed'),
        _said(
            "allowed_signers", "signers", "who may sign: a file beside this one, see the README"
        ),
        "",
        "[defaults]",
        *(_said(key, value) for key, value in shared.items()),
    ]
    if not shared:
        head.append('# user = "ops"                       # without it: as ssh config says')
    if "become" not in shared:
        head.append('# become = "sudo"                    # or "sudo-password"')
    return "\n".join([*head, "", "[nodes]", *_nodes(draft, nodes, shared), "", *_POLICY, ""])


def profile_file(draft: Draft) -> str:
    """PRODUCT.toml"""
    seen = [each for each in draft.glances.values() if each.said]
    kind, why = _service(seen, draft.product)
    pointer, what = _pointer(seen)
    named = next((each for each in seen if kind == "sysv" and each.one("script")), None)
    own = {
        "systemd": [_said("unit", f"{draft.product}.service")],
        "sysv": [_said("script", draft.product)] if named or kind == "sysv" else [],
    }
    log = {"systemd": "journald", "control": "control tail"}.get(kind)
    return "\n".join(
        [
            f"# The product {draft.product}: how it is laid out, started and judged.",
            "# All keys: liftlock config schema profile",
            "",
            "[product]",
            _said("name", draft.product),
            _said("layout", "versions", "<directory>/<version>/ and a pointer; or overlay, swap"),
            _said("directory", draft.directory),
            *([f"# {what}"] if what else []),
            _said("pointer", pointer, 'which version is next: a file ".version", or a link'),
            "",
            "[service]",
            f"# {why}",
            _said("kind", kind, "control, command, systemd or sysv"),
            *own.get(kind, []),
            *([_said("log", log, "shown when something fails")] if log else []),
            "",
            *_HEALTH,
            "",
        ]
    )


_EXAMPLE = (
    Imported("n1", {"address": "10.0.0.11", "user": "ops", "become": "sudo"}),
    Imported("n2", {"address": "10.0.0.12", "user": "ops", "become": "sudo"}),
    Imported("n3", {"address": "10.0.0.13", "user": "ops", "become": "sudo"}),
)

_POLICY = [
    "# [policy]                            # what follows are the defaults",
    '# pause = "first"                     # a person is waited for after the first node',
    "# batch = 1                           # nodes that are installed at once",
    '# healthy_deadline = "5m"             # after the start, until a node has to be healthy',
    '# accept_window = "10m"               # until a node decides by itself',
    '# if_operator_vanishes = "rollback"   # what it decides then',
]

_HEALTH = [
    "# Without a check of its own, a product is healthy when its service says that it runs.",
    "# [[health]]",
    '# kind = "http"                       # or tcp, command, control, version, status_file',
    '# url = "http://127.0.0.1:{vars.port}/health"   # needs vars = { port = ... } on each node',
    '# version_field = "version"           # what of the answer has to be the version',
]


def _said(key: str, value: object, why: str = "") -> str:
    text = f"{key} = {json.dumps(value, ensure_ascii=False)}"
    return f"{text:<{_WIDTH - 1}} # {why}" if why else text


def _shared(nodes: Sequence[Imported]) -> dict[str, str | int]:
    """What all nodes have in common, for `[defaults]`."""
    found = {}
    for key in _SHARED:
        values = {each.keys.get(key) for each in nodes}
        if len(values) == 1 and (value := values.pop()) is not None:
            found[key] = value
    return found


def _nodes(
    draft: Draft, nodes: Sequence[Imported], shared: Mapping[str, str | int]
) -> Iterable[str]:
    for number, node in enumerate(nodes):
        if (glance := draft.glances.get(node.name)) is not None:
            head = f"# {node.name}: "
            text = "; ".join(told(glance))
            yield from textwrap.wrap(
                text,
                96,
                initial_indent=head,
                subsequent_indent="#     ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        name = node.name if _BARE.fullmatch(node.name) else json.dumps(node.name)
        keys: dict[str, object] = {key: node.keys[key] for key in node.keys if key not in shared}
        if number == 0 and len(nodes) > 1:
            keys["canary"] = True
        words = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in keys.items()]
        if draft.variables:
            inner = ", ".join(f"{each} = {json.dumps(CHANGE)}" for each in draft.variables)
            words.append(f"vars = {{ {inner} }}")
        yield f"{name} = {{ {', '.join(words)} }}"


def told(glance: Glance) -> list[str]:
    """What a node showed, in words; what could not be read is said, too."""
    if (problem := glance.problem) is not None:
        how = "not looked at to its end" if glance.said else "not looked at"
        summary = problem.summary.removeprefix(f"{glance.node}: ")
        text = "; ".join(filter(None, (summary, problem.evidence)))
        return [line(f"{how}: {text} [{problem.code}]")]
    python, user, init = (glance.one(key) for key in ("python", "user", "init"))
    found = [
        f"python {python}" if python else "no python3 was found, and the updater needs one",
        f"logged in as {user}" if user else "who one is there could not be read",
        f"{init} is PID 1" if init else "what PID 1 is could not be read",
        *_of_directory(glance),
    ]
    if glance.has_unit:
        found.append("systemd: " + " ".join(glance.said["unit"]))
    if script := glance.one("script"):
        found.append(script)
    found += [f"could not be read: {each}" for each in glance.said.get("unread", ())]
    return found


def _of_directory(glance: Glance) -> list[str]:
    state = glance.one("directory")
    if state != "there":
        return [f"the product's directory: {state or 'could not be read'}"]
    found = []
    if pointer := glance.one("pointer"):
        found.append(f".version says {pointer}")
    if current := glance.one("current"):
        found.append(f"current leads to {current}")
    if not found:
        entries = glance.said.get("entry", ())
        found.append(f"no pointer; in the directory: {', '.join(entries) or 'nothing'}")
    running = glance.said.get("process", ())
    found.append(f"runs: {', '.join(running[:5])}" if running else "no process of it was seen")
    return found


def _service(seen: Sequence[Glance], product: str) -> tuple[str, str]:
    """Which service manager, and why."""
    kinds = Counter(
        "systemd" if each.has_unit else "sysv" if each.one("script") else "control"
        for each in seen
    )
    if not kinds:
        return "control", "Nothing was looked at: a script `control` in each version is assumed."
    kind, count = kinds.most_common(1)[0]
    why = {
        "systemd": f"systemd knows {product}.service",
        "sysv": f"there is /etc/init.d/{product}",
        "control": f"neither systemd nor /etc/init.d knows {product}",
    }[kind]
    control = any(each.one("control") for each in seen)
    if kind == "control":
        why += (
            ", and a version there has a script `control`"
            if control
            else ("; no script `control` was seen either: say who starts it")
        )
    of = f"On {count} of {len(seen)} nodes: " if count < len(seen) else "Found: "
    return kind, f"{of}{why}."


def _pointer(seen: Sequence[Glance]) -> tuple[str, str]:
    """Which pointer, and what is to be said about it."""
    files = sum(bool(each.one("pointer")) for each in seen)
    links = sum(bool(each.one("current")) for each in seen)
    if links > files:
        return "current", f"Found: a link `current` on {links} of {len(seen)} nodes."
    if files:
        return ".version", f"Found: a file `.version` on {files} of {len(seen)} nodes."
    flat = sum(1 for each in seen if _is_flat(each))
    if flat:
        text = (
            f"On {flat} of {len(seen)} nodes it lies flat in the directory, it seems: see overlay"
        )
        return ".version", f"{text} and swap in the README."
    return ".version", ""


def _is_flat(glance: Glance) -> bool:
    return any(not each.endswith("/") for each in glance.said.get("entry", ()))
