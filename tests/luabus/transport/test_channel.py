"""Waiting for what happens to a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from luabus.transport.stream import Stream
from tests.support.streams import Events, Pair


async def test_a_sender_that_awaits_drained_is_slowed_and_loses_nothing() -> None:
    async with Pair() as pair:
        for number in range(500):
            pair.client.call("m", number, bytes(10_000))
            await pair.client.drained()
        await pair.heard.of("call", 500)
        assert [entry[1] for entry in pair.heard.calls] == list(range(500))


async def test_closing_before_it_is_open_calls_nothing_and_leaves_nothing() -> None:
    async with Pair() as pair:
        stream = pair.client_mgr.connect("127.0.0.1", pair.listener.port)
        events = Events(stream)
        stream.close()
        await stream.closed()
        assert events.log == []
        assert list(pair.client_mgr.streams) == [1]


@pytest.mark.parametrize("wait", [Stream.connected, Stream.drained, Stream.closed])
async def test_a_cancelled_wait_loses_nothing(wait: Callable[[Stream], Awaitable[None]]) -> None:
    async with Pair() as pair:
        stream = pair.client_mgr.connect("127.0.0.1", pair.listener.port)
        task = asyncio.ensure_future(wait(stream))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await stream.connected()
        stream.call("m")
        await stream.drained()
