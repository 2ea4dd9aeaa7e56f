"""An order is taken once, and who gave it knows whether it was."""

from pathlib import Path

import pytest

from backends.domain.problem import LiftlockError
from backends.store.orders import Order, OrderKind, Orders

PAUSE = Order(OrderKind.WAIT, "ann@jump", "graphs look odd")


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    return Orders(tmp_path, "harbor", "beacon")


def test_it_is_taken_once(orders: Orders) -> None:
    name = orders.give(PAUSE)
    assert not orders.is_taken(name)
    taken = orders.take()
    assert taken is not None
    assert (taken.kind, taken.by, taken.reason, taken.id) == (*_words(PAUSE), name)
    assert orders.is_taken(name)
    assert orders.take() is None
    assert not orders.withdraw(name), "it was taken: it cannot be taken back"


def test_a_newer_one_takes_its_place_and_is_not_withdrawn_with_it(orders: Orders) -> None:
    first = orders.give(PAUSE)
    second = orders.give(PAUSE)
    assert orders.is_taken(first)
    assert not orders.withdraw(first)
    assert not orders.is_taken(second)
    assert orders.withdraw(second)
    assert orders.waiting() is None


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"kind": "wait"}', '{"kind": "fly"}'])
def test_what_is_no_order_is_obeyed_by_nobody(orders: Orders, damage: str) -> None:
    orders.path.write_text(damage)
    assert orders.waiting() is None
    assert orders.take() is None


def test_where_it_cannot_be_seen_it_does_not_count_as_taken(orders: Orders) -> None:
    name = orders.give(PAUSE)
    orders.path.unlink()
    orders.path.mkdir()
    assert not orders.is_taken(name)


def test_one_that_cannot_be_given_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(LiftlockError) as refused:
        Orders(tmp_path / "missing", "harbor", "beacon").give(PAUSE)
    assert refused.value.problem.code == "order-unwritable"


def _words(order: Order) -> tuple[OrderKind, str, str]:
    return order.kind, order.by, order.reason
