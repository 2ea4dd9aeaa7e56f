"""A real terminal: the program under tmux, with a server and a socket of its own."""

import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SECONDS = 60.0


class Terminal:
    """One window of a given size. What is typed comes from a keyboard, what is read is painted."""

    def __init__(self, top: Path, columns: int, lines: int) -> None:
        self._top = top
        self._socket = top / "tmux"
        self._size = (str(columns), str(lines))

    def runs(self, *words: str, folder: Path, environment: Mapping[str, str]) -> None:
        """Start a command; how it ended is said at its end."""
        settings = " ".join(f"{name}={shlex.quote(text)}" for name, text in environment.items())
        command = f"env {settings} {shlex.join(words)}; echo ended with $?; sleep 600"
        self._tmux(
            "new-session", "-d", "-x", self._size[0], "-y", self._size[1], "-c", str(folder),
            f"sh -c {shlex.quote(command)}",
        )  # fmt: skip

    def presses(self, *keys: str) -> None:
        """Press keys, by the names that tmux has for them."""
        for key in keys:
            self._tmux("send-keys", key)

    def types(self, text: str) -> None:
        """Type a text."""
        self._tmux("send-keys", "-l", text)

    @property
    def text(self) -> str:
        """What can be read."""
        return self._tmux("capture-pane", "-p")

    def sees(self, *texts: str, within: float = SECONDS) -> str:
        """Wait until all of these can be read."""
        give_up = time.monotonic() + within
        while True:
            shown = self.text
            if all(text in shown for text in texts):
                return shown
            assert time.monotonic() < give_up, f"{texts} was not seen:\n{shown}"
            time.sleep(0.1)

    def steps(self, then: str) -> None:
        """Press `n` when it has been there for a second, and wait for what the strip says then."""
        time.sleep(1.2)  # `n` is dead for a second after what it does has changed
        self.presses("n")
        self.sees(then)

    def process(self) -> int:
        """The process id of the shell in the window."""
        return int(self._tmux("display-message", "-p", "#{pane_pid}"))

    def close(self) -> None:
        """Close the window, and with it whatever still runs there."""
        subprocess.run([*self._command, "kill-server"], check=False, capture_output=True)

    @property
    def _command(self) -> list[str]:
        return ["tmux", "-S", str(self._socket), "-f", "/dev/null"]

    def _tmux(self, *words: str) -> str:
        environment = {**os.environ, "TERM": "xterm-256color"}
        environment.pop("TMUX", None)
        done = subprocess.run(
            [*self._command, *words], check=True, capture_output=True, text=True, env=environment
        )
        return done.stdout


@contextmanager
def terminal(top: Path, columns: int = 80, lines: int = 24) -> Iterator[Terminal]:
    """A terminal, closed whatever happened."""
    made = Terminal(top, columns, lines)
    try:
        yield made
    finally:
        made.close()
