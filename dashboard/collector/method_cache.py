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


class MethodAnswers(NamedTuple):
    """The last answers by service id (a list, or an error); `error` when the group could not be asked after that. `number` is
    another one after each time that it was asked."""

    answers: Mapping[str, Any]
    error: LuabusError | None
    number: int
    at: float
    routes: int


class MethodCache:
    """One broadcast request serves all who want to know at that moment, and for a while after it."""

    def __init__(self, poller: Poller, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.poller = poller
        self._monotonic = monotonic
        self._known: dict[int, MethodAnswers] = {}
        self._requests: dict[int, asyncio.Task[MethodAnswers]] = {}
        self._forgotten: set[int] = set()
        self._number = 0

    async def of(self, group: int) -> MethodAnswers:
        """What is known; asks when that is old, when the routing tables are others now, or after `forget`."""
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
        """Ask now, or wait for the answers to who has just asked. Cancelling one who waits leaves the others theirs."""
        task = self._requests.get(group)
        if task is None or group in self._forgotten:
            self._forgotten.discard(group)
            task = asyncio.create_task(self._ask(group), name=f"dashboard methods of {group}")
            self._requests[group] = task
        return await asyncio.shield(task)

    def forget(self, group: int) -> None:
        """Something was called: what is known of the figures is old."""
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
        # Answers to a later question may have come before these.
        if (kept := self._known.get(group)) is None or kept.number < number:
            self._known[group] = known
        return known

    def _routes(self) -> int:
        return self.poller.snapshot.versions["routes"]
