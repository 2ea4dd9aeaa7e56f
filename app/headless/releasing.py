"""Releases: built, and shown."""

import json
from pathlib import Path

from app.headless.say import out, talk
from backends.domain.problem import Exit
from backends.releases.build import build as build_release
from backends.releases.read import open_release, show, verify_tarball


def build(directory: Path, name: str, version: str, target: Path, *, as_json: bool) -> int:
    """Pack a directory into a release: tarball and manifest, the same bytes every time."""
    built = build_release(directory, name, version, target)
    if as_json:
        found = {
            "schema": "liftlock.built/1",
            "tarball": str(built.tarball),
            "manifest": str(built.manifest),
            "digest": built.digest,
        }
        out([json.dumps(found, sort_keys=True)])
    else:
        out([str(built.tarball), str(built.manifest)])
        talk([f"content {built.digest}", "unsigned: this version cannot sign yet"])
    return Exit.OK


def display(path: Path, *, as_json: bool) -> int:
    """Show what a release is, after its bytes were held against its manifest."""
    release = open_release(path)
    verify_tarball(release)
    found = show(release)
    if as_json:
        out([json.dumps(found, sort_keys=True)])
        return Exit.OK
    counts = found["counts"]
    lines = [
        f"{found['name']} {found['version']}  (sequence {found['sequence']})",
        f"  created    {found['created']}, expires {found['expires'] or 'never'}",
        f"  content    {found['digest']}",
        f"  tarball    {found['tarball']['size']} bytes, as the manifest says",
        f"  holds      {counts['file']} files, {counts['dir']} directories, "
        f"{counts['link']} links: {found['total_bytes']} bytes unpacked",
        f"  from       {'any version' if found['from'] == '*' else ', '.join(found['from'])}",
        f"  needs      Python {found['needs']['python']}, arch {found['arch']}",
        f"  signature  {'there, not verified here' if found['has_signature'] else 'none'}",
    ]
    lines += [f"  does not come back on roll back: {text}" for text in found["irreversible"]]
    lines += [
        f"  {entry['mode']:04o} {entry['size']:>10}  {entry['path']}" for entry in found["files"]
    ]
    out(lines)
    return Exit.OK
