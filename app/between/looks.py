"""What the screen asks for that changes nothing: releases, conflicts, a node's journal."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from app.between.news import Conflicting, News, Told
from app.between.recalling import find_releases
from app.runs.upgrading import signature_rule
from app.session import Session
from backends.domain.problem import Problem
from backends.engine import telling
from backends.engine.conflicting import conflicts_of
from backends.engine.events import Event
from backends.engine.upload import Message


class Looks:
    """Asked from the screen's thread; the answers are news."""

    def __init__(
        self,
        session: Session,
        tell: Callable[[News], None],
        submit: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._session = session
        self._tell = tell
        self._submit = submit

    def releases(self) -> None:
        """Tell which releases lie in the cluster's folder."""

        async def look() -> None:
            cluster = self._session.cluster
            rule = signature_rule(cluster)
            self._tell(await asyncio.to_thread(find_releases, cluster.releases, rule))

        self._submit(look())

    def conflicts(self) -> None:
        """Tell which edited configuration has a new default beside it."""

        async def look() -> None:
            found = await asyncio.gather(*map(conflicts_of, self._session.contacts.values()))
            known = [each for each in found if not isinstance(each, Problem)]
            unread = tuple(each.summary for each in found if isinstance(each, Problem))
            self._tell(Conflicting(tuple(one for each in known for one in each), unread))

        self._submit(look())

    def journal(self, node: str) -> None:
        """Tell what a node's own journal has of its newest transaction."""

        async def ask() -> None:
            contact = self._session.contacts.get(node)
            reading = await contact.read() if contact is not None else None
            facts = reading.facts if reading is not None and reading.read else None
            if contact is None or facts is None:
                return
            opened = facts.transaction
            txn, run = (opened.txn, opened.run) if opened else (facts.last_txn, facts.last_run)
            if not txn:
                return
            found: list[Event] = []

            def see(message: Message) -> None:
                event = telling.event(message, run=run, node=node, txn=txn)
                if event is not None:
                    found.append(event)

            await contact.journal(txn, see)
            self._tell(Told(node, tuple(found)))

        self._submit(ask())
