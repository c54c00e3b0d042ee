"""What a router tells to those who watch it."""

from __future__ import annotations

import asyncio
from typing import Any

from luabus.client.bus import Bus
from tests.support.bus import Star, prefers
from tests.support.waiting import until


async def both(star: Star) -> tuple[Bus, str, str]:
    """A client of both routers, the name of the one it forwards through, and the other's."""
    bus = await star.client()
    preferred = prefers(bus)
    return bus, preferred, next(link.name for link in bus.routers if link.name != preferred)


async def test_watching_tells_every_group_and_each_change_of_each_router() -> None:
    async with Star(2) as star:
        bus = await star.client()
        seen: dict[tuple[str, int], dict[str, Any]] = {}
        bus.on_group(lambda router, group: seen.__setitem__((router, group["group"]), group))
        await bus.watch()
        assert {router for router, _ in seen} == {"router.1", "router.2"}
        assert [slot["token"] for slot in seen["router.1", 2]["slots"]] == [0, 0, 0]
        (mail,) = await star.mail(2)
        await until(lambda: all(seen[r, 2]["slots"][1]["token"] for r in ("router.1", "router.2")))
        await mail.service.stop()
        await until(lambda: all(not seen[r, 2]["slots"][1]["token"] for r in ("router.1", "router.2")))


async def test_a_change_in_the_moment_of_the_first_look_is_not_hidden_by_it() -> None:
    async with Star() as star:
        await star.mail(1)
        router = star.routers[0]
        bus = await star.client()
        seen: list[int] = []
        bus.on_group(lambda router, group: seen.append(group["slots"][0]["token"]))
        stream = bus.routers[0].stream
        assert stream is not None
        transport = stream.connection.transport
        assert transport is not None
        watching = asyncio.create_task(bus.watch())
        await asyncio.sleep(0)
        stream.flush()
        transport.pause_reading()  # so that it reads both at once: the answer, and the change after it
        await until(lambda: router._announcer._watchers)
        written = next(s for s in router._open_streams() if s in router._announcer._watchers)
        router.register("mail.1", 0)
        before = written.frames_out
        await until(lambda: written.frames_out > before)
        transport.resume_reading()
        await watching
        assert seen[-1] == 0
