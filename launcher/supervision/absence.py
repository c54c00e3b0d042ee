"""A service that is on no router: for how long that may be, and who judges it then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class AbsenceWatch:
    """Calls `on_absent` when `expect` was not taken back by `forget` for `timeout_s` seconds (0: never)."""

    def __init__(self, timeout_s: float, on_absent: Callable[[], None]) -> None:
        self._timeout_s = timeout_s
        self._on_absent = on_absent
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._excused = False

    def expect(self) -> None:
        """It is absent: from now on it is waited for. Does nothing while that is so already."""
        if self._timer is None and self._timeout_s > 0:
            self._timer = self._loop.call_later(self._timeout_s, self._due)

    def excuse(self) -> bool:
        """It is absent with a reason: is waited for once more. True the first time in a row."""
        first, self._excused = not self._excused, True
        self.expect()
        return first

    def forget(self) -> None:
        """It is there, or has ended."""
        self._excused = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        self._on_absent()
