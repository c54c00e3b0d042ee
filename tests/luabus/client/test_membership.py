"""What a process is to its routers; over real routers in test_bus.py and test_registry.py."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from luabus.client.membership import Identity, Membership
from luabus.client.news import News
from luabus.client.router_link import RouterLink
from luabus.errors import IdInUse, LuabusError, NotConnected, Refused, RouterLost, StaleEpoch
from luabus.ids import ServiceId

MAIL = Identity(ServiceId.of(2, 1), "mail", 1, "")


NOTHING_NEW = News()


class Router:
    """A link and its stream at once: what it was asked, and what it answers."""

    def __init__(self, name: str, error: LuabusError | None = None) -> None:
        self.name = name
        self.ready = True
        self.joined = False
        self.stream = self
        self.error = error
        self.calls: list[tuple[Any, ...]] = []
        self.masters: dict[int, tuple[int, int]] = {}
        self.source = 0

    async def request(self, method: str, *args: Any, timeout: float = 1.0) -> Any:
        self.calls.append((method, *args))
        if self.error is not None:
            raise self.error
        return {"token": 9}

    def speak_as(self, source: int) -> None:
        self.source = source

    @property
    def address(self) -> str:
        return "127.0.0.1:1"

    def has_joined(self, token: int) -> None:
        self.joined = token == 9


def member(
    *routers: Router,
    epoch: int = 0,
    refusals: list[LuabusError] | None = None,
    news: News = NOTHING_NEW,
) -> Membership:
    membership = Membership(
        {2: 5, 3: 0},
        lambda: epoch,
        None if refusals is None else refusals.append,
        news.next_change,
        lambda: None,
    )
    membership.start(cast("list[RouterLink]", list(routers)))
    return membership


async def test_it_joins_every_router_with_the_epochs_it_knows_and_claims_its_own() -> None:
    routers = [Router("router.1"), Router("router.2")]
    await member(*routers, epoch=6).join(MAIL)
    for router in routers:
        assert router.calls == [
            ("luabus.join", 0x0002_0001, "mail", 1, "", {2: 5}, MAIL.process, False),
            ("luabus.master", 6),
        ]
        assert router.joined
        assert router.source == MAIL.service_id


async def test_one_router_that_does_not_take_it_is_not_the_end_and_none_at_all_is() -> None:
    good, stopping = Router("router.1"), Router("router.2", Refused("router.2 is stopping"))
    await member(stopping, good).join(MAIL)
    assert good.joined
    with pytest.raises(Refused, match=r"router\.2 is stopping"):
        await member(stopping).join(MAIL)


async def test_a_newer_process_with_this_id_is_the_end_at_once() -> None:
    good = Router("router.2")
    with pytest.raises(IdInUse):
        await member(Router("router.1", IdInUse("newer")), good).join(MAIL)
    assert good.calls == []


async def test_a_link_that_dies_during_the_join_is_waited_for() -> None:
    news = News()
    dying = Router("router.1", RouterLost("nothing was received for 3500 ms"))
    membership = member(dying, news=news)
    joining = asyncio.create_task(membership.join(MAIL))
    await asyncio.sleep(0)
    news.notify()
    await asyncio.sleep(0)
    assert not joining.done()
    dying.error = None
    await membership.greet(cast(RouterLink, dying))  # as the link does when it is up again
    news.notify()
    await joining
    assert dying.joined


async def test_a_link_that_is_down_when_it_begins_to_join_is_waited_for() -> None:
    news = News()
    down = Router("router.1")
    down.ready = False
    with pytest.raises(NotConnected, match="no router is connected"):
        await member(down, news=news).join(MAIL, 0.01)
    lost = Router("router.1", RouterLost("gone"))
    with pytest.raises(RouterLost):
        await member(lost, news=news).join(MAIL, 0.01)


async def test_a_refusal_of_a_link_that_comes_again_ends_the_join() -> None:
    news = News()
    router = Router("router.1", RouterLost("gone"))
    membership = member(router, news=news)
    joining = asyncio.create_task(membership.join(MAIL, None))
    await asyncio.sleep(0)
    router.error = IdInUse("newer")
    with pytest.raises(IdInUse):
        await membership.greet(cast(RouterLink, router))
    news.notify()
    with pytest.raises(IdInUse):
        await joining


async def test_a_router_that_comes_later_is_joined_and_watched_and_its_refusal_told() -> None:
    refusals: list[LuabusError] = []
    membership = member(refusals=refusals)
    await membership.watch()
    await membership.join(MAIL)
    late, refusing = Router("router.3"), Router("router.4", Refused("no"))
    await membership.greet(cast(RouterLink, late))
    assert [call[0] for call in late.calls] == ["luabus.watch", "luabus.join"]
    await membership.leave()
    await membership.greet(cast(RouterLink, late))
    assert [call[0] for call in late.calls] == ["luabus.watch", "luabus.join", "luabus.watch"]
    quiet = member(refusals=refusals)
    await quiet.join(MAIL)
    with pytest.raises(Refused):
        await quiet.greet(cast(RouterLink, refusing))
    assert [str(error) for error in refusals] == ["no"]


async def test_the_highest_epoch_for_which_a_claim_is_refused() -> None:
    stale = [Router("router.1", StaleEpoch("old", group=2, epoch=3, highest=7)), Router("router.2")]
    assert await member(*stale).claim_master(3) == 7
    assert await member(stale[1]).claim_master(3) == 0
