"""The event loops that drive streams."""

from __future__ import annotations

import asyncio
from weakref import WeakSet

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
