"""A bridge without a screen: what a person would press is called, and news are waited for."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, TypeVar

from app.between.asking import Asking
from app.between.bridge import Bridge
from app.between.mailbox import Mailbox
from app.between.news import News, Refused
from app.session import Session, open_session
from backends.engine.core import Core

T = TypeVar("T")

SECONDS = 15.0


class Helm:
    """The bridge, and every letter that came, in order."""

    def __init__(self, open_it: Callable[[Asking], Session]) -> None:
        self._mailbox = Mailbox()
        self.asking = Asking(self._mailbox.put)
        self.session = open_it(self.asking)
        self.bridge = Bridge(self.session, self._mailbox, self.asking)
        self.letters: list[News] = []
        self._rung = threading.Event()
        self._mailbox.when_filled(self._rung.set)
        self._seen = 0

    def waits_for(self, kind: type[T], which: Callable[[T], bool] = lambda _: True) -> T:
        """The next letter of a kind that was not waited for yet."""
        give_up = time.monotonic() + SECONDS
        while True:
            while self._seen < len(self.letters):
                letter = self.letters[self._seen]
                self._seen += 1
                if isinstance(letter, kind) and which(letter):
                    return letter
                refused = isinstance(letter, Refused)
                assert not refused, f"refused instead of {kind.__name__}: {letter}"
            rung = self._rung.wait(max(0.0, give_up - time.monotonic()))
            assert rung, f"no {kind.__name__} any more; came: {self.kinds()}"
            self._rung.clear()
            self.letters += self._mailbox.empty()

    def rests(self) -> None:
        """Wait until nothing is under way: the last letter of an act comes before its end."""
        running = self.bridge._acting
        if running is not None:
            running.result()

    def is_refused(self) -> Refused:
        """The next refusal."""
        return self.waits_for(Refused)

    def kinds(self) -> list[str]:
        """What came, by kind, without the readings."""
        return [type(each).__name__ for each in self.letters if type(each).__name__ != "Read"]


@contextmanager
def helm_of(open_it: Callable[[Asking], Session]) -> Iterator[Helm]:
    """A helm whose engine runs; left as the program leaves."""
    helm = Helm(open_it)
    with Core() as core:
        living = helm.bridge.open(core)
        try:
            yield helm
        finally:
            helm.bridge.leave()
            living.cancel()
            living._done.wait(SECONDS)


@contextmanager
def helm_at(file: str) -> Iterator[Helm]:
    """The same, of a cluster file."""
    with helm_of(lambda asking: open_session(file, prompt=asking)) as helm:
        yield helm


def pretend(contacts: dict[str, Any], state_dir: Any) -> Any:
    """As much of a session as a bridge asks for; `closed` counts how often it was given back."""

    class Pretended(SimpleNamespace):
        closed = 0

        async def close(self) -> None:
            self.closed += 1

    return Pretended(
        contacts=contacts,
        state_dir=state_dir,
        cluster=SimpleNamespace(
            name="harbor",
            releases=state_dir,
            signatures="optional",
            allowed_signers=None,
            revoked_keys=None,
        ),
        name="harbor",
        chosen=tuple(contacts),
    )
