"""How far a sender that awaits its one-way messages may be ahead of those who receive them.

A router drops what a receiver has no room for. So whoever awaits asks the router, each 256 KiB, whether the receivers of what it
sends now have taken most of what waits for them, and goes on for as much again while the answer is under way.
"""

from __future__ import annotations

import asyncio
from typing import Final

from luabus.errors import LuabusError
from luabus.limits import DEFAULT_BUS_BUFFER
from luabus.protocol.codec import pack_call
from luabus.transport.stream import REQUEST_ROUTE, Stream

WINDOW: Final = DEFAULT_BUS_BUFFER // 32
"""Bytes. A sender is at most two windows ahead, so a dozen of them fit into the buffer of one receiver."""


class FlowControl:
    """One bus' questions to its router for credit. `ahead`: bytes sent since the last one."""

    __slots__ = ("_pending", "ahead")

    def __init__(self) -> None:
        self.ahead = 0
        self._pending: asyncio.Future[None] | None = None

    async def credit(self, stream: Stream, route: int, key: int) -> None:
        """Ask whether there is room for more on this route, and wait for the answer to the question before."""
        before, self._pending = self._pending, stream.new_waiter()
        self._pending.add_done_callback(_seen)
        try:
            stream.start_call(self._pending, REQUEST_ROUTE, 0, pack_call("luabus.room", (route, key)), None)
        except LuabusError as error:  # the message itself was sent; the next one will tell
            self._pending.set_exception(error)
        if before is not None and not before.done():
            await asyncio.wait(
                (before,)
            )  # not by itself: cancelling one who waits must not cancel it for the others


def _seen(answer: asyncio.Future[None]) -> None:
    """An answer that is an error lets the sender go on: the router is lost, or will be."""
    if not answer.cancelled():
        answer.exception()
