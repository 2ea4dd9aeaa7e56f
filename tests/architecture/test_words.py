"""One word per thing: the words that the house does not use are in none of its names.

Read are the names we define: classes, functions, arguments, variables, attributes, import aliases.
A name we only use (`asyncio.create_task`, `url.hostname`) is its maker's business.
"""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.architecture.source import Module, imports, modules, names, under

INSTEAD = {
    "host": "node",
    "server": "node",
    "fleet": "cluster",
    "rollout": "upgrade",
    "deploy": "install, upgrade",
    "deployment": "upgrade",
    "job": "run, step",
    "task": "step, action",
}

TERMS = {
    "known_hosts": "OpenSSH's name of a file",
    "host_key": "OpenSSH's name of a key",
    "host_keys": "OpenSSH's name of keys",
    "host_public_key": "asyncssh calls a method by this name",
    "host_ca_key": "asyncssh calls a method by this name",
    "server_host_key": "asyncssh's name of a setting",
    "server_host_keys": "asyncssh's name of a setting",
}
"""Terms of others that contain such a word. They are taken out before a name is read."""

LENT = {
    "task": ("asyncio",),
    "server": ("asyncio", "asyncssh", "http.server", "socketserver"),
    "host": ("asyncssh",),
}
"""A library's own word for its own object: a variable, argument or attribute (never a class or
function of ours) may be called that in a module that imports the library."""

EXCEPTIONS: dict[tuple[str, str], str] = {}
"""(path, name) -> reason. What is no longer needed must go."""


class Name(NamedTuple):
    """One name that we define."""

    text: str
    line: int
    is_value: bool
    """A variable, argument or attribute; not a class, function or alias."""


def defined(tree: ast.Module) -> Iterator[Name]:
    """Every name that a module defines."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield Name(node.name, node.lineno, is_value=False)
            case ast.arg():
                yield Name(node.arg, node.lineno, is_value=True)
            case ast.Name(ctx=ast.Store()):
                yield Name(node.id, node.lineno, is_value=True)
            case ast.Attribute(ctx=ast.Store()):
                yield Name(node.attr, node.lineno, is_value=True)
            case ast.ExceptHandler(name=str() as text):
                yield Name(text, node.lineno, is_value=True)
            case ast.MatchAs(name=str() as text) | ast.MatchStar(name=str() as text):
                yield Name(text, node.lineno, is_value=True)
            case ast.Import() | ast.ImportFrom():
                yield from (
                    Name(each.asname, node.lineno, is_value=False)
                    for each in node.names
                    if each.asname
                )


def words(name: str) -> set[str]:
    """The words of a name in the singular: `TaskList` and `task_lists` are {task, list}."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    for term in sorted(TERMS, key=len, reverse=True):
        snake = re.sub(rf"(?<![a-z]){term}(?![a-z])", "", snake)
    found = set(re.findall("[a-z]+", snake))
    return {re.sub("(s|ed|ing|er)$", "", each) if each not in INSTEAD else each for each in found}


def breaches(module: Module) -> Iterator[tuple[str, str]]:
    """(name, sentence) for each name with a word that the house does not use."""
    libraries = [each.target for each in imports(module, names())]
    file = Name(module.path.rpartition("/")[2].removesuffix(".py"), 0, is_value=False)
    for name in (file, *defined(module.tree)):
        for word in sorted(words(name.text) & set(INSTEAD)):
            lenders = LENT.get(word, ())
            if name.is_value and any(under(each, *lenders) for each in libraries):
                continue
            sentence = f"{module.path}:{name.line} {name.text}: say {INSTEAD[word]}"
            yield name.text, sentence


def test_the_house_uses_its_own_words() -> None:
    found = [
        sentence
        for module in modules()
        for name, sentence in breaches(module)
        if (module.path, name) not in EXCEPTIONS
    ]
    assert not found, "\n".join(found)


def test_every_exception_is_needed() -> None:
    needed = {(module.path, name) for module in modules() for name, _ in breaches(module)}
    assert not set(EXCEPTIONS) - needed


@pytest.mark.parametrize(
    "text",
    [
        "class Fleet: ...",
        "class HostList: ...",
        "def deploy_all(): ...",
        "def deployed(): ...",
        "def f(server): ...",
        "def f(*, hosts=()): ...",
        "jobs = []",
        "for task in x: ...",
        "self.rollout_id = 1",
        "with a as server: ...",
        "import fleet as my_fleet",
        "try: ...\nexcept OSError as job: ...",
        "match a:\n    case [task]: ...",
        "import asyncio\nclass TaskList: ...",
        "import asyncio\ndef start_task(): ...",
        "import asyncio\nhost = 1",
        "(job := 1)",
        "x: list[int]\nserverName = 1",
    ],
)
def test_a_foreign_word_is_found(text: str) -> None:
    assert list(breaches(Module("backends/engine/odd.py", text)))


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio\ntask = asyncio.create_task(x)",
        "import asyncssh\ndef f(server): ...",
        "known_hosts = 1",
        "def validate_host_public_key(): ...",
        "hostname = url.hostname",
        "localhost = '127.0.0.1'",
        "ghost = jobless = 1",
        "socket.create_server(x)",
        "f(host='x')",
    ],
)
def test_other_peoples_words_are_left_alone(text: str) -> None:
    assert not list(breaches(Module("backends/engine/odd.py", text)))


def test_a_module_named_by_a_foreign_word_is_found() -> None:
    assert list(breaches(Module("backends/engine/deploy.py", "")))
