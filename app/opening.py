"""`liftlock [CLUSTER]`: the screen, where there is a terminal to show it on."""

import asyncio
import os
import signal
import sys
from contextlib import suppress

from app.application import LiftlockApp
from app.between.asking import Asking
from app.between.bridge import Bridge
from app.between.mailbox import Mailbox
from app.headless.say import talk
from app.session import open_session
from backends.domain.problem import Exit
from backends.engine.core import Core

_DUMB = ("", "dumb", "unknown")

_ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Whoever sends these wants us gone: the terminal is restored, and what runs is written down."""


def has_terminal() -> bool:
    """Whether a screen can be shown: started elsewhere, Textual would wait for ever."""
    # Textual reads from the first and paints on the last one.
    is_there = all(each.isatty() for each in (sys.stdin, sys.stdout, sys.stderr))
    return is_there and os.environ.get("TERM", "") not in _DUMB


def open_screen(cluster: str | None, *, product: str | None = None) -> int:
    """Show a cluster until the operator leaves; exit 130 when a run was left in the middle.

    Raises:
        LiftlockError: The files are missing or wrong (exit 2); nothing was shown or contacted.
    """
    mailbox = Mailbox()
    asking = Asking(mailbox.put)
    session = open_session(cluster, product=product, prompt=asking)
    bridge = Bridge(session, mailbox, asking)
    app = LiftlockApp(bridge, mailbox, asking)
    with Core() as core:
        living = bridge.open(core)
        try:
            asyncio.run(_shown(app))
        finally:
            bridge.leave()
            living.cancel()
            with suppress(asyncio.CancelledError):
                living.result()
    if app.return_code:
        return Exit.ERROR
    if not app.farewell:
        return Exit.OK
    tells = f"liftlock status {session.name} tells how it goes on."
    talk(["Left in the middle of a run.", *app.farewell, tells])
    return Exit.INTERRUPTED


async def _shown(app: LiftlockApp) -> None:
    loop = asyncio.get_running_loop()
    for number in _ENDING:
        loop.add_signal_handler(number, app.go)
    await app.run_async()
