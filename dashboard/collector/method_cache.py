"""What the services declare, and how their handlers do: asked of each group now and then, and kept for all who look."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from dashboard.collector.poller import Poller
from luabus.errors import LuabusError

KEPT_S: Final = 15.0
"""An answer is shown so long: longer than the rounds of `handlers`, so that as a rule nobody waits, and pages ask nothing."""
PATIENCE_S: Final = 2.0


class Told(NamedTuple):
    """The last answers by service id (a list, or an error); `error` when the group could not be asked after that. `number` is
    another one after each time that it was asked."""

    answers: Mapping[str, Any]
    error: LuabusError | None
    number: int
    at: float
    routes: int


class MethodCache:
    """One broadcast request serves all who want to know at that moment, and for a while after it."""

    def __init__(self, feed: Poller, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.feed = feed
        self._monotonic = monotonic
        self._told: dict[int, Told] = {}
        self._asking: dict[int, asyncio.Task[Told]] = {}
        self._forgotten: set[int] = set()
        self._number = 0

    async def of(self, group: int) -> Told:
        """What is known; asks when that is old, when the routing tables are others now, or after `forget`."""
        told = self._told.get(group)
        if (
            told is not None
            and group not in self._forgotten
            and told.routes == self._routes()
            and self._monotonic() - told.at < KEPT_S
        ):
            return told
        return await self.ask(group)

    async def ask(self, group: int) -> Told:
        """Ask now, or wait for the answers to who has just asked. Cancelling one who waits leaves the others theirs."""
        task = self._asking.get(group)
        if task is None or group in self._forgotten:
            self._forgotten.discard(group)
            task = asyncio.create_task(self._ask(group), name=f"dashboard methods of {group}")
            self._asking[group] = task
        return await asyncio.shield(task)

    def forget(self, group: int) -> None:
        """Something was called: what is known of the figures is old."""
        self._forgotten.add(group)

    async def stop(self) -> None:
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, group: int) -> Told:
        self._number = number = self._number + 1
        routes, before = self._routes(), self._told.get(group)
        answers: Mapping[str, Any] = before.answers if before else {}
        error: LuabusError | None = None
        try:
            answers = await self.feed.source.methods(group, PATIENCE_S)
        except LuabusError as raised:
            error = raised
        finally:
            if self._asking.get(group) is asyncio.current_task():
                del self._asking[group]
        told = Told(answers, error, number, self._monotonic(), routes)
        # Answers to a later question may have come before these.
        if (kept := self._told.get(group)) is None or kept.number < number:
            self._told[group] = told
        return told

    def _routes(self) -> int:
        return self.feed.snapshot.versions["routes"]
