"""What waits for slow receivers, all of one process together. Pure.

Each may keep as much as is left of the total, and no more than its own buffer: so a few slow ones have their full buffers, many
share, and there is always as much left as each of them has. What is allowed is reckoned when something is written to one who has
not taken all before, never per frame; and for all at once when half of the total is reached, so that nobody goes on by what was
allowed while there was room.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from luabus.limits import DEFAULT_WAITING_LIMIT

SLOW: Final = 64 * 1024
"""Bytes that may wait for anybody, whatever the total is: that much is on the way to one who reads as well."""
_LARGE: Final = 32 << 20
"""Bytes whose memory is worth giving back to the system."""


class Waiting:
    """The total of one process: at most `limit` bytes, beside `SLOW` for each receiver and what comes in one turn of the loop (a
    broadcast's bytes are kept once for all). `crowded()` is called when half of it is reached, `shrunk()` when most of what was
    much has gone."""

    __slots__ = ("_is_crowded", "_peak", "crowded", "limit", "shrunk", "total")

    def __init__(self, limit: int = DEFAULT_WAITING_LIMIT) -> None:
        self.limit = limit
        self.total = 0
        self.shrunk: Callable[[], None] | None = None
        self.crowded: Callable[[], None] | None = None
        self._is_crowded = False
        self._peak = 0

    def changed(self, by: int) -> None:
        """So many bytes more, or fewer, wait for one of them."""
        self.total += by
        if not self._is_crowded and self.total * 2 > self.limit:
            self._is_crowded = True
            if self.crowded is not None:
                self.crowded()
        elif self._is_crowded and self.total * 4 < self.limit:
            self._is_crowded = False
        if self.total > self._peak:
            self._peak = self.total
        elif self._peak > _LARGE and self.total < self._peak // 4:
            self._peak = self.total
            if self.shrunk is not None:
                self.shrunk()

    def allowed(self, waiting: int, own_limit: int) -> int:
        """Bytes that may wait for one for whom `waiting` do, and who has a buffer of `own_limit`."""
        if waiting <= SLOW and not self._is_crowded:
            return own_limit
        return min(own_limit, max(SLOW, self.limit - self.total))
