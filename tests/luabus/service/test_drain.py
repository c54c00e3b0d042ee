from __future__ import annotations

import asyncio
from typing import Any

import pytest

from luabus.service.drain import Drain
from luabus.service.hooks import Deadline
from tests.support.streams import Served
from tests.support.waiting import until


async def test_others_finish_before_one_that_asked_and_it_before_the_deadline() -> None:
    async with Served() as served:
        drain = Drain(served.handlers, dict)
        order: list[str] = []
        go_on = asyncio.Event()

        @served.handlers.rpc
        async def asks() -> None:
            call = served.handlers.inside()
            assert call is not None
            await drain.ask(call)
            order.append("asked")

        @served.handlers.rpc
        async def works() -> None:
            await go_on.wait()
            order.append("worked")

        requests = [asyncio.create_task(served.client.request(name)) for name in ("asks", "works")]
        await until(lambda: served.handlers.running == 2)
        draining = asyncio.create_task(drain.others(Deadline(10), 10))
        go_on.set()
        await draining
        assert order == ["worked"]
        await drain.askers(Deadline(10))
        assert order == ["worked", "asked"]
        await drain.close()
        await asyncio.gather(*requests)


async def test_what_is_late_is_cancelled_and_named_a_few_of_many(caplog: pytest.LogCaptureFixture) -> None:
    async with Served() as served:
        drain = Drain(served.handlers, dict)
        served.handlers.rpc(asyncio.Event().wait, name="waits")
        requests: list[asyncio.Task[Any]] = [
            asyncio.create_task(served.client.request("waits")) for _ in range(12)
        ]
        await until(lambda: served.handlers.running == 12)
        await drain.others(Deadline(0.0), 0.5)
        assert "mail.1: 12 calls are cancelled after 0.5 s: waits for client." in caplog.text
        assert " and 2 more" in caplog.text
        assert served.handlers.running == 0
        await asyncio.gather(*requests, return_exceptions=True)
