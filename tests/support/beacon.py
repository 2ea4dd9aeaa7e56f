"""Releases of the demo's product, made by hand: the node tests do not depend on `releases`."""

import hashlib
import json
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

from backends.demo.ports import free_ports
from backends.node.canonical import configured, files_digest

_PRODUCT = files("backends.demo") / "product"
CREATED = 1_700_000_000

RELEASE = {
    "arch": "any",
    "sequence": CREATED,
    "python": "3.6",
    "commands": ["sh"],
    "libraries": ["libc.so.6"],
}
"""What a node is asked about before a release may come to it."""


class Beacon:
    """One version's content: path -> (mode, bytes)."""

    def __init__(
        self,
        version: str,
        *,
        sick: bool = False,
        more: dict[str, bytes] | None = None,
        fetched: dict[str, bytes] | None = None,
    ):
        """`fetched` is configuration from elsewhere, which comes with it: path -> bytes."""
        self.version = version
        self.fetched = fetched or {}
        self.content: dict[str, tuple[int, bytes]] = {
            "VERSION": (0o644, version.encode() + b"\n"),
            "beacon.py": (0o644, (_PRODUCT / "beacon.py").read_bytes()),
            "control": (0o755, (_PRODUCT / "control").read_bytes()),
        }
        if sick:
            self.content["sick"] = (0o644, b"yes\n")
        for name, data in (more or {}).items():
            self.content[name] = (0o644, data)

    @property
    def configuration(self) -> list[dict[str, Any]]:
        """What comes from elsewhere, as it is announced to the node."""
        return [
            {
                "path": name,
                "mode": 0o644,
                "size": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            for name, data in self.fetched.items()
        ]

    @property
    def files(self) -> list[dict[str, Any]]:
        """The list of what a node gets."""
        return configured(self.packaged_files, self.configuration)

    @property
    def packaged_files(self) -> list[dict[str, Any]]:
        """The manifest's list."""
        found: list[dict[str, Any]] = [
            {
                "path": name,
                "type": "file",
                "mode": mode,
                "size": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "target": None,
            }
            for name, (mode, data) in self.content.items()
        ]
        folders = {
            str(folder)
            for name in self.content
            for folder in PurePosixPath(name).parents
            if folder != PurePosixPath(".")
        }
        found += [
            {"path": name, "type": "dir", "mode": 0o755, "size": 0, "sha256": None, "target": None}
            for name in folders
        ]
        return sorted(found, key=lambda entry: str(entry["path"]))

    @property
    def digest(self) -> str:
        """The digest of what a node gets."""
        return files_digest(self.files)

    @property
    def packaged(self) -> str:
        """The digest of what is in the tarball."""
        return files_digest(self.packaged_files)

    @property
    def manifest(self) -> bytes:
        """What travels to the node."""
        return json.dumps(
            {
                "version": self.version,
                "created": "2026-11-14T22:13:20Z",
                "sequence": CREATED,
                "files": self.packaged_files,
            }
        ).encode()

    def blob(self, sha256: str) -> bytes:
        """The bytes of a blob."""
        for _, data in self.content.values():
            if hashlib.sha256(data).hexdigest() == sha256:
                return data
        raise KeyError(sha256)


def free_port() -> int:
    """A port that nobody listens on, and that Linux gives to no client by itself."""
    (found,) = free_ports(1)
    return found


def document(directory: str, port: int, lease: str, **changes: Any) -> dict[str, Any]:
    """What the operator's side sends about beacon on one node (see products.node_document)."""
    found: dict[str, Any] = {
        "name": "beacon",
        "directory": directory,
        "layout": "versions",
        "pointer": ".version",
        "keep": [],
        "config": [],
        "owner": "",
        "directories": [],
        "values": {"node": "n1", "address": "local", "role": "", "directory": directory},
        "service": {
            "kind": "control",
            "control": "control",
            "env": {"BEACON_PORT": str(port), "BEACON_LEASE": lease},
            "pid_file": "beacon.pid",
            "commands": None,
            "unit": None,
            "triggers": [],
            "script": None,
            "definition": None,
            "on_stop_timeout": "abort",
            "stop_timeout": 5.0,
            "start_timeout": 5.0,
            "request_timeout": 5.0,
            "log": "control tail",
        },
        "health": [
            {
                "name": "http-1",
                "kind": "http",
                "level": "hard",
                "timeout": 2.0,
                "url": f"http://127.0.0.1:{port}/health",
                "status": 200,
                "version_field": "version",
                "command": None,
                "address": None,
                "path": None,
                "package": None,
            }
        ],
        "check": {"parse": None, "directory": None, "timeout": 20.0, "contract": "exit"},
        "hooks": [],
        "data": {"directories": [], "old_can_read": None, "unattended": "keep", "timeout": 60.0},
        "facts": {"version": None},
        "named": {},
        "limits": {
            "healthy_deadline": 3.0,
            "min_healthy": 0.3,
            "accept_window": 10.0,
            "health_poll": 0.1,
            "max_restarts": 2,
            "max_flaps": 3,
            "install_step": 60.0,
        },
    }
    found.update(changes)
    return found
