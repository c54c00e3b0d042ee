"""Requests in flight on one stream: sequence numbers, answers, time-outs. Pure: `now` is an argument.

Deadlines are kept in ticks of `CALL_TICK_S`: calls which end in the same tick share one small dictionary, so that adding and
settling a call costs two dictionary operations, and memory holds pending calls only.
"""

from __future__ import annotations

from math import ceil
from typing import Generic, TypeVar

from luabus.limits import CALL_TICK_S

W = TypeVar("W")

_MANY_TICKS = 1024


class PendingCalls(Generic[W]):
    """The pending calls. `W` is whatever waits for the answer (a future; a list in a test).

    Sequences go up from `first`, which should be random: a late answer to a former connection with the same id must not fit.
    """

    def __init__(self, first: int = 0) -> None:
        self._pending: dict[int, tuple[W, dict[int, None] | None]] = {}
        self._ticks: dict[int, dict[int, None]] = {}
        self._sequence = first
        self._many = _MANY_TICKS

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, waiter: W, deadline: float | None) -> int:
        """A new call; returns its sequence, which no other pending call has. `deadline` in seconds; None = never."""
        sequence = self._sequence
        while True:
            sequence = sequence + 1 & 0xFFFF_FFFF
            if sequence and sequence not in self._pending:
                break
        self._sequence = sequence
        bucket = None
        if deadline is not None:
            tick = ceil(deadline / CALL_TICK_S)
            bucket = self._ticks.get(tick)
            if bucket is None:
                if len(self._ticks) >= self._many:
                    self._forget_empty()
                bucket = self._ticks[tick] = {}
            bucket[sequence] = None
        self._pending[sequence] = (waiter, bucket)
        return sequence

    def peek(self, sequence: int) -> W | None:
        """The waiter of a call that goes on waiting (a gather, whose answers are many)."""
        call = self._pending.get(sequence)
        return call[0] if call else None

    def settle(self, sequence: int) -> W | None:
        """Take the call out; None when it is not pending (answered, timed out or cancelled before)."""
        call = self._pending.pop(sequence, None)
        if call is None:
            return None
        waiter, bucket = call
        if bucket is not None:
            del bucket[sequence]
        return waiter

    def expire(self, now: float) -> list[tuple[int, W]]:
        """Take out every call whose deadline has passed."""
        expired: list[tuple[int, W]] = []
        due = now / CALL_TICK_S + 1e-6  # a tick times its length, divided by it, may be a little less
        for tick in [tick for tick in self._ticks if tick <= due]:
            expired.extend((sequence, self._pending.pop(sequence)[0]) for sequence in self._ticks.pop(tick))
        return expired

    def next_deadline(self) -> float | None:
        """When to call `expire` next (seconds); None when no call has a deadline."""
        return min(self._ticks) * CALL_TICK_S if self._ticks else None

    def _forget_empty(self) -> None:
        """Calls with long time-outs that were answered soon leave empty ticks."""
        self._ticks = {tick: bucket for tick, bucket in self._ticks.items() if bucket}
        self._many = 2 * len(self._ticks) + _MANY_TICKS

    def drain(self) -> list[tuple[int, W]]:
        """Take out all calls: the stream is gone."""
        drained = [(sequence, waiter) for sequence, (waiter, _) in self._pending.items()]
        self._pending.clear()
        self._ticks.clear()
        return drained
