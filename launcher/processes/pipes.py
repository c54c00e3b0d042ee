"""The reading end of a process' output, slowed to a rate that the event loop can bear."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Final

READ_SIZE: Final = 64 * 1024

OUTPUT_RATE: Final = 8 * 1024 * 1024
"""Bytes per second taken from one stream of one process; beyond, the pipe fills and the process waits."""


class OutputPipe:
    """Calls `listener` with each chunk that comes out of the pipe `descriptor`, which it closes at its end."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, descriptor: int, listener: Callable[[bytes], None]
    ) -> None:
        """Should it fail, as when the loop can watch no more descriptors, `descriptor` is closed."""
        self._loop = loop
        self._descriptor = descriptor
        self._listener = listener
        self._second = 0.0
        self._taken = 0
        self._resume: asyncio.TimerHandle | None = None
        try:
            os.set_blocking(descriptor, False)
            loop.add_reader(descriptor, self._readable)
        except BaseException:
            os.close(descriptor)
            raise

    def drain(self) -> None:
        """Takes what is there now, up to a second's worth."""
        taken = 0
        while taken < OUTPUT_RATE and (size := self._read()):
            taken += size

    def close(self) -> None:
        if self._descriptor >= 0:
            self.drain()
        self._shut()

    def abandon(self) -> bytes:
        """Closes it; what it held, which the listener is not told."""
        rest = b""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                rest = os.read(self._descriptor, READ_SIZE)
        self._shut()
        return rest

    def _shut(self) -> None:
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _readable(self) -> None:
        self._taken += self._read()
        now = self._loop.time()
        if now - self._second >= 1.0:
            self._second, self._taken = now, 0
        elif self._taken >= OUTPUT_RATE and self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            self._resume = self._loop.call_at(self._second + 1.0, self._go_on)

    def _go_on(self) -> None:
        self._resume = None
        self._loop.add_reader(self._descriptor, self._readable)

    def _read(self) -> int:
        if self._descriptor < 0:
            return 0
        try:
            chunk = os.read(self._descriptor, READ_SIZE)
        except BlockingIOError:
            return 0
        except OSError:
            chunk = b""
        if chunk:
            self._listener(chunk)
        else:
            self._shut()
        return len(chunk)
