"""The nodes of an Ansible inventory, as far as they can be taken without guessing.

Read are static inventories, INI and YAML. What of a node is not taken is said with its line; what
would have to be decrypted or computed first is refused by its name.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from backends.domain.clean import line as one_line
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.settings.ansible_inventory import VAULT, Inventory, Mistaken, Scalar, Setting
from backends.settings.cluster_file import NodeTable
from backends.settings.toml_keys import nearest

MAX_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Imported:
    """A node as a cluster file would have it."""

    name: str
    keys: Mapping[str, str | int]
    """`address`, and of `user`, `port`, `jump`, `become`, `python`, `transport` what was said."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken of an inventory."""

    nodes: tuple[Imported, ...]
    notes: tuple[str, ...]
    """What was not taken, a line each, and where it stands."""


def take(path: Path, group: str | None) -> Taken:
    """The nodes of a group of an inventory; all, when no group is named.

    Raises:
        LiftlockError: exit 2: `ansible-missing`, `ansible-unreadable`, `ansible-invalid`,
            `ansible-group`, `ansible-empty`; `ansible-value` for what is vaulted or computed.
    """
    text = _text(path)
    try:
        inventory = _read(path, text)
    except Mistaken as error:
        where = f"{path.name}:{error.line}"
        raise _problem("ansible-invalid", f"{where}: {one_line(error.text)}") from error
    members = _members(path, inventory, group)
    if not members:
        raise _problem("ansible-empty", f"{path.name}: there is no node in {group or 'it'}.")
    taker = _Taker(path, inventory)
    nodes = tuple(taker.node(name) for name in members)
    if taker.mistakes:
        raise _problem(
            "ansible-value",
            taker.mistakes[0] + _more(taker.mistakes),
            "\n".join(taker.mistakes),
            "Nothing is guessed: write the plain value into the inventory, or take the nodes "
            "with --node and correct the cluster file.",
        )
    return Taken(nodes, (*_beside(path), *taker.notes))


def _read(path: Path, text: str) -> Inventory:
    if path.suffix in (".yml", ".yaml", ".json"):
        from backends.settings.ansible_yaml import read
    else:
        from backends.settings.ansible_ini import read
    return read(text)


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise _problem(
                "ansible-unreadable",
                f"{path} is a directory.",
                advice="Name one of the inventory files in it.",
            )
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)  # a device has no size and no end
        if len(content) > MAX_BYTES:
            raise _problem("ansible-unreadable", f"{path} has more than {MAX_BYTES} bytes.")
        text = content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise _problem("ansible-missing", f"There is no file {path}.") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise _problem("ansible-unreadable", f"{path} cannot be read.", why) from error
    except UnicodeDecodeError as error:
        raise _problem("ansible-unreadable", f"{path} is not UTF-8.", str(error)) from error
    if text.startswith("#!"):
        raise _problem(
            "ansible-unreadable",
            f"{path} is a program that makes an inventory.",
            text.splitlines()[0],
            "Run it yourself: ansible-inventory -i FILE --list --yaml > inventory.yml",
        )
    if text.startswith(VAULT):
        raise _problem(
            "ansible-value",
            f"{path} is vaulted as a whole.",
            advice="Decrypt it yourself, into a file that only you can read: ansible-vault view",
        )
    return text


def _members(path: Path, inventory: Inventory, group: str | None) -> list[str]:
    """The nodes of a group and of all below it, in the order of the file."""
    if group in (None, "all"):
        return list(inventory.settings)
    if group not in inventory.groups:
        near = nearest(group, [*inventory.groups])
        raise _problem(
            "ansible-group",
            f"{path.name} has no group {group}.",
            f"It has: {', '.join(map(one_line, inventory.groups)) or 'none'}",
            f"Did you mean {one_line(near)}?" if near else "",
        )
    inside = _inside(inventory, group)
    return [
        name
        for name in inventory.settings
        if any(name in inventory.group(each).nodes for each in inside)
    ]


def _beside(path: Path) -> Iterator[str]:
    for name in ("group_vars", "host_vars"):
        folder = path.parent / name
        if folder.is_dir() and any(folder.iterdir()):
            yield f"{name}/ beside {path.name}: nothing of it was read"


