"""The mailbox: no letter is lost, and none waits without a ring."""

import threading
from collections import deque
from collections.abc import Callable

from app.between.mailbox import Mailbox
from app.between.news import News, Planning


def letter(number: int) -> Planning:
    return Planning(str(number))


def test_the_first_letter_rings_and_the_next_ones_do_not() -> None:
    mailbox, rung = Mailbox(), []
    mailbox.when_filled(lambda: rung.append(1))
    assert not rung
    for number in range(3):
        mailbox.put(letter(number))
    assert len(rung) == 1
    assert mailbox.empty() == [letter(0), letter(1), letter(2)]
    assert mailbox.empty() == []
    mailbox.put(letter(3))
    assert len(rung) == 2


def test_letters_from_before_anybody_listens_ring_then() -> None:
    mailbox, rung = Mailbox(), []
    mailbox.put(letter(0))
    mailbox.put(letter(1))
    mailbox.when_filled(lambda: rung.append(1))
    assert rung == [1]
    assert len(mailbox.empty()) == 2


def test_an_empty_mailbox_rings_nobody() -> None:
    rung: list[int] = []
    Mailbox().when_filled(lambda: rung.append(1))
    assert not rung


class Late(deque[News]):
    """A deque that is found empty just before another letter comes."""

    def __init__(self, come: Callable[[], None]) -> None:
        super().__init__()
        self._come: Callable[[], None] | None = come

    def __bool__(self) -> bool:
        is_filled = len(self) > 0
        if not is_filled and self._come is not None:
            come, self._come = self._come, None
            come()
        return is_filled


def test_a_letter_that_comes_after_the_last_one_was_taken_rings_again() -> None:
    mailbox, rung = Mailbox(), []
    mailbox.when_filled(lambda: rung.append(1))
    mailbox._letters = Late(lambda: mailbox.put(letter(1)))
    mailbox.put(letter(0))
    rung.clear()
    assert mailbox.empty() == [letter(0)]
    assert rung, "a letter lies there and nobody was told"
    assert mailbox.empty() == [letter(1)]


def test_nothing_is_lost_and_nobody_sleeps_while_two_threads_write() -> None:
    mailbox, filled = Mailbox(), threading.Event()
    mailbox.when_filled(filled.set)
    each = 4000

    def write(first: int) -> None:
        for number in range(first, first + each):
            mailbox.put(letter(number))

    writers = [threading.Thread(target=write, args=(first,)) for first in (0, each)]
    for writer in writers:
        writer.start()
    taken: list[News] = []
    while len(taken) < 2 * each:
        assert filled.wait(10), f"no ring, {len(taken)} of {2 * each} taken"
        filled.clear()
        taken += mailbox.empty()
    for writer in writers:
        writer.join()
    numbers = [int(found.what) for found in taken if isinstance(found, Planning)]
    assert sorted(numbers) == list(range(2 * each))
    for low in (0, each):
        mine = [number for number in numbers if low <= number < low + each]
        assert mine == sorted(mine)
    assert mailbox.empty() == []
