"""What was received and not read yet: lines come out whole, and memory has an end."""

import asyncio
import random

import pytest

from backends.node import wire
from backends.transport.lines import _ENOUGH, Lines
from backends.transport.link import MAX_STDERR, LinkFailed
from backends.transport.said import Said


class Sender:
    """Somebody who can be told to wait."""

    def __init__(self) -> None:
        self.told: list[bool] = []
        self.lines = Lines(self.told.append)

    @property
    def waits(self) -> bool:
        return bool(self.told) and self.told[-1]

    async def read(self) -> list[bytes]:
        """All lines to the end."""
        found = []
        while line := await self.lines.next("n1"):
            found.append(line)
        return found


@pytest.mark.parametrize("end", [b"", b"\n", b"rest"])
async def test_lines_are_the_same_wherever_the_bytes_were_torn(end: bytes) -> None:
    content = b"one\n\ntwo \xff\x00\r\nthree\n" + end
    *ended, rest = content.split(b"\n")
    expected = [each + b"\n" for each in ended] + [rest]
    for cut in range(len(content) + 1):
        for second in range(cut, len(content) + 1):
            sender = Sender()
            for piece in (content[:cut], content[cut:second], content[second:]):
                sender.lines.add(piece)
            sender.lines.close()
            assert await sender.read() == [each for each in expected if each]
            assert await sender.lines.next("n1") == b""


async def test_a_reader_waits_for_the_end_of_a_line() -> None:
    sender = Sender()
    reading = asyncio.get_running_loop().create_task(sender.lines.next("n1"))
    for piece in (b"a", b"b"):
        sender.lines.add(piece)
        await asyncio.sleep(0)
        assert not reading.done()
    sender.lines.add(b"c\nd")
    assert await reading == b"abc\n"


async def test_a_reader_that_is_cancelled_loses_nothing() -> None:
    sender = Sender()
    reading = asyncio.get_running_loop().create_task(sender.lines.next("n1"))
    await asyncio.sleep(0)
    sender.lines.add(b"kept\n")
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    assert await sender.lines.next("n1") == b"kept\n"


@pytest.mark.parametrize("more", [b"\n", b"", b"x"], ids=["ended", "open", "longer"])
async def test_a_line_over_the_limit_is_refused_also_before_its_end(more: bytes) -> None:
    sender = Sender()
    sender.lines.add(b"x" * (wire.MAX_LINE - 1))
    sender.lines.add(b"xy" + more)
    with pytest.raises(LinkFailed) as caught:
        await sender.lines.next("n1")
    assert caught.value.problem.code == "output-limit"


async def test_a_line_of_the_limit_is_read() -> None:
    sender = Sender()
    sender.lines.add(b"x" * (wire.MAX_LINE - 1) + b"\n")
    assert len(await sender.lines.next("n1")) == wire.MAX_LINE


async def test_who_sends_too_much_is_told_once_to_wait_and_once_to_go_on() -> None:
    sender = Sender()
    line = b"x" * 1023 + b"\n"
    sent = 0
    while not sender.waits:
        sender.lines.add(line)
        sent += 1
    assert sent * len(line) == _ENOUGH + len(line)
    for _ in range(64):  # what was already on its way
        sender.lines.add(line)
        sent += 1
    assert sender.told == [True]
    read = 0
    while sender.waits:
        await sender.lines.next("n1")
        read += 1
    assert sender.told == [True, False]
    assert (sent - read) * len(line) == _ENOUGH // 2, "it goes on when half of it is read"


@pytest.mark.parametrize("rest", [0, 1, wire.MAX_LINE - 1, wire.MAX_LINE])
async def test_who_waits_for_the_rest_of_a_line_never_waits_for_who_waits_to_send_it(
    rest: int,
) -> None:
    """Both would wait for ever."""
    sender = Sender()
    while not sender.waits:
        sender.lines.add(b"x" * 99_999 + b"\n")
    sender.lines.add(b"x" * rest)
    count = 0
    while b"\n" in sender.lines._kept:
        await sender.lines.next("n1")
        count += 1
    assert not sender.waits


@pytest.mark.parametrize("seed", range(5))
async def test_no_order_of_sending_and_reading_makes_both_wait(seed: int) -> None:
    chance = random.Random(seed)
    sender = Sender()
    lengths = [chance.choice([1, 50, 70_000, 400_000, wire.MAX_LINE]) for _ in range(60)]
    content = b"".join(b"x" * (length - 1) + b"\n" for length in lengths)
    found: list[int] = []

    async def read() -> None:
        while line := await sender.lines.next("n1"):
            found.append(len(line))
            if chance.random() < 0.3:
                await asyncio.sleep(0)

    async def send() -> None:
        at = 0
        while at < len(content):
            if not sender.waits:
                size = chance.choice([1, 1000, 32_768, 65_536])
                sender.lines.add(content[at : at + size])
                at += size
            if sender.waits or chance.random() < 0.1:
                await asyncio.sleep(0)
        sender.lines.close()

    async with asyncio.timeout(10):
        await asyncio.gather(send(), read())
    assert found == lengths


# --- standard error -----------------------------------------------------------------------------


async def test_of_standard_error_the_beginning_is_kept_and_everything_counted() -> None:
    said = Said()
    said.add(b"first ")
    for _ in range(100):
        said.add(b"x" * 4096)
    assert said.text.startswith("first x")
    assert len(said.text) == MAX_STDERR
    assert await said.more(0) == 6 + 100 * 4096


async def test_who_waits_for_more_is_told_of_more_and_of_the_end() -> None:
    said = Said()
    said.add(b"abc")
    assert await said.more(2) == 3
    waiting = asyncio.get_running_loop().create_task(said.more(3))
    await asyncio.sleep(0)
    assert not waiting.done()
    said.add(b"d")
    assert await waiting == 4
    said.close()
    assert await said.more(4) == 4


async def test_bytes_that_are_no_text_are_shown_as_what_they_are() -> None:
    said = Said()
    said.add(b"\xffa\xc3")
    said.add(b"\xa4")
    assert said.text == "\\xffaä"
