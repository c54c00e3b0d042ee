"""What waits for slow receivers, all of one process together. Pure.

Each may keep as much as is left of the total, and no more than its own buffer: so a few slow ones have their full buffers, many
share, and there is always as much left as each of them has. What is allowed is reckoned when something is written to one who has
not taken all before, never per frame; and for all at once when half of the total is reached, so that nobody goes on by what was
allowed while there was room.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from luabus.limits import DEFAULT_WAITING_LIMIT

SLOW: Final = 64 * 1024
"""Bytes that may wait for anybody, whatever the total is: that much is on the way to one who reads as well."""
BURST: Final = 1 << 20
"""Bytes of broadcasts that are gathered at most before they are written, and counted."""
_LARGE: Final = 32 << 20
"""Bytes whose memory is worth giving back to the system."""


class Waiting:
    """The total of one process: at most `limit` bytes, beside `SLOW` for each receiver, as much for answers to each (they pass
    when its buffer is full), and `BURST` with a message. `crowded()` is called when much less is left than it was the last time,
    `shrunk()` when most of what was much has gone."""

    __slots__ = ("_crowded_at", "_eased_at", "_is_crowded", "_peak", "crowded", "limit", "shrunk", "total")

    def __init__(self, limit: int = DEFAULT_WAITING_LIMIT) -> None:
        self.limit = limit
        self.total = 0
        self.shrunk: Callable[[], None] | None = None
        self.crowded: Callable[[], None] | None = None
        self._is_crowded = False
        self._crowded_at = self._eased_at = limit / 2
        self._peak = 0

    def changed(self, by: int) -> None:
        """So many bytes more, or fewer, wait for one of them."""
        self.total += by
        if self.total > self._crowded_at:
            self._reckon()
            if self.crowded is not None:
                self.crowded()
        elif self._is_crowded and self.total < self._eased_at:
            self._reckon()
        if self.total > self._peak:
            self._peak = self.total
        elif self._peak > _LARGE and self.total < self._peak // 4:
            self._peak = self.total
            if self.shrunk is not None:
                self.shrunk()

    def _reckon(self) -> None:
        """When it is to be reckoned for all again: half of what is left now is gone, or twice as much is left."""
        left = self.limit - self.total
        self._is_crowded = self.total * 4 >= self.limit
        if self._is_crowded:
            self._crowded_at = self.total + left / 2 if left > SLOW else inf  # nobody has less than that
            self._eased_at = max(self.limit - max(2 * left, SLOW), self.limit / 4)
        else:
            self._crowded_at = self.limit / 2

    def allowed(self, waiting: int, own_limit: int) -> int:
        """Bytes that may wait for one for whom `waiting` do, and who has a buffer of `own_limit`."""
        if waiting <= SLOW and not self._is_crowded:
            return own_limit
        return min(own_limit, max(SLOW, self.limit - self.total))
