"""Budgets: a module that outgrows its page is two modules."""

from typing import NamedTuple

import pytest

from tests.architecture.source import Module, modules

MODULE_LINES = 400
SCREEN_LINES = 300
SLACK = 20
"""How far a module may fall below its exemption before the exemption must follow."""


class Exemption(NamedTuple):
    """A module that may be longer, for now. May only shrink: never raise `lines`, never add one
    without a reason and a name under it."""

    lines: int
    reason: str
    signed: str


EXEMPTIONS: dict[str, Exemption] = {}


def budget(path: str) -> int:
    """How many lines a module may have."""
    return SCREEN_LINES if path.startswith("app/screens/") else MODULE_LINES


def breaches(sizes: dict[str, int], exemptions: dict[str, Exemption] = EXEMPTIONS) -> list[str]:
    """Modules over budget, and exemptions that are stale, unsigned or higher than needed."""
    found = []
    for path, lines in sizes.items():
        allowed = exemptions[path].lines if path in exemptions else budget(path)
        if lines > allowed:
            found.append(f"{path} has {lines} lines, {allowed} are allowed: split it")
    for path, exemption in exemptions.items():
        lines = sizes.get(path, 0)
        if lines <= budget(path):
            found.append(f"{path} fits (or is gone): delete its exemption")
        elif exemption.lines - lines > SLACK:
            found.append(f"{path} has {lines} lines: lower its exemption to that")
        if not (exemption.reason and exemption.signed):
            found.append(f"{path}: an exemption needs a reason and a name")
    return found


def lines(module: Module) -> int:
    return len(module.text.splitlines())


def test_every_module_keeps_its_budget() -> None:
    sizes = {each.path: lines(each) for each in modules()}
    assert sizes
    found = breaches(sizes)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("sizes", "exemptions", "what"),
    [
        ({"backends/a.py": 401}, {}, "split it"),
        ({"app/screens/a.py": 301}, {}, "split it"),
        ({"backends/a.py": 451}, {"backends/a.py": Exemption(450, "r", "s")}, "split it"),
        ({"backends/a.py": 400}, {"backends/a.py": Exemption(450, "r", "s")}, "delete"),
        ({}, {"backends/a.py": Exemption(450, "r", "s")}, "delete"),
        ({"backends/a.py": 410}, {"backends/a.py": Exemption(450, "r", "s")}, "lower"),
        ({"backends/a.py": 450}, {"backends/a.py": Exemption(450, "", "s")}, "needs a reason"),
    ],
)
def test_a_breach_is_found(
    sizes: dict[str, int], exemptions: dict[str, Exemption], what: str
) -> None:
    (breach,) = breaches(sizes, exemptions)
    assert what in breach


def test_what_fits_is_left_alone() -> None:
    sizes = {"backends/a.py": 400, "app/screens/a.py": 300, "backends/b.py": 450}
    assert not breaches(sizes, {"backends/b.py": Exemption(460, "reason", "name")})
