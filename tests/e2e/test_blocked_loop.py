"""A service whose own code holds up the event loop for longer than its routers bear."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator

import pytest

import luabus
from luabus.service.service import Service
from tests.support.ports import free_ports
from tests.support.waiting import until

BLOCKED_S = 4.5
"""More than the 3.5 s of silence after which a router gives somebody up."""


@contextlib.asynccontextmanager
async def routers(count: int) -> AsyncIterator[list[str]]:
    """Routers in processes of their own: they go on while this one stands still."""
    first = free_ports(count)
    addresses = [f"127.0.0.1:{first + number}" for number in range(count)]
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "luabus", "router", "--name", f"router.{number}", "--listen", address,
            stderr=asyncio.subprocess.DEVNULL,
        )
        for number, address in enumerate(addresses, 1)
    ]  # fmt: skip
    try:
        yield addresses
    finally:
        for process in processes:
            process.terminate()
            await process.wait()


@pytest.mark.parametrize("count", [1, 2])
async def test_an_on_start_that_blocks_starts_all_the_same_and_is_named(
    count: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(40), routers(count) as addresses:
        service = Service("mail", group=2, instance=1, routers=addresses)
        service.rpc(lambda: "here", name="who")
        service.on_start(lambda: time.sleep(BLOCKED_S))
        async with service, luabus.connect(addresses) as bus:
            await until(lambda: all(link.joined for link in service.bus.routers))
            assert await bus.target("2.1").request("who") == "here"
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    told = [text for text in warnings if "the event loop was blocked for 4.5 s (in on_start)" in text]
    assert len(told) == 1, warnings
    assert not [text for text in warnings if "is lost" in text]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_handler_that_blocks_is_named_and_the_router_is_not_blamed(
    waits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def nap() -> None:
        if waits:
            await asyncio.sleep(0.01)
        time.sleep(BLOCKED_S)  # noqa: ASYNC251

    async with asyncio.timeout(40), routers(1) as addresses:
        service = Service("mail", group=2, instance=1, routers=addresses)
        service.rpc(nap)
        async with service, luabus.connect(addresses) as bus:
            bus.target("2.1").send("nap")
            await until(lambda: any("nap held the event loop" in record.message for record in caplog.records))
            while True:
                with contextlib.suppress(luabus.LuabusError):  # both links have to come again
                    await bus.target("2.1").request("luabus.ping")
                    break
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    told = [text for text in warnings if "nap held the event loop for 4.5 s" in text]
    assert len(told) == 1, warnings
    assert not [text for text in warnings if "is lost" in text]
