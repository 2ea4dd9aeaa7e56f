"""The engine's own thread and loop. Screen and command line speak with it by message.

It owns all connections and reads all files, so that neither a screen's keys wait for a node nor a
node for a person who thinks. Only immutable values cross over.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Running(Generic[T]):
    """Work under way in the engine's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task: asyncio.Task[T] | None = None
        self._done = threading.Event()
        self._observers: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def cancel(self) -> None:
        """Ask the work to end; it has ended when `result` returns or raises."""
        self._loop.call_soon_threadsafe(self._cancel)

    @property
    def is_done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._done.is_set()

    def when_done(self, observer: Callable[[], None]) -> None:
        """Call this once the work has ended, from the engine's thread."""
        with self._lock:
            if not self._done.is_set():
                self._observers.append(observer)
                return
        observer()

    def result(self) -> T:
        """Wait for the end, and return or raise what it came to.

        Raises:
            asyncio.CancelledError: It was cancelled.
        """
        self._done.wait()
        if self._task is None:
            raise asyncio.CancelledError("the engine ended first")
        return self._task.result()

    def _begin(self, work: Coroutine[Any, Any, T]) -> None:
        """In the engine's thread: make it a task there."""
        self._task = self._loop.create_task(work)
        self._task.add_done_callback(lambda _: self._end())

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _end(self) -> None:
        with self._lock:
            self._done.set()
            observers, self._observers = self._observers, []
        for observer in observers:
            observer()


class Core:
    """The thread, as a context: leaving it ends everything that runs there."""

    def __init__(self) -> None:
        self._thread = threading.Thread(target=self._live, name="engine", daemon=True)
        self._is_up = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave: asyncio.Event | None = None

    def __enter__(self) -> "Core":
        self._thread.start()
        self._is_up.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._leave is not None:
            self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join()

    def submit(self, work: Coroutine[Any, Any, T]) -> Running[T]:
        """Begin work in the engine's thread; context variables of the caller go with it."""
        if self._loop is None:
            raise RuntimeError("the engine is not running")
        running: Running[T] = Running(self._loop)
        self._loop.call_soon_threadsafe(running._begin, work)
        return running

    def _live(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._until_left())

    async def _until_left(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        self._is_up.set()
        await self._leave.wait()
