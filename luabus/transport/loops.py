"""The event loops that drive streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from luabus import shutdown_signals, tasks
from luabus.exception_text import FATAL
from luabus.limits import MOMENT_S
from luabus.logs import Log

log = Log("luabus.loop")

T = TypeVar("T")

_ECHO_S = 0.1
"""For tasks that whoever cancelled them has waited for already."""

own_loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
"""The loops that `wait` drives. A callback in one of them may use another manager, whose turn comes with its own `wait`."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's loop where it runs, else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs this code, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def run_program(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, in a loop of `new_event_loop`; but tasks and threads that do not end although they were told to are
    waited for only a moment.
    """
    if running_loop() is not None:
        main.close()
        raise RuntimeError("an event loop runs in this thread already: await serve() there")
    loop = new_event_loop()
    threads = ThreadPoolExecutor(thread_name_prefix="asyncio")
    loop.set_default_executor(threads)
    asyncio.set_event_loop(loop)
    task = loop.create_task(main)
    try:
        return _run(loop, task)
    finally:
        try:
            if not task.done():  # it asked for no word of it, and sees to the end, which it bounds itself
                task.cancel()
                loop.run_until_complete(tasks.ended([task], None))
            shutdown_signals.ended(in_order=loop.run_until_complete(_all_ended(threads)))
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _run(loop: asyncio.AbstractEventLoop, task: asyncio.Task[T]) -> T:
    """Run `task` to its end. What a task or callback of the user raises out of the loop goes to those who asked for it
    (`on_interrupt`), and the loop goes on: the orderly end may run already, and a cancel would cut it short."""
    while True:
        try:
            return loop.run_until_complete(task)
        except FATAL as error:
            functions = list(_interrupted.get(loop, ()))
            if task.done() or not functions:
                raise
            for function in functions:
                function(error)


async def _all_ended(threads: ThreadPoolExecutor) -> bool:
    """Cancel what is left, and give it a moment; whether no thread is left that holds up the process."""
    told_before = [task for task in asyncio.all_tasks() if task.cancelling()]
    others = [task for task in asyncio.all_tasks() if not task.cancelling()]
    left = await tasks.ended(told_before, _ECHO_S) | await tasks.end(others, MOMENT_S)
    left |= await tasks.ended(
        [asyncio.create_task(asyncio.get_running_loop().shutdown_asyncgens())], MOMENT_S
    )
    for task in left:
        log.warning("a task goes on although it was cancelled, and is left behind: %r", task)
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # it has just been said
    threads.shutdown(wait=False, cancel_futures=True)
    until = time.monotonic() + MOMENT_S
    while stuck := [thread.name for thread in threads._threads if thread.is_alive()]:
        if time.monotonic() >= until:
            log.warning("threads go on and are left behind: %s", ", ".join(stuck))
            break
        await asyncio.sleep(0.01)
    return not stuck


_interrupted: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Callable[[BaseException], None]]] = (
    WeakKeyDictionary()
)


def on_interrupt(function: Callable[[BaseException], None]) -> Callable[[], None]:
    """From now on, when user code in the running loop raises `SystemExit` or `KeyboardInterrupt`, `function` is called with it,
    and sees to an orderly end; returns what ends that."""
    functions = _interrupted.setdefault(asyncio.get_running_loop(), [])
    functions.append(function)
    return lambda: functions.remove(function) if function in functions else None


def interrupt(error: BaseException) -> None:
    """User code wants this process to end: tell those who asked for it (`on_interrupt`), else raise it out of the loop's `run`.

    In a callback of a transport uvloop would take it for an error of that connection; in one of the loop's own both loops let it
    out.
    """
    loop = running_loop()
    if loop is None:
        raise error
    functions = list(_interrupted.get(loop, ()))
    for function in functions:
        function(error)
    if not functions:
        loop.call_soon(_raise, error)


def _raise(error: BaseException) -> NoReturn:
    raise error
