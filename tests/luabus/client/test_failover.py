"""Which router is preferred, over links that were never connected; the change itself, over real ones, is in test_bus.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from luabus.client.failover import Failover
from luabus.client.router_link import RouterLink
from luabus.errors import NotConnected, Overloaded
from luabus.transport.manager import SocketMgr
from luabus.transport.security import NO_SECURITY
from luabus.transport.stream import Stream
from tests.support.waiting import until


class World:
    """Three links, down; `news` counts what the preference tells."""

    def __init__(self) -> None:
        self.mgr = SocketMgr(10)
        self.links = [self._link(number) for number in (1, 2, 3)]
        self.news = 0
        self.preference = Failover(self._tell)
        self.preference.start(self.links, 1000)

    def _tell(self) -> None:
        self.news += 1

    def _link(self, number: int) -> RouterLink:
        async def greet(link: RouterLink) -> None:
            """Never comes to it."""

        nothing: Any = lambda *_: None  # noqa: E731
        return RouterLink(
            self.mgr,
            "127.0.0.1",
            number,
            receiver=nothing,
            control_receiver=nothing,
            heartbeat_body=nothing,
            was_blocked=nothing,
            greet=greet,
            up=nothing,
            down=nothing,
            news=nothing,
        )

    def up(self, *links: RouterLink) -> None:
        for link in links:
            link.stream = self.mgr.new_stream(NO_SECURITY.connector(""))
            link.ready = True
            self.preference.up(link)

    def down(self, link: RouterLink) -> None:
        link.ready, link.stream = False, None
        self.preference.down(link)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.preference.close()
    await world.mgr.close()


async def test_the_first_that_is_up_is_preferred_and_stays_so(world: World) -> None:
    one, two, _ = world.links
    world.up(two, one)
    assert world.preference.link is two
    assert world.preference.stream is two.stream
    assert world.news == 1


async def test_when_it_is_lost_another_is_that_does_not_stop(world: World) -> None:
    one, two, three = world.links
    world.up(one, two, three)
    two.draining = True
    world.down(one)
    assert world.preference.link is three
    world.down(three)
    assert world.preference.link is None
    assert world.preference.stream is None


async def test_the_loss_of_another_changes_nothing(world: World) -> None:
    one, two, _ = world.links
    world.up(one, two)
    world.down(two)
    assert world.preference.link is one
    assert world.news == 1


async def test_one_that_stops_is_left_for_one_with_the_same_table(world: World) -> None:
    one, two, three = world.links
    world.up(one, two, three)
    one.digests, two.digests, three.digests = {2: 7}, {2: 8}, {2: 7}
    world.preference.draining(one)
    await until(lambda: world.preference.link is three)


async def test_it_is_waited_for_while_the_tables_differ(world: World) -> None:
    one, two, _ = world.links
    world.up(one, two)
    one.digests = {2: 7}
    world.preference.draining(one)
    assert world.preference.link is one
    two.digests = {2: 7}
    world.preference.review()
    assert world.preference.link is None
    await until(lambda: world.preference.link is two)


async def test_what_cannot_be_held_is_refused(world: World) -> None:
    sent: list[Stream] = []
    with pytest.raises(NotConnected, match=r"127\.0\.0\.1:1: not connected yet"):
        world.preference.hold(sent.append, 10)
    one, two, _ = world.links
    world.up(one, two)
    world.preference.draining(one)
    world.preference.hold(sent.append, 400)
    with pytest.raises(Overloaded, match="400 bytes wait for the change of router already"):
        world.preference.hold(sent.append, 101)
    assert await world.preference.send_next(sent.append, None) is two.stream
    assert sent == [two.stream, two.stream]


async def test_requests_that_wait_when_it_closes_are_told(world: World) -> None:
    one, two, _ = world.links
    world.up(one, two)
    world.preference.draining(one)
    waiting = asyncio.ensure_future(world.preference.send_next(lambda _: None, None))
    await asyncio.sleep(0)
    two.ready = one.ready = False
    await world.preference.close()
    with pytest.raises(NotConnected):
        await waiting
