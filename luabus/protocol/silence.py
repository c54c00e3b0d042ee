"""When the silence of a peer breaks a session. Pure: `now` and what was heard are arguments, in monotonic seconds.

A peer is silent when nothing comes from it although it could have been heard. So these are signs of life as well as bytes that
arrive: that it takes what we send (our PING, and so its PONG, may wait behind a large message); that we did not read; and that
our own timer fires late, because the process or the whole machine stood still: then the peer gets another interval.
"""

from __future__ import annotations

from math import inf
from typing import Final

from luabus.errors import RequestTimeout

LATE_S: Final = 0.125
"""A timer that fires so late was kept from it: we may have heard nothing because we did not listen."""


class Silence:
    """`limit_s`: how long a peer may be silent, `inf` = for ever."""

    __slots__ = ("_excused_at", "limit_s")

    def __init__(self, limit_s: float = inf) -> None:
        self.limit_s = limit_s
        self._excused_at = -inf

    def excuse(self, now: float) -> None:
        """The peer lives, or cannot be blamed for its silence until now."""
        self._excused_at = max(self._excused_at, now)

    def due_at(self, heard_at: float) -> float:
        """When it has been silent for too long, if it was heard last at `heard_at`."""
        return max(heard_at, self._excused_at) + self.limit_s

    def is_broken(self, heard_at: float, now: float) -> bool:
        """Whether it has been. To be asked when that is due: asked later, it is we who were late."""
        due = self.due_at(heard_at)
        if now < due:
            return False
        if now - due > LATE_S:
            self.excuse(now)
            return False
        return True

    def error(self) -> RequestTimeout:
        """Why the session ends."""
        text = f"nothing was received for {int(self.limit_s * 1000)} ms"
        return RequestTimeout(text, timeout_s=self.limit_s)
