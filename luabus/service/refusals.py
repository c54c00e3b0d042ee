"""Callers whom a service's own rules refuse, told to a router once per second: it raises the alarm when that repeats."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from luabus.client.bus import Bus
from luabus.errors import Forbidden, LuabusError

TELL_S: Final = 1.0
"""Seconds between two words about the same."""
_MOST: Final = 100
"""Different callers and methods that are told about in one second."""


class Refusals:
    """Counts by caller and method what `note` is given."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._counts: dict[tuple[str, str], int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def note(self, error: Forbidden) -> None:
        """A call was refused with this."""
        key = (error.caller, error.method)
        if key in self._counts or len(self._counts) < _MOST:
            self._counts[key] = self._counts.get(key, 0) + 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TELL_S, self._tell)

    def stop(self) -> None:
        """Tell no more."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self._counts.clear()

    def _tell(self) -> None:
        self._timer = None
        counts, self._counts = self._counts, {}
        stream = self._bus.preferred
        if stream is None:
            return
        with contextlib.suppress(LuabusError):
            for (caller, method), times in counts.items():
                stream.call("luabus.forbade", caller, method, times)
