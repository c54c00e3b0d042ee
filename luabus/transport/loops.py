"""The event loops that drive streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NoReturn
from weakref import WeakKeyDictionary, WeakSet

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
