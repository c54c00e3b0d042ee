"""When a router has delivered what was forwarded before: one round of PINGs confirms it for all who ask at the same moment.

A PING goes the way of the messages, so its PONG says that those before it have arrived. When a router stops, all its N services
ask at once; a round for each of them would be N^2 PINGs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from luabus.errors import Overloaded
from luabus.transport.stream import Stream

PATIENCE_S: Final = 1.0
"""One who does not answer within this time does not hold up a round: it is about to be lost."""
PINGS_PER_S: Final = 2000
"""So long a pause is made after a round that no more PINGs are sent, whoever asks however often ..."""
LONGEST_PAUSE_S: Final = 0.5
"""... but no longer one."""
MOST_ASKED: Final = 16
"""Answers that one connection may await at once."""


class _Round:
    """One PING to each receiver. `waits_for`: the stamp of the PING, of those who have not answered yet."""

    def __init__(self, done: asyncio.Future[None], waits_for: dict[Stream, int]) -> None:
        self.done = done
        self.waits_for = waits_for
        self.timer: asyncio.TimerHandle | None = None


class FlushRounds:
    """The rounds of one router. `streams()`: its open connections; `loop()`: the event loop."""

    def __init__(
        self, loop: Callable[[], asyncio.AbstractEventLoop], streams: Callable[[], Iterable[Stream]]
    ) -> None:
        self._loop = loop
        self._streams = streams
        self._rounds: list[_Round] = []
        self._asked: dict[Stream, int] = {}
        self._next: asyncio.Future[None] | None = None
        self._askers: set[Stream] = set()
        self._not_before = 0.0

    async def confirm(self, asker: Stream) -> None:
        """Wait until everybody has received what was forwarded to them before. Raises `Overloaded` for one who asks too often."""
        asked = self._asked.get(asker, 0)
        if asked >= MOST_ASKED:
            raise Overloaded(
                f"{asked} flushes of this connection are waited for already",
                what="flushes", limit=MOST_ASKED, current=asked,
            )  # fmt: skip
        if self._next is None:
            loop = self._loop()
            self._next = loop.create_future()
            loop.call_later(max(0.0, self._not_before - loop.time()), self._begin)
        self._asked[asker] = asked + 1
        self._askers.add(asker)
        try:
            await asyncio.shield(self._next)  # one who waits no longer does not end it for the others
        finally:
            self._asked[asker] -= 1
            if not self._asked[asker]:
                del self._asked[asker]

    def _begin(self) -> None:
        done, self._next = self._next, None
        askers, self._askers = self._askers, set()
        if done is None:
            return
        # The only one who asks knows what it has received.
        ignored = askers if len(askers) == 1 else ()
        receivers = [stream for stream in self._streams() if stream.frames_out and stream not in ignored]
        loop = self._loop()
        self._not_before = loop.time() + min(len(receivers) / PINGS_PER_S, LONGEST_PAUSE_S)
        begun = _Round(done, {stream: stream.ping() for stream in receivers})
        self._rounds.append(begun)
        if receivers:
            begun.timer = loop.call_later(PATIENCE_S, self._end, begun)
        else:
            self._end(begun)

    def _end(self, ended: _Round) -> None:
        self._rounds.remove(ended)
        if ended.timer is not None:
            ended.timer.cancel()
        if not ended.done.done():
            ended.done.set_result(None)

    def heard(self, stream: Stream) -> None:
        """A PONG has come."""
        for each in list(self._rounds):
            stamp = each.waits_for.get(stream)
            if stamp is not None and stream.has_heard(stamp):
                self._without(each, stream)

    def forget(self, stream: Stream) -> None:
        """A stream is closed: what was forwarded to it is lost."""
        for each in list(self._rounds):
            if stream in each.waits_for:
                self._without(each, stream)

    def _without(self, each: _Round, stream: Stream) -> None:
        del each.waits_for[stream]
        if not each.waits_for:
            self._end(each)
