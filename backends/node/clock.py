"""Time that a wrong clock cannot change: seconds since boot, and which boot it was."""

import time
from typing import Dict, Optional

_CLOCK_BOOTTIME = 7  # Linux; Python 3.6 has no name for it. It counts while suspended, too.


def since_boot() -> float:
    """Seconds since this boot, suspended time included."""
    return time.clock_gettime(_CLOCK_BOOTTIME)


def wall() -> float:
    """Seconds since 1970, for people only: no decision depends on it."""
    return time.time()


def boot_id() -> str:
    """Names this boot of the machine; another value means that everything was restarted."""
    with open("/proc/sys/kernel/random/boot_id") as stream:
        return stream.read().strip()


def stamp() -> Dict[str, object]:
    """The three times that every journal record carries."""
    return {"bt": round(since_boot(), 3), "bid": boot_id(), "wt": round(wall(), 3)}


def start_of(pid: int) -> Optional[str]:
    """When a process started (clock ticks since boot, as the kernel prints it), or None.

    With the pid this names a process for good: a pid that is used again has another start.
    """
    try:
        with open("/proc/%d/stat" % pid, "rb") as stream:
            text = stream.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    after_name = text[text.rindex(b")") + 2 :].split()
    if after_name[0] == b"Z":
        return None  # a zombie serves nobody
    return after_name[19].decode("ascii")
