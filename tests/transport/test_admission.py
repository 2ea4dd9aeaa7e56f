"""How many logins at once, and who waits for whom; gateways that many nodes share."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.domain.problem import Exit
from backends.transport import ssh_dialer
from backends.transport.admission import Admission, pause_seconds
from backends.transport.link import LinkFailed
from backends.transport.ssh_dialer import Dialer
from backends.transport.way import Way, gateway_of
from tests.support.ssh import ADDRESS, Desk, Listener, Peer, closing, way_to


class Crowd:
    """Many who want a turn, and stay until they are let go."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.inside: list[str | None] = []
        self.most = 0
        self._let_go: dict[str | None, asyncio.Semaphore] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def come(self, gateway: str | None, count: int) -> None:
        loop = asyncio.get_running_loop()
        self._let_go.setdefault(gateway, asyncio.Semaphore(0))
        self.tasks += [loop.create_task(self._one(gateway)) for _ in range(count)]

    async def _one(self, gateway: str | None) -> None:
        async with self._admission.turn(gateway):
            self.inside.append(gateway)
            self.most = max(self.most, len(self.inside))
            try:
                await self._let_go[gateway].acquire()
            finally:
                self.inside.remove(gateway)

    def let_go(self, gateway: str | None, count: int = 1) -> None:
        for _ in range(count):
            self._let_go[gateway].release()


async def settled() -> None:
    """Everybody has gone as far as possible: nothing here waits for time."""
    for _ in range(50):
        await asyncio.sleep(0)


# --- turns --------------------------------------------------------------------------------------


async def test_no_more_than_allowed_are_inside_at_once() -> None:
    crowd = Crowd(Admission(3, 8))
    crowd.come(None, 10)
    for left in range(10, 0, -1):
        await settled()
        assert len(crowd.inside) == min(3, left)
        crowd.let_go(None)
    await asyncio.gather(*crowd.tasks)
    assert crowd.most == 3


async def test_each_gateway_has_a_limit_of_its_own_below_the_limit_of_all() -> None:
    crowd = Crowd(Admission(5, 2))
    crowd.come("a", 4)
    crowd.come("b", 4)
    await settled()
    assert sorted(map(str, crowd.inside)) == ["a", "a", "b", "b"]
    crowd.come("c", 4)
    await settled()
    assert sorted(map(str, crowd.inside)) == ["a", "a", "b", "b", "c"]
    for gateway in "abc":
        crowd.let_go(gateway, 4)
    await asyncio.gather(*crowd.tasks)
    assert crowd.most == 5


async def test_those_who_wait_for_a_slow_gateway_hold_up_nobody_else() -> None:
    crowd = Crowd(Admission(4, 2))
    crowd.come("slow", 50)
    await settled()
    crowd.come(None, 2)
    await settled()
    assert crowd.inside == ["slow", "slow", None, None]
    crowd.let_go(None, 2)
    crowd.let_go("slow", 50)
    await asyncio.gather(*crowd.tasks)


async def test_who_is_cancelled_or_fails_gives_the_turn_back() -> None:
    admission = Admission(2, 1)
    crowd = Crowd(admission)
    crowd.come("a", 3)
    crowd.come(None, 3)
    await settled()
    for task in crowd.tasks:
        task.cancel()
    await asyncio.gather(*crowd.tasks, return_exceptions=True)
    with pytest.raises(ZeroDivisionError):
        async with admission.turn("a"):
            raise ZeroDivisionError
    later = Crowd(admission)
    later.come("a", 1)
    later.come(None, 1)
    await settled()
    assert len(later.inside) == 2
    later.let_go("a")
    later.let_go(None)
    await asyncio.gather(*later.tasks)


def test_pauses_grow_differ_and_have_an_end() -> None:
    for tries in range(1, 40):
        pauses = [pause_seconds(tries) for _ in range(50)]
        longest = min(0.2 * 2.0 ** (tries - 1), 3.0)
        assert longest / 2 <= min(pauses)
        assert max(pauses) <= longest
        assert len(set(pauses)) > 10


# --- logins -------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def codes(dialer: Dialer, ways: list[Way]) -> list[str]:
    """How logins at the same time failed."""

    async def one(way: Way) -> str:
        with pytest.raises(LinkFailed) as caught:
            await dialer.connect(way)
        assert caught.value.problem.summary.startswith(f"{way.node}: ")
        return caught.value.problem.code

    return list(await asyncio.gather(*map(one, ways)))


def names(count: int, make: Callable[[str], Way]) -> list[Way]:
    return [make(f"n{number}") for number in range(count)]