# --- one node -----------------------------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_KEYS = {
    "ansible_host": "address",
    "ansible_ssh_host": "address",
    "ansible_user": "user",
    "ansible_ssh_user": "user",
    "ansible_port": "port",
    "ansible_ssh_port": "port",
    "ansible_python_interpreter": "python",
    "ansible_connection": "transport",
    "ansible_become": "become",
}
_ARGUMENTS = ("ansible_ssh_common_args", "ansible_ssh_extra_args")
_BECOME = ("ansible_become_user", "ansible_become_method", "ansible_become_exe")
_SECRETS = {
    "ansible_password": "the login's password is asked for when it is needed",
    "ansible_ssh_pass": "the login's password is asked for when it is needed",
    "ansible_ssh_private_key_file": "name it in ssh config: IdentityFile",
    "ansible_private_key_file": "name it in ssh config: IdentityFile",
}
_BECOME_SECRETS = ("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass")
_AUTOMATIC = ("auto", "auto_silent", "auto_legacy", "auto_legacy_silent")


class _Taker:
    """Makes nodes of what is said of them; notes what is not taken."""

    def __init__(self, path: Path, inventory: Inventory) -> None:
        self.mistakes: list[str] = []
        self.notes: list[str] = []
        self._path = path
        self._inventory = inventory
        self._depths = _depths(path, inventory)
        self._names = {
            group: {
                name for each in _inside(inventory, group) for name in inventory.group(each).nodes
            }
            for group in [*inventory.groups]
        }

    def node(self, name: str) -> Imported:
        """One node."""
        keys: dict[str, str | int] = {"address": name}
        if not _NAME.fullmatch(name):
            self.mistakes.append(f"{self._path.name}: {one_line(name)} cannot be a node's name")
        said = self._said(name)
        for each in said.values():
            self._take(name, each, keys, said)
        try:
            NodeTable.model_validate(keys)
        except ValidationError as error:
            for wrong in error.errors():
                key = str(wrong["loc"][0])
                shown = one_line(str(keys.get(key, "")))
                text = f"{one_line(name)}: {shown} cannot be taken as {key}"
                self.mistakes.append(f"{self._path.name}: {text}")
        if keys.get("transport") == "local":
            keys.pop("address")
        return Imported(name, keys)

    def _said(self, name: str) -> dict[str, Setting]:
        """Every variable of a node: a child's over its parent's, the node's own over all."""
        groups = [each for each, names in self._names.items() if each == "all" or name in names]
        found: dict[str, Setting] = {}
        for group in sorted(groups, key=lambda each: (self._depths[each], each)):
            found |= {each.name: each for each in self._inventory.group(group).settings}
        return found | {each.name: each for each in self._inventory.settings[name]}

    def _take(
        self, node: str, said: Setting, keys: dict[str, str | int], all_said: Mapping[str, Setting]
    ) -> None:
        known = (*_KEYS, *_ARGUMENTS, *_BECOME)
        if said.name in _BECOME_SECRETS:
            self._note(said, node, "sudo's password is asked for when it is needed")
        elif said.name in _SECRETS:
            self._note(said, node, _SECRETS[said.name])
        elif said.name not in known:
            self._note(said, node, "")
        elif (why := _not_plain(said)) is not None:
            self._mistake(said, node, why)
        elif said.name in _ARGUMENTS:
            self._arguments(node, said, keys)
        elif said.name in _BECOME:
            self._become(node, said, all_said)
        else:
            self._key(node, said, keys, all_said)

    def _key(
        self, node: str, said: Setting, keys: dict[str, str | int], all_said: Mapping[str, Setting]
    ) -> None:
        key, text = _KEYS[said.name], str(said.value)
        if key == "port":
            if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
                self._mistake(said, node, "is no port")
            else:
                keys[key] = int(text)
        elif key == "become":
            truth = _truth(said.value)
            if truth is None:
                self._mistake(said, node, "is neither yes nor no")
            elif truth:
                asks = any(each in all_said for each in _BECOME_SECRETS)
                keys[key] = "sudo-password" if asks else "sudo"
        elif key == "transport":
            if text == "local":
                keys[key] = text
            elif text not in ("ssh", "smart", "paramiko", "ansible.builtin.ssh"):
                self._mistake(said, node, f"nodes are reached over SSH, not by {one_line(text)}")
        elif key == "python":
            if text in _AUTOMATIC:
                self._note(said, node, "the usual places are searched anyway")
            else:
                keys[key] = text
        else:
            keys[key] = text

    def _become(self, node: str, said: Setting, all_said: Mapping[str, Setting]) -> None:
        """Only root by sudo can be taken; where nobody becomes anybody, nothing is lost."""
        become = all_said.get("ansible_become")
        if become is None or not _truth(become.value):
            self._note(said, node, "nobody becomes anybody else there")
        elif str(said.value) not in ("root", "sudo", "ansible.builtin.sudo"):
            self._mistake(said, node, "only sudo to root can be taken")

    def _arguments(self, node: str, said: Setting, keys: dict[str, str | int]) -> None:
        """`-o ProxyJump=X` and `-J X`; every other argument is said not to be taken."""
        try:
            words = shlex.split(str(said.value))
        except ValueError as error:
            self._mistake(said, node, f"cannot be taken apart: {error}")
            return
        for option, value in _options(words):
            if option.lower() in ("proxyjump", "-j"):
                keys["jump"] = value
            else:
                self._note(said, node, f"of it, {one_line(option)}; ssh config may say it")

    def _mistake(self, said: Setting, node: str, text: str) -> None:
        self.mistakes.append(f"{self._where(said, node)}: {text}")

    def _note(self, said: Setting, node: str, text: str) -> None:
        self.notes.append(f"{self._where(said, node)}: not taken{'; ' if text else ''}{text}")

    def _where(self, said: Setting, node: str) -> str:
        return f"{self._path.name}:{said.line}: {one_line(node)}: {one_line(said.name)}"


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    """(option, value) of ssh's arguments; for `-o X=Y` the option is X."""
    waiting = iter(words)
    for word in waiting:
        if word.startswith("-o"):
            text = word[2:] or next(waiting, "")
            name, _, value = text.replace("=", " ", 1).strip().partition(" ")
            yield name, value.strip()
        elif word.startswith("-J"):
            yield "-J", word[2:] or next(waiting, "")
        else:
            yield word, ""


