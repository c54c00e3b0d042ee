"""The service that tests run as a process of its own."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import luabus

service = luabus.Service("mail")
not_a_service = 1
received = 0


@service.rpc
def who() -> str:
    return service.handlers.name


@service.rpc
def pid() -> int:
    return os.getpid()


@service.rpc
def echo(value: Any) -> Any:
    return value


@service.rpc
def take(_: Any) -> None:
    global received
    received += 1


@service.rpc
def taken() -> int:
    return received


@service.rpc
async def wait(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "waited"


@service.rpc
def block(seconds: float) -> None:
    """What a handler must not do: the whole process stands still."""
    time.sleep(seconds)
