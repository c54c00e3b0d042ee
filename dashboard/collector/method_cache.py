"""Cache of method descriptors and metrics: requested per group when old, and shared by all readers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from dashboard.collector.poller import Poller
from luabus.errors import LuabusError

KEPT_S: Final = 15.0
"""Lifetime of an answer: longer than the sampler's interval, so that as a rule no page waits or sends a request."""
PATIENCE_S: Final = 2.0


class MethodAnswers(NamedTuple):
    """Last answers by service id (a list, or an error); `error` when a later request to the group failed. `number` is that of the
    request: a version."""

    answers: Mapping[str, Any]
    error: LuabusError | None
    number: int
    at: float
    routes: int


class MethodCache:
    """Answers of each group; concurrent readers share one broadcast request."""

    def __init__(self, poller: Poller, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.poller = poller
        self._monotonic = monotonic
        self._known: dict[int, MethodAnswers] = {}
        self._requests: dict[int, asyncio.Task[MethodAnswers]] = {}
        self._forgotten: set[int] = set()
        self._number = 0

    async def of(self, group: int) -> MethodAnswers:
        """The cached answers; requested anew when they are old, when the routing tables changed, or after `forget`."""
        known = self._known.get(group)
        if (
            known is not None
            and group not in self._forgotten
            and known.routes == self._routes()
            and self._monotonic() - known.at < KEPT_S
        ):
            return known
        return await self.ask(group)

    async def ask(self, group: int) -> MethodAnswers:
        """Request now, or join the request under way. Cancelling one waiter does not cancel the request."""
        task = self._requests.get(group)
        if task is None or group in self._forgotten:
            self._forgotten.discard(group)
            task = asyncio.create_task(self._ask(group), name=f"dashboard methods of {group}")
            self._requests[group] = task
        return await asyncio.shield(task)

    def forget(self, group: int) -> None:
        """Invalidate a group's answers, after a call changed its metrics."""
        self._forgotten.add(group)

    async def stop(self) -> None:
        tasks = list(self._requests.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, group: int) -> MethodAnswers:
        self._number = number = self._number + 1
        routes, before = self._routes(), self._known.get(group)
        answers: Mapping[str, Any] = before.answers if before else {}
        error: LuabusError | None = None
        try:
            answers = await self.poller.source.methods(group, PATIENCE_S)
        except LuabusError as raised:
            error = raised
        finally:
            if self._requests.get(group) is asyncio.current_task():
                del self._requests[group]
        known = MethodAnswers(answers, error, number, self._monotonic(), routes)
        # Answers to a later request may have come before these.
        if (kept := self._known.get(group)) is None or kept.number < number:
            self._known[group] = known
        return known

    def _routes(self) -> int:
        return self.poller.snapshot.versions["routes"]
