"""Between the screen and the engine: commands go down by message, values come up coalesced.

Every public method is called from the screen's thread and returns at once; what comes of it is
news. One run or act at a time: a second one is refused by name.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from app import clock
from app.between.asking import Asking
from app.between.defect import defect
from app.between.looks import Looks
from app.between.mailbox import Mailbox
from app.between.news import (
    Began,
    Happened,
    Over,
    Planning,
    Read,
    Ready,
    Refused,
)
from app.between.pacing import ByHand
from app.between.recalling import newest_run
from app.between.verdicts import keep_verdict
from app.runs import acting
from app.runs.acting import Scene, Work, act
from app.runs.keeping import fresh_run, locked
from app.runs.noticing import Noticing
from app.runs.upgrading import (
    Prepared,
    Upgrade,
    bring_to_rest,
    meaning,
    open_for,
    prepare,
)
from app.session import Session, open_book
from app.state import BUSY, VERIFY
from backends.domain.facts import NodeReading
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.domain.states import Unreachable
from backends.engine.accepted import open_contents
from backends.engine.acts import Acts
from backends.engine.contact import Contact
from backends.engine.core import Core, Running
from backends.engine.events import Event, Kind
from backends.engine.results import NodeResult, Result
from backends.store.book import Book


class Bridge:
    """One cluster, as the screen speaks with it."""

    def __init__(self, session: Session, mailbox: Mailbox, asking: Asking) -> None:
        """`asking` is what the session's links ask a person through."""
        self.session = session
        self._tell = mailbox.put
        self._asking = asking
        self._core: Core | None = None
        self._book: Book | None = None
        self._noticing: Noticing | None = None
        self._unwritable: LiftlockError | None = None
        self._pace: ByHand | None = None
        self._acts: Acts | None = None
        self._upgrade: Upgrade | None = None
        self._acting: Running[None] | None = None
        self._beside: Running[None] | None = None
        """A rollback or an accept, which may be given while an upgrade is under way."""

        self._verifying: Running[None] | None = None
        """It only looks: nothing waits for it, and it takes no lock."""

    # --- life ---------------------------------------------------------------------------------

    def open(self, core: Core) -> Running[None]:
        """Begin to watch every node; it goes on until it is cancelled."""
        self._core = core
        return core.submit(self._live())

    def leave(self) -> None:
        """End what runs here; the nodes go on alone."""
        for running in (self._verifying, self._beside, self._acting):
            if running is not None:
                running.cancel()
                with suppress(asyncio.CancelledError):
                    running.result()

    @property
    def begun(self) -> tuple[str, ...]:
        """The nodes on which the present upgrade was begun or taken up."""
        return self._upgrade.begun if self._upgrade is not None else ()

    async def _live(self) -> None:
        try:
            await self._watch_with_history()
        except Exception as error:
            self._refused("watch the nodes", defect(error))
        finally:
            self._book = None
            await self.session.close()

    async def _watch_with_history(self) -> None:
        try:
            with open_book(self.session.state_dir) as self._book:
                self._noticing = Noticing(self.session, self._book)
                recalled = newest_run(self._book, self.session.cluster.name)
                if recalled is not None:
                    self._tell(recalled)
                await self._watch()
        except LiftlockError as error:
            # Looking goes on without a history; nothing is begun that cannot be written down.
            self._unwritable = error
            self._refused("open the run history", error)
            await self._watch()

    async def _watch(self) -> None:
        async with asyncio.TaskGroup() as group:
            for contact in self.session.contacts.values():
                group.create_task(self._watch_one(contact))

    async def _watch_one(self, contact: Contact) -> None:
        """Watch a node; a defect that ends it is shown on that node, and ends no other watch."""
        try:
            await contact.watch(self._see)
        except Exception as error:
            found = defect(error)
            self._see(
                NodeReading(
                    contact.node,
                    contact.subject.role,
                    contact.subject.address,
                    unreachable=Unreachable.PROTOCOL,
                    problem=found.problem,
                )
            )
            self._refused(f"watch {contact.node}", found)

    def _see(self, reading: NodeReading) -> None:
        self._tell(Read(reading, clock.monotonic()))
        if self._noticing is not None:
            try:
                self._noticing.see(reading)
            except LiftlockError as error:
                self._noticing = None  # said once; looking goes on
                self._refused("write down what a watch has seen", error)

    # --- commands -----------------------------------------------------------------------------

    @property
    def looks(self) -> Looks:
        """What can be asked for without changing anything."""
        return Looks(self.session, self._tell, self._submit)

    def prepare(self, path: Path, nodes: Collection[str] | None = None, **meant: str) -> None:
        """Open a release and plan the upgrade of these nodes, or all; nothing is changed.

        `downgrade` and `reinstall` say why an older version, or the same again, is wanted.
        """

        async def work() -> None:
            book = self._writable()
            release = await asyncio.to_thread(open_for, self.session, path)
            session = meaning(self.session, **meant) if meant else self.session
            if nodes is not None:
                session = replace(session, chosen=tuple(nodes))
            self._tell(Ready(await prepare(session, book, release)))

        self._tell(Planning(f"planning the upgrade to {path.name}"))
        self._act(f"plan an upgrade to {path.name}", work)

    def upgrade(self, prepared: Prepared) -> None:
        """Begin what was prepared, unless it has changed meanwhile: then it is shown again."""
        version = prepared.plan.release_version
        self._tell(Planning(f"reading the nodes once more before the upgrade to {version}"))
        self._act(f"upgrade to {version}", lambda: self._do_upgrade(prepared), "upgrade")

    def go(self) -> None:
        """Begin the step that the run waits with."""
        self._with_pace(lambda pace: pace.go())

    def hold(self, held: bool) -> None:
        """Have the run wait, or not, before its next node."""
        self._with_pace(lambda pace: pace.hold(held))

    def pause(self) -> None:
        """End the run where it waits; the same upgrade takes it up again."""
        self._with_pace(lambda pace: pace.pause("ended here by a person"))

    def stop_waiting(self) -> None:
        """Have a rollback that waits for a node to serve ask about it at once."""

        async def told() -> None:
            if self._acts is not None:
                self._acts.stop_waiting()

        self._submit(told())

    def roll_back(self, nodes: Collection[str], reason: str, data: str | None = None) -> None:
        """Take the open upgrades of these nodes back: one first, then ask.

        `data`: `keep` or `restore`, where data was copied.
        """

        async def agreed(going: object) -> str | None:
            # They were named, and agreed to, on the screen. A run that is under way takes no
            # further step: a node that changes now goes back, or is decided, and ends it.
            if self._pace is not None:
                self._pace.end("ended by a rollback")
            return data

        async def work(scene: Scene) -> list[NodeResult]:
            self._acts = scene.acts
            return await acting.roll_back(scene, reason, agreed, self._asking.go_on)

        self._begin("rollback", Result.ROLLED_BACK, work, nodes, beside=True, why=reason)

    def finalize(self, version: str, contents: Mapping[str, str]) -> None:
        """Make this version final everywhere: it was shown and typed.

        `contents` are those that were shown, `accepted.open_contents`: the same version may have
        been accepted with other configuration meanwhile.
        """

        async def work(scene: Scene) -> list[NodeResult]:
            async def agreed(wanted: str) -> None:
                now = open_contents(scene.readings)
                if (wanted, now) == (version, contents):
                    return
                others = {name for name, _ in {*now.items()} ^ {*contents.items()}}
                raise LiftlockError(
                    Problem(
                        "changed-meanwhile",
                        "Not what was agreed to is accepted now; nothing was finalized.",
                        f"agreed: {version}, now: {wanted}"
                        + (f"; other content on {', '.join(sorted(others))}" if others else ""),
                        "Look again.",
                    )
                )

            return await acting.finalize(scene, version, agreed)

        self._begin("finalize", Result.FINALIZED, work)

    def accept(self, node: str, reason: str) -> None:
        """Stop the dead-man timer of a node, in a person's name."""

        async def work(scene: Scene) -> list[NodeResult]:
            return [await scene.acts.accept(reading, reason) for reading in scene.chosen]

        self._begin("accept", Result.ACCEPTED, work, [node], beside=True, why=reason)

    def adopt(self) -> None:
        """Record what runs as finalized, where that is possible; it is shown first."""

        async def work(scene: Scene) -> list[NodeResult]:
            return await acting.adopt(scene, self._asking.adopt)

        self._begin("adopt", Result.FINALIZED, work)

    def verify(self, nodes: Collection[str]) -> None:
        """Hold what runs on these nodes against what was recorded of it."""
        if self._verifying is not None and not self._verifying.is_done:
            return  # a second press finds it under way

        async def work() -> None:
            book = self._writable()
            session = replace(self.session, chosen=tuple(nodes))
            run = fresh_run(book)
            self._tell(Began(VERIFY, run))
            see, wanted = self._happened, Result.DONE
            done = await act(session, book, run, VERIFY, wanted, acting.verify, see, changes=False)
            await keep_verdict(session, book, run, self._tell)
            self._tell(Over(VERIFY, done))

        self._verifying = self._submit(self._told(VERIFY, work, VERIFY))

    # --- in the engine's thread ---------------------------------------------------------------

    async def _do_upgrade(self, prepared: Prepared) -> None:
        made, release = prepared.plan, prepared.release
        planned = {item.node for item in made.nodes}
        chosen = tuple(name for name in self.session.chosen if name in planned)
        session = replace(self.session, policy=made.policy, chosen=chosen)
        book = self._writable()
        with locked(session, "upgrade"):
            if prepared.left:
                stopped = await bring_to_rest(session, book, release, "", self._happened)
                if stopped is not None:
                    self._tell(Over("recover", stopped))
                    return
                again = await prepare(session, book, release)
                self._tell(Ready(again, "the nodes are at rest; look at the plan again"))
                return
            again = await prepare(session, book, release, prepared.plan.run)
            if again.plan.id != prepared.plan.id:
                self._tell(Ready(again, "the plan is another one than a moment ago"))
                return
            self._pace = ByHand(self._tell)
            self._upgrade = Upgrade(session, book, again, self._happened, pace=self._pace)
            self._tell(Began("upgrade", again.plan.run))
            try:
                ended = await self._upgrade.carry_out()
                await keep_verdict(session, book, ended.run, self._tell)
                self._tell(Over("upgrade", ended))
            finally:
                self._pace = self._upgrade = None

    def _begin(
        self,
        kind: str,
        wanted: Result,
        work: Work,
        nodes: Collection[str] | None = None,
        *,
        beside: bool = False,
        why: str = "",
    ) -> None:
        """Do one act on these nodes, or on all, for a reason; its end is news.

        What may go `beside` an upgrade takes no lock on the workstation, as on the command line.
        """

        async def acted() -> None:
            book = self._writable()
            chosen = tuple(nodes) if nodes is not None else self.session.chosen
            session = replace(self.session, chosen=chosen)
            run = fresh_run(book)
            with nullcontext() if beside else locked(session, kind):
                self._tell(Began(kind, run))
                done = await act(session, book, run, kind, wanted, work, self._happened, why)
            await keep_verdict(session, book, run, self._tell)
            self._tell(Over(kind, done))

        self._act(kind, acted, kind, beside=beside)

    def _act(
        self,
        what: str,
        work: Callable[[], Awaitable[None]],
        kind: str = "",
        *,
        beside: bool = False,
    ) -> None:
        """Run the one thing that runs here; `kind` as in `_told`."""
        upgrading = self._upgrade is not None
        running = self._beside if beside and upgrading else self._acting
        if running is not None and not running.is_done:
            busy = Problem(BUSY, "Something else is under way here; wait for its end.")
            self._tell(Refused(what, busy, Exit.LOCKED))
            return
        if beside and upgrading:
            self._beside = self._submit(self._told(what, work, kind))
        else:
            self._acting = self._submit(self._told(what, work, kind))

    async def _told(self, what: str, work: Callable[[], Awaitable[None]], kind: str) -> None:
        """Do it; how it broke is told, never lost.

        `kind` is the run that has ended when it breaks; empty for what begins none.
        """
        try:
            await work()
        except LiftlockError as error:
            self._refused(what, error, kind)
        except Exception as error:
            # The boundary between the threads: a defect is shown whole, never lost.
            self._refused(what, defect(error), kind)

    def _submit(self, work: Coroutine[Any, Any, None]) -> Running[None]:
        if self._core is None:
            raise RuntimeError("the bridge is not open")
        return self._core.submit(work)

    def _with_pace(self, tell: Callable[[ByHand], None]) -> None:
        async def told() -> None:
            if self._pace is not None:
                tell(self._pace)

        self._submit(told())

    def _writable(self) -> Book:
        if self._book is None:
            raise self._unwritable or LiftlockError(
                Problem("not-open-yet", "The run history is not open yet; try again.")
            )
        return self._book

    def _happened(self, event: Event) -> None:
        if event.kind is not Kind.COMMAND:  # kept, and not shown
            self._tell(Happened(event))

    def _refused(self, what: str, error: LiftlockError, ended: str = "") -> None:
        self._tell(Refused(what, error.problem, error.exit_code, ended))
