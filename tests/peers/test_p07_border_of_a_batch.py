"""Nodes that are not reached count for the whole run, wherever a batch begins or ends."""

from collections.abc import Callable
from typing import Any

import pytest

from backends.domain.policy import Pause, Policy
from backends.domain.problem import Exit
from backends.domain.states import Outcome
from backends.engine.results import Result
from tests.runs.pretended import Theatre
from tests.support.readings import old, plan

NAMES = ("n1", "n2", "n3", "n4", "n5", "n6")
WENT, LOST, WAITS = Result.ACCEPTED, Result.LOST, Result.NOT_STARTED


async def carried_out(make: Callable[..., Theatre], lost: tuple[str, ...], **policy: Any) -> Any:
    """Six nodes by twos, of which some are not heard of any more."""
    here = make(*map(old, NAMES))
    for name in lost:
        here.nodes[name].unheard = Outcome.UNREACHABLE
    made = plan(*NAMES, policy=Policy(batch=2, pause=Pause.NONE, **policy))
    outcome = await here.carries_out(made)
    assert {word for word in here.said if word.startswith("install")} == {
        f"install {each.node}" for each in outcome.nodes if each.result is not WAITS
    }
    return outcome


@pytest.mark.parametrize(
    ("lost", "limit", "became"),
    [
        (("n2",), 0, [WENT, LOST, WAITS, WAITS, WAITS, WAITS]),
        (("n2",), 1, [WENT, LOST, WAITS, WAITS, WAITS, WAITS]),
        (("n2", "n3"), 2, [WENT, LOST, LOST, WENT, WAITS, WAITS]),
        (("n2", "n3"), 3, [WENT, LOST, LOST, WENT, WENT, WENT]),
        (("n1", "n3", "n5"), 3, [LOST, WENT, LOST, WENT, LOST, WENT]),
        (("n1", "n4"), 2, [LOST, WENT, WENT, LOST, WAITS, WAITS]),
    ],
)
async def test_p07_who_is_not_reached_is_counted_across_batches(
    theatre: Callable[..., Theatre], lost: tuple[str, ...], limit: int, became: list[Result]
) -> None:
    """Ansible, Salt: unreachable at the border of a batch was counted for none of the two."""
    outcome = await carried_out(theatre, lost, limit_unreachable=limit)
    assert [each.result for each in outcome.nodes] == became
    assert outcome.exit is Exit.NEEDS_PERSON, "some are on the new version, and not all"


async def test_p07_who_is_not_reached_before_the_first_batch_is_counted_too(
    theatre: Callable[..., Theatre],
) -> None:
    """Ansible, Salt: one that is lost when the release is sent counts like one in its turn."""
    here = theatre(*map(old, NAMES))

    async def silent(*_: object, **__: object) -> Any:
        from backends.engine.answer import Answer

        return Answer(Outcome.UNREACHABLE, None, ())

    here.nodes["n6"].stage = silent  # type: ignore[method-assign]
    policy = Policy(batch=2, pause=Pause.NONE, limit_unreachable=1)
    outcome = await here.carries_out(plan(*NAMES, policy=policy))
    assert [each.result for each in outcome.nodes] == [WAITS] * 5 + [Result.UNREACHABLE]
    assert outcome.exit is Exit.UNREACHABLE
    assert not [word for word in here.said if word.startswith("install")]
