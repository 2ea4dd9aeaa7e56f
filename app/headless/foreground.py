"""The terminal's side of the engine: this thread asks the questions, the engine does the work."""

import asyncio
import queue
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any, TypeVar

from backends.engine.core import Core

T = TypeVar("T")

_Calls = queue.SimpleQueue[Callable[[], None] | None]
_calls: ContextVar[_Calls] = ContextVar("calls into the foreground")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Have the engine do work, and answer what it asks until it is done.

    Ctrl-C ends the work first, so that it can say what goes on without it; a second one does not
    wait for that.

    Raises:
        KeyboardInterrupt: It was interrupted.
    """
    calls: _Calls = queue.SimpleQueue()
    _calls.set(calls)
    interrupted = False
    with Core() as core:
        running = core.submit(work)
        running.when_done(lambda: calls.put(None))
        while True:
            try:
                call = calls.get()
                if call is None:
                    break
                call()
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                running.cancel()
        try:
            return running.result()
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


async def in_foreground(ask: Callable[[], T]) -> T:
    """From the engine: have the thread that waits for it run something, usually a question."""
    answer: Future[T] = Future()

    def call() -> None:
        try:
            answer.set_result(ask())
        except Exception as error:
            # Raised again where it was asked for.
            answer.set_exception(error)

    _calls.get().put(call)
    return await asyncio.wrap_future(answer)
