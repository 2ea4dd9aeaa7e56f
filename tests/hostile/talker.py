"""What a hostile node has for a `python3`: it speaks as the updater does, and then does not stop.

    python3 talker.py MODE_FILE REAL_PYTHON ARGUMENTS...

The mode is read when it starts: `quiet` is the real updater, `facts` and `beats` say the first
such message of the real one again and again, `zeros` one endless line, `lines` nonsense in lines,
`complaints` the same on standard error.
"""

import os
import subprocess
import sys


def main(mode_file: str, python: str, *words: str) -> None:
    """Speak, until nobody listens."""
    with open(mode_file) as stream:
        mode = stream.read().strip()
    if mode == "quiet":
        os.execv(python, [python, *words])
    if mode in ("facts", "beats"):
        updater = subprocess.Popen([python, *words], stdout=subprocess.PIPE)
        assert updater.stdout is not None
        wanted = {"facts": b'"t":"facts"', "beats": b'"t":"beat"'}[mode]
        for line in updater.stdout:
            says(1, line)
            if wanted in line:
                says(1, line * 100, for_ever=True)
    says(2 if mode == "complaints" else 1, SAID[mode], for_ever=True)


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
