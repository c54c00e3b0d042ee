"""The last calls of a service that stops: finished in time, or cancelled and named."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from luabus.ids import ServiceId
from luabus.limits import MOMENT_S
from luabus.logs import Log
from luabus.rpc.context import CallContext
from luabus.rpc.dispatcher import Dispatcher
from luabus.service.hooks import Deadline

log = Log("luabus.service")

_NAMED = 10
"""Calls that one line of the log names."""


class Drain:
    """Ends the calls of `handlers`. Those that have asked for the stop are drained last; `names()` are those of groups."""

    def __init__(self, handlers: Dispatcher, names: Callable[[], Mapping[int, str]]) -> None:
        self._handlers = handlers
        self._names = names
        self._askers: list[CallContext] = []
        self._left: list[CallContext] = []  # was cancelled, and goes on
        self._quiet = asyncio.Event()

    async def ask(self, asker: CallContext) -> None:
        """For a handler that has asked for the stop: wait until nothing but such handlers is left."""
        self._askers.append(asker)
        await self._quiet.wait()

    async def others(self, deadline: Deadline, limit_s: float) -> None:
        """Let all others finish by the deadline, which was `limit_s` seconds away; then cancel them."""
        try:
            async with asyncio.timeout(deadline.left_s()):
                await self._handlers.idle(self._askers)
        except TimeoutError:
            late = [call for call in self._handlers.calls() if call not in self._askers]
            log.warning(
                "%s: %d calls are cancelled after %g s: %s",
                self._handlers.name, len(late), limit_s, self._in_words(late),
            )  # fmt: skip
            await self._cancel(besides=self._askers)

    async def askers(self, deadline: Deadline) -> None:
        """Let those go on that have asked, and finish by the deadline or in a moment."""
        self._quiet.set()
        if not self._askers:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline.left_s(MOMENT_S)):
                await self._handlers.idle(self._left)

    async def close(self) -> None:
        """Cancel all that is running still."""
        self._quiet.set()
        await self._cancel(besides=self._left)

    async def _cancel(self, besides: list[CallContext]) -> None:
        left = await self._handlers.close(besides=besides)
        self._left = [*self._left, *left]
        if left:
            text = "%s: left behind, for they go on although they were cancelled: %s"
            log.warning(text, self._handlers.name, self._in_words(left))

    def _in_words(self, calls: list[CallContext]) -> str:
        """Which calls, and whose."""
        names = dict(self._names())
        words = [f"{call.method.name} for {ServiceId(call.source).named(names)}" for call in calls[:_NAMED]]
        more = len(calls) - len(words)
        return ", ".join(words) + (f" and {more} more" if more else "")
