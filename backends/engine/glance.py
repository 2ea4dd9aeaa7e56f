"""A first look at a node of which nothing is known yet: a few lines of sh that only read.

Nothing is sent there and nothing is left; a node without Python answers, too. What it says is for
a person who writes a profile; what counts later is read by the updater.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from backends.domain.clean import line
from backends.domain.problem import Problem
from backends.transport.link import Link, LinkFailed

_SECONDS = 30.0
_MOST_LINES = 200
_MOST_LETTERS = 300

_SCRIPT = r"""
directory=$1 product=$2
version_of='import sys; print("%d.%d.%d" % sys.version_info[:3])'
say() { printf '%s %s\n' "$1" "$2"; }
say user "$(id -un 2>/dev/null || id -u)"
for each in PYTHONS; do
    if found=$(command -v "$each" 2>/dev/null); then
        said=$("$found" -I -S -c "$version_of" 2>/dev/null)
        if [ -n "$said" ]; then say python "$said, $found"; break; fi
    fi
done
if [ -r /proc/1/comm ]; then read -r first </proc/1/comm; say init "$first"; fi
if [ -d /run/systemd/system ]; then
    systemctl show -p LoadState -p ActiveState "$product.service" 2>/dev/null |
        while read -r each; do say unit "$each"; done
fi
if [ -x "/etc/init.d/$product" ]; then say script "/etc/init.d/$product"; fi
if [ ! -e "$directory" ]; then say directory missing
elif [ ! -d "$directory" ]; then say directory 'no directory'
elif [ ! -r "$directory" ] || [ ! -x "$directory" ]; then say directory unreadable
else
    say directory there
    if [ -f "$directory/.version" ]; then
        if [ ! -r "$directory/.version" ]; then say unread "$directory/.version"
        elif read -r version <"$directory/.version" || [ -n "$version" ]; then
            say pointer "$version"
        fi
    fi
    if [ -L "$directory/current" ]; then say current "$(readlink "$directory/current")"; fi
    if [ -z "$version" ] && [ -L "$directory/current" ]; then version=current; fi
    if [ -n "$version" ] && [ -f "$directory/$version/control" ]; then say control "$version"; fi
    count=0
    for each in "$directory"/*; do
        count=$((count + 1))
        if [ "$count" -gt 20 ]; then say entry '...'; break; fi
        if [ -d "$each" ]; then say entry "${each##*/}/"
        elif [ -e "$each" ]; then say entry "${each##*/}"; fi
    done
    for each in /proc/[0-9]*; do
        if place=$(readlink "$each/cwd" 2>/dev/null); then
            program=$(readlink "$each/exe" 2>/dev/null)
            case "$place/" in "$directory"/*) say process "${each##*/} in $place"; continue ;; esac
            case "$program" in "$directory"/*) say process "${each##*/} $program" ;; esac
        fi
    done
    if [ "$(id -u)" != 0 ]; then say unread 'processes of other users'; fi
fi
say end .
"""
"""A key and a value a line; `end` last. Arguments: the product's directory and name."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What one node showed."""

    node: str
    said: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    problem: Problem | None = None
    """Why it could not be looked at, or not to the end."""

    def one(self, key: str) -> str:
        """The first value of a key, or nothing."""
        return next(iter(self.said.get(key, ())), "")

    @property
    def has_unit(self) -> bool:
        """Whether systemd knows a unit of the product's name."""
        return "LoadState=loaded" in self.said.get("unit", ())


async def glance(link: Link, directory: str, product: str, pythons: tuple[str, ...]) -> Glance:
    """Look at a node; what goes wrong is part of the answer."""
    found: dict[str, list[str]] = {}
    script = _SCRIPT.replace("PYTHONS", " ".join(pythons))
    try:
        await link.prepare()
        async with (
            asyncio.timeout(_SECONDS),
            link.open(["sh", "-c", script, "liftlock", directory, product]) as channel,
        ):
            await channel.close_input()
            for _ in range(_MOST_LINES):
                raw = await channel.line()
                if not raw:
                    break
                key, _, value = raw.decode("utf-8", "replace").strip().partition(" ")
                found.setdefault(key, []).append(line(value, _MOST_LETTERS))
    except LinkFailed as error:
        return Glance(link.node, problem=error.problem)
    except TimeoutError:
        problem = Problem("timeout", f"{link.node}: no end of a first look within {_SECONDS:g} s")
        return Glance(link.node, problem=problem)
    said = MappingProxyType({key: tuple(values) for key, values in found.items()})
    if "end" not in said:
        problem = Problem("no-end", f"{link.node}: the first look broke off")
        return Glance(link.node, said, problem)
    return Glance(link.node, said)
