"""A run that is under way obeys what another program on this workstation says to it."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from backends.domain.clean import line
from backends.domain.policy import Pause
from backends.engine.events import Kind
from backends.engine.orders import Orders as ToRun
from backends.engine.scribe import Scribe
from backends.store.orders import Order, OrderKind, Orders

T = TypeVar("T")

_BETWEEN_LOOKS_SECONDS = 0.3


async def obeying(run: Coroutine[Any, Any, T], there: Orders, orders: ToRun, scribe: Scribe) -> T:
    """See a run through, and hand on every order that is given from the workstation's lock on."""
    # Not a task group: the run is seen through whatever goes wrong beside it.
    listening = asyncio.ensure_future(_listen(there, orders, scribe))  # noqa: TID251
    try:
        return await run
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def _listen(there: Orders, orders: ToRun, scribe: Scribe) -> None:
    while True:
        order = there.take()
        if order is not None:
            _obey(order, orders, scribe)
        await asyncio.sleep(_BETWEEN_LOOKS_SECONDS)


def _obey(order: Order, orders: ToRun, scribe: Scribe) -> None:
    reason = line(order.reason)
    who = f"{line(order.by)}{f' ({reason})' if reason else ''}"
    about = {"order": order.kind.value, "by": line(order.by), "reason": reason}
    match order.kind:
        case OrderKind.WAIT:
            orders.waits = f"paused by {who}"
            scribe.say(Kind.RESULT, f"{who}: wait before the next node", data=about)
        case OrderKind.PACE:
            orders.pause = Pause(order.pause)
            orders.waits = ""
            text = f"{who}: pause {order.pause} from the next node on"
            scribe.say(Kind.RESULT, text, data={**about, "pause": order.pause})
        case OrderKind.ABORT:
            scribe.say(Kind.RESULT, f"{who}: abort", data=about)
            orders.abort(who)
