"""An Ansible inventory in YAML form. Read as Ansible does, by PyYAML, and never constructed:
what a tag would make of a value is not our business, `!vault` is only recognised."""

from collections.abc import Iterator
from typing import Any

import yaml

from backends.settings.ansible_ini import expanded
from backends.settings.ansible_inventory import (
    MAX_NODES,
    VAULT,
    Inventory,
    Mistaken,
    Scalar,
    Setting,
)

_PLAIN = {
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:bool": bool,
    "tag:yaml.org,2002:float": float,
    "tag:yaml.org,2002:null": type(None),
}
_VAULTS = ("!vault", "!vault-encrypted")
_DEEPEST = 50

Node = yaml.nodes.Node


def read(text: str) -> Inventory:
    """What the file says.

    Raises:
        Mistaken: It is no YAML, or no inventory.
    """
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        found = Inventory()
        if root is not None:
            reader = _Reader(loader, found)
            for name, body, line in reader.entries(root, "the file"):
                reader.group(name, body, line, 0)
        return found
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "cannot be read"
        raise Mistaken(mark.line + 1 if mark else 1, f"not YAML: {what}") from error
    except (RecursionError, ValueError) as error:
        raise Mistaken(1, f"cannot be read: {error}") from error
    finally:
        loader.dispose()


class _Reader:
    def __init__(self, loader: yaml.SafeLoader, found: Inventory) -> None:
        self._loader = loader
        self._found = found
        self._groups = 0

    def group(self, name: str, body: Node, line: int, depth: int) -> None:
        """One group, with all below it."""
        self._groups += 1
        if depth > _DEEPEST or self._groups > MAX_NODES:  # what repeats by aliases has no end
            raise Mistaken(line, "too many groups within groups")
        group = self._found.group(name)
        if _is_empty(body):
            return
        for key, value, at in self.entries(body, name):
            if key == "hosts":
                self._nodes(name, value)
            elif key == "vars":
                group.settings += self._settings(value, name)
            elif key == "children":
                for child, below, where in () if _is_empty(value) else self.entries(value, name):
                    group.children.setdefault(child, where)
                    self.group(child, below, where, depth + 1)
            else:
                raise Mistaken(at, f"{name}: {key} is none of hosts, vars, children")

    def _nodes(self, group: str, body: Node) -> None:
        if _is_empty(body):
            return
        for pattern, about, line in self.entries(body, group):
            settings = [] if _is_empty(about) else list(self._settings(about, pattern))
            for name in expanded(pattern, line):
                self._found.add(group, name, line, settings)

    def _settings(self, body: Node, what: str) -> Iterator[Setting]:
        if _is_empty(body):
            return
        for name, value, line in self.entries(body, what):
            if isinstance(value, yaml.ScalarNode):
                is_vaulted = value.tag in _VAULTS or value.value.startswith(VAULT)
                plain = value.tag in _PLAIN and not is_vaulted
                yield Setting(name, self._scalar(value) if plain else "", line, is_vaulted, plain)
            else:
                yield Setting(name, "", line, is_plain=False)

    def _scalar(self, node: yaml.ScalarNode) -> Scalar:
        found: Any = self._loader.construct_object(node)
        return found if isinstance(found, str | int | float | bool) else None

    def entries(self, node: Node, what: str) -> Iterator[tuple[str, Node, int]]:
        """(key, value, line) of a mapping, what it merges in included."""
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.MappingNode):
            raise Mistaken(line, f"{what}: a mapping is expected here")
        self._loader.flatten_mapping(node)
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise Mistaken(key.start_mark.line + 1, f"{what}: a key that is no text")
            yield key.value, value, key.start_mark.line + 1


def _is_empty(node: Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"
