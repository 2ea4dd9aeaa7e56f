"""What tests see of a demo from outside: its files, its services, its SSH servers."""

import json
import os
import socket
import tomllib
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any

import asyncssh

from backends.demo.cluster import Demo

TODAY = date(2026, 11, 20)


@asynccontextmanager
async def running(demo: Demo) -> AsyncIterator[Demo]:
    """The demo, from its start to its end."""
    await demo.start()
    try:
        yield demo
    finally:
        await demo.stop()


def nodes_in(cluster_file: Path) -> dict[str, dict[str, Any]]:
    """The lines of [nodes]."""
    found: dict[str, dict[str, Any]] = tomllib.loads(cluster_file.read_text())["nodes"]
    return found


def ports_in(cluster_file: Path) -> list[int]:
    """All ports: of SSH and of the services."""
    nodes = nodes_in(cluster_file).values()
    return [port for node in nodes for port in (node["port"], node["vars"]["port"])]


def answers(demo: Demo) -> dict[str, str]:
    """The version that each node's service says; nothing for one that does not listen."""
    found = {}
    for name, node in nodes_in(demo.cluster_file).items():
        url = f"http://127.0.0.1:{node['vars']['port']}/health"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                found[name] = str(json.load(answer)["version"])
        except urllib.error.URLError:
            continue
    return found


def is_listening(port: int) -> bool:
    """Whether somebody answers on loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def listens_here(port: int) -> bool:
    """Whether this process listens there; a stranger may, as soon as nobody does."""
    ours = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that reads this directory
            ours.add(os.readlink(path))
    sockets = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(
        f"socket:[{fields[9]}]" in ours
        for fields in sockets
        if fields[3] == "0A" and fields[1].endswith(f":{port:04X}")
    )


async def connect(demo: Demo, name: str) -> asyncssh.SSHClientConnection:
    """Log in with nothing but the demo's own ssh_config."""
    return await asyncssh.connect(name, config=[str(demo.directory / "ssh_config")])
