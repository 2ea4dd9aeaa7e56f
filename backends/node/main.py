"""The updater's entry: one request line in, lines out, `hello` first and `end` last.

Whoever reads no `end` knows nothing: neither success nor failure. After a question that says
`"stay"` the updater waits for the next one: to start it costs more than most answers do.
"""

import errno
import hashlib
import io
import os
import select
import sys
import traceback
from functools import partial
from typing import Any, BinaryIO, Callable, Dict, Optional, Sequence

from backends.node import clock, commands, detach, images, transaction, wire
from backends.node.call import Call, Send
from backends.node.journal import AppendFailed, JournalDamaged
from backends.node.places import write_all

_FULL = (errno.ENOSPC, errno.EDQUOT)


def main(payload: bytes, words: Sequence[str] = ()) -> int:
    """Serve what standard input asks for; the exit code is 0 when each `end` was written.

    With `words` there is no operator: `drive` is a driver in a unit of its own, with its order on
    standard input; `tick STATE_DIR PRODUCT` and `boot STATE_DIR PRODUCT` are the second layer.
    """
    os.umask(0o077)
    if words:
        return _by_itself(payload, words)
    source = os.fdopen(0, "rb", buffering=65536, closefd=False)

    def send(message: Dict[str, Any]) -> None:
        write_all(1, wire.encode(message))

    updater = hashlib.sha256(payload).hexdigest()
    line = source.readline(wire.MAX_LINE + 1)
    try:
        while _is_to_stay(line):
            commands.load(str(wire.decode(line)["command"]))  # once, for all answers that follow
            if not _served_apart(partial(_serve, line, source, send, payload, updater)):
                return 1
            if not select.select([0], [], [], wire.STAY_SECONDS)[0]:
                return 0
            line = source.readline(wire.MAX_LINE + 1)
            if not line:
                return 0
        _serve(line, source, send, payload, updater)
    except BrokenPipeError:
        return 1  # nobody reads any more; a driver, if one was started, goes on by itself
    return 0


def _is_to_stay(line: bytes) -> bool:
    try:
        request = wire.decode(line)
    except wire.WireError:
        return False
    return request.get("stay") is True and request.get("command") in wire.STAYING


def _served_apart(serve: Callable[[], None]) -> bool:
    """Answer in a process of its own, as each request has one: no answer sees what another left.

    Whether it came to its end; if not, nobody may take the next answer for this one.
    """
    child = os.fork()
    if child == 0:
        try:
            serve()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def _by_itself(payload: bytes, words: Sequence[str]) -> int:
    from backends.node import drivers, tick

    updater = hashlib.sha256(payload).hexdigest()
    if words[0] in ("tick", "boot") and len(words) == 3:
        try:
            tick.run(words[0], words[1], words[2], payload, updater)
        except (JournalDamaged, wire.WireError) as error:
            sys.stderr.write("nothing was touched: %s\n" % error)
            return 1
        return 0
    if list(words) != ["drive"]:
        sys.stderr.write("liftlock: drive | tick STATE_DIR PRODUCT | boot STATE_DIR PRODUCT\n")
        return 2
    with os.fdopen(0, "rb", closefd=False) as source:
        order = wire.decode(source.readline(wire.MAX_LINE + 1))
    call = Call(order["request"], io.BytesIO(), lambda message: None, payload, updater)
    detach.driven(lambda report: drivers.drive(call, order, report))
    return 0


def _serve(line: bytes, source: BinaryIO, send: Send, payload: bytes, updater: str) -> None:
    try:
        request = wire.decode(line)
        if request.get("protocol") != wire.PROTOCOL:
            raise wire.WireError(
                "protocol %r, this is %d" % (request.get("protocol"), wire.PROTOCOL)
            )
        if request.get("command") not in wire.COMMANDS:
            raise wire.WireError("no such command: %r" % (request.get("command"),))
        call = Call(request, source, send, payload, updater)
    except (wire.WireError, KeyError, TypeError, AttributeError) as error:
        send(_hello(updater))
        send(_end("refused", wire.problem("protocol-mismatch", "this is no request", str(error))))
        return
    _hand_over(call, line)
    send(_hello(updater))
    _note(call, "begins")
    try:
        outcome, problem = commands.run(call)
    except BrokenPipeError:
        raise
    except OSError as error:
        outcome, problem = "failed", _storage(error)
    except AppendFailed as error:
        cause = error.__cause__
        known = cause if isinstance(cause, OSError) else OSError(str(error))
        outcome, problem = "failed", _storage(known)
    except Exception:  # the border: answered whole, with its trace, never lost
        text = traceback.format_exc()[-8000:]
        outcome, problem = "failed", wire.problem("updater-defect", "the updater failed", text)
    _note(call, outcome + (" (%s)" % problem["code"] if problem else ""))
    send(_end(outcome, problem))


def _note(call: Call, text: str) -> None:
    """What was asked by whom, and what came of it, in the node's log; looking leaves no trace."""
    said = wire.request_of(call.args)
    if not said or call.command in wire.READ_ONLY or call.args.get("preview"):
        return
    if call.command == "check" and not call.args.get("run"):
        return  # what belongs to no run only looks
    if os.path.isdir(call.places.home):
        by, run = call.args.get("operator"), call.args.get("run") or "-"
        about = (said["request"], call.command, run, by, text)
        detach.say_in_log(call.places, "request %s: %s, run %s, of %s: %s" % about)


def _hand_over(call: Call, line: bytes) -> None:
    """An open transaction is always driven by the updater that began it: become that one."""
    if call.command in wire.READ_ONLY or call.command in ("stage", "check", "verify"):
        return
    if call.args.get("preview"):
        return  # an older one may not know the word, and would do it
    try:
        opened = transaction.load(call.places)
    except (JournalDamaged, wire.WireError, OSError):
        return  # the command itself reports it
    if opened is None:
        return
    opened.close()
    other = os.path.join(call.places.updaters, "%s.pyz" % opened.plan["updater"])
    if opened.plan["updater"] == call.updater or not _is_whole(other, opened.plan["updater"]):
        return
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            write_all(writing, line)
        finally:
            os._exit(0)
    os.close(writing)
    os.dup2(reading, 0)
    os.execv(  # noqa: S606 - no shell is the point
        sys.executable, [sys.executable, "-I", "-S", "-B", other]
    )


def _is_whole(path: str, sha256: str) -> bool:
    """Whether the stored updater is there, and is the one that its name says."""
    return os.path.exists(path) and images.hash_file(path) == sha256


def _storage(error: OSError) -> Dict[str, str]:
    code = "disk-full" if error.errno in _FULL else "node-storage"
    advice = "make room on the node, then start again" if code == "disk-full" else ""
    return wire.problem(code, "the node's storage said no", str(error), advice)


def _hello(updater: str) -> Dict[str, Any]:
    return {
        "t": "hello",
        "protocol": wire.PROTOCOL,
        "schema": wire.SCHEMA,
        "updater": updater,
        "python": "%d.%d.%d" % sys.version_info[:3],
        "boot_id": clock.boot_id(),
        "user": os.geteuid(),
    }


def _end(outcome: str, problem: Optional[Dict[str, str]]) -> Dict[str, Any]:
    return {"t": "end", "outcome": outcome, "problem": problem}
