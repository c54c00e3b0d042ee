"""Accepting connections, and refusing those that are too many."""

from __future__ import annotations

import asyncio

import pytest

from luabus.transport.manager import create_socket_mgr, new_event_loop
from luabus.transport.stream import Stream
from tests.support.raw import RawPeer
from tests.support.streams import Events, Pair


async def test_a_listener_that_is_closed_accepts_no_more_and_its_streams_stay() -> None:
    async with Pair() as pair:
        pair.listener.close()
        stream = pair.client_mgr.connect("127.0.0.1", pair.listener.port)
        (reason,) = await Events(stream).of("connect")
        assert reason == "Connection refused"
        pair.client.call("m")
        assert await pair.heard.of("call") == ("m",)


async def test_a_listener_closed_before_it_began() -> None:
    mgr = create_socket_mgr(1)
    mgr.listen("127.0.0.1", 0).close()
    await mgr.close()


@pytest.mark.parametrize("loop_factory", [asyncio.SelectorEventLoop, new_event_loop])
def test_on_accept_comes_before_the_stream_says_anything_and_knows_its_ip(loop_factory: object) -> None:
    async def main() -> list[object]:
        mgr = create_socket_mgr(5)
        listener = mgr.listen("127.0.0.1", 0)
        seen: list[object] = []
        done = asyncio.Event()

        def on_accept(stream: Stream) -> None:
            seen.append(("accept", stream.ip, stream.token))
            stream.set_nodelay(False)
            stream.on_call = lambda *args: (seen.append(args), done.set())

        listener.on_accept = on_accept
        stream = mgr.connect("127.0.0.1", listener.port)
        stream.call("m")
        await done.wait()
        await mgr.close()
        return seen

    with asyncio.Runner(loop_factory=loop_factory) as runner:  # type: ignore[arg-type]
        assert runner.run(main()) == [("accept", "127.0.0.1", 2), ("m",)]


async def test_max_connections_counts_accepted_streams() -> None:
    mgr = create_socket_mgr(2)
    listener = mgr.listen("127.0.0.1", 0)
    async with await RawPeer.open(listener.port), await RawPeer.open(listener.port) as second:
        async with await RawPeer.dial(listener.port) as third:
            assert await third.ended()
        assert (len(mgr.streams), mgr.refused) == (2, 1)
        await second.close()
        while len(mgr.streams) == 2:  # noqa: ASYNC110
            await asyncio.sleep(0)
        async with await RawPeer.open(listener.port):
            assert len(mgr.streams) == 2
    await mgr.close()
