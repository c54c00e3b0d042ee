"""Waiting for what a test has no event for: another process, another node's view."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

LOOK_S = 0.02


async def until(check: Callable[[], object], timeout_s: float = 10.0, what: str = "") -> None:
    """Return as soon as `check()` is true. Raises `AssertionError` with `what` after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what or check}"
        await asyncio.sleep(LOOK_S)
