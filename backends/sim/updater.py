"""One run of the updater on a simulated node: bytes in, wire lines out, `hello` first, `end` last.

What comes in is what a real node gets: the packed updater, then the request. The packed file is
held against its hash and then forgotten: here it is this package that answers.
"""

import traceback
from collections.abc import Callable, Generator
from typing import Any

from backends.node import wire
from backends.sim import commands
from backends.sim.call import Answering, Beat, Call, Intake
from backends.sim.content import sha256_of
from backends.sim.node import SimNode
from backends.sim.routine import Routine, Steps

_HEADER_BYTES = 128
_LIMIT = 16 << 20
_ENDS_UNREAD = ("watch", "journal")
"""Commands that end when nobody reads; the others finish what they were told."""


class Updater:
    """A child of the login that was reached."""

    def __init__(
        self,
        node: SimNode,
        say: Callable[[bytes], None],
        complain: Callable[[bytes], None],
        ended: Callable[[int], None],
    ) -> None:
        """Lines go to `say`, standard error to `complain`, the exit status to `ended`."""
        self._node = node
        self._say = say
        self._complain = complain
        self._ended = ended
        self._intake = Intake()
        self._command = ""
        self._call_now: Call | None = None
        self._routine = Routine(node.clock, self._steps())

    def feed(self, data: bytes) -> None:
        """Standard input."""
        self._intake.feed(data)
        self._routine.step()

    def end_input(self) -> None:
        """Nothing more comes on standard input."""
        self._intake.close()
        self._routine.step()

    @property
    def beat(self) -> Beat | None:
        """How the command says that it lives; None when it is over, or is one that does not."""
        return self._call_now.beat if self._call_now and not self._routine.is_over else None

    def hang_up(self) -> None:
        """Nobody reads any more, and nothing more comes."""
        self._say = self._complain = lambda data: None
        self._ended = lambda status: None
        if self._command in _ENDS_UNREAD:
            self._routine.stop()
        else:
            self.end_input()

    def _steps(self) -> Steps:
        updater = yield from self._receive()
        if updater is None:
            self._ended(1)
            return
        line = yield from self._intake.line()
        stays = True
        while stays:
            self._send(self._hello(updater))
            outcome, problem = yield from self._answer(line, updater)
            self._send({"t": "end", "outcome": outcome, "problem": problem})
            stays = self._call_now is not None and self._call_now.stays
            self._call_now, self._command = None, ""
            if stays:
                line = yield from self._intake.line()
                stays = bool(line)
        self._ended(0)

    def _answer(self, line: bytes, updater: str) -> Answering:
        try:
            call = self._call(line, updater)
        except (wire.WireError, KeyError, TypeError, AttributeError) as error:
            said = str(error)
            return "refused", wire.problem("protocol-mismatch", "this is no request", said)
        call.wake = self._routine.wake
        self._command = call.command
        self._call_now = call
        try:
            return (yield from commands.run(call))
        except (KeyError, TypeError, ValueError, AttributeError):
            text = traceback.format_exc()[-8000:]
            return "failed", wire.problem("updater-defect", "the updater failed", text)

    def _receive(self) -> Generator[None, None, str | None]:
        """Take the packed updater; its SHA-256, or None when it is not what was announced."""
        header = yield from self._intake.line(_HEADER_BYTES)
        words = header.decode("ascii", "replace").split()
        if len(words) != 3 or words[0] != "LIFTLOCK" or not words[1].isdigit():
            self._refuse("no updater on standard input")
            return None
        if int(words[1]) > _LIMIT:
            self._refuse(f"an updater of {words[1]} bytes")
            return None
        content = yield from self._intake.exactly(int(words[1]))
        if len(content) < int(words[1]):
            self._refuse(f"standard input ended after {len(content)} bytes")
            return None
        if sha256_of(content) != words[2]:
            self._refuse("the updater was changed on the way")
            return None
        return words[2]

    def _refuse(self, text: str) -> None:
        self._complain(f"liftlock: {text}\n".encode())

    def _call(self, line: bytes, updater: str) -> Call:
        request = wire.decode(line)
        if request.get("protocol") != wire.PROTOCOL:
            found = request.get("protocol")
            raise wire.WireError(f"protocol {found!r}, this is {wire.PROTOCOL}")
        if request.get("command") not in wire.COMMANDS:
            raise wire.WireError(f"no such command: {request.get('command')!r}")
        return Call(self._node, request, self._intake, self._send, updater)

    def _send(self, message: dict[str, Any]) -> None:
        self._say(wire.encode(message))

    def _hello(self, updater: str) -> dict[str, Any]:
        return {
            "t": "hello",
            "protocol": wire.PROTOCOL,
            "schema": wire.SCHEMA,
            "updater": updater,
            "python": self._node.python,
            "boot_id": self._node.boot_id,
            "user": self._node.user,
        }
