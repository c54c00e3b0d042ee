"""One thread for calls that block, such that a call which never returns harms nobody but those who wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from luabus.errors import Refused

T = TypeVar("T")


class StoreThread:
    """A daemon thread that carries out calls one after the other.

    A daemon, unlike the threads of an executor: the process's end does not wait for a call that hangs.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._busy_since: float | None = None
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, call: Callable[[], T], timeout_s: float) -> T:
        """What `call` returns or raises; `TimeoutError` when it has not ended within `timeout_s` seconds.

        At a time-out, as when cancelled, a call that had not begun will not be made; one that had begun goes on unseen.
        """
        if self._pid != os.getpid():
            raise Refused(
                f"this store is process {self._pid}'s, of which this one is a fork: open it anew here"
            )
        busy_since = self._busy_since
        if busy_since is not None and (busy_s := time.monotonic() - busy_since) > timeout_s:
            raise TimeoutError(f"an earlier call hangs since {busy_s:.1f} s")
        job = _Job(call)
        self._jobs.put(job)
        try:
            async with asyncio.timeout(timeout_s):
                return await job.result  # type: ignore[no-any-return]
        except TimeoutError:
            if job.result.done() and not job.result.cancelled():
                raise  # the call's own
            raise TimeoutError(f"no answer within {timeout_s:g} s") from None
        finally:
            job.wanted = False

    async def stop(self, last_call: Callable[[], None], timeout_s: float) -> None:
        """End, with `last_call` after what is under way. Waits at most `timeout_s` seconds for it; it is made anyhow, but in a
        forked child, where what the thread has opened is the parent's."""
        if self._pid != os.getpid():
            return
        job = _Job(last_call)
        self._jobs.put(job)
        self._jobs.put(None)
        await asyncio.wait([job.result], timeout=timeout_s)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if job.wanted:
                self._busy_since = time.monotonic()
                job.carry_out()
                self._busy_since = None


class _Job:
    """A call, and the future of the loop that waits for it."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.loop = asyncio.get_running_loop()
        self.result: asyncio.Future[Any] = self.loop.create_future()
        self.wanted = True

    def carry_out(self) -> None:
        try:
            value, error = self.call(), None
        except Exception as caught:
            value, error = None, caught
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
            self.loop.call_soon_threadsafe(self._settle, value, error)

    def _settle(self, value: Any, error: Exception | None) -> None:
        if self.result.done():
            return
        if error is None:
            self.result.set_result(value)
        else:
            self.result.set_exception(error)
