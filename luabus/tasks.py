"""Background tasks that end: waited for by everybody but those inside of them, and never for ever.

A task that is asked to close what it runs in would wait for itself. So each knows, by its context, which tasks it runs inside of,
also when it was started by one of them (`asyncio.wait_for`, a task group).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar

T = TypeVar("T")

_inside: ContextVar[tuple[asyncio.Task[Any], ...]] = ContextVar("luabus_inside", default=())


def start(
    work: Coroutine[Any, Any, T],
    loop: asyncio.AbstractEventLoop | None = None,
    *,
    name: str | None = None,
    awaited: bool = False,
) -> asyncio.Task[T]:
    """Run `work` as a task that it, and what it awaits, know to be inside of. `awaited`: by whoever starts it, which is then
    inside of the same tasks."""
    context = copy_context()
    task = (loop or asyncio.get_running_loop()).create_task(work, name=name, context=context)
    outer = [task for task in _inside.get() if not task.done()] if awaited else []
    context.run(_inside.set, (*outer, task))
    return task


def is_inside(task: asyncio.Task[Any]) -> bool:
    """Whether this code runs as part of `task`."""
    return task is asyncio.current_task() or task in _inside.get()


async def end(tasks: Iterable[asyncio.Task[Any]], timeout_s: float | None) -> set[asyncio.Task[Any]]:
    """Cancel `tasks` and wait until they have ended, `timeout_s` seconds at most; returns those that go on all the same.

    Those that we are inside of are left alone. What tasks raise is dropped.
    """
    others = [task for task in tasks if not task.done() and not is_inside(task)]
    for task in others:
        task.cancel()
    return await ended(others, timeout_s)


async def ended(tasks: Iterable[asyncio.Task[Any]], timeout_s: float | None) -> set[asyncio.Task[Any]]:
    """Wait until `tasks` have ended, `timeout_s` seconds at most; returns those that have not. What they raise is dropped."""
    others = [task for task in tasks if not is_inside(task)]
    if not others:
        return set()
    done, left = await asyncio.wait(others, timeout=timeout_s)
    for task in done:
        if not task.cancelled():
            task.exception()
    return left
