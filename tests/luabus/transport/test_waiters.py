from __future__ import annotations

import asyncio

import pytest

from luabus.errors import PeerLost
from luabus.transport.waiters import Waiters


async def start(waiters: Waiters, count: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(waiters.wait()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_all_who_wait_go_on_together() -> None:
    waiters = Waiters()
    tasks = await start(waiters, 3)
    waiters.release()
    assert await asyncio.gather(*tasks) == [None] * 3


async def test_who_comes_later_waits_for_the_next_time() -> None:
    waiters = Waiters()
    waiters.release()
    (task,) = await start(waiters, 1)
    assert not task.done()
    waiters.release()
    await task


async def test_an_error_reaches_all() -> None:
    waiters = Waiters()
    tasks = await start(waiters, 2)
    waiters.release(PeerLost("gone"))
    for task in tasks:
        with pytest.raises(PeerLost, match="gone"):
            await task


async def test_one_that_is_cancelled_is_forgotten_and_the_others_are_not() -> None:
    waiters = Waiters()
    gone, stays = await start(waiters, 2)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert len(waiters._futures) == 1
    waiters.release()
    await stays
