"""Who asks at the same moment shares one round of PINGs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from luabus.errors import Overloaded
from luabus.router.flush_rounds import LONGEST_PAUSE_S, MOST_ASKED, PATIENCE_S, FlushRounds
from luabus.router.server import Router
from luabus.transport.manager import create_socket_mgr
from luabus.transport.stream import Subscribers
from tests.support.fast_time import run_fast
from tests.support.waiting import until


class FakeStream:
    def __init__(self) -> None:
        self.frames_out = 1
        self.pings = 0
        self.heard = 0

    def ping(self) -> int:
        self.pings += 1
        return self.pings

    def has_heard(self, stamp: int) -> bool:
        return self.heard >= stamp


class World:
    def __init__(self, count: int) -> None:
        self.streams: list[Any] = [FakeStream() for _ in range(count)]
        self.rounds = FlushRounds(asyncio.get_running_loop, lambda: self.streams)

    async def asked(self, askers: list[Any]) -> list[asyncio.Task[None]]:
        """A task each, when their PINGs are sent."""
        before = self.pings
        tasks = [asyncio.create_task(self.rounds.confirm(stream)) for stream in askers]
        await until(lambda: self.pings > before)
        return tasks

    def pong(self, *streams: Any) -> None:
        for stream in streams or self.streams:
            stream.heard = stream.pings
            self.rounds.heard(stream)

    @property
    def pings(self) -> int:
        return sum(stream.pings for stream in self.streams)


def test_all_who_ask_in_one_turn_share_a_round() -> None:
    async def main() -> None:
        world = World(200)
        tasks = await world.asked(world.streams)
        assert world.pings == 200
        world.pong()
        await asyncio.gather(*tasks)

    run_fast(main())


def test_one_who_asks_later_is_confirmed_by_pings_that_are_sent_later() -> None:
    async def main() -> None:
        world = World(3)
        (first,) = await world.asked(world.streams[:1])
        (second,) = await world.asked(world.streams[1:2])
        assert [stream.pings for stream in world.streams] == [1, 1, 2]  # nobody is asked by itself alone
        for stream in world.streams:
            stream.heard = 1
            world.rounds.heard(stream)
        await first
        assert not second.done()
        world.pong()
        await second

    run_fast(main())


def test_whoever_asks_without_end_gets_two_rounds_a_second_at_most() -> None:
    async def main() -> None:
        world = World(5000)
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(4):
            (task,) = await world.asked(world.streams[:1])
            world.pong()
            await task
        assert loop.time() - began >= 3 * LONGEST_PAUSE_S
        assert world.pings == 4 * 4999

    run_fast(main())


@pytest.mark.parametrize("ends", ["silence", "close"])
def test_one_who_does_not_answer_holds_nobody_up(ends: str) -> None:
    async def main() -> None:
        world = World(3)
        (task,) = await world.asked(world.streams[:1])
        world.pong(world.streams[1])
        began = asyncio.get_running_loop().time()
        if ends == "close":
            world.rounds.forget(world.streams[2])
        await task
        waited = asyncio.get_running_loop().time() - began
        assert waited < 0.1 if ends == "close" else waited == pytest.approx(PATIENCE_S, abs=0.1)
        assert not world.rounds._rounds
        assert not world.rounds._asked

    run_fast(main())


def test_one_who_gives_up_does_not_end_it_for_the_others() -> None:
    async def main() -> None:
        world = World(3)
        first, second = await world.asked(world.streams[:2])
        first.cancel()
        await asyncio.sleep(0)
        world.pong()
        await second
        assert first.cancelled()

    run_fast(main())


async def test_one_connection_awaits_a_few_at_once_and_each_is_answered() -> None:
    async with asyncio.timeout(30), Router(port=0) as router:
        mgr = create_socket_mgr(3)
        greedy, other = [mgr.connect("127.0.0.1", router.port) for _ in range(2)]
        for stream in (greedy, other):
            await stream.connected()
        answers = await asyncio.gather(
            *(greedy.request("luabus.flush") for _ in range(500)), return_exceptions=True
        )
        refused = [answer for answer in answers if isinstance(answer, Overloaded)]
        assert len(refused) == 500 - MOST_ASKED
        assert answers.count(None) == MOST_ASKED
        assert (refused[0].limit, refused[0].what) == (MOST_ASKED, "flushes")
        await other.request("luabus.flush")
        await mgr.close()


async def test_whoever_leaves_a_router_in_the_same_moment_costs_it_a_ping_each() -> None:
    async with asyncio.timeout(60), Router(port=0) as router:
        mgr = create_socket_mgr(100)
        pings: list[Any] = []
        counting = Subscribers(ping=lambda stream, body: pings.append(stream))
        streams = [mgr.connect("127.0.0.1", router.port, subscribers=counting) for _ in range(100)]
        for number, stream in enumerate(streams, 1):
            await stream.connected()
            await stream.request("luabus.join", 2 << 16 | number, "mail", 1)
        await asyncio.gather(*(stream.request("luabus.flush", timeout=20) for stream in streams))
        assert len(pings) <= 3 * len(streams)
        await mgr.close()
