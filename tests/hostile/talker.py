"""What a hostile node has for a `python3`: it speaks as the updater does, and then does not stop.

    python3 -m tests.hostile.talker MODE_FILE REAL_PYTHON ARGUMENTS...

The mode is read when it starts: `quiet` is the real updater, `facts` and `beats` say the first
such message of the real one again and again, `zeros` one endless line, `lines` nonsense in lines,
`complaints` the same on standard error. `texts N` is the real updater with every text that is for
people replaced by the next one of the corpus, from the N-th on.
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from backends.node import wire
from tests.hostile.texts import corpus


def main(mode_file: str, python: str, *words: str) -> None:
    """Speak, until nobody listens."""
    with open(mode_file) as stream:
        mode = stream.read().strip()
    if mode == "quiet":
        os.execv(python, [python, *words])
    if mode.startswith("texts"):
        says_otherwise([python, *words], itertools.cycle(corpus()[int(mode.split()[1]) :]))
        return
    if mode in ("facts", "beats"):
        updater = subprocess.Popen([python, *words], stdout=subprocess.PIPE)
        assert updater.stdout is not None
        wanted = {"facts": b'"t":"facts"', "beats": b'"t":"beat"'}[mode]
        for line in updater.stdout:
            says(1, line)
            if wanted in line:
                says(1, line * 100, for_ever=True)
    says(2 if mode == "complaints" else 1, SAID[mode], for_ever=True)


def says_otherwise(words: list[str], texts: Iterator[str]) -> None:
    """Relay what the real updater says, with other texts in it."""

    def changed(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: changed(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [changed(each, key) for each in value]
        return next(texts) if isinstance(value, str) and key not in KEPT else value

    updater = subprocess.Popen(words, stdout=subprocess.PIPE)
    assert updater.stdout is not None
    for line in updater.stdout:
        says(1, wire.encode(changed(json.loads(line))))


KEPT = frozenset(
    ("t", "schema", "state", "outcome", "health", "service", "level", "result", "kind", "phase")
)
"""Words of the protocol: with others in their place, all of the message is refused."""

SAID = {"zeros": bytes(65536), "lines": b"y\n" * 32768, "complaints": b"it hurts\n" * 8192}


def says(fd: int, data: bytes, for_ever: bool = False) -> None:
    """Write all of it."""
    while True:
        left = data
        while left:
            left = left[os.write(fd, left) :]
        if not for_ever:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
