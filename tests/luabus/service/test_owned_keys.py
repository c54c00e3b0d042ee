"""Which keys a service owns, and what it is told when that changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import luabus
from luabus.router import announcer
from tests.support.bus import SECRET, Star
from tests.support.owners import line_of
from tests.support.waiting import until

KEYS = range(200)
Owns = Callable[[int | str | bytes], bool]


def service(star: Star, instance: int, mode: str = "hash") -> luabus.Service:
    return luabus.Service(
        "mail", group=2, instance=instance, routers=star.addresses, secret=SECRET, mode=mode
    )


def owned(owns: Owns) -> set[int]:
    return {key for key in KEYS if owns(key)}


def refused(one: luabus.Service) -> bool:
    """Whether it says that it is not told which keys it owns."""
    try:
        one.owns(1)
    except luabus.Refused:
        return True
    return False


def by_rule(instance: int, *live: int) -> set[int]:
    return {key for key in KEYS if line_of(key, live)[0] == instance}


async def test_a_service_owns_what_routers_send_it_from_its_start_on() -> None:
    async with Star(2) as star:
        one, two = service(star, 1), service(star, 2, mode="")
        assert not owned(one.owns)
        async with one:
            assert owned(one.owns) == set(KEYS)
            async with two:
                assert owned(two.owns) == by_rule(2, 1, 2)
                await until(lambda: owned(one.owns) == by_rule(1, 1, 2))
            await until(lambda: owned(one.owns) == set(KEYS))
            assert not owned(two.owns)
        assert not owned(one.owns)


async def test_what_was_gained_and_lost_is_told_after_each_change() -> None:
    async with Star() as star:
        one, told = service(star, 1), list[tuple[set[int], set[int]]]()

        @one.on_keys_moved
        async def moved(gained: Owns, lost: Owns) -> None:
            assert all(one.owns(key) for key in KEYS if gained(key))
            assert not any(one.owns(key) for key in KEYS if lost(key))
            told.append((owned(gained), owned(lost)))
            await asyncio.sleep(0)

        async with one:
            await until(lambda: len(told) == 1)
            assert told[0] == (set(KEYS), set())
            async with service(star, 2):
                await until(lambda: len(told) == 2)
                assert told[1] == (set(), by_rule(2, 1, 2))
            await until(lambda: len(told) == 3)
            assert told[2] == (by_rule(2, 1, 2), set())
        assert told[3:] == [(set(), set(KEYS))]


async def test_a_hook_that_fails_does_not_keep_the_next_change_from_being_told() -> None:
    async with Star() as star:
        one, calls = service(star, 1), list[int]()

        @one.on_keys_moved
        def moved(gained: Owns, lost: Owns) -> None:
            calls.append(1)
            raise ValueError("not today")

        async with one:
            await until(lambda: len(calls) == 1)
            async with service(star, 2):
                await until(lambda: len(calls) == 2)


async def test_who_fails_while_the_next_change_comes_is_told_of_it_and_all_others_of_both() -> None:
    async with Star() as star:
        one, calls, others = service(star, 1), list[set[int]](), list[set[int]]()
        both_there = asyncio.Event()

        @one.on_keys_moved
        async def fails(gained: Owns, lost: Owns) -> None:
            calls.append(owned(lost))
            if len(calls) == 2:
                await both_there.wait()
                raise ValueError("not today")

        @one.on_keys_moved
        def told(gained: Owns, lost: Owns) -> None:
            others.append(owned(lost))

        async with one, service(star, 2):
            await until(lambda: len(calls) == 2)
            async with service(star, 3):
                await until(lambda: owned(one.owns) == by_rule(1, 1, 2, 3))
                both_there.set()
                await until(lambda: len(others) == 3)
                assert calls == others
                assert calls[1] | calls[2] == set(KEYS) - by_rule(1, 1, 2, 3)


async def test_a_hook_that_stops_its_service_is_not_waited_for() -> None:
    async with Star() as star:
        one, went_on = service(star, 1), asyncio.Event()

        @one.on_keys_moved
        async def moved(gained: Owns, lost: Owns) -> None:
            if owned(lost):
                await one.stop()
                went_on.set()

        await one.start()
        async with service(star, 2), asyncio.timeout(one.drain_timeout / 2):
            await went_on.wait()
        assert not owned(one.owns)


async def test_another_preferred_router_counts_from_when_it_is_that() -> None:
    async with Star(2) as star, service(star, 1) as one, service(star, 2):
        await until(lambda: owned(one.owns) == by_rule(1, 1, 2))
        first = one.bus.preferred_router
        other = next(router for router in star.routers if router.name != first)
        other.register("2.2", 0)  # it alone says that mail.2 is vacant
        await until(lambda: len(one._keys._members[other.name]) == 1)
        assert owned(one.owns) == by_rule(1, 1, 2)
        await next(router for router in star.routers if router.name == first).stop(0.0)
        await until(lambda: owned(one.owns) == set(KEYS))


async def test_of_very_many_members_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer, "MOST_FOLLOWED", 2)
    async with Star() as star, service(star, 1) as one:
        assert owned(one.owns) == set(KEYS)
        async with service(star, 2), service(star, 3) as three:
            await until(lambda: refused(one))
            assert refused(three)
        await until(lambda: owned(one.owns) == set(KEYS))


async def test_members_of_groups_that_are_reached_otherwise_are_not_told() -> None:
    async with Star() as star, service(star, 1, mode="random") as one:
        assert refused(one)
        assert star.routers[0]._announcer._followers == {}
