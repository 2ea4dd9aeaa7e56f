"""Who vouches for a version on this node: kept as it came, and held against it again here.

The operator's side has verified the signature before anything was sent. Where this node has
OpenSSH's `ssh-keygen`, another program in another place does it a second time, over the bytes
that arrived. Source: reliability requirement N6.
"""

import os
import shutil
from typing import Any, Dict, List, Optional, Tuple

from backends.node import processes, wire
from backends.node.places import (
    Places,
    make_directories,
    read_json,
    remove_tree,
    write_file,
    write_json,
)

_SECONDS = 20.0
_SHELL = 'exec "$0" -Y verify -f "$1" -I signer -n "$2" -s "$3" <"$4"'
_TOO_OLD = ("unknown option", "illegal option", "invalid option", "usage:")


def keep(places: Places, args: Dict[str, Any], manifest: bytes) -> None:
    """Keep manifest, signature and signer of a version that is being staged, durable.

    `args["signature"]` is `{armored, signer, by, key}`, or None: nobody vouches for it.
    """
    folder = places.provenance(args["version"])
    remove_tree(folder)
    make_directories(folder)
    signature = args.get("signature") or {}
    if signature:
        write_file(_in(folder, "manifest"), manifest)
        write_file(_in(folder, "signature"), signature["armored"].encode("utf-8"))
        write_file(_in(folder, "signer"), signature["signer"].encode("utf-8") + b"\n")
    write_json(
        _in(folder, "about.json"),
        {
            "by": signature.get("by", ""),
            "key": signature.get("key", ""),
            "imported": args.get("imported", ""),
            "digest": args["digest"],
        },
    )


def about(places: Places, version: str) -> Optional[Dict[str, Any]]:
    """What was said of a version when it was staged; None when it came by other ways."""
    return read_json(_in(places.provenance(version), "about.json"))


def unsigned(places: Places, versions: List[str]) -> List[str]:
    """Those of the versions that came as releases and that nobody vouches for."""
    return [version for version in versions if _is_unsigned(places, version)]


def _is_unsigned(places: Places, version: str) -> bool:
    """What cannot be read vouches for nobody."""
    try:
        said = about(places, version)
    except (OSError, wire.WireError):
        return True
    return said is not None and not said.get("by")


def check(places: Places, args: Dict[str, Any]) -> Tuple[str, str]:
    """The row of the check phase: result and evidence."""
    said = about(places, args["version"])
    if said is None or said.get("digest") != args["digest"]:
        return "refused", "nothing is known of where %s comes from" % args["version"]
    imported = "; imported from %s" % said["imported"] if said["imported"] else ""
    if not said["by"]:
        return "warn", "NOT SIGNED; the cluster file allows it" + imported
    by = "%s, %s" % (said["by"], said["key"])
    program = shutil.which("ssh-keygen", path=processes.SAFE_PATH)
    if program is None:
        return "ok", "%s, verified by the operator's side; no ssh-keygen here%s" % (by, imported)
    ran = processes.run(_command(program, places.provenance(args["version"])), _SECONDS)
    if ran.status == 0:
        return "ok", "%s, verified again here%s" % (by, imported)
    if any(words in ran.text.lower() for words in _TOO_OLD):
        return "ok", "%s, verified by the operator's side; ssh-keygen here is too old%s" % (
            by,
            imported,
        )
    return "refused", "the signature of %s does not hold here: %s" % (by, ran.said())


def _command(program: str, folder: str) -> List[str]:
    files = [_in(folder, name) for name in ("signer", "signature", "manifest")]
    return ["/bin/sh", "-c", _SHELL, program, files[0], wire.RELEASE_NAMESPACE, files[1], files[2]]


def _in(folder: str, name: str) -> str:
    return os.path.join(folder, name)
