"""What receivers have got so far, in memory shared by all processes of one measurement.

Receivers count, senders look: so a sender keeps a window (nothing is ever dropped for want of a buffer), knows when
all has arrived, and no message of the system under test is spent on it. It is the same for every system.
"""

from __future__ import annotations

import asyncio
import mmap
import time
from pathlib import Path
from typing import Final

SLOTS: Final = 16
_LOOK_S: Final = 0.001
"""How often a sender that may not go on looks again."""
PATIENCE_S: Final = 20.0
"""Without any progress for so long, messages have been lost."""


class Lost(Exception):
    """Not everything that was sent has arrived."""


class Progress:
    """`counts[slot]` is what the receiver of that slot has got: messages, or bytes. Each slot has one writer."""

    def __init__(self, path: str | Path) -> None:
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), SLOTS * 8)
        self.counts = memoryview(self._map).cast("Q")

    @staticmethod
    def create(path: Path) -> None:
        """A file of zeros at `path`, for all to open."""
        path.write_bytes(bytes(SLOTS * 8))

    def close(self) -> None:
        self.counts.release()
        self._map.close()

    def total(self) -> int:
        """Over all receivers."""
        return sum(self.counts)

    def wait(self, least: int) -> None:
        """Return when the total is at least `least`. Raises `Lost` when it stands still."""
        seen, since = -1, time.monotonic()
        while (now := self.total()) < least:
            if now != seen:
                seen, since = now, time.monotonic()
            self._check(now, least, since)
            time.sleep(_LOOK_S)

    async def reach(self, least: int) -> None:
        """`wait` for programs with an event loop."""
        seen, since = -1, time.monotonic()
        while (now := self.total()) < least:
            if now != seen:
                seen, since = now, time.monotonic()
            self._check(now, least, since)
            await asyncio.sleep(_LOOK_S)

    @staticmethod
    def _check(now: int, least: int, since: float) -> None:
        if time.monotonic() - since > PATIENCE_S:
            raise Lost(f"{least - now} of {least} have not arrived, and nothing came for {PATIENCE_S:g} s")
