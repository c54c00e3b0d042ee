"""Those who wait for one thing to happen to a stream."""

from __future__ import annotations

import asyncio


class Waiters:
    """Futures that are released together."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        """Wait for the next `release`; raises its error. Cancelling loses nothing."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        try:
            await future
        finally:
            if future in self._futures:
                self._futures.remove(future)

    def release(self, error: Exception | None = None) -> None:
        """Let everyone go on who waits now, with `error` if given."""
        futures, self._futures = self._futures, []
        for future in futures:
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
