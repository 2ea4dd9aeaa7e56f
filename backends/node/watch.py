"""One long-lived look at this node: a line when something changed, and a heart beat otherwise.

The file system is read every half second, service and health more rarely. It ends by itself when
nobody reads any more. It writes nothing on the node.

A beat says that the link and the updater live; how old the facts are is its `looked`.
"""

import os
import select
import signal
import threading
import time
from types import FrameType
from typing import Any, BinaryIO, Callable, Dict, List, Optional, Tuple

from backends.node import clock, drift, locks, processes, standing, transaction
from backends.node.facts import Facts, Reader
from backends.node.journal import JournalDamaged, frame, scan
from backends.node.wire import WireError

QUICK_SECONDS = 0.5

_BUSY = ("installing", "monitoring", "rolling_back", "finalizing")
"""States in which somebody waits for this node: it beats faster, and is looked at more often."""

_LEAVE_SECONDS = 2.0
"""How long the main thread may take to end when nobody reads; then it is ended."""

Send = Callable[[Dict[str, Any]], None]


class Watcher:
    """Remembers what was said, so that only changes are sent."""

    def __init__(self, reader: Reader, args: Dict[str, Any], voice: "Voice") -> None:
        self._reader = reader
        self._voice = voice
        self._slow = float(args["slow"])
        self._patrol = drift.Patrol(reader.layout, float(args["verify_every"]))
        self._said: Optional[Facts] = None
        self._slow_facts: Facts = {}
        self._slow_at = 0.0
        self._asked_about: Any = None
        self._tail = _Tail(_journal_of(reader))

    def look(self) -> None:
        """Read once; send what is new."""
        now = clock.since_boot()
        journal = self._voice.journal()
        found = self._reader.quick()
        about = (found["selected"], found["state"])
        self._patrol.look(found)
        if self._voice.journal() != journal:
            self._patrol.forget()  # an upgrade began meanwhile
        found["drift"] = self._patrol.found
        busy = found["state"] in _BUSY
        self._voice.heed(busy, journal)
        slow = min(self._slow, 1.0) if busy else self._slow
        if not self._slow_facts or now >= self._slow_at + slow or about != self._asked_about:
            self._slow_facts = self._reader.slow(found["selected"])
            self._slow_at = now
            self._asked_about = about
        found.update(self._slow_facts)
        for record in self._tail.fresh():
            self._voice.say({"t": "record", "record": record})
        if self._said is None or _stable(found) != _stable(self._said):
            self._said = found
            self._voice.say_in_time(dict(found, t="facts"))
        self._voice.has_looked()


class Voice:
    """All that a watch says, line by line, and by itself a beat whenever it was silent for long.

    The beats come from a thread, so that they come also while a check hangs. The looks stay in
    the main thread, because probes use signals. The thread reads one inode and says a line; it
    neither forks nor asks the product.

    A line said `in time` tells with `every` how long it may be silent behind it. That is a
    promise: when the interval grows, the next line still comes as soon as the last one told.
    """

    def __init__(self, reader: Reader, args: Dict[str, Any], send: Send) -> None:
        self._send = send
        self._beat = float(args["beat"])
        self._busy_beat = float(args.get("busy_beat") or self._beat)
        self._path = _journal_of(reader)
        self._heeded: Tuple[bool, Any] = (False, None)
        self._told = self._beat
        self._spoke_at = clock.since_boot()
        self._looked_at: Optional[float] = None
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, name="beats", daemon=True)

    def __enter__(self) -> "Voice":
        self._before = signal.signal(signal.SIGHUP, _leave)
        # Signals are for the main thread: one that another thread gets does not wake it.
        ours = signal.pthread_sigmask(
            signal.SIG_BLOCK, [signal.SIGALRM, signal.SIGHUP, signal.SIGINT]
        )
        self._thread.start()
        signal.pthread_sigmask(signal.SIG_SETMASK, ours)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._over.set()
        self._thread.join()  # `end` is said by others: nothing may be said beside it
        signal.signal(signal.SIGHUP, self._before)

    def say(self, message: Dict[str, Any]) -> None:
        """Send one message."""
        with self._lock:
            self._say(message)

    def say_in_time(self, message: Dict[str, Any]) -> None:
        """Send one message that says how long it may be silent behind it."""
        every = self._every()
        with self._lock:
            self._say(dict(message, every=every))
            self._told = every

    def journal(self) -> Any:
        """Which journal of an open transaction there is, and how long it is; None without one."""
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_ino, found.st_size

    def heed(self, busy: bool, journal: Any) -> None:
        """What a look found, and the journal as it was just before that."""
        self._heeded = (busy, journal)

    def has_looked(self) -> None:
        """A look is complete: what was said last is still so."""
        self._looked_at = clock.since_boot()

    def _every(self) -> float:
        """The interval in force.

        A journal that began or grew since the newest look is work, until a look says otherwise:
        a look may take as long as a check hangs, and a trial may begin meanwhile.
        """
        busy, known = self._heeded
        return self._busy_beat if busy or self.journal() not in (None, known) else self._beat

    def _say(self, message: Dict[str, Any]) -> None:
        self._send(message)
        self._spoke_at = clock.since_boot()

    def _live(self) -> None:
        try:
            while not self._over.wait(self._beat_if_due()):
                if _nobody_reads():
                    break
        except OSError:
            pass  # the pipe was closed while we wrote
        if self._over.is_set():
            return
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGHUP)
        if not self._over.wait(_LEAVE_SECONDS):
            _leave()  # the kernel does not let the main thread go

    def _beat_if_due(self) -> float:
        """Beat if it is time, also when it must be told that beats come faster now.

        Returns how long to sleep.
        """
        every = self._every()
        with self._lock:
            now = clock.since_boot()
            left = self._spoke_at + min(every, self._told) - now
            if left <= 0 or every < self._told:
                looked = None if self._looked_at is None else round(now - self._looked_at, 3)
                self._say({"t": "beat", "bt": round(now, 3), "every": every, "looked": looked})
                self._told = left = every
        return max(0.01, min(left, QUICK_SECONDS))


def _leave(number: int = 0, frame: Optional[FrameType] = None) -> None:
    """Nobody reads any more: end at once, and with us the command that a check waits for.

    Without that it would outlive its limit, because only we count it. As a signal's handler this
    runs in the main thread, which so starts no further one.
    """
    try:
        for pid in _children():
            processes.kill_group(pid)
    finally:
        os._exit(1)


def _children() -> List[int]:
    """The commands that we wait for; each has a group of its own."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open("/proc/%d/stat" % int(name), "rb") as stream:
                parent = int(stream.read().rsplit(b") ", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # no process, or gone
        if parent == os.getpid():
            found.append(int(name))
    return found


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
    with Voice(reader, args, send) as voice:
        watcher = Watcher(reader, args, voice)
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


def _journal_of(reader: Reader) -> str:
    return os.path.join(reader.places.active, "journal")


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
        return _journal_of(reader)
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
