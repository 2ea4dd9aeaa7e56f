"""Sites for the drills."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.machines.site import Site, a_site


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Makes sites of so many machines, see `a_site`; nothing of them is left, ever."""
    with ExitStack() as stack:

        def make(count: int = 1, **more: Any) -> Site:
            top = tmp_path / "site"
            top.mkdir()
            return stack.enter_context(a_site(top, count, **more))

        yield make


def _nothing(site: Site) -> None:
    pass


@pytest.fixture
def settled(make_site: Callable[..., Site]) -> Callable[..., Site]:
    """Makes sites on whose nodes 1.0 runs, adopted; a release 2.0 is there.

    `before` is done to a site before its machines are switched on.
    """

    def make(count: int = 1, before: Callable[[Site], None] = _nothing, **more: Any) -> Site:
        site = make_site(count, **more)
        before(site)
        site.settle()
        site.release("2.0")
        return site

    return make
