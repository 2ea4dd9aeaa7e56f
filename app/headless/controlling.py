"""`pause` and `abort`: what people say to a run that is under way, or waits."""

import asyncio
import json
import time

from app.headless.ask import agreed, declined, refuse_silence
from app.headless.options import Options
from app.headless.performing import perform
from app.headless.say import out, talk
from app.headless.work import drive, open_cluster
from app.runs.acting import Scene
from app.runs.keeping import driven_by, orders_of
from app.runs.looking import look
from app.session import Session
from backends.domain.clean import line
from backends.domain.problem import Exit, LiftlockError, Problem
from backends.engine.aborting import abort as abort_on
from backends.engine.aborting import in_the_middle, is_accepted
from backends.engine.results import NodeResult, Result
from backends.store.orders import Order, OrderKind

_TAKEN_SECONDS = 15.0
_BETWEEN_LOOKS_SECONDS = 0.2


def pause(options: Options, policy: str | None) -> int:
    """Have the run that is under way wait before its next node, or go on at another pace.

    Raises:
        LiftlockError: No program on this workstation drives a run here (exit 4).
    """
    session = open_cluster(options)
    kind = OrderKind.WAIT if policy is None else OrderKind.PACE
    order = Order(kind, session.operator, options.reason, policy or "")
    drive(session, _taken(session, order))
    if policy is None:
        text = "no further node is begun; those that are changing are seen through"
    else:
        text = f"pause {policy} from the next node on"
    _say(session, options, text)
    return Exit.OK


def abort(options: Options) -> int:
    """End the run: nodes in their install or trial are taken back; what is accepted stays.

    Exit 0: no node is on the new version; 10: some have accepted it, and a person decides.
    """
    refuse_silence(options, "abort")
    session = open_cluster(options)

    async def work(scene: Scene) -> list[NodeResult]:
        reason = line(options.reason) or "asked for by a person"
        owner = driven_by(session)
        middle = [each.name for each in scene.readings if in_the_middle(each)]
        kept = [each.name for each in scene.readings if is_accepted(each)]
        if owner is None and not middle and not kept:
            raise _nothing_open(session)
        talk([f"{name}: is taken back" for name in middle])
        talk([f"{name}: accepted, stays; liftlock rollback takes it back" for name in kept])
        where = f", driven by {owner}" if owner else ""
        if not await agreed(options, f"Abort the run on {session.cluster.name}{where}?"):
            raise declined()
        if owner is not None:
            await _taken(session, Order(OrderKind.ABORT, session.operator, reason))
            await _ended(session)
        return await abort_on(scene.acts, (await look(session))[0], f"aborted: {reason}")

    # Without the workstation's lock: the run that is ended has it.
    return perform(options, "abort", Result.ROLLED_BACK, work, locks=False, session=session)


async def _taken(session: Session, order: Order) -> None:
    """Give an order, and wait until the program that drives the run has taken it.

    Raises:
        LiftlockError: Nobody drives one here, or it did not take it (exit 4).
    """
    owner = driven_by(session)
    if owner is None:
        raise _nobody_drives(session)
    place = orders_of(session)
    name = place.give(order)
    give_up = time.monotonic() + _TAKEN_SECONDS
    while not place.is_taken(name):
        if time.monotonic() > give_up and place.withdraw(name):
            raise LiftlockError(
                Problem(
                    "order-not-taken",
                    "The program that works here did not take the order; it is withdrawn.",
                    owner,
                    "It drives no upgrade, or it hangs: look at its terminal.",
                ),
                Exit.REFUSED,
            )
        await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)


async def _ended(session: Session) -> None:
    """Wait until nobody drives a run here any more: it sees its nodes through."""
    is_driven = True
    while is_driven:
        await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)
        is_driven = driven_by(session) is not None


def _nobody_drives(session: Session) -> LiftlockError:
    return LiftlockError(
        Problem(
            "nobody-drives",
            f"No program on this workstation drives a run on {session.cluster.name}.",
            advice="What waits goes on with liftlock resume; a run that is driven from another "
            f"workstation is named by liftlock status {session.name}.",
        ),
        Exit.REFUSED,
    )


def _nothing_open(session: Session) -> LiftlockError:
    return LiftlockError(
        Problem(
            "nothing-to-abort",
            f"No run is open on {session.cluster.name}.",
            advice=f"liftlock status {session.name} says what it is.",
        ),
        Exit.REFUSED,
    )


def _say(session: Session, options: Options, text: str) -> None:
    if options.json:
        said = {"schema": "liftlock.order/1", "cluster": session.cluster.name, "text": text}
        out([json.dumps(said, sort_keys=True)])
    else:
        out([text])
