"""Who may import whom: app -> widgets -> backends, and the smaller arrows inside backends.

An allow-list: what is not named is refused. The longest folder that matches a module decides.
"""

import ast
import sys
from dataclasses import dataclass

import pytest

from tests.architecture.source import Import, Module, imports, modules, names, under

TOML_READER = tuple(
    f"backends.settings.{each}"
    for each in ("toml_file", "toml_keys", "toml_lines", "fields", "units")
)
"""How a TOML file of ours is read: places of mistakes, nearest keys, durations, safe names."""

OWN = ("app", "widgets", "backends", "tests")

SHARED = (
    "backends.node.wire",
    "backends.node.archive",
    "backends.node.canonical",
    "backends.node.expand",
    "backends.node.keeping",
    "backends.node.journal",
)
"""The files of the updater that both sides read: words, formats, patterns, the strict archive
reader."""

PURE = frozenset(
    [
        "__future__",
        "abc",
        "bisect",
        "collections",
        "copy",
        "dataclasses",
        "datetime",
        "decimal",
        "enum",
        "fnmatch",
        "fractions",
        "functools",
        "graphlib",
        "hashlib",
        "heapq",
        "ipaddress",
        "itertools",
        "json",
        "keyword",
        "math",
        "numbers",
        "operator",
        "re",
        "statistics",
        "string",
        "textwrap",
        "types",
        "typing",
        "unicodedata",
    ]
)
"""What the domain may use of the standard library: nothing that looks at a clock or the world."""


# pydantic's own documentation takes PydanticCustomError from its core.
PYDANTIC = ("pydantic", "pydantic_core")


@dataclass(frozen=True)
class Rule:
    """What the modules of one folder may import."""

    own: tuple[str, ...]
    """Prefixes of our own modules. A folder may always import itself."""

    others: tuple[str, ...] = ()
    """Prefixes of distributions that are not ours."""

    never: tuple[str, ...] = ()
    """Taken out of `own` again."""

    stdlib: frozenset[str] = frozenset(sys.stdlib_module_names)


LINKS = (
    "backends.transport.ssh",
    *(
        f"backends.transport.ssh_{part}"
        for part in ("dialer", "host_keys", "keys", "login", "outfit", "place", "problems")
    ),
    "backends.transport.sudo",
    "backends.transport.local",
)
"""What answers at the link port."""

CHOSEN_IN_WIRING = (*LINKS, "backends.sim", "backends.demo")
"""Ways to reach a node. Only `app/wiring.py` chooses between them."""

RULES: dict[str, Rule] = {
    "backends": Rule(()),
    "backends.domain": Rule((), stdlib=PURE),
    # The updater runs alone on a node; test_updater_floor.py reads it once more.
    "backends.node": Rule(()),
    "backends.settings": Rule(("backends.domain",), (*PYDANTIC, "platformdirs")),
    # Our own files are TOML; YAML is what others wrote.
    "backends.settings.ansible_yaml": Rule(("backends.domain", "backends.settings"), ("yaml",)),
    # A profile is a TOML file, as a cluster file is: one reader for both. What the reader reads in
    # settings (the cluster file, preferences) is not the products' business.
    "backends.products": Rule(
        ("backends.domain", *TOML_READER, *SHARED),
        PYDANTIC,
    ),
    "backends.releases": Rule(("backends.domain", *SHARED), PYDANTIC),
    "backends.transport": Rule(("backends.domain", *SHARED)),
    # What happened is kept in the words the node's own journal uses.
    "backends.store": Rule(("backends.domain", *SHARED)),
    # The engine speaks to the port (transport.link); which link it holds is none of its business.
    "backends.engine": Rule(
        (
            "backends.domain",
            "backends.products",
            "backends.settings",
            "backends.releases",
            "backends.transport",
            "backends.store",
            *SHARED,
        ),
        never=LINKS,
    ),
    # Nodes made of memory answer at the link port, in wire lines, for real profiles and releases.
    "backends.sim": Rule(
        (
            "backends.domain",
            "backends.products",
            "backends.settings",
            "backends.releases",
            "backends.transport",
            *SHARED,
        ),
        never=LINKS,
    ),
    # The demo is the other end of SSH: it makes nodes and releases, and never drives an upgrade.
    "backends.demo": Rule(
        (
            "backends.domain",
            "backends.products",
            "backends.settings",
            "backends.releases",
            "backends.transport",
            *SHARED,
        ),
        ("asyncssh",),
        never=tuple(each for each in LINKS if each != "backends.transport.local"),
    ),
    # Textual's line API is made of rich's Segment and Style; nothing else of rich is needed.
    "widgets": Rule(("backends.domain",), ("textual", "rich.segment", "rich.style")),
    "app": Rule(
        ("widgets", "backends"),
        ("textual", "click"),
        never=("backends.node", *CHOSEN_IN_WIRING),
    ),
    "app.wiring": Rule(("app", "widgets", "backends"), ("click",), never=("backends.node",)),
}

