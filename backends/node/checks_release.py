"""The rows about the release itself: is it for this machine, and may it come after what was here?

Source: reliability requirements N7, N8; promise P13; TUF's attacks in the notes on reliability.
"""

import os
import re
from typing import List, Set

from backends.node import processes
from backends.node.checks_order import Answer, Order

_SAME = (
    {"x86_64", "amd64"},
    {"aarch64", "arm64"},
    {"i386", "i486", "i586", "i686", "386", "x86"},
    {"armv7l", "armv7", "armhf"},
    {"armv6l", "armv6"},
    {"ppc64le", "ppc64el"},
)
"""Names of one architecture: the kernel's first, then those of Debian, Go and vendors."""

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_LDCONFIG_SECONDS = 10.0
_DAY_SECONDS = 86_400.0


def architecture(order: Order) -> Answer:
    """Whether the release was built for this machine (TUF's wrong software)."""
    here, wanted = os.uname().machine, str(order.release.get("arch", "any"))
    if wanted == "any" or wanted in _names_of(here):
        return "ok", "%s here, the release is for %s" % (here, wanted)
    return "refused", "this machine is %s, the release is for %s" % (here, wanted)


def libraries(order: Order) -> Answer:
    """Shared libraries that the release needs and that nobody finds on this node."""
    wanted = [str(name) for name in order.release.get("libraries", [])]
    known = _known_libraries() if wanted else set()
    missing = [name for name in wanted if name not in known]
    if missing:
        return "refused", "not on this node: %s" % ", ".join(missing)
    return "ok", ", ".join(wanted) or "none needed"


def sequence(order: Order) -> Answer:
    """No silent downgrade below what was finalized here (P13), no leap that shuts out the next.

    A sequence that grows by itself comes from a clock, so that one of the future is a leap
    (TUF's fast-forward).
    """
    floor = read_floor(order.places.floor)
    if not order.release:
        return "ok", "no release is asked about; %d was finalized here" % floor
    found = int(order.release["sequence"])
    now, downgrade = float(order.args["now"]), str(order.args.get("downgrade", ""))
    if found > now + _DAY_SECONDS:
        return "refused", (
            "sequence %d lies in the future: no later release could follow it here" % found
        )
    if floor < 0:
        return "ok", "sequence %d, nothing was finalized here yet" % found
    if found >= floor:
        return "ok", "sequence %d, %d was finalized here" % (found, floor)
    if downgrade:
        return "warn", "DOWNGRADE: sequence %d is older than %d; because: %s" % (
            found,
            floor,
            downgrade,
        )
    return "refused", (
        "sequence %d is older than %d, which was finalized here; if that is meant, say why: "
        "--downgrade REASON" % (found, floor)
    )


def read_floor(path: str) -> int:
    """The highest sequence that was finalized on this node; -1 for none.

    Raises:
        ValueError: There is a record, and it is no number: then nothing is known.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read(64)
    except FileNotFoundError:
        return -1
    if not re.match(rb"-?[0-9]{1,20}\n\Z", content):
        raise ValueError("%s is no number: %r" % (path, content))
    return int(content)


def _names_of(machine: str) -> Set[str]:
    for names in _SAME:
        if machine in names:
            return names
    return {machine}


def _known_libraries() -> Set[str]:
    """Names of libraries in the loader's cache and in the usual directories."""
    ran = processes.run(["/sbin/ldconfig", "-p"], _LDCONFIG_SECONDS)
    known = set(re.findall(r"^\s+(\S+) \(", ran.text, re.MULTILINE)) if ran.status == 0 else set()
    for top in _LIBRARIES:
        for folder in (top, *_inside(top)):
            if os.path.isdir(folder):
                known.update(name for name in os.listdir(folder) if ".so" in name)
    return known


def _inside(top: str) -> List[str]:
    """Directories for one architecture, such as /usr/lib/x86_64-linux-gnu."""
    if not os.path.isdir(top):
        return []
    return [os.path.join(top, name) for name in os.listdir(top) if "-linux-" in name]
