"""One long-lived look at this node: a line when something changed, and a heart beat otherwise.

The file system is read every half second, service and health more rarely. It ends by itself when
nobody reads any more. It writes nothing on the node.
"""

import os
import select
import time
from typing import Any, BinaryIO, Callable, Dict, List, Optional, Tuple

from backends.node import clock, locks, standing, transaction
from backends.node.facts import Facts, Reader
from backends.node.journal import JournalDamaged, frame, scan
from backends.node.wire import WireError

QUICK_SECONDS = 0.5

Send = Callable[[Dict[str, Any]], None]


class Watcher:
    """Remembers what was said, so that only changes are sent."""

    def __init__(self, reader: Reader, args: Dict[str, Any], send: Send) -> None:
        self._reader = reader
        self._send = send
        self._beat = float(args["beat"])
        self._slow = float(args["slow"])
        self._said: Optional[Facts] = None
        self._slow_facts: Facts = {}
        self._slow_at = 0.0
        self._asked_about: Any = None
        self._spoke_at = 0.0
        self._tail = _Tail(os.path.join(reader.places.active, "journal"))

    def look(self) -> None:
        """Read once; send what is new."""
        now = clock.since_boot()
        found = self._reader.quick()
        about = (found["selected"], found["state"])
        busy = found["state"] in ("installing", "monitoring", "rolling_back", "finalizing")
        slow = min(self._slow, 1.0) if busy else self._slow
        if not self._slow_facts or now >= self._slow_at + slow or about != self._asked_about:
            self._slow_facts = self._reader.slow(found["selected"])
            self._slow_at = now
            self._asked_about = about
        found.update(self._slow_facts)
        for record in self._tail.fresh():
            self._say({"t": "record", "record": record})
        if self._said is None or _stable(found) != _stable(self._said):
            self._said = found
            self._say(dict(found, t="facts"))
        elif now >= self._spoke_at + self._beat:
            self._say({"t": "beat", "bt": round(now, 3)})

    def _say(self, message: Dict[str, Any]) -> None:
        self._spoke_at = clock.since_boot()
        self._send(message)


class _Tail:
    """The records that an open transaction gets while we watch."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._inode = 0
        self._known = 0
        try:
            self._inode = os.stat(path).st_ino
            self._known = len(self._records())
        except (FileNotFoundError, JournalDamaged):
            self._known = 0  # the facts say what is wrong with it

    def fresh(self) -> List[Dict[str, Any]]:
        try:
            inode = os.stat(self._path).st_ino
            records = self._records()
        except (FileNotFoundError, JournalDamaged):
            return []
        if inode != self._inode:
            self._inode, self._known = inode, 0
        new = records[self._known :]
        self._known = len(records)
        return new

    def _records(self) -> List[Dict[str, Any]]:
        with open(self._path, "rb") as stream:
            return scan(stream.read()).records


def watch(reader: Reader, args: Dict[str, Any], send: Send) -> None:
    """Watch until standard output is closed."""
    watcher = Watcher(reader, args, send)
    while not _nobody_reads():
        watcher.look()
        time.sleep(QUICK_SECONDS)


def follow(reader: Reader, args: Dict[str, Any], send: Send) -> str:
    """Send a journal from a byte offset on; with `follow` until it comes to rest.

    The newest transaction is read unless `run` names one; `-` is the product's own journal. With
    `beat`, a beat is sent after so many seconds without a record: whoever follows knows then that
    it is the node that is silent, and not the link.
    Returns the outcome: ok, or failed when the driver died on the way.
    """
    opened = _open_journal(reader, args.get("run"))
    if opened is None:
        return "ok"
    offset = int(args.get("offset", 0))
    beat = args.get("beat")
    spoke = silent_since = time.monotonic()
    with opened as stream:
        while not _nobody_reads():
            stream.seek(0)
            found = scan(stream.read())
            for end, record in _with_ends(found.records):
                if end > offset:
                    offset = end
                    spoke = silent_since = time.monotonic()
                    send({"t": "record", "offset": end, "record": record})
            if not args.get("follow"):
                return "ok"
            rest = _at_rest(found.records)
            if rest is not None:
                return rest
            if time.monotonic() > silent_since + 2.0 and not _is_driven(reader):
                return "failed"
            if beat is not None and time.monotonic() > spoke + float(beat):
                spoke = time.monotonic()
                send({"t": "beat"})
            time.sleep(0.1)
    return "ok"


def _open_journal(reader: Reader, run: Optional[str]) -> Optional[BinaryIO]:
    while True:
        path = _journal_path(reader, run)
        if path is None:
            return None
        try:
            return open(path, "rb")
        except FileNotFoundError:
            if os.path.isdir(os.path.dirname(path)):
                raise
            # It was put away while we looked.


def _journal_path(reader: Reader, run: Optional[str]) -> Optional[str]:
    places = reader.places
    if run == "-":
        return places.journal if os.path.exists(places.journal) else None
    opened = _open_transaction(reader)
    if opened is not None and run in (None, opened):
        return os.path.join(places.active, "journal")
    if run is not None:
        path = os.path.join(places.done, os.path.basename(run), "journal")
        return path if os.path.exists(path) else None
    done = [os.path.join(places.done, name, "journal") for name in _names(places.done)]
    return max(filter(os.path.exists, done), key=os.path.getmtime, default=None)


def _open_transaction(reader: Reader) -> Optional[str]:
    try:
        opened = transaction.load(reader.places)
    except (WireError, JournalDamaged):
        return None
    if opened is None:
        return None
    opened.close()
    return opened.txn


def _names(path: str) -> List[str]:
    return os.listdir(path) if os.path.isdir(path) else []


def _is_driven(reader: Reader) -> bool:
    return locks.is_held(reader.places)


def _at_rest(records: List[Dict[str, Any]]) -> Optional[str]:
    """The outcome if nothing more will come by itself."""
    end = standing.last(records, "END")
    if end is not None:
        return str(end["outcome"])
    if records and records[-1]["t"] == "UNPROVEN":
        return "unproven"
    if standing.is_held(records) or standing.decision(records) == "ACCEPT":
        return "ok"
    return None


def _with_ends(records: List[Dict[str, Any]]) -> List[Tuple[int, Dict[str, Any]]]:
    ends = []
    offset = 0
    for record in records:
        offset += len(frame(record))
        ends.append((offset, record))
    return ends


def _stable(found: Facts) -> Facts:
    """The facts without what changes with every look."""
    same = dict(found)
    opened = same.get("transaction")
    if opened:
        same["transaction"] = dict(opened, seconds_left=None, last=None)
    return same


def _nobody_reads() -> bool:
    poll = select.poll()
    poll.register(1, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
