"""An Ansible inventory in INI form: sections, children, variables, ranges of names."""

import ast
import re
import shlex
from collections.abc import Iterator

from backends.settings.ansible_inventory import (
    MAX_NODES,
    VAULT,
    Inventory,
    Mistaken,
    Scalar,
    Setting,
)

_SECTION = re.compile(r"\[([^\]:]+)(?::(\w+))?\]\s*(?:#.*)?$")
_RANGE = re.compile(r"\[([0-9]+|[A-Za-z]):([0-9]+|[A-Za-z])(?::([0-9]+))?\]")
_PORT = re.compile(r"(?P<name>[^:\[\]]+|.*\][^:\[\]]*):(?P<port>[0-9]+)")
_IPV6 = re.compile(
    r"\[(?P<name>[0-9A-Fa-f:.]*::[0-9A-Fa-f:.]*|(?:[0-9A-Fa-f]+:){7}[0-9A-Fa-f]+)\](?::(?P<port>[0-9]+))?"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def read(text: str) -> Inventory:
    """What the file says.

    Raises:
        Mistaken: A line cannot be read.
    """
    found = Inventory()
    group, kind = "ungrouped", "hosts"
    for number, raw in enumerate(text.splitlines(), 1):
        text_of_line = raw.strip()
        if not text_of_line or text_of_line[0] in "#;":
            continue
        if text_of_line.startswith("[") and (section := _SECTION.match(text_of_line)):
            group, kind = section[1].strip(), section[2] or "hosts"
            if kind not in ("hosts", "vars", "children"):
                raise Mistaken(number, f"unknown kind of section: {text_of_line}")
            found.group(group)
        elif kind == "vars":
            found.group(group).settings.append(_assignment(text_of_line, number))
        elif kind == "children":
            child = text_of_line.split("#")[0].strip()
            found.group(group).children.setdefault(child, number)
            found.group(child)
        else:
            _nodes(found, group, text_of_line, number)
    return found


def _nodes(found: Inventory, group: str, text: str, number: int) -> None:
    """One line of nodes: a name or a range of names, then variables."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError as error:
        raise Mistaken(number, f"cannot be taken apart: {error}") from error
    if not words:
        return
    settings = []
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if not equals or not _VARIABLE.fullmatch(name):
            raise Mistaken(number, f"{word} is no name=value")
        settings.append(Setting(name, _literal(value), number, value.startswith(VAULT)))
    pattern, port = _without_port(words[0])
    if port is not None:
        settings.insert(0, Setting("ansible_port", port, number))
    for name in expanded(pattern, number):
        found.add(group, name, number, settings)


def _without_port(pattern: str) -> tuple[str, int | None]:
    """`n1:2222` and `n[1:3]:2222` taken apart; the colons of a range and of IPv6 are not meant."""
    if found := _IPV6.fullmatch(pattern) or _PORT.fullmatch(pattern):
        return found["name"], int(found["port"]) if found["port"] else None
    return pattern, None


def expanded(pattern: str, number: int) -> Iterator[str]:
    """The names that a pattern such as `n[01:12]` or `n[a:c]-[1:3]` stands for.

    Raises:
        Mistaken: It stands for none, or for too many.
    """
    found = _RANGE.search(pattern)
    if found is None:
        if "[" in pattern or "]" in pattern:
            raise Mistaken(number, f"{pattern} is no range; write n[1:9] or n[a:f]")
        yield pattern
        return
    before, behind = pattern[: found.start()], pattern[found.end() :]
    for each in _steps(found, pattern, number):
        yield from expanded(f"{before}{each}{behind}", number)


def _steps(found: re.Match[str], pattern: str, number: int) -> Iterator[str]:
    first, last, step = found[1], found[2], int(found[3] or 1)
    if first.isdigit() != last.isdigit() or step < 1:
        raise Mistaken(number, f"{pattern} is no range")
    low, high = (int(first), int(last)) if first.isdigit() else (ord(first), ord(last))
    if low > high or (high - low) // step >= MAX_NODES:
        raise Mistaken(number, f"{pattern} stands for no node, or for too many")
    width = len(first) if first.startswith("0") else 0
    for each in range(low, high + 1, step):
        yield str(each).zfill(width) if first.isdigit() else chr(each)


def _assignment(text: str, number: int) -> Setting:
    """`name = value`, as in a section of variables."""
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not _VARIABLE.fullmatch(name):
        raise Mistaken(number, f"{text} is no name = value")
    value = re.sub(r"\s#.*$", "", value).strip()
    is_vaulted = value.startswith(("!vault", VAULT))
    return Setting(name, _literal(value), number, is_vaulted)


def _literal(text: str) -> Scalar:
    """A value as Ansible reads it here: a Python literal, else the text itself."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return text
    return value if isinstance(value, str | int | float | bool) else text