SIGNATURES = "backends.releases.signature"
"""`signature.py`, `signature_*.py`: OpenSSH signatures are asyncssh's business."""

SSH = "backends.transport.ssh"
"""`ssh.py`, `ssh_*.py`: the one link that speaks SSH."""


def rule_for(module: Module) -> tuple[str, Rule]:
    """The folder that decides, and its rule."""
    folder = max((each for each in RULES if under(module.name, each)), key=len)
    rule = RULES[folder]
    if module.name.startswith(SIGNATURES) or module.name.split("_")[0] == SSH:
        rule = Rule(rule.own, (*rule.others, "asyncssh"), rule.never, rule.stdlib)
    return folder, rule


def is_allowed(target: str, folder: str, rule: Rule) -> bool:
    """May a module of `folder` import `target`?"""
    top = target.partition(".")[0]
    if top in OWN:
        if under(target, folder) and folder != "backends":
            return not under(target, *rule.never)
        return under(target, *rule.own) and not under(target, *rule.never)
    if top in sys.stdlib_module_names:
        return top in rule.stdlib
    return under(target, *rule.others)


def forbidden(module: Module, known: frozenset[str]) -> list[str]:
    """One sentence for each import that is not allowed."""
    folder, rule = rule_for(module)
    return [
        f"{module.path}:{each.line} imports {each.target}, which {folder} may not"
        for each in dict.fromkeys(imports(module, known))
        if not is_allowed(each.target, folder, rule)
    ]


def clock_and_files(module: Module) -> list[str]:
    """What needs no import: `open(...)` and asking datetime for the time."""
    found = []
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Name(id="open" | "input" | "print" | "__import__" as name)):
                found.append(f"{module.path}:{node.lineno} calls {name}()")
            case ast.Call(func=ast.Attribute(attr="now" | "utcnow" | "today" as name)):
                found.append(f"{module.path}:{node.lineno} calls .{name}()")
    return found


def test_every_import_is_allowed() -> None:
    known = names()
    found = [each for module in modules() for each in forbidden(module, known)]
    assert not found, "\n".join(found)


def test_the_domain_touches_no_clock_and_no_file() -> None:
    domain = [each for each in modules() if under(each.name, "backends.domain")]
    assert domain
    found = [each for module in domain for each in clock_and_files(module)]
    assert not found, "\n".join(found)


def test_every_rule_names_a_folder_that_exists() -> None:
    known = names()
    assert not sorted(each for each in RULES if each not in known)


# --- the checker itself -------------------------------------------------------------------------

KNOWN = frozenset(
    [
        "app",
        "app.wiring",
        "widgets",
        "widgets.grid",
        "backends",
        "backends.domain",
        "backends.domain.plan",
        "backends.domain.problem",
        "backends.engine",
        "backends.engine.conductor",
        "backends.node",
        "backends.node.wire",
        "backends.node.driver",
        "backends.settings",
        "backends.settings.clusters",
        "backends.settings.toml_file",
        "backends.settings.units",
        "backends.products",
        "backends.products.profile",
        "backends.releases",
        "backends.releases.signature",
        "backends.transport",
        "backends.transport.ssh",
        "backends.transport.link",
        "backends.sim",
        "backends.demo",
    ]
)

