"""Tests on both loops: asyncio's own, and uvloop where it runs."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from luabus.transport.loops import new_event_loop

BOTH_LOOPS: Final = pytest.mark.parametrize(
    "make_loop", [asyncio.new_event_loop, new_event_loop], ids=["asyncio", "uvloop"]
)

new_event_loop().close()  # libuv's pipe for signals is made with the first loop, and stays