def _not_plain(said: Setting) -> str | None:
    """Why a value cannot be taken, or None."""
    if said.is_vaulted or (isinstance(said.value, str) and said.value.startswith(VAULT)):
        return "is vaulted"
    if not said.is_plain:
        return "is no single value"
    if isinstance(said.value, str) and ("{{" in said.value or "{%" in said.value):
        return "is an expression, which only Ansible can compute"
    if said.value is None or said.value == "":
        return "is empty"
    return None


def _truth(value: Scalar) -> bool | None:
    text = str(value).lower()
    if text in ("true", "yes", "on", "1", "y", "t"):
        return True
    return False if text in ("false", "no", "off", "0", "n", "f") else None


def _inside(inventory: Inventory, group: str) -> set[str]:
    """A group and all below it."""
    inside = {group}
    waiting = [group]
    while waiting:
        for child in inventory.group(waiting.pop()).children:
            if child not in inside:
                inside.add(child)
                waiting.append(child)
    return inside


def _depths(path: Path, inventory: Inventory) -> dict[str, int]:
    """How far below `all` each group is; a circle is refused."""
    depths = dict.fromkeys(inventory.groups, 1) | {"all": 0}
    for _ in range(len(depths) + 1):
        changed = False
        for name in inventory.groups:
            for child in inventory.groups[name].children:
                if depths.get(child, 1) <= depths[name]:
                    depths[child] = depths[name] + 1
                    changed = True
        if not changed:
            return depths
    raise _problem("ansible-invalid", f"{path.name}: its groups go round in a circle.")


def _more(mistakes: list[str]) -> str:
    return f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""


def _problem(code: str, summary: str, evidence: str = "", advice: str = "") -> LiftlockError:
    return LiftlockError(Problem(code, summary, evidence, advice), Exit.USAGE)
