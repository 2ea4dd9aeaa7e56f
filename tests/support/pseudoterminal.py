"""A program on a pseudoterminal: all that it writes there, and keys pressed by their bytes."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping

COLUMNS, ROWS = 120, 40


class Pseudoterminal:
    """One command, its controlling terminal, and all that was written so far."""

    def __init__(self, *words: str, environment: Mapping[str, str] = os.environ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.written = bytearray()
        self._answered = 0
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={
                **environment,
                "TERM": "xterm-256color",
                "COLORTERM": "truecolor",
                "TEXTUAL_ANIMATIONS": "none",
            },
        )
        os.close(theirs)

    def __enter__(self) -> "Pseudoterminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self._ours)

    @property
    def screen(self) -> str:
        """All that was written, as text."""
        return self.written.decode(errors="replace")

    def presses(self, keys: bytes) -> None:
        """What a terminal sends when these are pressed."""
        os.write(self._ours, keys)

    def answers(self, question: str, words: str) -> None:
        """Wait for a question that came after the last answer, and type something."""
        self.sees(question.encode(), after=self._answered)
        self._answered = len(self.written)
        self.presses(words.encode() + b"\n")

    def sees(self, text: bytes, *, after: int = 0, seconds: float = 60.0) -> float:
        """Wait until this stands behind that place of what was written; how long it took."""
        return self.waits(lambda written: text in written, after=after, seconds=seconds)

    def waits(
        self, reached: Callable[[bytes], object], *, after: int = 0, seconds: float = 60.0
    ) -> float:
        """Wait until what was written behind that place is as wanted; how long it took."""
        began = time.monotonic()
        while not reached(bytes(self.written[after:])):
            left = began + seconds - time.monotonic()
            assert left > 0, f"it was not seen: {self.written[-3000:]!r}"
            assert self._read(left), f"it ended before: {self.written[-3000:]!r}"
        return time.monotonic() - began

    def passes(self, seconds: float) -> bool:
        """Read what it writes for so long; whether it still runs then."""
        give_up = time.monotonic() + seconds
        while (left := give_up - time.monotonic()) > 0:
            if not self._read(left):
                return False
        return True

    def ends(self, seconds: float = 60.0) -> int:
        """Wait for its end; the exit code."""
        give_up = time.monotonic() + seconds
        while self._read(give_up - time.monotonic()):
            assert time.monotonic() < give_up, f"it does not end: {self.written[-3000:]!r}"
        return self.process.wait(timeout=5.0)

    def _read(self, seconds: float) -> bool:
        """Read what there is within this time; whether anybody still has the terminal open."""
        if not select.select([self._ours], [], [], max(0.0, seconds))[0]:
            return True
        try:
            piece = os.read(self._ours, 65536)
        except OSError:  # EIO: that is how the end looks
            return False
        self.written += piece
        return bool(piece)
