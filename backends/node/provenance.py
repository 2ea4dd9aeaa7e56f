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
    names_in,
    read_json,
    remove_any,
    write_file,
    write_json,
)

_SECONDS = 20.0
_SHELL = 'exec "$0" -Y verify -f "$1" -I signer -n "$2" -s "$3" <"$4"'
_TOO_OLD = ("unknown option", "illegal option", "invalid option", "usage:")


def keep(places: Places, args: Dict[str, Any], manifest: bytes) -> None:
    """Keep manifest, signature and signer of a version that is being staged, durable.

    `args["signature"]` is `{armored, signer, by, key}`, or None: nobody vouches for it. It is
    over the release as it was packaged; configuration from elsewhere is the operator's word.
    """
    folder = places.provenance(args["version"])
    make_directories(folder)
    signature = args.get("signature") or {}
    files: Dict[str, bytes] = {}
    if signature:
        files["manifest"] = manifest
        files["signature"] = signature["armored"].encode("utf-8")
        files["signer"] = signature["signer"].encode("utf-8") + b"\n"
    # One by one: of the version that is final, this is said at any moment.
    for name in sorted(files):
        write_file(_in(folder, name), files[name])
    write_json(
        _in(folder, "about.json"),
        {
            "by": signature.get("by", ""),
            "key": signature.get("key", ""),
            "imported": args.get("imported", ""),
            "packaged": packaged(args),
        },
    )
    for name in names_in(folder):
        if name not in files and name != "about.json":
            remove_any(_in(folder, name))


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


def packaged(record: Dict[str, Any]) -> Optional[str]:
    """The digest of a content as the release has it that it came in; None: it came in none.

    It is the content's own, `digest`, where no configuration from elsewhere was put into it.
    """
    found: Optional[str] = record.get("packaged", record.get("digest"))
    return found


def is_same_release(one: Dict[str, Any], other: Dict[str, Any]) -> bool:
    """Whether both contents came in the same release, whatever was put into them."""
    return packaged(one) is not None and packaged(one) == packaged(other)


def check(places: Places, version: str, record: Dict[str, Any]) -> Tuple[str, str]:
    """The row of the check phase, of a content that is recorded: result and evidence."""
    said = about(places, version)
    if said is None or packaged(said) != packaged(record):
        return "refused", "nothing is known of where %s comes from" % version
    more = "; imported from %s" % said["imported"] if said["imported"] else ""
    if record["digest"] != packaged(record):
        more += "; the configuration that was put into it is signed by nobody"
    if not said["by"]:
        return "warn", "NOT SIGNED; the cluster file allows it" + more
    by = "%s, %s" % (said["by"], said["key"])
    program = shutil.which("ssh-keygen", path=processes.SAFE_PATH)
    if program is None:
        return "ok", "%s, verified by the operator's side; no ssh-keygen here%s" % (by, more)
    ran = processes.run(_command(program, places.provenance(version)), _SECONDS)
    if ran.status == 0:
        return "ok", "%s, verified again here%s" % (by, more)
    if any(words in ran.text.lower() for words in _TOO_OLD):
        return "ok", "%s, verified by the operator's side; ssh-keygen here is too old%s" % (
            by,
            more,
        )
    return "refused", "the signature of %s does not hold here: %s" % (by, ran.said())


def _command(program: str, folder: str) -> List[str]:
    files = [_in(folder, name) for name in ("signer", "signature", "manifest")]
    return ["/bin/sh", "-c", _SHELL, program, files[0], wire.RELEASE_NAMESPACE, files[1], files[2]]


def _in(folder: str, name: str) -> str:
    return os.path.join(folder, name)
