"""The difference between the router's clock and ours, so that a deadline means the same at both ends. Pure.

Deadlines travel as milliseconds of the *acceptor's* monotonic clock, modulo 2^32. Each PONG tells the acceptor's clock; half of
the round trip is assumed to have passed since. Of the last ten samples the one with the shortest round trip counts: it is
the most exact.
"""

from __future__ import annotations

_MASK = 0xFFFF_FFFF
_SAMPLES = 10


class PeerClock:
    """`offset_ms`: the acceptor's clock minus ours; 0 at the acceptor itself, None at a connector before the first PONG."""

    __slots__ = ("_samples", "offset_ms", "rtt_s")

    def __init__(self, *, connector: bool) -> None:
        self.offset_ms: float | None = None if connector else 0.0
        self.rtt_s = 0.0
        self._samples: list[tuple[float, float]] | None = [] if connector else None

    @staticmethod
    def stamp(now: float) -> int:
        """What a PING carries and its PONG repeats: `now` in microseconds, modulo 2^32."""
        return int(now * 1_000_000) & _MASK

    def pong(self, stamp: int, clock_ms: int, now: float) -> None:
        """The PONG to the PING sent at `stamp` tells the peer's clock."""
        self.rtt_s = (self.stamp(now) - stamp & _MASK) / 1_000_000
        if self._samples is not None:
            self._samples = [
                *self._samples[1 - _SAMPLES :],
                (self.rtt_s, clock_ms - (now - self.rtt_s / 2) * 1000),
            ]
            self.offset_ms = min(self._samples)[1]

    def deadline_ms(self, deadline: float) -> int:
        """Our `deadline` (monotonic seconds) for the wire; 0 (none) while the offset is not known."""
        if self.offset_ms is None:
            return 0
        return int(deadline * 1000 + self.offset_ms) + 1 & _MASK or 1

    def remaining_s(self, deadline_ms: int, now: float) -> float | None:
        """Seconds from `now` to a deadline off the wire, negative when it has passed; None when there is none."""
        if not deadline_ms or self.offset_ms is None:
            return None
        left = deadline_ms - int(now * 1000 + self.offset_ms) & _MASK
        return (left - (1 << 32) if left >> 31 else left) / 1000
