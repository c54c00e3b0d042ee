"""What changed on a bus, for those who wait for it: a counter, a condition, subscribers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Generic, ParamSpec

from luabus.errors import RequestTimeout

P = ParamSpec("P")


class Observers(Generic[P]):
    """Functions that are called in the order in which they subscribed."""

    __slots__ = ("_functions",)

    def __init__(self) -> None:
        self._functions: list[Callable[P, Any]] = []

    def __iter__(self) -> Iterator[Callable[P, Any]]:
        return iter(list(self._functions))

    def subscribe(self, function: Callable[P, Any]) -> Callable[[], None]:
        """Call `function` from now on; returns what ends that."""
        self._functions.append(function)
        return lambda: self._functions.remove(function) if function in self._functions else None


class News:
    """`revision` counts what routers have said about groups, and how often one came or went."""

    __slots__ = ("_changed", "revision")

    def __init__(self) -> None:
        self.revision = 0
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Something changed: let everyone go on who waits."""
        self.revision += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def next_change(self) -> None:
        """Wait for the next `notify`."""
        await self._changed.wait()

    async def wait(self, since: int, timeout: float | None, text: str) -> None:
        """Wait until `revision` is not `since` any more. Raises `RequestTimeout` with `text` after `timeout` seconds."""
        if self.revision != since:
            return
        try:
            async with asyncio.timeout(timeout):
                await self.next_change()
        except TimeoutError:
            raise RequestTimeout(text, timeout_s=timeout or 0.0) from None