BAD = [
    ("backends/domain/verdict.py", "import os"),
    ("backends/domain/verdict.py", "from pathlib import Path"),
    ("backends/domain/verdict.py", "def f():\n    import time"),
    ("backends/domain/verdict.py", "import logging.handlers"),
    ("backends/domain/verdict.py", "from backends.node import wire"),
    ("backends/domain/verdict.py", "import pydantic"),
    ("backends/engine/conductor.py", "from textual.app import App"),
    ("backends/engine/conductor.py", "import asyncssh"),
    ("backends/engine/conductor.py", "from backends import sim"),
    ("backends/engine/conductor.py", "from backends.transport import ssh"),
    ("backends/engine/conductor.py", "from backends.node import driver"),
    ("backends/engine/conductor.py", "from app.wiring import wire"),
    ("backends/engine/conductor.py", "from backends import *"),
    ("backends/node/journal.py", "from backends.domain.plan import Plan"),
    ("backends/node/journal.py", "import pydantic"),
    ("backends/node/journal.py", "from ..domain import plan"),
    ("backends/products/profile.py", "from backends.settings.clusters import load"),
    ("backends/products/profile.py", "from backends.engine import conductor"),
    ("backends/settings/clusters.py", "from backends.products import profile"),
    ("backends/settings/clusters.py", "from backends.node import wire"),
    ("backends/settings/clusters.py", "import yaml"),
    ("backends/transport/known_keys.py", "import asyncssh"),
    ("backends/transport/ssh.py", "from backends.settings import units"),
    ("backends/releases/build.py", "import asyncssh"),
    ("backends/sim/scenes.py", "from backends.engine.conductor import Conductor"),
    ("backends/demo/cluster.py", "from backends.engine import conductor"),
    ("backends/store/runs.py", "import importlib\nimportlib.import_module('textual')"),
    (
        "backends/store/runs.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import rich",
    ),
    ("backends/__init__.py", "from backends.domain import plan"),
    ("widgets/grid.py", "from backends.engine.conductor import Conductor"),
    ("widgets/grid.py", "from backends import sim"),
    ("widgets/grid.py", "from rich.console import Console"),
    ("widgets/grid.py", "import app"),
    ("app/application.py", "import asyncssh"),
    ("app/application.py", "import backends.sim"),
    ("app/application.py", "from backends.node import wire"),
    ("app/application.py", "from tests.support import robot"),
    ("app/wiring.py", "from backends.node import driver"),
]

GOOD = [
    ("backends/domain/verdict.py", "from dataclasses import dataclass"),
    ("backends/domain/verdict.py", "from backends.domain import plan"),
    ("backends/engine/conductor.py", "from backends.node.wire import STATES"),
    ("backends/engine/conductor.py", "import asyncio"),
    ("backends/engine/conductor.py", "from backends.transport.link import Link"),
    ("backends/node/driver.py", "import os\nfrom backends.node import wire"),
    ("backends/products/profile.py", "from backends.settings import toml_file, units"),
    ("backends/releases/signature.py", "import asyncssh"),
    ("backends/releases/signature_file.py", "import asyncssh"),
    ("backends/transport/ssh.py", "import asyncssh"),
    ("backends/transport/ssh_login.py", "import asyncssh"),
    ("backends/demo/cluster.py", "import asyncssh"),
    ("widgets/grid.py", "from textual.strip import Strip\nfrom rich.segment import Segment"),
    ("widgets/grid.py", "from backends.domain.problem import Problem\nfrom widgets import grid"),
    ("app/wiring.py", "def f():\n    from backends.transport.ssh import connect"),
    ("app/application.py", "from backends.engine.conductor import Conductor"),
]


@pytest.mark.parametrize(("path", "text"), BAD)
def test_a_forbidden_import_is_found(path: str, text: str) -> None:
    assert forbidden(Module(path, text), KNOWN)


@pytest.mark.parametrize(("path", "text"), GOOD)
def test_an_allowed_import_is_left_alone(path: str, text: str) -> None:
    assert not forbidden(Module(path, text), KNOWN)


@pytest.mark.parametrize("text", ["open('x')", "datetime.now(UTC)", "date.today()", "print(1)"])
def test_a_clock_or_a_file_in_the_domain_is_found(text: str) -> None:
    assert clock_and_files(Module("backends/domain/verdict.py", text))


def test_a_relative_import_is_resolved() -> None:
    module = Module(
        "backends/engine/steps/stage.py", "from ..lock import Lock\nfrom . import check"
    )
    known = KNOWN | {"backends.engine.lock", "backends.engine.steps.check"}
    assert list(imports(module, known)) == [
        Import("backends.engine.lock", 1),
        Import("backends.engine.steps.check", 2),
    ]
