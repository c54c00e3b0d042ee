"""What takes longer to send than a peer may be silent."""

from __future__ import annotations

import asyncio

import pytest

import luabus
from luabus.protocol.stream_options import StreamOptions
from luabus.router.server import Router
from luabus.service.service import Service
from luabus.transport.stream import Reason
from tests.support.slow_line import SlowLine
from tests.support.streams import Pair
from tests.support.waiting import until

LARGE = 16 << 20


@pytest.mark.parametrize("kept", [64 << 10, 8 << 20])
@pytest.mark.parametrize("back", [False, True])
async def test_a_large_message_over_a_slow_line_arrives_and_no_link_is_lost(back: bool, kept: int) -> None:
    async with asyncio.timeout(50), Router(port=0, frame_limit=LARGE, heartbeat_s=0.3) as router:
        service = Service(
            "mail", group=2, instance=1, routers=[f"127.0.0.1:{router.port}"], frame_limit=LARGE
        )
        service.rpc(lambda size: bytes(size), name="make")
        service.rpc(lambda value: len(value), name="size")
        async with service, SlowLine(router.port, 1 << 20, back=back, kept=kept) as line:
            connection = luabus.connect([f"127.0.0.1:{line.port}"], frame_limit=LARGE)
            lost: list[str] = []
            async with connection as bus:
                bus.on_router(lambda name, up: None if up else lost.append(name))
                route = bus.target("2.1")
                if back:
                    assert len(await route.request("make", 6 << 20, timeout=30)) == 6 << 20
                else:
                    assert await route.request("size", bytes(6 << 20), timeout=30) == 6 << 20
                assert lost == []


async def test_many_messages_over_a_slow_line_lose_no_link() -> None:
    async with asyncio.timeout(50), Router(port=0) as router:
        service = Service("mail", group=2, instance=1, routers=[f"127.0.0.1:{router.port}"])
        taken: list[int] = []
        service.rpc(lambda value: taken.append(len(value)), name="take")
        async with service, SlowLine(router.port, 1 << 20) as line:
            lost: list[str] = []
            async with luabus.connect([f"127.0.0.1:{line.port}"]) as bus:
                bus.on_router(lambda name, up: None if up else lost.append(name))
                for _ in range(70):
                    bus.target("2.1").send("take", bytes(100_000))
                await until(lambda: len(taken) == 70)
            assert lost == []


async def test_a_peer_that_only_reads_lives_as_long_as_it_takes_what_is_written() -> None:
    options = StreamOptions(frame_limit=LARGE, send_buffer=LARGE)
    async with Pair(options=options) as pair, SlowLine(pair.listener.port, 1 << 20) as line:
        broken: list[Reason] = []
        client = pair.client_mgr.connect("127.0.0.1", line.port)
        await client.connected()
        client.set_timeout(1500)
        client.on_error = broken.append
        server = max(pair.server_mgr.streams.values(), key=lambda stream: stream.token)
        got: list[int] = []
        server.on_call = lambda msg, data: got.append(len(data))
        server.connector = True  # it does not say by itself that it lives, as other programs may not
        client.call("m", bytes(5 << 20))
        await until(lambda: bool(got))
        assert broken == []
