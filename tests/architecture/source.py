"""Our own modules as text and syntax trees: what every test of the architecture reads."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("app", "widgets", "backends")


class Module(NamedTuple):
    """One Python file of the three packages."""

    path: str
    """From the top of the repository, with slashes."""

    text: str

    @property
    def name(self) -> str:
        """As it is imported: `backends.node`, `backends.node.wire`."""
        name = self.path.removesuffix(".py").replace("/", ".")
        return name.removesuffix(".__init__")

    @property
    def package(self) -> str:
        """The package its relative imports begin at."""
        return self.name if self.path.endswith("__init__.py") else self.name.rpartition(".")[0]

    @property
    def tree(self) -> ast.Module:
        """Parsed."""
        return ast.parse(self.text, self.path)


@cache
def modules() -> tuple[Module, ...]:
    """Every module of app, widgets and backends, sorted by path.

    The demo's product is what gets upgraded, not a part of the program: it is left out.
    """
    found = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return tuple(
        Module(path.relative_to(ROOT).as_posix(), path.read_text("utf-8"))
        for path in found
        if "backends/demo/product/" not in path.as_posix()
    )


@cache
def names() -> frozenset[str]:
    """Every module's and package's import name, also of a folder without `__init__.py`."""
    found = set()
    for module in modules():
        parts = module.name.split(".")
        found |= {".".join(parts[: end + 1]) for end in range(len(parts))}
    return frozenset(found)


class Import(NamedTuple):
    """One name that a module imports, as far as it is a module."""

    target: str
    line: int


def imports(module: Module, known: frozenset[str]) -> Iterator[Import]:
    """Everything imported, also inside functions, under TYPE_CHECKING and by name in a string.

    `from backends.domain import plan` counts as `backends.domain.plan` when that is a module.
    """
    for node in ast.walk(module.tree):
        match node:
            case ast.Import():
                yield from (Import(each.name, node.lineno) for each in node.names)
            case ast.ImportFrom():
                base = _base(module, node)
                for each in node.names:
                    inner = f"{base}.{each.name}"
                    yield Import(inner if inner in known else base, node.lineno)
            case ast.Call(args=[ast.Constant(value=str() as target), *_]) if _imports(node.func):
                yield Import(target, node.lineno)


def _base(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.package.split(".")
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, node.module] if node.module else parts)


def _imports(function: ast.expr) -> bool:
    match function:
        case ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"):
            return True
    return False


def under(name: str, *prefixes: str) -> bool:
    """Is `name` one of `prefixes`, or inside one?"""
    return any(name == each or name.startswith(each + ".") for each in prefixes)
