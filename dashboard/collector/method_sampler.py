"""How the services' handlers do: asks every instance for its counts now and then, and gives the figures to the history."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from dashboard.collector.method_cache import MethodCache
from dashboard.collector.time_series import History
from dashboard.views.formatting import percentile_ms
from dashboard.views.methods import INTERNAL, add_buckets

log = logging.getLogger("dashboard.handlers")

EVERY_S: Final = 10.0

Counts = tuple[int, int, list[int]]
"""Calls, errors and the latency histogram of one instance, since its start."""


class MethodSampler:
    """One broadcast request per group and round, however many pages are open. `look` is one round."""

    def __init__(
        self, method_cache: MethodCache, history: History, now: Callable[[], float] = time.time
    ) -> None:
        self._method_cache = method_cache
        self._history = history
        self._now = now
        self._before: dict[str, Counts] = {}
        self._at = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except (TypeError, ValueError, KeyError) as error:
                # A service of another version may tell in another shape.
                log.warning("what a service says about its handlers is not understood: %s", error)
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        """Ask, and write down what was done since the look before."""
        snapshot = self._method_cache.poller.snapshot
        groups = [group for group in snapshot.groups() if any(slot.token for slot in group.slots)]
        if not snapshot.routed or not groups:
            return
        answers = await asyncio.gather(*(self._ask(group.group) for group in groups))
        now: dict[str, Counts] = {}
        for answer in answers:
            now |= {
                service_id: counts(methods)
                for service_id, methods in answer.items()
                if isinstance(methods, list)
            }
        at = self._now()
        self._write(now, at, at - self._at)
        self._before, self._at = now, at

    async def _ask(self, group: int) -> Mapping[str, Any]:
        known = await self._method_cache.ask(group)
        if known.error is None:
            return known.answers
        log.debug("group %s does not tell how its handlers do: %s", group, known.error)
        return {}

    def _write(self, now: Mapping[str, Counts], at: float, elapsed_s: float) -> None:
        done, failed, spent = 0, 0, [0]
        compared = False
        for service_id, (calls, errors, buckets) in now.items():
            before = self._before.get(service_id)
            # A new instance, or one that began again at zero, has no difference yet.
            if before is None or calls < before[0] or errors < before[1]:
                continue
            compared = True
            done += calls - before[0]
            failed += errors - before[1]
            spent = add_buckets(
                [spent, [count - was for count, was in zip(buckets, before[2], strict=False)]]
            )
        if not compared or elapsed_s <= 0:
            return
        self._history.sample(("calls", "all"), at, done / elapsed_s)
        self._history.sample(("errors", "all"), at, failed / elapsed_s)
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            value = percentile_ms(spent, share)
            if value is not None:
                self._history.sample(("handlers", name), at, value)


def counts(methods: list[Any]) -> Counts:
    """The totals of one instance over all its own methods."""
    stats = [
        method.get("stats") or {}
        for method in methods
        if isinstance(method, Mapping) and not str(method.get("name", INTERNAL)).startswith(INTERNAL)
    ]
    calls, errors = (sum(int(figures.get(name) or 0) for figures in stats) for name in ("calls", "errors"))
    return calls, errors, add_buckets([figures.get("buckets") or () for figures in stats])
