"""What tells one who serves that it is time to end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from luabus.transport.loops import running_loop


class Finish:
    """An event that any thread may set. `error`: what it was set with first, to be raised when all has ended."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event: asyncio.Event | None = None

    @property
    def is_expected(self) -> bool:
        """Whether somebody serves."""
        return self._event is not None

    @contextlib.contextmanager
    def expected(self) -> Iterator[None]:
        """Inside the block it can be asked for, in the running loop."""
        self.error = None
        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()
        try:
            yield
        finally:
            self._loop = self._event = None

    def ask(self, error: BaseException | None = None) -> None:
        """It is time. Nothing happens where nobody serves."""
        loop, event = self._loop, self._event
        if loop is None or event is None:
            return
        self.error = self.error or error
        if running_loop() is loop:
            event.set()
        else:
            with contextlib.suppress(RuntimeError):  # that loop has ended
                loop.call_soon_threadsafe(event.set)

    def is_asked(self) -> bool:
        """Whether it is time."""
        return self._event is not None and self._event.is_set()

    async def asked(self) -> None:
        """Wait until it is time."""
        if self._event is not None:
            await self._event.wait()