async def test_only_so_many_logins_are_under_way_at_once(desk: Desk) -> None:
    listener = await Listener().start()
    async with closing(listener):
        dialer = desk.dialer(admission=Admission(3, 8), seconds=30)
        loop = asyncio.get_running_loop()
        tasks = [
            loop.create_task(dialer.connect(way_to(listener.port, node=f"n{n}"))) for n in range(9)
        ]
        async with asyncio.timeout(10):
            while listener.connected < 3:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert (listener.connected, len(listener.now)) == (3, 3)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_limit_of_a_login_counts_from_its_turn_on(desk: Desk) -> None:
    peer = await Peer().start()
    async with closing(peer):
        desk.knows(peer.entry())
        peer.keys = [desk.key.convert_to_public()]
        admission = Admission(1, 1)
        dialer = desk.dialer(admission=admission, seconds=0.25)
        async with admission.turn(None):
            waiting = asyncio.get_running_loop().create_task(dialer.connect(way_to(peer.port)))
            await asyncio.sleep(0.4)
            assert peer.connected == 0
        connection = await waiting
        connection.abort()
        await connection.wait_closed()


async def test_a_gateway_that_fails_is_tried_once_for_all_nodes_behind_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await Listener(b"SSH-1.5-too-old\r\n").start()
    async with closing(gateway):
        jump = f"ops@{ADDRESS}:{gateway.port}"
        behind = names(20, lambda node: Way(node, "nowhere.invalid", jump=jump))
        dialer = desk.dialer()
        assert await codes(dialer, behind) == ["protocol-mismatch"] * 20
        assert gateway.connected == 1
        assert await codes(dialer, behind) == ["protocol-mismatch"] * 20
        assert gateway.connected == 1
        monkeypatch.setattr(ssh_dialer, "_GATEWAY_FAILURE_SECONDS", 0.0)
        assert await codes(dialer, behind[:1]) == ["protocol-mismatch"]
        assert gateway.connected == 2


async def test_a_gateway_that_became_known_is_tried_again_at_once(desk: Desk) -> None:
    gateway = await Peer().start()
    async with closing(gateway):
        gateway.keys, gateway.is_gateway = [desk.key.convert_to_public()], True
        way = Way("n1", ADDRESS, 1, jump=f"{ADDRESS}:{gateway.port}")
        dialer = desk.dialer()
        async with closing(dialer):
            assert await codes(dialer, [way]) == ["host-key-unknown"]
            desk.knows(gateway.entry())
            dialer.forget_known()
            assert await codes(dialer, [way]) == ["tcp"]  # as far as the node itself


async def test_what_failed_at_a_gateway_names_it_and_keeps_its_exit_code(desk: Desk) -> None:
    way = Way("n1", "nowhere.invalid", jump="ops@gate.invalid")
    with pytest.raises(LinkFailed) as caught:
        await desk.dialer().connect(way)
    problem = caught.value.problem
    assert problem.code == "dns"
    assert problem.summary.startswith("n1: ")
    assert "gateway ops@gate.invalid" in problem.summary
    assert caught.value.exit_code is Exit.UNREACHABLE


# --- what a gateway is called -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("jump", "address", "port", "user", "before"),
    [
        ("bastion", "bastion", None, None, None),
        ("ops@bastion", "bastion", None, "ops", None),
        ("ops@bastion:2222", "bastion", 2222, "ops", None),
        ("bastion:2222", "bastion", 2222, None, None),
        ("ops@[2001:db8::1]:2222", "2001:db8::1", 2222, "ops", None),
        ("[2001:db8::1]", "2001:db8::1", None, None, None),
        ("2001:db8::1", "2001:db8::1", None, None, None),
        ("ops@2001:db8::22", "2001:db8::22", None, "ops", None),
        ("ops@fe80::1%eth0", "fe80::1%eth0", None, "ops", None),
        ("first@corp@bastion:22", "bastion", 22, "first@corp", None),
        ("ssh://ops@bastion:2222", "bastion", 2222, "ops", None),
        ("a,b", "b", None, None, "a"),
        ("x@a:1, y@b:2 ,z@[::1]:3", "::1", 3, "z", "x@a:1, y@b:2"),
    ],
)
def test_a_gateway_is_the_last_of_its_chain(
    jump: str, address: str, port: int | None, user: str | None, before: str | None
) -> None:
    way = gateway_of(jump)
    assert (way.address, way.port, way.user, way.jump) == (address, port, user, before)
    assert way.node.startswith("gateway ")
    assert way.is_gateway


@pytest.mark.parametrize("jump", ["", "ops@", "b:0", "b:65536", "b:x", "b:\u00b2", ":22", "[]:22"])
def test_a_gateway_that_makes_no_sense_is_a_mistake(jump: str) -> None:
    with pytest.raises(LinkFailed) as caught:
        gateway_of(jump)
    assert caught.value.exit_code is Exit.USAGE
