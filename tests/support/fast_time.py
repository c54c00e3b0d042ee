"""Time that flies while nothing happens: real sockets, but a clock that jumps to the next timer when all are idle.

So a test of a ten-second time-out takes milliseconds, and its `time.monotonic()` tells exactly when what happened. Everything
must run in this one loop: another process or thread would be too slow for such a clock.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

# What the kernel may take to hand bytes from one loopback socket to the other.
_KERNEL_S = 0.002


class _JumpingSelector(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """Instead of waiting for a timer, puts the clock forward."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        ready = super().select(_KERNEL_S if timeout is not None else 10.0)
        if not ready and timeout is None:
            raise TimeoutError("everything waits, and no timer will ever end it")
        if not ready and timeout is not None:
            self.now += timeout + 1e-6
        return ready


def run_fast(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` in a loop of its own whose time flies; inside, `time.monotonic` is that time."""
    selector = _JumpingSelector()
    real = time.monotonic
    time.monotonic = lambda: selector.now
    try:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner:
            return runner.run(main)
    finally:
        time.monotonic = real
