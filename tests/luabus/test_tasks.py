from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from luabus import tasks


async def directly(work: Coroutine[Any, Any, Any]) -> Any:
    return await work


async def by_a_task_group(work: Coroutine[Any, Any, Any]) -> Any:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
    return task.result()


async def by_wait_for(work: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.wait_for(work, 5)


async def by_gather(work: Coroutine[Any, Any, Any]) -> Any:
    return (await asyncio.gather(work, asyncio.sleep(0)))[0]


@pytest.mark.parametrize("way", [directly, by_a_task_group, by_wait_for, by_gather])
async def test_a_task_that_ends_all_ends_the_others_and_goes_on(
    way: Callable[[Coroutine[Any, Any, Any]], Any],
) -> None:
    other = tasks.start(asyncio.sleep(1000))

    async def ender() -> str:
        assert await way(tasks.end([other, asking], 5)) == set()
        return "goes on"

    asking = tasks.start(ender())
    assert await asking == "goes on"
    assert other.cancelled()


async def test_one_that_was_started_by_a_task_and_not_awaited_is_not_inside_of_it() -> None:
    started: list[asyncio.Task[bool]] = []

    async def detached() -> bool:
        return tasks.is_inside(outer)

    async def starts() -> None:
        started.append(tasks.start(detached()))
        started.append(tasks.start(detached(), awaited=True))
        await asyncio.sleep(0)
        await asyncio.gather(*started)

    outer = tasks.start(starts())
    await outer
    assert [task.result() for task in started] == [False, True]


async def test_one_that_goes_on_although_it_was_cancelled_is_waited_for_no_longer_than_said() -> None:
    end = asyncio.Event()

    async def stubborn() -> None:
        while not end.is_set():
            try:
                await end.wait()
            except asyncio.CancelledError:
                continue

    async def raises() -> None:
        raise ValueError("is dropped")

    task, failed = tasks.start(stubborn()), tasks.start(raises())
    await asyncio.sleep(0)
    assert await tasks.end([task, failed], 0.01) == {task}
    end.set()
    assert await tasks.ended([task], None) == set()
